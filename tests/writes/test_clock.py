"""The clock for waiting starts anew with the machine, and never runs backwards for whoever asks how long ago it was."""

from __future__ import annotations

import pytest

from phone_number_mcp.writes.clock import Clock


@pytest.mark.parametrize(("tick", "seconds"), [(40.0, 60.0), (100.0, 0.0), (100.5, 100.0), (5_000.0, 100.0)])
def test_a_tick_that_lies_ahead_is_from_before_the_machine_started(tick: float, seconds: float) -> None:
    assert Clock(tick=lambda: 100.0).since(tick) == seconds
