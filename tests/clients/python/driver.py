"""What every client program in Python does: read a plan from stdin, carry it out, say on stdout what reached the far side.

The plan and the report are the judge's (../judge.py); what a program adds is how its client connects, lists and calls.
A report is one JSON object a line: `{"session", "case", "tools", "protocol"}` for the list of tools,
`{"session", "case", "text", "structured", "is_error"}` for a call, and `{"session", "case", "raised"}` where an exception
came instead. What a client does not show is null.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Server:
    """How to start the server, and in which era to speak to it where the client leaves the choice to its user."""

    command: str
    args: list[str]
    env: dict[str, str]
    mode: str | None


@dataclass(frozen=True)
class Answer:
    """What a tool call came to, as the client shows it."""

    text: str | None
    structured: Any = None
    is_error: bool | None = None


class Client(Protocol):
    """A client that is connected."""

    async def tools(self) -> tuple[list[dict[str, Any]], str | None]:
        """Return the tools, as `{"name", "description", "input_schema"}`, and the protocol's version if it can be seen."""

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        """Call a tool."""


Connect = Callable[[Server], AbstractAsyncContextManager[Client]]


def main(connect: Connect) -> None:
    """Carry out the plan on stdin."""
    asyncio.run(_run(json.load(sys.stdin), connect))


async def _run(plan: dict[str, Any], connect: Connect) -> None:
    for session in plan["sessions"]:
        server = Server(session["command"], session["args"], session["env"], plan["mode"])
        try:
            async with connect(server) as client:
                for step in session["steps"]:
                    _report(session["name"], step["case"], **await _carry_out(client, step))
        except Exception as error:  # whatever it is, it is the report
            _report(session["name"], "connect", raised=_words(error))


async def _carry_out(client: Client, step: dict[str, Any]) -> dict[str, Any]:
    try:
        if step["tool"] is None:
            tools, protocol = await client.tools()
            return {"tools": tools, "protocol": protocol}
        return asdict(await client.call(step["tool"], step["arguments"]))
    except Exception as error:  # whatever it is, it is the report
        return {"raised": _words(error)}


def _words(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"


def _report(session: str, case: str, **said: Any) -> None:
    sys.stdout.write(json.dumps({"session": session, "case": case, **said}) + "\n")
    sys.stdout.flush()
