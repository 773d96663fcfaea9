"""A simulated process: the real api, executor and journal, at seams that delay, fail and die with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio
import httpx

from phone_number_mcp.errors import ToolError
from phone_number_mcp.tool import Success
from phone_number_mcp.transports import AfterResponse
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.writes.clock import Clock
from phone_number_mcp.writes.database import BusyError
from phone_number_mcp.writes.executor import GRACE_SECONDS, Writes
from phone_number_mcp.writes.journal import Claimed, Entry, Intent, Taken
from phone_number_mcp.writes.sqlite import SqliteJournal
from simulation.ledger import CallRecord, Row, Wish
from simulation.world import ADDRESSES, World

CALL: ContextVar[CallRecord] = ContextVar("CALL")
"""The call on whose behalf a task runs."""


class Dead(BaseException):
    """Raised at each seam of a process that has crashed."""


class _Journal(SqliteJournal):
    """The journal, which notes the entry of each call."""

    async def claim(self, intent: Intent, deadline: float, limit: int | None = None) -> Claimed | Taken:
        claim = await super().claim(intent, deadline, limit)
        if isinstance(claim, Claimed):
            CALL.get().entry_id = claim.id
        return claim


class _FailingCommit:
    """A connection whose next commit raises, whether it was written or not."""

    def __init__(self, connection: sqlite3.Connection, *, written: bool) -> None:
        self._connection, self._written = connection, written

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement != "COMMIT":
            return self._connection.execute(statement, *values)
        self._connection.execute("COMMIT" if self._written else "ROLLBACK")
        raise sqlite3.OperationalError("disk I/O error")

    def close(self) -> None:
        self._connection.close()


class _Life:
    """Proof of life of a simulated process."""

    def __init__(self, world: World, name: str) -> None:
        self._world, self._name, self.name = world, name, ""

    def enter(self) -> None:
        self.name = self._name
        self._world.alive.add(self.name)

    def alive(self, name: str) -> bool:
        return name in self._world.alive

    def present(self) -> bool:
        return self.name in self._world.alive

    def leave(self) -> None:
        self._world.alive.discard(self.name)


class Process(httpx.AsyncBaseTransport):
    """One process of the server, which is also the way to its platform.

    Args:
        world: What it shares with the others.
        name: Of this process; one that is started again has another name.
        site: Which address of the platform it uses.
        limit: `max_creates`.
    """

    def __init__(self, world: World, name: str, site: int, limit: int | None) -> None:
        self.world, self.name, self.site, self._limit = world, name, site, limit
        self.dead = self.ended = False
        self.started, self._stop, self.gone = anyio.Event(), anyio.Event(), anyio.Event()
        self._writes: Writes | None = None
        self._waiting: list[anyio.CancelScope] = []
        """Of the callers that wait for an answer."""
        (self._tool,) = [tool for tool in world.platform.tools if tool.name == "create_phone_number"]

    async def run(self) -> None:
        """Live until `stop` or `kill`."""
        world = self.world
        clock = Clock(world.now, world.tick)
        try:
            async with (
                Api(
                    base_url=ADDRESSES[self.site],
                    decipher=world.platform.decipher,
                    timeout=world.plan.timeout,
                    transport=self,
                ) as api,
                Writes(
                    world.platform,
                    api,
                    name=world.platform.name,
                    address=ADDRESSES[self.site],
                    journal=lambda: _Journal(
                        world.journal,
                        clock=clock,
                        in_thread=self.in_thread,
                        make_owners=lambda _folder: _Life(world, self.name),
                    ),
                    max_creates=self._limit,
                ) as self._writes,
            ):
                self.started.set()
                await self._stop.wait()
                await self._writes.drain()
                self._hang_up()
        except BaseException:
            if not self.dead:
                raise
        finally:
            self._hang_up()
            world.alive.discard(self.name)
            self.gone.set()

    def _hang_up(self) -> None:
        self.ended = True
        for scope in self._waiting:
            scope.cancel()

    def serves(self) -> bool:
        """Return whether agents can reach it."""
        return not (self.ended or self.dead)

    def stop(self) -> None:
        """End as on SIGTERM."""
        self.world.say(self.name, f"is told to end, within {GRACE_SECONDS} s")
        self._stop.set()

    def kill(self) -> None:
        """Crash: nothing that it does from now on has an effect."""
        if self.dead or self.gone.is_set():
            return
        self.world.say(self.name, "crashes")
        self.dead = True
        self.world.alive.discard(self.name)
        self._hang_up()
        self._stop.set()
        if self._writes is not None:
            self._writes._tasks.cancel_scope.cancel()  # what runs in it shall not take any more time

    def _must_live(self) -> None:
        if self.dead:
            raise Dead
        if self.world.chance(self.world.plan.crashes):
            self.kill()
            raise Dead

    async def pause(self, usual: float, rare: float) -> None:
        """Take some time, or crash."""
        self._must_live()
        await self.world.take(usual, rare)
        self._must_live()

    # --- the journal's seam ---

    async def in_thread(self, attempt: Callable[[], Any]) -> Any:
        """Run one transaction, between two delays."""
        world = self.world
        await self.pause(0.004, 2.0)
        if world.loop.time() < world.locked_until or world.chance(world.plan.busy):
            raise BusyError("database is locked")
        journal: SqliteJournal = attempt.func.__self__  # type: ignore[attr-defined]  # a partial of a method
        database = journal._database  # there is no other way to make a commit fail
        if database is not None and world.chance(world.plan.failing_commits):
            written = world.rng.random() < 0.5
            world.say(self.name, f"its next commit fails, {'and is written' if written else 'and is lost'}")
            database.connection = _FailingCommit(database.connection, written=written)  # type: ignore[assignment]
        done = attempt()
        if world.trace is not None:
            world.say(self.name, f"journal: {_shown(done)}")
        await self.pause(0.004, 2.0)
        return done

    # --- the network's seam ---

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the world's platform."""
        world, call = self.world, CALL.get(None)
        await self.pause(0.05, 1.0)
        if world.chance(world.plan.faults / 10):
            raise httpx.ConnectError("connection refused")
        creates = request.method == "POST"
        bug = creates and world.chance(world.plan.bugs)
        if bug and call is not None:
            world.ledger.crashed_inside = True
            world.say(f"call {call.id}", "meets an exception inside the server")
        if bug and world.rng.random() < 0.5:
            raise ZeroDivisionError
        sent: Callable[[], None] = request.extensions["sent"]
        sent()
        if not creates:
            response = await world.read(request, call)
        else:
            assert call is not None
            post = world.ledger.sent(call, _rows(world), self.name)
            response = await world.create(request, post)
        if bug:
            raise ZeroDivisionError
        self._must_live()
        return response

    # --- the agents ---

    async def call(self, record: CallRecord, *, cancel_after: float | None = None) -> Success | ToolError | None:
        """Make a call; None if its answer does not reach the agent."""
        if self._writes is None or not self.serves():
            return None
        world, wish, after = self.world, record.wish, AfterResponse()
        CALL.set(record)
        world.say(f"call {record.id}", f"to {self.name}: {wish}")
        answer: Success | ToolError | None = None
        with anyio.move_on_after(cancel_after) as scope:
            self._waiting.append(scope)
            try:
                answer = await self._writes.run(
                    self._tool, self._tool.read(_arguments(wish, world)), world.account(wish.scope[1]), after
                )
            except ToolError as error:
                answer = error
            except Dead:
                answer = None
            await world.take(0.05, 3.0)
        self._waiting.remove(scope)
        if scope.cancelled_caught or answer is None or not self.serves():
            world.say(f"call {record.id}", "nobody hears its answer")
            return None
        if world.trace is not None:
            world.say(f"call {record.id}", f"is answered: {_shown(answer)}")
        world.ledger.heard(record, answer)
        after.run()
        return answer


def _arguments(wish: Wish, world: World) -> dict[str, Any]:
    arguments: dict[str, Any] = {"nickname": wish.nickname, "idempotency_key": wish.key}
    if wish.number is not None:
        return arguments | {"phone_number": wish.number}
    assert world.plan.chosen
    return arguments | {"area_code": 415}


def _rows(world: World) -> dict[int, Row]:
    """Return what is on disk."""
    if world.observer is None:
        world.observer = sqlite3.connect(world.journal)
    return {
        id_: Row(*rest) for id_, *rest in world.observer.execute("SELECT id, owner, started_at, outcome FROM writes")
    }


def _shown(done: Any) -> str:
    if isinstance(done, Taken):
        return f"taken by {done.by}: {_shown(done.entry)}"
    if isinstance(done, Entry):
        state = done.outcome or ("in progress" if done.running else "open")
        return f"entry {done.id} of {done.owner}: {state}, quiet {done.quiet:.1f} s"
    if isinstance(done, ToolError):
        return f"{done.code} ({done.write_outcome}): {done.message[:160]}"
    return str(done)[:200]
