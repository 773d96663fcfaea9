"""One history: agents that call, processes that crash and start again, clocks that jump, and a calm end."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import anyio
import anyio.abc

from phone_number_mcp.errors import AlreadyExists, InvalidArguments, ToolError
from phone_number_mcp.tool import Success
from simulation.ledger import Scope, Wish
from simulation.loop import StuckError, run
from simulation.process import Process
from simulation.world import World

_NUMBERS = ("+14155550120", "+14155550121")
_NICKNAMES = ("Front", "Back")
_KEYS = (None, None, "key one", "key two")
_CALM_SECONDS = 75.0
"""After this long without faults, everything has landed."""
_REPEATS = 4
"""How often an agent repeats a call after the faults are over."""


@dataclass(frozen=True)
class Result:
    """What a history came to.

    Args:
        violations: Of the invariants; empty if all hold.
        answers: How many there were of each kind.
    """

    violations: list[str]
    answers: dict[str, int]


def simulate(seed: int, trace: Callable[[str], None] | None = None) -> Result:
    """Run the history of a seed.

    Args:
        seed: Decides everything.
        trace: Takes each event, as a line of text.
    """
    disabled = logging.root.manager.disable
    logging.disable()
    state = random.getstate()
    random.seed(seed)  # the server's own jitter
    histories: list[_History] = []

    async def main() -> None:
        histories.append(_History(World(seed, _folder(), trace)))
        await histories[0].run()

    try:
        run(main())
    except StuckError as error:
        histories[0].world.ledger.violated(f"stuck: {error}")
    finally:
        random.setstate(state)
        logging.disable(disabled)
        for history in histories:
            if history.world.observer is not None:
                history.world.observer.close()
        for path in _folder().glob(f"{seed}.sqlite3*"):
            path.unlink()
    ledger = histories[0].world.ledger
    return Result(ledger.violations, dict(ledger.answers))


@cache
def _folder() -> Path:
    """Return a folder for journals, in memory where the system has such a thing."""
    memory = Path("/dev/shm")  # a directory with a random name is made in it
    place = tempfile.mkdtemp(prefix=f"simulation-{os.getpid()}-", dir=memory if memory.is_dir() else None)
    return Path(place)


class _History:
    def __init__(self, world: World) -> None:
        self.world = world
        self._slots: list[Process] = []
        self._incarnations = 0
        plan, rng = world.plan, world.rng
        scopes = [(site, account) for site in range(plan.sites) for account in range(2)]
        self._wishes = [self._wish(rng.choice(scopes), rng.random()) for _ in range(rng.randint(1, 4))]
        self._wished: dict[Wish, None] = {}

    def _wish(self, scope: Scope, draw: float) -> Wish:
        rng = self.world.rng
        number = None if self.world.plan.chosen and draw < 0.8 else rng.choice(_NUMBERS)
        return Wish(scope, number, rng.choice(_NICKNAMES), rng.choice(_KEYS))

    async def run(self) -> None:
        world = self.world
        world.say("world", str(world.plan))
        async with anyio.create_task_group() as processes:
            for slot in range(world.plan.processes):
                self._slots.append(self._start(processes, slot % world.plan.sites, world.plan.limit))
            for process in self._slots:
                await process.started.wait()
            async with anyio.create_task_group() as troubles:
                troubles.start_soon(self._trouble, processes)
                async with anyio.create_task_group() as agents:
                    for agent in range(world.plan.agents):
                        agents.start_soon(self._agent, agent)
                troubles.cancel_scope.cancel()
            await self._calm_down(processes)
            for process in self._slots:
                process.stop()
        self._check_journal()

    def _start(self, processes: anyio.abc.TaskGroup, site: int, limit: int | None) -> Process:
        self._incarnations += 1
        process = Process(self.world, f"P{self._incarnations}", site, limit)
        processes.start_soon(process.run)
        return process

    # --- agents ---

    async def _agent(self, number: int) -> None:
        world, rng = self.world, self.world.rng
        await asyncio.sleep(rng.random() * rng.choice([0.01, 1.0, 20.0]))
        for _ in range(world.plan.calls):
            wish = rng.choice(self._wishes)
            for _repeat in range(rng.randint(1, 3)):
                answer = await self._call(wish, rng)
                if isinstance(answer, Success):
                    break
                wait = answer.facts.get("retry_after_seconds") if answer is not None else None
                await asyncio.sleep(wait or rng.random() * rng.choice([0.01, 2.0, 2.0, 65.0]))
            await asyncio.sleep(rng.random() * rng.choice([0.01, 1.0, 30.0]))
        world.say(f"agent {number}", "is done")

    async def _call(self, wish: Wish, rng: random.Random) -> Success | ToolError | None:
        self._wished[wish] = None
        usable = [process for process in self._slots if process.site == wish.scope[0] and not process.ended]
        if not usable:
            return None
        cancel = rng.random() * rng.choice([0.1, 1.0, 5.0]) if rng.random() < self.world.plan.cancels else None
        return await rng.choice(usable).call(self.world.ledger.call(wish), cancel_after=cancel)

    # --- troubles ---

    async def _trouble(self, processes: anyio.abc.TaskGroup) -> None:
        """Start processes again, and let the rest happen at random times."""
        world, rng = self.world, self.world.rng
        while True:
            await asyncio.sleep(rng.random() * rng.choice([0.5, 3.0, 10.0]))
            for slot, process in enumerate(self._slots):
                if process.ended:
                    self._slots[slot] = self._start(processes, process.site, world.plan.limit)
                    await self._slots[slot].started.wait()
            draw = rng.random()
            if draw < 0.15 and world.plan.busy:
                world.locked_until = world.loop.time() + rng.random() * rng.choice([1.0, 10.0])
                world.say("world", f"the journal is locked until {world.locked_until:.3f}")
            elif draw < 0.3 and world.plan.jumps:
                jump = rng.choice([-86_400.0, -3600.0, -70.0, 70.0, 3600.0, 86_400.0])
                world.wall_offset += jump
                world.say("world", f"the wall clock jumps by {jump:+.0f} s")
            elif draw < 0.4 and world.plan.crashes:
                rng.choice(self._slots).kill()
            elif draw < 0.6 and world.plan.stops:
                rng.choice(self._slots).stop()
            elif draw < 0.65 and world.plan.reboots:
                world.say("world", "the machine starts again")
                for process in self._slots:
                    process.kill()
                world.booted_at = world.loop.time() - rng.random() * 3

    # --- the end ---

    async def _calm_down(self, processes: anyio.abc.TaskGroup) -> None:
        """Check that nothing is stuck, and that the truth comes out, once all faults are over."""
        world = self.world
        world.faults_are_over = True
        world.locked_until = 0.0
        world.ledger.limit = None
        world.say("world", "the faults are over")
        await asyncio.sleep(_CALM_SECONDS)
        for site in range(world.plan.sites):
            process = self._start(processes, site, None)
            self._slots.append(process)
            await process.started.wait()
            wishes = [wish for wish in self._wished if wish.scope[0] == site]
            for wish in wishes:
                await self._finally(process, wish, fresh=False)
            number = None if world.plan.chosen else "+14155550199"
            await self._finally(process, Wish((site, world.rng.randrange(2)), number, "Fresh", None), fresh=True)

    async def _finally(self, process: Process, wish: Wish, *, fresh: bool) -> None:
        ledger = self.world.ledger
        for _ in range(_REPEATS):
            call = ledger.call(wish)
            answer = await process.call(call)
            if answer is None or isinstance(answer, Success | InvalidArguments):
                break
            if isinstance(answer, AlreadyExists) and wish.number is not None:
                break  # without a number it tells of an earlier purchase, and the next call buys
            await asyncio.sleep(answer.facts.get("retry_after_seconds") or 1.0)
        ledger.check_progress(call, answer, fresh=fresh)

    def _check_journal(self) -> None:
        with closing(sqlite3.connect(self.world.journal)) as journal:
            outcomes = dict(journal.execute("SELECT id, outcome FROM writes").fetchall())
        self.world.ledger.check_end(outcomes)
