"""Finds the agent that a caller names. If no agent, or more than one, has that name, the call is refused."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from phone_number_mcp.errors import Candidate, FieldProblem, InvalidArguments, ToolError, Unauthorized
from phone_number_mcp.platforms.pages import ReadPage, pages
from phone_number_mcp.tool import A, Arguments, Data, Success, agents_named, with_agents

if TYPE_CHECKING:
    from phone_number_mcp.upstream.call import Call

FRESH_SECONDS = 60.0
"""Seconds for which the agents of an account are not read again."""
SHARE = 0.25
"""The share of a call's time in which the agents must be read."""
MAX_AGENTS = 5_000
"""Agents read at most: beyond that, the list counts as not whole."""
MAX_CANDIDATES = 5
"""Agents that a refusal names."""
_SIMILAR = 0.6
"""How similar a name must be to be a candidate: difflib's own measure, 0 to 1."""
_COMPARED = 100
"""Characters of a name that are compared for similarity: that takes time with the square of the length."""
_KEPT = "agents"


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent, as far as the platform tells; None is what it does not tell.

    Args:
        id: By which numbers refer to it.
        name: As people know it.
        channel: Whether it takes calls or texts.
        suspended: Whether it is suspended.
        published: Whether a version of it is published.
    """

    id: str
    name: str
    channel: Literal["voice", "chat"] | None = None
    suspended: bool | None = None
    published: bool | None = None


@dataclass(frozen=True, slots=True)
class AgentList:
    """How a platform lists its agents.

    Args:
        read: Reads a page.
        agent: Turns an entry into an agent; returns None if the entry is not one.
    """

    read: ReadPage
    agent: Callable[[Mapping[str, Any]], Agent | None]


@dataclass(frozen=True)
class Agents:
    """The agents of an account. What is looked up in them is indexed once, as they are kept for several calls.

    Args:
        known: Those that were read.
        whole: `known` has every agent.
        problem: Why some are missing, as words to put into a sentence.
    """

    known: Sequence[Agent]
    whole: bool = True
    problem: str = ""

    @cached_property
    def names(self) -> Mapping[str, str]:
        """Id → name."""
        return {agent.id: agent.name for agent in self.known}

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[Agent]]:
        """Name, as `folded` returns it → the agents of that name."""
        found: dict[str, list[Agent]] = {}
        for agent in self.known:
            found.setdefault(folded(agent.name), []).append(agent)
        return found

    def matching(self, value: str) -> Sequence[Agent]:
        """Return the agents that a value may mean: the one of that id, else all of that name."""
        if value in self.names:
            return [next(agent for agent in self.known if agent.id == value)]
        name = folded(value)
        return self.by_name.get(name, ()) if name else ()


async def read_agents(call: Call, source: AgentList, *, fresh: bool = False) -> Agents:
    """Return the agents of the call's account: as they were read within `FRESH_SECONDS`, or read now.

    Args:
        call: At most a quarter of its remaining time is used.
        source: How the platform lists them.
        fresh: Read them now.

    Raises:
        ToolError: Not even the first of them can be read.
    """
    kept: Agents | None = None if fresh else call.recall(_KEPT)
    if kept is not None:
        return kept
    known: list[Agent] = []
    problem = ""
    try:
        async for page in pages(source.read, call.within(SHARE)):
            known += filter(None, (source.agent(entry) for entry in page.entries if isinstance(entry, dict)))
            if len(known) >= MAX_AGENTS and page.next is not None:
                problem = f"there are more than {MAX_AGENTS:,}"
                break
    except ToolError as error:
        if not known:
            raise
        problem = f"only {len(known):,} could be read ({error.code})"
    found = Agents(tuple(known), whole=not problem, problem=problem)
    if found.whole:
        call.keep(_KEPT, found, FRESH_SECONDS)
    return found


def folded(name: str) -> str:
    """Return a name less what a reader does not tell apart: case, spacing, width, characters that are not shown.

    Letters of different scripts stay different, however much they look alike.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    return "".join(
        char
        for char in plain
        if not char.isspace() and unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
    )


@dataclass(frozen=True, slots=True)
class Resolution:
    """What became of the agents that a call names.

    Args:
        names: Name, as the caller gave it → id.
        agents: Id → name, of all the agents that the call is about.
        warning: What could not be checked.
    """

    names: Mapping[str, str]
    agents: Mapping[str, str]
    warning: str | None = None


UNNAMED = Resolution({}, {})
"""Of a call that names no agent."""


