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

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping

    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.sanitize import Sanitizer
    from phone_number_mcp.tool import Success, Tool

MAX_VALUES = 100
"""Values of one completion: the most that the protocol takes."""
KEPT_SECONDS = 60.0
TIME_SECONDS = 2.0
"""How long whoever types waits at most."""
MAX_KEPT = 200
"""Lists that are kept: of each account the numbers and the agents."""
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
        self._kept: dict[tuple[str, tuple[str, ...]], tuple[float, list[str]]] = {}
        """Argument and account → when it was read, and the values."""
        self._reading = anyio.Lock()
        """A person types faster than a platform answers: what was read for one key serves the next."""

    async def complete(
        self,
        argument: str,
        typed: str,
        tool: Tool[Any],
        whose: Callable[[], tuple[str, ...]],
        read: Callable[[Tool[Any]], Awaitable[Success]],
    ) -> list[str]:
        """Return the values that fit, all of them; none if they cannot be learnt within `TIME_SECONDS`.

        Args:
            argument: "phone_number" or "agent".
            typed: What is there of its value.
            tool: Lists them.
            whose: Returns the credentials; raises a `ToolError` if there are none.
            read: Returns the first page of what a tool lists.
        """
        found: list[str] = []
        try:
            with anyio.move_on_after(TIME_SECONDS):
                found = await self._listed(argument, whose(), tool, read)
        except CRASHES as error:
            log.debug("no completion of %s: %s", argument, type(error).__name__)
        return _numbers_like(typed, found) if argument == "phone_number" else _names_like(typed, found)

    async def _listed(
        self, argument: str, account: tuple[str, ...], tool: Tool[Any], read: Callable[[Tool[Any]], Awaitable[Success]]
    ) -> list[str]:
        async with self._reading:
            now = anyio.current_time()
            read_at, values = self._kept.get((argument, account), (-KEPT_SECONDS, []))
            if now - read_at < KEPT_SECONDS:
                return values
            data = (await read(tool)).data
            values = list(self._agents_in(data) if argument == "agent" else self._numbers_in(data))
            while len(self._kept) >= MAX_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[argument, account] = (now, values)
            return values

    def _numbers_in(self, data: Mapping[str, Any]) -> Iterator[str]:
        """Yield the numbers of a page: the platform says of each entry which number it is about."""
        for entries in data.values():
            for entry in entries if isinstance(entries, list) else ():
                number = self._platform.number_in(entry) if isinstance(entry, dict) else None
                if number is not None and _NUMBER.fullmatch(number) and self._is_safe(number):
                    yield number

    def _agents_in(self, data: Mapping[str, Any]) -> Iterator[str]:
        names: Iterable[Any] = self._platform.agents_in(data) if self._platform.agents_in else ()
        yield from (name for name in names if name and isinstance(name, str) and self._is_safe(name))

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
