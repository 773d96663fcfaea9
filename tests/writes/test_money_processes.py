"""The invariant of test_money over real processes: no platform holds more than the agents were told of or warned about.

Hypothesis draws histories of creates by three servers of two accounts, which share one journal, and of what befalls them:
lost answers, refusals, kill -9, a journal that is locked, clients that go away. `--rounds 50`, as in `make attack`, draws five
times as many as `make test`, and `--hypothesis-profile=thorough` many more.
"""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from support.ledger import Ledger
from support.money import COMMITS, FAULTS, KEYS, NICKNAMES, ON_ITS_WAY, REFUSED, Agent, check, wish
from support.processes import CREATE, account, answers, kill, servers
from support.upstream import Answer, Upstream, drop, reply, silence
from support.wire import RawClient

THOROUGH = settings.get_current_profile_name() == "thorough"
SECONDS = 36_000 if THOROUGH else 25
"""After this long, no further example is begun."""
ACCOUNTS = ["", "", "2"]
"""Whose each server is: the first two have the same."""
OTHERS = {"": ["Front2", "Back2"], "2": ["Front ", "Back ", "Front'", "Back'"]}
"""What nobody of an account may be told: the nicknames of the other."""
CREDENTIAL = {"zudu": "ZUDU_API_KEY", "retell": "RETELL_API_KEY"}
NO_LUCK = {"status": "error", "message": "No luck", "error": "No luck"}
ANSWERS: dict[str, Answer | None] = {
    "none": None,
    "drop": drop(),
    "html": reply(200, b"<html>"),
    "error 200": reply(200, NO_LUCK),
    "hang": silence(),
} | {status: reply(int(status), NO_LUCK) for status in ("500", "502", "503", "429", "400")}

calls = st.fixed_dictionaries(
    {
        "server": st.integers(0, len(ACCOUNTS) - 1),
        "number": st.sampled_from(["+14155550120", "+14155550121"]),
        "nickname": st.sampled_from(NICKNAMES),
        "key": st.sampled_from(KEYS),
        "cancelled": st.sampled_from([False, False, True]),
    }
)
steps_drawn = st.fixed_dictionaries(
    {
        "calls": st.lists(calls, min_size=1, max_size=4),
        "fault": st.sampled_from(FAULTS),
        "commits": st.sampled_from(COMMITS),
        "reads_fail": st.booleans(),
        "locked": st.sampled_from(["no", "no", "at first", "later"]),
        "killed": st.sampled_from([None, None, 0, 1, 2]),
    }
)


SAME = [
    {"server": server, "number": "+14155550120", "nickname": "Front", "key": "key one", "cancelled": False}
    for server in (0, 1, 2, 0, 1)
]
"""One intent of each account, by all servers at once."""
QUIET = {"calls": SAME, "fault": "none", "commits": "at once", "reads_fail": False, "locked": "no", "killed": None}


@dataclass
class Group:
    """The servers, each of which can be killed and started anew."""

    clients: list[RawClient]
    environments: list[dict[str, str]]
    stack: AsyncExitStack

    @classmethod
    @asynccontextmanager
    async def started(cls, environments: list[dict[str, str]]) -> AsyncIterator[Group]:
        async with AsyncExitStack() as stack:
            yield cls(await stack.enter_async_context(servers(*environments)), environments, stack)

    async def replace(self, place: int) -> None:
        await kill(self.clients[place])
        (self.clients[place],) = await self.stack.enter_async_context(servers(self.environments[place]))


@dataclass(frozen=True)
class Sent:
    """A call that was made."""

    server: int
    number: str | None
    id: int
    cancelled: bool


def _misbehave(platform: Ledger, step: dict[str, Any]) -> None:
    fault, commits = step["fault"], step["commits"]
    platform.fault = ANSWERS[fault]
    platform.commits = fault == "none" or (commits == "at once" and fault not in REFUSED)
    platform.late = commits == "late" and fault in ON_ITS_WAY
    platform.read_fault = reply(400, NO_LUCK) if step["reads_fail"] else None


