"""Lists of numbers that are short: one line a number, filtered alike on every platform, with a way to go on."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from phone_number_mcp.errors import FieldProblem, InvalidArguments, ToolError
from phone_number_mcp.platforms.agents import AgentList, read_agents
from phone_number_mcp.platforms.numbers import AreaCode
from phone_number_mcp.platforms.pages import PAGE_SIZE, Page, ReadPage, pages
from phone_number_mcp.tool import TAKES_AGENT, Arguments, Data, Success

if TYPE_CHECKING:
    from phone_number_mcp.upstream.call import Call

MAX_READ = 2_000
"""Numbers that one call reads at most."""
READING = 0.7
"""The share of a call's time after which no further page is read."""
LIMIT = 100
"""Numbers that one answer lists if the caller does not say."""

_NEXT = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9a-f]{6})\.(.*)", re.DOTALL)
"""The parts of `next`: page size, entries of the first page that were listed before, digest of the filters, the platform's cursor."""


class ListArguments(Arguments):
    """Arguments of `list_phone_numbers` on every platform; a subclass may add some of its own."""

    detail: Annotated[
        Literal["summary", "full"],
        Field(description="full: the platform's page with every field, at most 100"),
    ] = "summary"
    nickname: Annotated[str | None, Field(description="Part of the nickname")] = None
    area_code: Annotated[AreaCode | None, Field(description="3 digits, US or Canada")] = None
    agent: Annotated[str | None, TAKES_AGENT, Field(description="Bound to this agent: name or id")] = None
    unanswered: Annotated[bool | None, Field(description="true: without inbound agent")] = None
    webhook: Annotated[str | None, Field(description="Part of the webhook, such as http:")] = None
    limit: Annotated[int, Field(ge=0, le=500, description="0: only count")] = LIMIT
    next: Annotated[str | None, Field(description="next of the answer before; other arguments the same")] = None

    not_filters: ClassVar[frozenset[str]] = frozenset({"detail", "limit", "next"})

    def filters(self) -> dict[str, Any]:
        """Return what was given of the filters."""
        return self.model_dump(exclude_unset=True, exclude_none=True, exclude=set(self.not_filters))


@dataclass(frozen=True, slots=True)
class Brief:
    """A number in short.

    Args:
        phone_number: As the platform spells it.
        nickname: What people call it.
        inbound: The agents that answer it: ids, or {"agent_id", "weight", …} where there are several.
        outbound: The agents that call from it, likewise.
        webhook: Called on inbound calls.
        more: What else says who is bound to it, by name.
    """

    phone_number: str
    nickname: str | None = None
    inbound: Sequence[str | Mapping[str, Any]] = ()
    outbound: Sequence[str | Mapping[str, Any]] = ()
    webhook: str | None = None
    more: Mapping[str, Sequence[str | Mapping[str, Any]]] = field(default_factory=dict)

    @property
    def agents(self) -> set[str]:
        """The ids of all agents that are bound to it."""
        bound = [*self.inbound, *self.outbound, *(each for some in self.more.values() for each in some)]
        return {each if isinstance(each, str) else str(each.get("agent_id")) for each in bound}

    def line(self) -> dict[str, Any]:
        """Return what an agent reads; what is empty is left out."""
        bindings = {"inbound": self.inbound, "outbound": self.outbound, **self.more}
        line: dict[str, Any] = {"phone_number": self.phone_number, "nickname": self.nickname}
        for name, bound in bindings.items():
            line[name] = bound[0] if len(bound) == 1 else [*bound]
        line["webhook"] = self.webhook
        return {name: value for name, value in line.items() if value}


@dataclass(frozen=True, slots=True)
class NumberList:
    """How a platform lists its numbers.

    Args:
        read: Reads a page.
        key: Under which an answer has the numbers; None where it is a bare array.
        brief: Turns an entry into a number in short; returns None if the entry is not one.
        filters: Our argument → the platform's query parameter, for what it filters and sorts itself. This module does the rest.
        agents: How the platform lists its agents; None where it has none.
    """

    read: ReadPage
    key: str | None
    brief: Callable[[Mapping[str, Any]], Brief | None]
    filters: Mapping[str, str] = field(default_factory=dict)
    agents: AgentList | None = None


