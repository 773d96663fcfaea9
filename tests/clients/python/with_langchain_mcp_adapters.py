"""LangChain's adapters, as their documentation has it: `get_tools`, so that every call starts a server of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from driver import Answer, Client, Server, main
from langchain_core.tools import BaseTool
from langchain_mcp_adapters.client import MultiServerMCPClient


class LangChain:
    """The tools of one server; what a model is shown is the ToolMessage."""

    def __init__(self, client: MultiServerMCPClient) -> None:
        self._client = client
        self._tools: dict[str, BaseTool] = {}

    async def tools(self) -> tuple[list[dict[str, Any]], str | None]:
        self._tools = {tool.name: tool for tool in await self._client.get_tools()}
        async with self._client.session("phone-number", auto_initialize=False) as session:
            protocol = (await session.initialize()).protocolVersion
        tools = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.args_schema}
            for tool in self._tools.values()
        ]
        return tools, protocol

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        called = {"type": "tool_call", "id": "1", "name": tool, "args": arguments}
        message = await self._tools[tool].ainvoke(called)
        (block,) = message.content
        structured = (message.artifact or {}).get("structured_content")
        return Answer(block["text"], structured, message.status == "error")


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[Client]:
    connection = {"transport": "stdio", "command": server.command, "args": server.args, "env": server.env}
    client = LangChain(MultiServerMCPClient({"phone-number": connection}))
    await client.tools()
    yield client


main(connect)