async def _send(group: Group, call: dict[str, Any], *, keyless: bool) -> Sent:
    server, number = call["server"], None if keyless else call["number"]
    # Each account has nicknames of its own, and so intents of its own.
    arguments = wish(number, call["nickname"] + ACCOUNTS[server], call["key"])
    arguments |= {"area_code": 415} if keyless else {}
    return Sent(server, number, await group.clients[server].send_call(CREATE, arguments), call["cancelled"])


async def _cancel(client: RawClient, id_: int) -> None:
    params = {"requestId": id_, "reason": "the client lost patience"}
    await client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params})


async def _one_round(
    group: Group, platform: Ledger, agents: dict[str, Agent], step: dict[str, Any], *, keyless: bool, journal: Path
) -> None:
    platform.land()
    _misbehave(platform, step)
    posts, killed = len(platform.posts), step["killed"]
    with closing(sqlite3.connect(journal, isolation_level=None)) as lock:  # which its end releases
        if step["locked"] == "at first":
            lock.execute("BEGIN EXCLUSIVE")
        calls = [await _send(group, call, keyless=keyless) for call in step["calls"]]
        with anyio.move_on_after(0.5):  # until one is received, if any is
            while len(platform.posts) == posts:  # it is another process that changes
                await anyio.sleep(0.01)
        if step["locked"] == "later":
            lock.execute("BEGIN IMMEDIATE")
        for call in calls:
            if call.cancelled:
                await _cancel(group.clients[call.server], call.id)
        if killed is not None:
            await group.replace(killed)
    for server, client in enumerate(group.clients):
        of_it = [call for call in calls if call.server == server]
        stay = [call.id for call in of_it if not call.cancelled and server != killed]
        told = dict(zip(stay, await answers(client, stay), strict=True))
        for call in of_it:
            agent = agents[ACCOUNTS[server]]
            agent.calls += 1
            agent.hear(call.number, told.get(call.id))
            assert all(other not in str(told) for other in OTHERS[ACCOUNTS[server]])


async def history(platform_name: str, steps: list[dict[str, Any]], *, keyless: bool, journal: Path) -> None:
    options = {
        "PHONE_NUMBER_MCP_PLATFORM": platform_name,
        "PHONE_NUMBER_MCP_JOURNAL": str(journal),
        "PHONE_NUMBER_MCP_TIMEOUT": "1",
    }
    async with Upstream.listening() as upstream:
        platform = Ledger(upstream)
        environments = [account(upstream.url, name) | options for name in ACCOUNTS]
        agents = {name: Agent() for name in ACCOUNTS}
        async with Group.started(environments) as group:
            for step in steps:
                await _one_round(group, platform, agents, step, keyless=keyless, journal=journal)
                for name, agent in agents.items():
                    credential = account(upstream.url, name)[CREDENTIAL[platform_name]]
                    posts = sum(post.account == credential for post in platform.posts)
                    check(agent, set(platform.numbers[credential]), posts, platform.bought)


@pytest.mark.parametrize(("platform_name", "keyless"), [("zudu", False), ("retell", True)])
def test_no_platform_holds_more_than_the_agents_know_of(platform_name: str, keyless: bool, rounds: int) -> None:
    ends = time.monotonic() + SECONDS
    examples = settings.default.max_examples if THOROUGH and settings.default else rounds // 5

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=st.lists(steps_drawn, min_size=1, max_size=3))
    @example(steps=[QUIET, QUIET | {"fault": "hang", "killed": 0}, QUIET])
    @example(steps=[QUIET | {"fault": "drop", "locked": "at first", "killed": 1}, QUIET])
    def holds(steps: list[dict[str, Any]]) -> None:
        if time.monotonic() > ends:
            return
        with tempfile.TemporaryDirectory() as folder:
            journal = Path(folder) / "journal.sqlite3"
            anyio.run(partial(history, platform_name, steps, keyless=keyless, journal=journal))

    holds()
