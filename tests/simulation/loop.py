"""An asyncio event loop with a virtual clock: nothing waits, and the same seed always runs in the same order."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

import sniffio
from anyio._backends._asyncio import CancelScope

MAX_STEPS = 200_000
"""Turns of the loop in one history; a normal one takes a few thousand."""

T = TypeVar("T")


class StuckError(Exception):
    """Every task waits and no timer is set, or the loop runs without end."""


class _Task(asyncio.Task[Any]):
    """A task whose hash is its number: anyio iterates over sets of tasks, and addresses differ between runs."""

    def __init__(self, number: int, coroutine: Coroutine[Any, Any, Any], **options: Any) -> None:
        self.number = number
        super().__init__(coroutine, **options)

    def __hash__(self) -> int:
        return self.number

    def __eq__(self, other: object) -> bool:
        return self is other


def _hash_of_scope(scope: CancelScope) -> int:
    return getattr(scope._host_task, "number", 0)  # no public attribute is the same in each run


class _VirtualSelector:
    """Advances the clock to the next timer in place of waiting for it."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0

    def select(self, timeout: float | None) -> list[Any]:
        self.steps += 1
        if timeout is None or self.steps > MAX_STEPS:
            raise StuckError("nothing will ever happen again" if timeout is None else "the loop does not end")
        self.now += timeout
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """The event loop of one history."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _VirtualSelector()
        numbers = itertools.count(1)

        def factory(
            loop: asyncio.AbstractEventLoop,
            coroutine: Any,
            *,
            name: str | None = None,
            context: Context | None = None,
            **_options: Any,
        ) -> asyncio.Task[Any]:
            return _Task(next(numbers), coroutine, loop=loop, name=name, context=context)

        self.set_task_factory(factory)

    def time(self) -> float:
        """Return the virtual seconds since the start of the history."""
        return self._selector.now

    def _process_events(self, event_list: list[Any]) -> None:
        """Nothing comes from outside."""

    def _write_to_self(self) -> None:
        """No other thread wakes the loop."""


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in virtual time.

    Raises:
        StuckError: It cannot end.
    """
    before = CancelScope.__hash__
    CancelScope.__hash__ = _hash_of_scope  # type: ignore[method-assign, assignment]  # anyio iterates over sets of scopes, too
    hooks = sys.get_asyncgen_hooks()
    loop = VirtualLoop()
    library, sniffio.thread_local.name = sniffio.thread_local.name, "asyncio"  # it is asked for on every await
    try:
        return loop.run_until_complete(main)
    finally:
        sniffio.thread_local.name = library
        _discard_tasks(loop)
        loop.close()
        sys.set_asyncgen_hooks(*hooks)
        CancelScope.__hash__ = before  # type: ignore[method-assign]


def _discard_tasks(loop: VirtualLoop) -> None:
    """Cancel what is left, so that nothing is destroyed while pending."""
    for _round in range(100):
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not left:
            return
        for task in left:
            task.cancel()
        loop.call_soon(loop.stop)
        try:
            loop.run_forever()
        except StuckError:
            return
