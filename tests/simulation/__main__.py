"""Runs many seeds, or replays one: `python -m simulation --seeds 10000`, `python -m simulation --seed 7 --trace`."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext

from simulation.history import simulate

_CHUNK = 100


def _first_violation(first: int, last: int) -> tuple[int, list[str], Counter[str]]:
    """Return the first seed of a range that violates an invariant, and how; -1 if none does; and what was answered."""
    answers: Counter[str] = Counter()
    for seed in range(first, last):
        result = simulate(seed)
        answers.update(result.answers)
        if result.violations:
            return seed, result.violations, answers
    return -1, [], answers


def _many(first: int, count: int, jobs: int) -> int:
    started, answers = time.monotonic(), Counter[str]()
    chunks = [(seed, min(seed + _CHUNK, first + count)) for seed in range(first, first + count, _CHUNK)]
    with ProcessPoolExecutor(jobs) if jobs > 1 else nullcontext() as pool:
        for seed, violations, counted in (pool.map if pool else map)(_first_violation, *zip(*chunks, strict=True)):
            answers.update(counted)
            if violations:
                if pool is not None:
                    pool.shutdown(cancel_futures=True)
                print(f"seed {seed}: " + "; ".join(violations))
                print(f"replay: PYTHONPATH=tests .venv/bin/python -m simulation --seed {seed} --trace")
                return 1
    seconds = time.monotonic() - started
    print(f"{count} seeds hold, in {seconds:.0f} s ({1000 * seconds / count:.1f} ms a seed)")
    print("answers: " + ", ".join(f"{count} {code}" for code, count in answers.most_common()))
    return 0


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="simulation", description=__doc__)
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--trace", action="store_true", help="print each event, with its virtual time")
    parser.add_argument("--seeds", type=int, default=10_000, help="run that many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    options = parser.parse_args()
    if options.seed is None:
        return _many(options.first, options.seeds, options.jobs)
    result = simulate(options.seed, print if options.trace else None)
    print("\n".join(result.violations) or "holds")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
