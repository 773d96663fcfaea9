"""The official Python client, in the era that the plan names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import mcp
from driver import Answer, Client, Server, main
from mcp.client.stdio import StdioServerParameters


class Official:
    """The client as it is; it validates structuredContent against the output schema itself."""

    def __init__(self, client: mcp.Client) -> None:
        self._client = client

    async def tools(self) -> tuple[list[dict[str, Any]], str | None]:
        listed = await self._client.list_tools()
        tools = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
                "output_schema": tool.output_schema,
            }
            for tool in listed.tools
        ]
        return tools, self._client.protocol_version

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        result = await self._client.call_tool(tool, arguments)
        (content,) = result.content
        return Answer(content.text, result.structured_content, result.is_error)


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(command=server.command, args=server.args, env=server.env)
    async with mcp.Client(parameters, mode=server.mode or "auto") as client:
        yield Official(client)


main(connect)
