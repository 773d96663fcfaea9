"""One invariant over any history: the platform never holds more numbers than the agent was told of or warned about.

Hypothesis draws histories of creates, faults, cancelled calls and restarts. The platform keeps numbers for real; the api, the
writes and the journal are the real ones, with the journal in a file.
"""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phone_number_mcp.errors import ToolError
from phone_number_mcp.platforms import Platform, load
from phone_number_mcp.tool import Success
from phone_number_mcp.upstream.api import Api, Message
from support.harness import account, writes
from support.money import COMMITS, FAULTS, KEYS, NICKNAMES, ON_ITS_WAY, REFUSED, Agent, check, wish
from support.upstream import envelope

NUMBERS = ["+14155550120", "+14155550121"]

creates = st.fixed_dictionaries(
    {
        "number": st.sampled_from(NUMBERS),
        "nickname": st.sampled_from(NICKNAMES),
        "key": st.sampled_from(KEYS),
        "fault": st.sampled_from(FAULTS),
        "commits": st.sampled_from(COMMITS),
        "reads_fail": st.booleans(),
        "ends": st.sampled_from(["stays", "stays", "cancelled", "killed", "restarted"]),
    }
)


@dataclass
class World:
    """A platform in this process, as Zudu or as Retell answers."""

    name: str
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    posts: int = 0
    bought: Counter[str] = field(default_factory=Counter)
    """How many numbers each nickname came to; with a key, nickname and number are the intent."""
    fault: str = "none"
    commits: str = "at once"
    late: list[dict[str, Any]] = field(default_factory=list)
    """What takes effect only later: it was on its way when the connection broke."""
    reads_fail: bool = False

    async def __call__(self, scope: Message, receive: Callable[[], Any], send: Callable[[Message], Any]) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        if scope["method"] != "POST":
            await self._read(scope, send)
            return
        self.posts += 1
        wanted = json.loads(body)
        number = wanted.get("phone_number") or f"+1415555016{len(self.numbers)}"
        if number in self.numbers:
            await _send(send, 409, {"status": "error", "message": "Phone number already exists"})
            return
        created = {"phone_number": number, "nickname": wanted.get("nickname")}
        if self.fault not in REFUSED and (self.commits == "at once" or self.fault == "none"):
            self.keep(created)
        elif self.fault in ON_ITS_WAY and self.commits == "late":
            self.late.append(created)
        await self._misbehave(send, created)

    def keep(self, created: dict[str, Any]) -> None:
        self.bought[created["nickname"]] += 1
        self.numbers[created["phone_number"]] = created

    async def _misbehave(self, send: Callable[[Message], Any], created: dict[str, Any]) -> None:
        match self.fault:
            case "none":
                await _send(send, 200, envelope(created) if self.name == "zudu" else created)
            case "drop":
                raise ConnectionResetError
            case "hang":
                await anyio.sleep_forever()
            case "html":
                await _send(send, 200, None)
            case "error 200":
                await _send(send, 200, {"status": "error", "message": "No luck"})
            case status:
                await _send(send, int(status), {"status": "error", "message": "No luck"})

    async def _read(self, scope: Message, send: Callable[[Message], Any]) -> None:
        if self.reads_fail:
            await _send(send, 400, {"status": "error", "message": "Reads are down"})
        elif scope["path"] == "/v2/list-phone-numbers":
            await _send(send, 200, {"items": list(self.numbers.values()), "has_more": False})
        elif number := self.numbers.get(unquote(scope["path"].rpartition("/")[2])):
            await _send(send, 200, envelope(number) if self.name == "zudu" else number)
        else:
            await _send(send, 404, {"status": "error", "message": "Phone number not found"})


async def _send(send: Callable[[Message], Any], status: int, body: Any) -> None:
    content = b"<html>" if body is None else json.dumps(body).encode()
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": content})


async def history(platform: Platform, steps: list[dict[str, Any]], *, keyless: bool, place: str) -> None:
    world, agent, rest = World(platform.name), Agent(), list(steps)
    while rest:
        await _until_restart(platform, world, agent, rest, keyless=keyless, place=place)
        check(agent, set(world.numbers), world.posts, world.bought)


async def _until_restart(
    platform: Platform, world: World, agent: Agent, rest: list[dict[str, Any]], *, keyless: bool, place: str
) -> None:
    (tool,) = [tool for tool in platform.tools if tool.name == "create_phone_number"]
    async with (
        Api(
            base_url="http://world.test",
            decipher=platform.decipher,
            timeout=0.1,
            app=world,
        ) as api,
        writes(platform, api, place) as running,
    ):
        while rest:
            step = rest.pop(0)
            number = None if keyless else step["number"]
            arguments = wish(number, step["nickname"], step["key"])
            agent.calls += 1
            while world.late:
                world.keep(world.late.pop())
            world.fault, world.commits, world.reads_fail = step["fault"], step["commits"], step["reads_fail"]
            goes_away = step["ends"] in {"cancelled", "killed"}
            outcome: Success | ToolError | None = None
            with anyio.move_on_after(0.005 if goes_away else None):
                try:
                    outcome = await running.run(tool, tool.read(arguments), account(platform))
                except ToolError as error:
                    outcome = error
            agent.hear(number, _content(outcome))
            if step["ends"] == "killed":
                running._tasks.cancel_scope.cancel()  # nothing is settled, nothing is written down
            if step["ends"] in {"killed", "restarted"}:
                return


def _content(outcome: Success | ToolError | None) -> dict[str, Any] | None:
    if isinstance(outcome, ToolError):
        return {"error": {"code": outcome.code, "outcome": outcome.write_outcome}}
    return {"data": outcome.data} if outcome else None


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("name", "keyless"), [("zudu", False), ("retell", False), ("retell", True)])
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(creates, min_size=1, max_size=6))
def test_the_platform_never_holds_more_than_the_agent_knows_of(
    name: str, keyless: bool, steps: list[dict[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "journal.sqlite3")

        async def run() -> None:
            await history(load(name), steps, keyless=keyless, place=place)

        anyio.run(run)
