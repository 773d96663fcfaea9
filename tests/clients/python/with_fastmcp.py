"""FastMCP's client. A failed call raises its ToolError unless it is told not to; both ways are seen here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import fastmcp
from driver import Answer, Client, Server, main
from fastmcp.client.transports import StdioTransport
from fastmcp.exceptions import ToolError


class FastMCP:
    """Reads are asked a second time in the client's own way: what its error says must be the whole error."""

    def __init__(self, client: fastmcp.Client[Any]) -> None:
        self._client = client

    async def tools(self) -> tuple[list[dict[str, Any]], str | None]:
        tools = [
            {
                "name": tool.name,
                "description": tool.description,
                "input_schema": tool.input_schema,
                "output_schema": tool.output_schema,
            }
            for tool in await self._client.list_tools()
        ]
        return tools, self._client.protocol_version

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        result = await self._client.call_tool(tool, arguments, raise_on_error=False)
        (content,) = result.content
        text = content.text
        if result.is_error and tool.startswith("get_"):
            try:
                await self._client.call_tool(tool, arguments)
            except ToolError as error:
                text = str(error)
            else:
                text = None
        return Answer(text, result.structured_content, result.is_error)


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[Client]:
    transport = StdioTransport(server.command, server.args, env=server.env, keep_alive=False)
    async with fastmcp.Client(transport) as client:
        yield FastMCP(client)


main(connect)
