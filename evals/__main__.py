"""`python -m evals`: replay the recorded solutions and compare their costs, or have a model solve the tasks."""

from __future__ import annotations

import argparse
import difflib
import os
import sys
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from pathlib import Path

import anyio
from pydantic import TypeAdapter

from evals.model import Model
from evals.solve import Name, Outcome, Solve, attempt, replay
from evals.task import Task, load

COSTS = Path(__file__).parent / "COSTS.md"
EVERYDAY_CALLS, EVERYDAY_CHARACTERS = 16, 25_000
"""What the everyday requests may cost in all, on each platform."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return an exit status: 0 if all is as it should be."""
    parser = argparse.ArgumentParser(prog="python -m evals", description=__doc__)
    parser.add_argument("--update", action="store_true", help="write COSTS.md anew")
    parser.add_argument("--only", default="", metavar="PATTERN", help="tasks whose name and platform match")
    parser.add_argument("--model", help="have this model solve the tasks, instead of the recorded solutions")
    parser.add_argument("--base-url", default="https://api.openai.com/v1", help="of its chat completions")
    parser.add_argument("--server", metavar="COMMAND", help="another server than ours")
    parser.add_argument("--names", type=Path, metavar="FILE", help="JSON: its names of our tools and their arguments")
    parser.add_argument("--jobs", type=int, default=2, help="tasks at a time")
    parser.add_argument("--show", action="store_true", help="show what the results of each call are")
    options = parser.parse_args(arguments)
    tasks = load(options.only)
    names = TypeAdapter(dict[str, Name]).validate_json(options.names.read_bytes()) if options.names else None
    if options.server and names is not None:
        tasks = [task for task in tasks if all(call.tool in names for call in task.calls)]
    if options.model:
        solve: Solve = Model(options.model, options.base_url, os.environ.get("OPENAI_API_KEY", "")).solve
    else:
        solve = replay
    started = time.monotonic()
    outcomes: list[Outcome] = []

    def report(outcome: Outcome) -> None:
        outcomes.append(outcome)
        _print(outcome, texts=options.show)

    anyio.run(
        run, partial(attempt, solve=solve, report=report, server=options.server, names=names), tasks, options.jobs
    )
    outcomes.sort(key=lambda outcome: tasks.index(outcome.task))
    failed = [outcome for outcome in outcomes if outcome.problems]
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} tasks solved in {time.monotonic() - started:.0f} s")
    if options.model:
        print(scores(outcomes))
        return 0
    held = not failed
    if not options.server and not options.only:
        held = _compare(table(outcomes), update=options.update) and held
        held = _cheap(outcomes) and held
    return 0 if held else 1


async def run(solved: Callable[[Sequence[Task]], Awaitable[None]], tasks: Sequence[Task], jobs: int) -> None:
    """Have tasks solved, those of one setting after another.

    Args:
        solved: Has tasks of one setting solved.
        tasks: The tasks.
        jobs: How many settings at a time.
    """
    limit = anyio.CapacityLimiter(jobs)
    settings: dict[Hashable, list[Task]] = {}
    for task in tasks:
        settings.setdefault(task.setting, []).append(task)

    async def limited(alike: Sequence[Task]) -> None:
        async with limit:
            await solved(alike)

    async with anyio.create_task_group() as group:
        for alike in sorted(settings.values(), key=len, reverse=True):
            group.start_soon(limited, alike)


def table(outcomes: Sequence[Outcome]) -> str:
    """Return COSTS.md: what the recorded solutions cost, by task."""
    rows = [_row(outcome.task.name, outcome.task.platform, [outcome]) for outcome in outcomes]
    sums = [
        _row(f"**{title}**", platform, chosen)
        for title, everyday in (("the sixteen everyday requests", True), ("all tasks", False))
        for platform in sorted({outcome.task.platform for outcome in outcomes})
        if (chosen := [each for each in outcomes if each.task.platform == platform and each.task.everyday >= everyday])
    ]
    return "\n".join(
        [
            "# What the tasks cost",
            "",
            "Tool calls, characters of their results, and tokens (bytes / 4), of the recorded solutions. `make evals UPDATE=--update`",
            "writes this file; `make evals` fails if a figure differs.",
            "",
            "| task | platform | calls | characters | tokens |",
            "|---|---|--:|--:|--:|",
            *sums,
            *rows,
            "",
        ]
    )


def scores(outcomes: Sequence[Outcome]) -> str:
    """Return what a model achieved, in all."""
    solved = sum(not outcome.problems for outcome in outcomes)
    return (
        f"success {solved}/{len(outcomes)} · untruths {sum(bool(outcome.untruths) for outcome in outcomes)} · "
        f"calls {sum(outcome.calls for outcome in outcomes)} · "
        f"tokens of results {sum(outcome.tokens for outcome in outcomes)} · "
        f"tokens of the model {sum(outcome.model_tokens for outcome in outcomes)}"
    )


def _row(name: str, platform: str, outcomes: Sequence[Outcome]) -> str:
    calls, characters, tokens = (
        sum(getattr(outcome, figure) for outcome in outcomes) for figure in ("calls", "characters", "tokens")
    )
    return f"| {name} | {platform} | {calls} | {characters:,} | {tokens:,} |"


def _print(outcome: Outcome, *, texts: bool) -> None:
    task = outcome.task
    figures = f"{outcome.calls:>3} calls {outcome.characters:>7,} characters {outcome.tokens:>6,} tokens"
    print(f"{'FAILED' if outcome.problems else 'solved'} {figures}  {task.name} ({task.platform})")
    for line in (*outcome.problems, *(outcome.texts if texts else ())):
        print(f"       {line}")
    sys.stdout.flush()


def _compare(written: str, *, update: bool) -> bool:
    """Return whether the costs are those of COSTS.md, which is written anew if that is wanted."""
    if update:
        COSTS.write_text(written, "utf-8")
    before = COSTS.read_text("utf-8") if COSTS.exists() else ""
    if before == written:
        return True
    print(
        "".join(
            difflib.unified_diff(
                before.splitlines(keepends=True), written.splitlines(keepends=True), "COSTS.md", "now", n=0
            )
        )
    )
    print("The costs differ. If that is meant: make evals UPDATE=--update")
    return False


def _cheap(outcomes: Sequence[Outcome]) -> bool:
    """Return whether the everyday requests cost no more than they may."""
    held = True
    for platform in sorted({outcome.task.platform for outcome in outcomes}):
        everyday = [each for each in outcomes if each.task.everyday and each.task.platform == platform]
        calls, characters = (sum(getattr(each, figure) for each in everyday) for figure in ("calls", "characters"))
        if calls > EVERYDAY_CALLS or characters > EVERYDAY_CHARACTERS:
            print(
                f"The everyday requests on {platform} take {calls} calls and {characters:,} characters; they may take "
                f"{EVERYDAY_CALLS} and {EVERYDAY_CHARACTERS:,}"
            )
            held = False
    return held


if __name__ == "__main__":
    sys.exit(main())