class ListedNumbers(Data):
    """What `list_phone_numbers` returns in short."""

    phone_numbers: Annotated[
        list[Any] | None,
        Field(
            description="phone_number, nickname, inbound and outbound (ids of agents; several: with weights), webhook"
        ),
    ] = None
    agents: Annotated[dict[str, str] | None, Field(description="Id → name")] = None
    returned_count: int | None = None
    total_count: Annotated[int | None, Field(description="Of all that match")] = None
    next: Annotated[str | None, Field(description="For more")] = None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a list goes on.

    Args:
        size: Entries of a page.
        skipped: Entries of the first page that were listed before.
        cursor: The platform's, of the first page; None for the beginning.
    """

    size: int
    skipped: int = 0
    cursor: str | None = None


async def list_numbers(call: Call, source: NumberList, arguments: ListArguments) -> Success:
    """Return the numbers that match, in short, or one page of the platform's own.

    Raises:
        InvalidArguments: `next` belongs to another list.
        ToolError: Not even the first page can be read.
    """
    start = _start(arguments)
    if arguments.detail == "full" and arguments.limit > 0:
        return await _full(call, source, arguments, start)
    found = _Walk(source, arguments, start)
    await found.through(call)
    data: dict[str, Any] = {"phone_numbers": [brief.line() for brief in found.briefs]}
    success = Success(data).warned(found.cut)
    if source.agents is not None and (ids := set[str]().union(*(brief.agents for brief in found.briefs))):
        try:
            agents = await read_agents(call, source.agents)
        except ToolError as error:
            success = success.warned(f"The agents' names could not be read ({error.code})")
        else:
            data["agents"] = {id_: name for id_, name in agents.names.items() if id_ in ids}
    data["returned_count"] = len(found.briefs)
    if found.total is not None:
        data["total_count"] = found.total
    if found.next is not None:
        data["next"] = found.next
    return success


def _query(source: NumberList, arguments: ListArguments) -> dict[str, str | int]:
    given = arguments.filters()
    return {word: given[name] for name, word in source.filters.items() if name in given}


class _Walk:
    """A walk over the pages of a list, until enough numbers match or enough was read."""

    def __init__(self, source: NumberList, arguments: ListArguments, start: _Place) -> None:
        self._source, self._arguments = source, arguments
        self._start = self._here = start
        self._read = self._dropped = self._counted = 0
        self.briefs: list[Brief] = []
        self.total: int | None = None
        self.next: str | None = None
        self.cut: str | None = None

    async def through(self, call: Call) -> None:
        """Walk.

        Raises:
            ToolError: Not even the first page can be read.
        """
        start, query = self._start, _query(self._source, self._arguments)
        try:
            async for page in pages(self._source.read, call, query, size=start.size, cursor=start.cursor):
                if self._take(page) or page.next is None:
                    break
                self._here = _Place(start.size, 0, page.next)
                if self._must_stop(call):
                    self._stop()
                    break
        except ToolError as error:
            if not self._read:
                raise
            self.cut = f"Only {self._read:,} numbers were read, then {error.code}: call again with next to go on"
            self._stop()
        if start.cursor is None and not start.skipped and self.next is None and not self._is_counted:
            self.total = len(self.briefs) + self._counted

    @property
    def _is_counted(self) -> bool:
        """Whether only the count is asked for, and the platform said it."""
        return self._arguments.limit == 0 and self.total is not None

    def _take(self, page: Page) -> bool:
        """Take what matches from a page; return whether nothing more is needed."""
        self._read += len(page.entries)
        for place, entry in enumerate(page.entries):
            brief = self._source.brief(entry) if isinstance(entry, dict) else None
            if place < self._here.skipped:
                continue
            if brief is None or not _matches(brief, self._arguments):
                self._dropped += 1
            elif self._arguments.limit == 0:
                self._counted += 1
            elif len(self.briefs) < self._arguments.limit:
                self.briefs.append(brief)
            else:
                self._here = _Place(self._here.size, place, self._here.cursor)
                self._stop()
                break
        self.total = None if self._dropped or _filtered_here(self._source, self._arguments) else page.total
        return self.next is not None or self._is_counted

    def _must_stop(self, call: Call) -> bool:
        """Return whether reading must stop, although there are more pages."""
        arguments = self._arguments
        if 0 < arguments.limit == len(self.briefs) and not _filtered_here(self._source, arguments):
            return True  # the next page surely has a match
        if self._read < MAX_READ and call.elapsed < READING * (call.elapsed + call.remaining):
            return False
        counted = f", of which {self._counted:,} match" if arguments.limit == 0 else ""
        self.cut = f"{self._read:,} numbers were read{counted}, and there are more: call again with next to go on"
        self.total = None
        return True

    def _stop(self) -> None:
        self.next = _next(self._arguments, self._here)


async def _full(call: Call, source: NumberList, arguments: ListArguments, start: _Place) -> Success:
    page = await source.read(call, _query(source, arguments), start.size, start.cursor)
    briefs = [(entry, source.brief(entry) if isinstance(entry, dict) else None) for entry in page.entries]
    kept = [entry for entry, brief in briefs if brief is None or _matches(brief, arguments)]
    key = source.key or "phone_numbers"
    data: dict[str, Any] = {**page.answer, key: kept}
    if len(kept) < len(page.entries):
        data["returned_count"] = len(kept)
    if page.next is not None:
        data["next"] = _next(arguments, _Place(start.size, 0, page.next))
    return Success(data)


def _filtered_here(source: NumberList, arguments: ListArguments) -> bool:
    """Return whether a filter is given that the platform cannot apply: then its next page may have no match."""
    return bool(
        arguments.filters().keys() & {"nickname", "area_code", "agent", "unanswered", "webhook"} - source.filters.keys()
    )


def _matches(brief: Brief, arguments: ListArguments) -> bool:
    """Return whether a number is one that was asked for. The platform's own filters are checked once more."""
    code, wanted = arguments.area_code, (arguments.nickname or "").casefold()
    return (
        wanted in (brief.nickname or "").casefold()
        and (code is None or brief.phone_number.startswith(f"+1{code}"))
        and (arguments.agent is None or arguments.agent in brief.agents)
        and (not arguments.unanswered or not brief.inbound)
        and (arguments.webhook or "").casefold() in (brief.webhook or "").casefold()
    )


