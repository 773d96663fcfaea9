"""Carries out a task against the real server over stdio with the official client, and judges what came of it."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from pydantic import BaseModel, ConfigDict

from evals.served import Changes, Served, served
from evals.task import Task, organisation
from phone_number_mcp.platforms import load


class Name(BaseModel):
    """A tool of another server.

    Args:
        tool: Its name there.
        arguments: Our name of an argument → the name there.
    """

    model_config = ConfigDict(extra="forbid")

    tool: str
    arguments: dict[str, str] = {}


Names = Mapping[str, Name]
"""Our name of a tool → the tool of another server."""
PATIENCE_SECONDS = 300.0
"""After this, a task has failed."""
SHOWN = 500
"""Characters of a result in a problem."""


@dataclass
class Session:
    """What a solver has: the tools of a server. What it does with them is recorded.

    Args:
        client: Connected to the server.
        names: Where it is another server than ours: its names of tools and arguments.
    """

    client: Client
    names: Names | None = None
    called: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """What the model reads of each result."""
    model_tokens: int = 0
    """As the model's own service counts them."""

    def translated(self, tool: str, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        """Return a recorded call in the server's names, without the arguments that it does not have.

        Raises:
            LookupError: The server has no such tool.
        """
        if self.names is None:
            return tool, arguments
        theirs = self.names[tool]
        return theirs.tool, {
            theirs.arguments[name]: value for name, value in arguments.items() if name in theirs.arguments
        }

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> types.CallToolResult:
        """Call a tool of the server, by the server's name."""
        result = await self.client.call_tool(tool, dict(arguments))
        self.called.append(tool)
        self.texts.append("".join(part.text for part in result.content if isinstance(part, types.TextContent)))
        return result


Solve = Callable[[Task, Session], Awaitable[str]]
"""Solves a task and returns the final answer."""


class WrongCourse(Exception):
    """A recorded solution does not go as recorded."""


@dataclass
class Outcome:
    """What came of a task."""

    task: Task
    answer: str
    texts: list[str]
    problems: list[str]
    """What is not as it must be."""
    untruths: list[str]
    """Of these, what the answer says and should not."""
    model_tokens: int = 0

    @property
    def calls(self) -> int:
        """Return how many tool calls were made."""
        return len(self.texts)

    @property
    def characters(self) -> int:
        """Return how long the results are together."""
        return sum(len(_measured(text)) for text in self.texts)

    @property
    def tokens(self) -> int:
        """Return about how many tokens that is: one for four bytes."""
        return sum(len(_measured(text).encode()) for text in self.texts) // 4


_DURATION = re.compile(r"\b[0-9]+\.[0-9] s\b")


def _measured(text: str) -> str:
    """Return a result in which every measured duration has the same length: "2 s" and "2.1 s" cost the same."""
    return _DURATION.sub("9 s", text)


async def replay(task: Task, session: Session) -> str:
    """Make the recorded calls, and return the recorded answer.

    Raises:
        WrongCourse: A call failed that should succeed, or the other way round, or a result does not show what the answer says.
    """
    results: list[Any] = []
    for place, call in enumerate(task.calls, 1):
        try:
            result = await session.call(*session.translated(call.tool, call.filled(results)))
        except (
            MCPError,
            LookupError,
            TypeError,
            ValueError,
        ) as error:  # there is no such tool, or no such thing in a result
            raise WrongCourse(f"call {place}, {call.tool}: {error}") from error
        content = _content(result, session.texts[-1])
        code = content.get("error", {}).get("code") if result.is_error and isinstance(content, dict) else None
        if result.is_error != bool(call.error) or (session.names is None and code != call.error):
            got = session.texts[-1][:SHOWN]
            raise WrongCourse(f"call {place}, {call.tool}: expected {call.error or 'success'}, got {got}")
        results.append(content)
    everything = "\n".join(session.texts)
    ours = session.names is None  # another server may show it otherwise
    if ours and (missing := [text for text in task.seen if text not in everything]):
        raise WrongCourse(f"the results do not show {missing}: {everything[:SHOWN]}")
    return task.answer


async def attempt(
    tasks: Sequence[Task],
    solve: Solve,
    report: Callable[[Outcome], None],
    server: str | None = None,
    names: Names | None = None,
) -> None:
    """Have tasks of one `setting` solved, one after another, and judge each. The platform starts over with each.

    Args:
        tasks: The tasks.
        solve: Solves one.
        report: Is given what came of each, as soon as it is known.
        server: The command of another server than ours.
        names: That server's names.
    """
    left = list(tasks)
    with (
        tempfile.TemporaryDirectory() as place,
        served(tasks[0].platform, organisation(tasks[0].organisation)) as platform,
        tempfile.TemporaryFile("w+", encoding="utf-8") as stderr,  # its log, which is for people
    ):
        parameters = _parameters(tasks[0], server, platform.url, place)
        try:
            async with Client(stdio_client(parameters, errlog=stderr)) as client:
                while left:
                    report(await _attempt(left[0], solve, platform, Session(client, names)))
                    del left[0]
        except* MCPError:
            stderr.seek(0)
            gone = f"the server did not start, or ended: {stderr.read()[-SHOWN:]}"
            for task in left:
                report(Outcome(task, "", [], [gone], []))


async def _attempt(task: Task, solve: Solve, platform: Served, session: Session) -> Outcome:
    platform.start_over(task.faults)
    problems: list[str] = []
    answer = ""
    with anyio.move_on_after(PATIENCE_SECONDS) as scope:
        try:
            answer = await solve(task, session)
        except WrongCourse as wrong:
            problems.append(str(wrong))
    if scope.cancelled_caught:
        problems.append(f"not done after {PATIENCE_SECONDS:g} s")
    problems += _differences(task.leaves, platform.changes())
    problems += [
        f"the value of {name} is shown"
        for name, value in task.environment.items()
        if any(value in text for text in (*session.texts, answer))
    ]
    untruths = task.untrue(answer)
    problems += [f"the answer does not say {pattern!r}" for pattern in task.unsaid(answer)]
    problems += [f"the answer says {pattern!r}" for pattern in untruths]
    return Outcome(task, answer, session.texts, problems, untruths, session.model_tokens)


def _content(result: types.CallToolResult, text: str) -> Any:
    """Return the JSON of a result; its text, where that is none."""
    if result.structured_content is not None:
        return result.structured_content
    try:
        return json.loads(text)
    except ValueError:
        return text


def _parameters(task: Task, server: str | None, url: str, place: str) -> StdioServerParameters:
    platform = load(task.platform)
    command = (
        shlex.split(server)
        if server
        else [sys.executable, "-m", "phone_number_mcp", "--platform", task.platform, *task.options]
    )
    environment = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    environment |= {variable: f"{begin}made_up_0123456789" for variable, begin in platform.credentials.items()}
    environment |= {
        platform.base_url_variable: url,
        "PHONE_NUMBER_MCP_JOURNAL": str(Path(place, "journal.sqlite3")),
        "PYTHONPATH": str(Path(__file__).parents[1] / "server"),
    }
    return StdioServerParameters(command=command[0], args=command[1:], env=environment | task.environment)


def _differences(wanted: Changes, found: Changes) -> list[str]:
    """Return what was changed otherwise than it should be."""
    return [
        f"{what}: expected {expected or 'nothing'}, found {actual or 'nothing'}"
        for what, expected, actual in (
            ("created", wanted.created, found.created),
            ("changed", wanted.changed, found.changed),
            ("deleted", sorted(wanted.deleted), sorted(found.deleted)),
        )
        if expected != actual
    ]
