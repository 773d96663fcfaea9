"""The simulation of the write protocol itself: it is deterministic, and some seeds hold in every test run.

`make simulate`, which `make check` includes, runs 10,000 seeds.
"""

from __future__ import annotations

import pytest

from simulation.history import simulate


@pytest.mark.parametrize("seed", [1, 7, 42])
def test_a_seed_replays_exactly(seed: int) -> None:
    runs: list[list[str]] = [[], []]
    for run in runs:
        simulate(seed, run.append)
    assert runs[0] == runs[1]
    assert len(runs[0]) > 10


@pytest.mark.parametrize("first", range(0, 50, 25))  # in parts, of which `make mutants` takes some
def test_the_invariants_hold(first: int) -> None:
    violations = {seed: found for seed in range(first, first + 25) if (found := simulate(seed).violations)}
    assert violations == {}