# --- going on ---------------------------------------------------------------------------------------------------------


def _next(arguments: ListArguments, place: _Place) -> str:
    return f"{place.size}.{place.skipped}.{_digest(arguments)}.{place.cursor or ''}"


def _start(arguments: ListArguments) -> _Place:
    """Return where a list begins, or goes on.

    Raises:
        InvalidArguments: `next` is not from an earlier answer, or belongs to a list with other filters.
    """
    if arguments.next is None:
        many = arguments.detail == "summary" and (arguments.limit > PAGE_SIZE or arguments.filters())
        return _Place(PAGE_SIZE if many or arguments.limit == 0 else min(arguments.limit, PAGE_SIZE))
    said = _NEXT.fullmatch(arguments.next)
    if said is None or not 0 < int(said[1]) <= PAGE_SIZE:
        raise _not_next("must be copied unchanged from an earlier answer")
    if said[3] != _digest(arguments):
        raise _not_next("was issued for other filters: repeat the other arguments of the earlier call")
    return _Place(int(said[1]), int(said[2]), said[4] or None)


def _digest(arguments: ListArguments) -> str:
    canonical = json.dumps([arguments.detail, arguments.filters()], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:6]


def _not_next(problem: str) -> InvalidArguments:
    return InvalidArguments(f"next {problem}", fields=[FieldProblem(field="next", problem=problem)])
