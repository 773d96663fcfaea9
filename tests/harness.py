"""Tools without MCP around them: arguments → what the call came to, over the real api.py and the real journal."""

from __future__ import annotations

from typing import Any

from phone_number_mcp.api import Api
from phone_number_mcp.errors import ToolError
from phone_number_mcp.journal import MEMORY, Journal
from phone_number_mcp.platforms import Platform
from phone_number_mcp.tool import Success
from phone_number_mcp.writes import Writes


def journal(platform: Platform, place: str = MEMORY) -> Journal:
    return Journal(place, platform.name, "https://platform.test")


async def run(platform: Platform, api: Api, name: str, arguments: dict[str, Any]) -> Success:
    """Do what a tool call does, with a journal of its own."""
    (tool,) = [tool for tool in platform.tools if tool.name == name]
    read = tool.read(arguments)
    if tool.read_only:
        return await tool.handler(api.call().hiding(read.secrets()), read)
    outcome: Success | ToolError
    async with Writes(platform, api, lambda: journal(platform), None) as writes:
        try:
            outcome = await writes.run(tool, read)
        except ToolError as error:  # kept out of the task group, which would wrap it
            outcome = error
    if isinstance(outcome, ToolError):
        raise outcome
    return outcome
