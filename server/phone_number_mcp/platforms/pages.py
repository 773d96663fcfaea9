"""Lists that a platform returns in pages, and one way through them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from phone_number_mcp.errors import InvalidReply

if TYPE_CHECKING:
    from phone_number_mcp.upstream.call import Call

PAGE_SIZE = 100
"""Page size when a whole list is read: the largest that the platforms document."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list.

    Args:
        entries: As the platform has them.
        next: The platform's cursor of the next page; None on the last one.
        total: Entries on all pages, where the platform says so.
        answer: The platform's answer, whole.
    """

    entries: list[Any]
    next: str | None = None
    total: int | None = None
    answer: Mapping[str, Any] = field(default_factory=dict)


Query: TypeAlias = Mapping[str, str | int]
ReadPage: TypeAlias = "Callable[[Call, Query, int, str | None], Awaitable[Page]]"
"""Reads one page: what to filter and sort by, in the platform's words; the size of the page; its cursor, None for the first."""


async def pages(
    read: ReadPage, call: Call, query: Query | None = None, *, size: int = PAGE_SIZE, cursor: str | None = None
) -> AsyncIterator[Page]:
    """Return the pages of a list, one after the other.

    Args:
        read: Reads one.
        call: Reaches the platform.
        query: What to filter and sort by, in the platform's words.
        size: Entries of a page.
        cursor: Of the page to start with; None for the first.

    Raises:
        InvalidReply: The list does not end.
        ToolError: A page cannot be read.
    """
    seen: set[str | None] = {cursor}
    while True:
        page = await read(call, query or {}, size, cursor)
        yield page
        if page.next is None:
            return
        if page.next in seen or not page.entries:
            raise InvalidReply("The platform's list does not end")
        cursor = page.next
        seen.add(cursor)
