"""Tools without MCP around them: arguments → what the call came to, over the real api and the real journal."""

from __future__ import annotations

from typing import Any

from phone_number_mcp.errors import ToolError
from phone_number_mcp.platforms import Platform
from phone_number_mcp.tool import Success
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.upstream.request import Account
from phone_number_mcp.writes.database import MEMORY
from phone_number_mcp.writes.executor import Writes
from phone_number_mcp.writes.sqlite import SqliteJournal

ADDRESS = "https://platform.test"


def account(platform: Platform) -> Account:
    values = {name: f"{prefix}abcdef" for name, prefix in platform.credentials.items()}
    return Account(platform.authorize(values), tuple(values.values()))


def writes(platform: Platform, api: Api, place: str = MEMORY) -> Writes:
    return Writes(
        platform, api, name=platform.name, address=ADDRESS, journal=lambda: SqliteJournal(place), max_creates=None
    )


async def run(platform: Platform, api: Api, name: str, arguments: dict[str, Any]) -> Success:
    """Do what a tool call does, with a journal of its own."""
    (tool,) = [tool for tool in platform.tools if tool.name == name]
    read = tool.read(arguments)
    if tool.read_only:
        return await tool.handler(api.call(account(platform)), read)
    outcome: Success | ToolError
    async with writes(platform, api) as running:
        try:
            outcome = await running.run(tool, read, account(platform))
        except ToolError as error:  # kept out of the task group, which would wrap it
            outcome = error
    if isinstance(outcome, ToolError):
        raise outcome
    return outcome
