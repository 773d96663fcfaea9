"""Completion: the numbers and agents that begin with what a person has typed, for the resource template and the prompts.

It is a convenience, and never in the way: one page of a list is read, kept for a minute, and whatever goes wrong completes nothing.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import anyio

from phone_number_mcp.errors import CRASHES
from phone_number_mcp.platforms.pages import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.sanitize import Sanitizer
    from phone_number_mcp.tool import Tool
    from phone_number_mcp.upstream.call import Call

MAX_VALUES = 100
"""Values of one completion: the most that the protocol takes."""
KEPT_SECONDS = 60.0
TIME_SECONDS = 2.0
"""How long whoever types waits at most."""
MAX_LENGTH = 100
"""Characters of a value."""
_NUMBER = re.compile(r"\+?[A-Za-z0-9._-]{1,64}")

log = logging.getLogger(__name__)


class Completions:
    """Completes numbers and agents.

    Args:
        platform: Whose they are.
        sanitize: A name that is not safe to show is left out.
    """

    def __init__(self, platform: Platform, sanitize: Sanitizer) -> None:
        self._platform = platform
        self._sanitize = sanitize
        self._reading = anyio.Lock()
        """A person types faster than a platform answers: what was read for one key serves the next."""

    async def complete(self, argument: str, typed: str, tool: Tool[Any], reach: Callable[[], Call]) -> list[str]:
        """Return the values that fit, all of them; none if they cannot be learnt within `TIME_SECONDS`.

        Args:
            argument: "phone_number" or "agent".
            typed: What is there of its value.
            tool: Lists them.
            reach: Returns the way to the platform; raises a `ToolError` if there are no credentials.
        """
        found: list[str] = []
        try:
            with anyio.move_on_after(TIME_SECONDS):
                found = await self._listed(argument, tool, reach())
        except CRASHES as error:
            log.debug("no completion of %s: %s", argument, type(error).__name__)
        return _numbers_like(typed, found) if argument == "phone_number" else _names_like(typed, found)

    async def _listed(self, argument: str, tool: Tool[Any], call: Call) -> list[str]:
        kept = f"completion of {argument}"
        async with self._reading:
            values: list[str] | None = call.recall(kept)
            if values is None:
                values = await (self._agents(call) if argument == "agent" else self._numbers(call, tool))
                call.keep(kept, values, KEPT_SECONDS)
            return values

    async def _numbers(self, call: Call, tool: Tool[Any]) -> list[str]:
        """Return the numbers of the first page: the platform says of each entry which number it is about."""
        data = (await tool.handler(call, tool.read({"limit": PAGE_SIZE, "detail": "full"}))).data
        entries = [entry for value in data.values() if isinstance(value, list) for entry in value]
        numbers = [self._platform.number_in(entry) for entry in entries if isinstance(entry, dict)]
        return [number for number in numbers if number and _NUMBER.fullmatch(number) and self._is_safe(number)]

    async def _agents(self, call: Call) -> list[str]:
        """Return the names of the agents of the first page."""
        source = self._platform.agents
        entries = (await source.read(call, {}, PAGE_SIZE, None)).entries if source else []
        agents = [source.agent(entry) for entry in entries if isinstance(entry, dict)] if source else []
        return [agent.name for agent in agents if agent and agent.name and self._is_safe(agent.name)]

    def _is_safe(self, value: str) -> bool:
        return self._sanitize(value, MAX_LENGTH) == value


def _numbers_like(typed: str, numbers: list[str]) -> list[str]:
    """Return the numbers that begin with what was typed, in order; the plus, blanks and punctuation make no difference."""
    start = re.sub(r"[^A-Za-z0-9]", "", unquote(typed))
    return sorted(number for number in {*numbers} if number.lstrip("+").lower().startswith(start.lower()))


def _names_like(typed: str, names: list[str]) -> list[str]:
    """Return the names that have what was typed in them, in any case: first those that begin with it."""
    part = " ".join(typed.split()).casefold()
    fitting = [name for name in {*names} if part in name.casefold()]
    return sorted(fitting, key=lambda name: (not name.casefold().startswith(part), name.casefold(), name))