async def resolve(call: Call, source: AgentList, arguments: A) -> tuple[A, Resolution]:
    """Return the arguments with ids in place of agents' names, and what was resolved.

    Args:
        call: At most a quarter of its remaining time is used.
        source: How the platform lists its agents.
        arguments: As the caller gave them.

    Raises:
        InvalidArguments: A value is neither an agent's id nor exactly one agent's name. Nothing was sent.
        Unauthorized: The platform does not accept the credentials.
    """
    given = agents_named(arguments)
    if not given:
        return arguments, UNNAMED
    try:
        were_kept = call.recall(_KEPT) is not None
        agents = await read_agents(call, source)
        if were_kept and any(len(agents.matching(value)) != 1 for _path, value in given):
            agents = await read_agents(call, source, fresh=True)
    except Unauthorized as error:
        raise error.replace(outcome="not_applied") from error  # the call itself would be refused as well
    except ToolError as error:
        return arguments, Resolution({}, {}, _unchecked(given, f"{error.code}: {error.message}"))
    ids: dict[str, str] = {}
    called: dict[str, str] = {}
    refused: list[tuple[str, str, Sequence[Agent]]] = []
    unchecked: list[tuple[str, str]] = []
    for path, value in given:
        found = agents.matching(value)
        if len(found) > 1 or (not found and agents.whole):
            refused.append((path, value, found))
        elif not found or (found[0].id != value and not agents.whole):
            unchecked.append((path, value))
        else:
            called[found[0].id] = found[0].name
            if found[0].id != value:
                ids[value] = found[0].id
    if refused:
        raise _refusal(refused, agents)
    warning = _unchecked(unchecked, agents.problem) if unchecked else None
    return with_agents(arguments, ids), Resolution(ids, called, warning)


def _unchecked(given: Iterable[tuple[str, str]], problem: str) -> str:
    values = ", ".join(dict.fromkeys(f"{path} {value!r}" for path, value in given))
    return f"The agents could not be read ({problem}). These values were not checked, and are used unchanged as ids: {values}"


def _refusal(refused: Sequence[tuple[str, str, Sequence[Agent]]], agents: Agents) -> InvalidArguments:
    candidates: dict[str, Agent] = {}
    problems: list[FieldProblem] = []
    for path, value, found in refused:
        problem = f"{len(found)} agents are called {value!r}" if found else f"no agent has the id or the name {value!r}"
        problems.append(FieldProblem(field=path, problem=problem))
        few = agents.known if len(agents.known) <= MAX_CANDIDATES else ()
        candidates |= {agent.id: agent for agent in found or _similar(value, agents) or few}
    shown = list(candidates.values())[:MAX_CANDIDATES]
    choose = "Call again with the agent_id of one of the candidates; if it is not certain which, ask the user"
    return InvalidArguments(
        "; ".join(f"{each.field}: {each.problem}" for each in problems),
        fields=problems,
        candidates=[Candidate(agent_id=agent.id, name=agent.name) for agent in shown] or None,
        hint=f"Nothing was sent. {choose if shown else 'Look at list_agents, and ask the user which agent is meant'}.",
    )


def _similar(value: str, agents: Agents) -> Sequence[Agent]:
    """Return the agents whose names are nearest to a value."""
    import difflib  # only a refusal needs it

    wanted = folded(value)[:_COMPARED]
    by_name: dict[str, list[Agent]] = {}
    for name, called in agents.by_name.items():
        by_name.setdefault(name[:_COMPARED], []).extend(called)
    near = [name for name in by_name if wanted and name and (wanted in name or name in wanted)][:MAX_CANDIDATES]
    near += difflib.get_close_matches(wanted, by_name, n=MAX_CANDIDATES, cutoff=_SIMILAR)
    return [agent for name in dict.fromkeys(near) for agent in by_name[name]]


# --- list_agents ------------------------------------------------------------------------------------------------------

PAGE_SIZE = 100
"""Agents that one answer lists if the caller does not say."""


class ListAgents(Arguments):
    """Arguments of `list_agents` on every platform."""

    name: Annotated[str | None, Field(description="Part of the name")] = None
    limit: Annotated[int, Field(ge=1, le=500, description="At most")] = PAGE_SIZE
    next: Annotated[str | None, Field(pattern=r"^[0-9]{1,6}$", description="From the answer before")] = None


class ListedAgents(Data):
    """What `list_agents` returns; what the platform does not tell is left out."""

    agents: Annotated[
        list[Any] | None,
        Field(description="agent_id, name, channel, suspended, published, as far as known"),
    ] = None
    returned_count: int | None = None
    total_count: int | None = None
    next: Annotated[str | None, Field(description="For more")] = None


async def list_agents(call: Call, source: AgentList, arguments: ListAgents) -> Success:
    """Return agents by name, in short.

    Raises:
        ToolError: They cannot be read.
    """
    agents = await read_agents(call, source, fresh=arguments.next is None)
    wanted = folded(arguments.name or "")
    found = [agent for agent in agents.known if wanted in folded(agent.name)]
    start = int(arguments.next or 0)
    shown = found[start : start + arguments.limit]
    data: dict[str, Any] = {"agents": [_line(agent) for agent in shown], "returned_count": len(shown)}
    if agents.whole:
        data["total_count"] = len(found)
    if start + len(shown) < len(found):
        data["next"] = str(start + len(shown))
    success = Success(data)
    return success.warned(None if agents.whole else f"This list is not whole: {agents.problem}")


def _line(agent: Agent) -> dict[str, Any]:
    line = {
        "agent_id": agent.id,
        "name": agent.name,
        "channel": agent.channel,
        "suspended": agent.suspended or None,
        "published": agent.published,
    }
    return {name: value for name, value in line.items() if value is not None}
