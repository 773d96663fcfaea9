"""The clocks of the journal: one for people, one for waiting."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """The two clocks of the journal.

    Args:
        now: Seconds since 1970: for people and for days. Somebody may set it.
        tick: Seconds since the machine started: for all waiting. https://peps.python.org/pep-0418/#time-monotonic
    """

    now: Callable[[], float] = time.time
    tick: Callable[[], float] = time.monotonic

    def since(self, tick: float) -> float:
        """Return how many seconds ago a tick was, at least. One that lies ahead is of before the machine started anew."""
        now = self.tick()
        return now - tick if tick <= now else now
