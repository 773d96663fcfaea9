"""The world of one history: clocks, chance, the disk's locks, and a platform that keeps numbers and fails."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from phone_number_mcp.platforms import Platform, load
from phone_number_mcp.upstream.request import Account
from simulation.ledger import ORGANIZATIONS, CallRecord, Ledger, Post, Scope

LANDS_WITHIN = 59.0
"""Seconds after which a request that left is not on its way any more; the protocol relies on 60."""
ADDRESSES = ("https://platform.test", "https://staging.test")
_EPOCH = 1_800_000_000.0

REFUSALS = ("400", "402", "403", "429")
"""Faults after which a create has no effect."""
FAILURES = ("500", "503", "error 200")
"""Faults with which the platform itself says that it failed: the create took effect at once, or never will."""
LOSSES = ("502", "504", "408", "drop", "hang", "html", "empty", "other number")
"""Faults after which a create may still be on its way."""
READ_FAULTS = ("500", "400", "drop", "hang", "html", "empty", "other number")

Commits = Literal["now", "late", "never"]


@dataclass(frozen=True)
class Plan:
    """What can happen in one history, and how often; drawn from the seed."""

    platform: str
    chosen: bool
    processes: int
    agents: int
    calls: int
    timeout: float
    sites: int
    limit: int | None
    crashes: float
    stops: bool
    faults: float
    read_faults: float
    busy: float
    failing_commits: float
    bugs: float
    slow: float
    cancels: float
    jumps: bool
    reboots: bool

    @classmethod
    def draw(cls, rng: random.Random) -> Plan:
        platform, chosen = rng.choice([("zudu", False), ("retell", False), ("retell", True)])
        return cls(
            platform=platform,
            chosen=chosen,
            processes=rng.randint(2, 4),
            agents=rng.randint(2, 3),
            calls=rng.randint(1, 2),
            timeout=rng.choice([3.0, 5.0, 8.0]),
            sites=rng.choice([1, 1, 1, 2]),
            limit=rng.choice([None, None, None, 1, 2]),
            crashes=rng.choice([0, 0, 0.01, 0.05]),
            stops=rng.random() < 0.4,
            faults=rng.choice([0, 0.2, 0.5, 0.9]),
            read_faults=rng.choice([0, 0, 0.1, 0.5]),
            busy=rng.choice([0, 0, 0.1, 0.3]),
            failing_commits=rng.choice([0, 0, 0.03, 0.2]),
            bugs=rng.choice([0, 0, 0, 0.3]),
            slow=rng.choice([0.02, 0.1]),
            cancels=rng.choice([0, 0.2, 0.5]),
            jumps=rng.random() < 0.3,
            reboots=rng.random() < 0.15,
        )


class World:
    """Everything that the processes share.

    Args:
        seed: Of all chance.
        folder: Where the journal is.
        trace: Takes each event, as a line of text; None to save the time.
    """

    def __init__(self, seed: int, folder: Path, trace: Callable[[str], None] | None) -> None:
        self.rng = random.Random(seed)
        self.plan = Plan.draw(self.rng)
        self.ledger = Ledger(self.plan.limit)
        self.journal = str(folder / f"{seed}.sqlite3")
        self.trace = trace
        self.loop = asyncio.get_running_loop()
        self.platform: Platform = load(self.plan.platform)
        self.faults_are_over = False
        self.locked_until = 0.0
        self.booted_at = -self.rng.choice([5.0, 100.0, 1e6])
        self.wall_offset = _EPOCH + self.rng.uniform(0, 86_400)
        self.alive: set[str] = set()
        """The names of the processes that are alive."""
        self.observer: sqlite3.Connection | None = None
        """A connection that only looks, once there is a journal."""
        self._bought: Counter[Scope] = Counter()
        self._listed_at: defaultdict[Scope, dict[str, float]] = defaultdict(dict)

    # --- clocks and chance ---

    def now(self) -> float:
        """Return the wall clock, which somebody may set."""
        return self.wall_offset + self.loop.time()

    def tick(self) -> float:
        """Return the seconds since the machine started."""
        return self.loop.time() - self.booted_at

    def chance(self, rate: float) -> bool:
        """Return whether something that goes wrong at a rate does so now."""
        return not self.faults_are_over and rate > 0 and self.rng.random() < rate

    def say(self, who: str, what: str) -> None:
        """Record an event in the trace."""
        if self.trace is not None:
            what = what.replace(self.journal, "journal.sqlite3")  # the folder has another name in each run
            self.trace(f"{self.loop.time():9.3f}  {who:<9} {what}")

    def delay(self, usual: float, rare: float) -> float:
        """Return how long something takes: often nothing, rarely a lot."""
        draw = self.rng.random()
        if draw < 0.4:
            return 0.0
        if draw < 1 - self.plan.slow or self.faults_are_over:
            return self.rng.random() * usual
        return self.rng.random() * rare

    async def take(self, usual: float, rare: float) -> None:
        """Let some time pass."""
        if delay := self.delay(usual, rare):
            await asyncio.sleep(delay)

    # --- the platform ---

    def account(self, number: int) -> Account:
        """Return an account's credentials."""
        values = {name: f"{name.lower()}-of-account-{number}" for name in self.platform.credentials}
        return Account(self.platform.authorize(values), tuple(values.values()))

    @staticmethod
    def scope_of(request: httpx.Request) -> Scope:
        """Return whose request it is, and where it goes."""
        headers = request.headers
        credential = headers.get("x-api-key") or headers["authorization"]
        return ADDRESSES.index(f"{request.url.scheme}://{request.url.host}"), int(credential[-1])

    async def create(self, request: httpx.Request, post: Post) -> httpx.Response:
        """Take a create that has left; what it comes to does not depend on whether anybody waits for the answer."""
        wanted = json.loads(request.content)
        scope = self.scope_of(request)
        fault, commits = self._fate()
        self.say(f"call {post.call.id}", f"POST has left; fate: {fault or 'answered'}, takes effect {commits}")
        answered: asyncio.Future[httpx.Response] = self.loop.create_future()
        if commits == "now" or fault in {*REFUSALS, *FAILURES}:
            self.loop.call_later(self.delay(0.2, 3.0), self._arrive, post, scope, wanted, fault, commits, answered)
        else:
            at = LANDS_WITHIN if commits == "never" else self.rng.choice([0.5, 5.0, LANDS_WITHIN]) * self.rng.random()
            self.loop.call_later(at, self._arrive, post, scope, wanted, None, commits, None)
            answered.set_result(self._answer(fault, {}))
        response = await answered
        await self.take(0.2, self.plan.timeout)
        if fault == "drop":
            raise httpx.ReadError("the connection broke")
        if fault == "hang":
            await asyncio.sleep(1e6)
        return response

    def _fate(self) -> tuple[str | None, Commits]:
        """Return what is answered in place of the truth, and when the create takes effect."""
        if not self.chance(self.plan.faults):
            return None, "now"
        group = self.rng.choice([REFUSALS, FAILURES, LOSSES, LOSSES])
        fault = self.rng.choice(group)
        if fault == "other number" and self.plan.chosen:
            fault = "html"  # where the platform chooses the number, any is the right one
        if group is REFUSALS:
            return fault, "never"
        ways: tuple[Commits, ...] = ("now", "never") if group is FAILURES else ("now", "late", "late", "never")
        return fault, self.rng.choice(ways)

    def _arrive(
        self,
        post: Post,
        scope: Scope,
        wanted: dict[str, Any],
        fault: str | None,
        commits: Commits,
        answered: asyncio.Future[httpx.Response] | None,
    ) -> None:
        held = self.ledger.held[scope]
        number = wanted.get("phone_number")
        exists = number in held
        record: dict[str, Any] = {}
        if commits == "never" or exists:
            self.ledger.refused(post)
        else:
            if number is None:
                number = f"+1{('415', '212')[scope[1]]}55501{40 + self._bought[scope]}"
                self._bought[scope] += 1
            record = {
                "phone_number": number,
                "nickname": wanted.get("nickname"),
                "organization_id": ORGANIZATIONS[scope[1]],
            }
            late = commits == "late"
            self._listed_at[scope][number] = self.loop.time() + (self.rng.random() * 100 if late else 0.0)
            self.ledger.applied(post, number, record)
        self.say(f"call {post.call.id}", f"POST arrived: {post.state} {post.number or ''}")
        if answered is not None and not answered.done():
            if fault is None and exists:
                answered.set_result(_reply(409, _error("Phone number already exists")))
            else:
                answered.set_result(self._answer(fault, record))

    def _answer(  # a table
        self, fault: str | None, data: dict[str, Any]
    ) -> httpx.Response:
        match fault:
            case None:
                return _reply(200, self._success(data))
            case "html":
                return httpx.Response(200, content=b"<html>")
            case "empty":
                return _reply(200, self._success({}))
            case "other number":
                return _reply(200, self._success({"phone_number": "+14155550188", "nickname": "Front"}))
            case "error 200":
                return _reply(200, _error("No luck"))
            case "drop" | "hang":
                return httpx.Response(200)
            case status:
                return _reply(int(status), _error("No luck"))

    def _success(self, data: dict[str, Any]) -> dict[str, Any]:
        return {"status": "success", "message": "ok", "data": data} if self.plan.platform == "zudu" else data

    async def read(self, request: httpx.Request, call: CallRecord | None) -> httpx.Response:
        """Answer a question."""
        scope = self.scope_of(request)
        await self.take(0.1, 1.0)
        fault = self.rng.choice(READ_FAULTS) if self.chance(self.plan.read_faults) else None
        url = urlsplit(str(request.url))
        held = self.ledger.held[scope]
        if fault is not None:
            response = self._answer(fault, {})
        elif url.path.endswith(("/list-phone-numbers", "/phone-numbers")):
            response = self._list(scope, parse_qs(url.query))
        elif number := held.get(unquote(url.path.rpartition("/")[2])):
            response = _reply(200, self._success(number))
        elif self.plan.platform == "zudu":
            response = _reply(404, _error("Phone number not found"))
        else:
            response = _reply(422, _error("Cannot find requested asset under given api key."))
        self.say(f"call {call.id if call else '-'}", f"GET {url.path}: {fault or response.text[:70]}")
        await self.take(0.1, 1.0)
        if fault == "drop":
            raise httpx.ReadError("the connection broke")
        if fault == "hang":
            await asyncio.sleep(1e6)
        return response

    def _list(self, scope: Scope, query: dict[str, list[str]]) -> httpx.Response:
        """Answer with the list. What took effect late may appear there later still."""
        now, area = self.loop.time(), query.get("area_code", [""])[0]
        numbers = [
            record
            for number, record in self.ledger.held[scope].items()
            if self._listed_at[scope][number] <= now and number.startswith(f"+1{area}")
        ]
        if self.plan.platform == "zudu":
            return _reply(200, self._success({"phone_numbers": numbers, "pagination": {"has_next": False}}))
        return _reply(200, {"items": numbers, "has_more": False})


def _reply(status: int, body: dict[str, Any]) -> httpx.Response:
    return httpx.Response(status, content=json.dumps(body).encode())


def _error(message: str) -> dict[str, Any]:
    return {"status": "error", "message": message}
