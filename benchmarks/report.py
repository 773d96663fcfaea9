"""The results: how they are kept as JSON, and the tables that are made of them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

IN_FLIGHT = (1, 64, 256)
HTTP_IN_FLIGHT = 64
_NONE = "–"


@dataclass
class SubjectResult:
    """What was measured of one server. A sample is None where the server failed: samples at one index are of one moment."""

    title: str
    versions: dict[str, str] = field(default_factory=dict)
    unavailable: str | None = None
    samples: dict[str, list[float | None]] = field(default_factory=dict)

    def values(self, key: str) -> list[float]:
        """Return the samples that there are."""
        return [value for value in self.samples.get(key, ()) if value is not None]


@dataclass
class Results:
    """What one run measured."""

    date: str
    quick: bool
    rounds: int
    machine: dict[str, str]
    memory_calls: tuple[int, int]
    upstream_rates: dict[str, float]
    """Requests a second of the upstream alone, by number of connections."""
    subjects: dict[str, SubjectResult]
    failures: list[str]
    added: dict[str, str] = field(default_factory=dict)
    """What was measured in a run of its own, by metric: when, and on which machine."""

    @property
    def occasion(self) -> str:
        """Return when, on which machine and in how many rounds this was measured."""
        machine = ", ".join(f"{name}: {value}" for name, value in self.machine.items())
        return f"{self.date}; {machine}. Rounds: {self.rounds}."

    def add(self, other: Results, metrics: Sequence[str]) -> None:
        """Take over what another run measured."""
        for name, theirs in other.subjects.items():
            mine = self.subjects.setdefault(name, theirs)
            mine.samples.update(theirs.samples)
            mine.versions = {**mine.versions, **theirs.versions}
        self.failures += other.failures
        self.added |= dict.fromkeys(metrics, other.occasion)

    def save(self, path: Path) -> None:
        """Keep them."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n", "utf-8")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return what was kept."""
        kept = json.loads(path.read_text("utf-8"))
        subjects = {name: SubjectResult(**each) for name, each in kept.pop("subjects").items()}
        return cls(**kept, subjects=subjects)


@dataclass(frozen=True)
class Target:
    """What our server has to reach. A ratio is ours by the stock server's, of the same moment; else it is our own value."""

    title: str
    key: str
    limit: float
    unit: str = ""
    at_least: bool = False
    ratio: bool = True

    def met(self, value: float) -> bool:
        """Return whether a value is good enough."""
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g}{'×' if self.ratio else ' ' + self.unit}"


def targets(memory_calls: Sequence[int]) -> tuple[Target, ...]:
    """Return all targets, for memory measured after so many calls."""
    few, many = memory_calls
    return (
        Target("p50 of sequential calls", "p50_us", 0.6, "µs"),
        Target("calls/s, 64 in flight", "rate_64", 2.5, at_least=True),
        Target("calls/s, 64 in flight, 50 ms upstream", "rate_64_50ms", 2, at_least=True),
        Target("HTTP: p50 of sequential calls", "http_p50_us", 0.6, "µs"),
        Target("HTTP: calls/s, 64 in flight", "http_rate", 2, at_least=True),
        Target("HTTP: calls/s, 64 in flight, 50 ms upstream", "http_rate_50ms", 2, at_least=True),
        Target("cold start", "start_ms", 0.9, "ms"),
        Target("memory after 0 calls", "start_rss", 1.05, "MiB"),
        Target(f"memory after {few:,} calls", "rss_few", 1.05, "MiB"),
        Target(f"memory growth over the last {many - few:,} calls", "rss_growth", 1, "MiB", ratio=False),
        Target("head-of-line delay: p99 beside a 5 s call, less p99 alone", "extra_p99_ms", 20, "ms", ratio=False),
    )


def render(results: Results) -> str:
    """Return the results as Markdown."""
    return "\n".join(_lines(results)).rstrip() + "\n"


def _lines(results: Results) -> Iterator[str]:
    yield from _preface(results)
    yield from _targets(results)
    for title, text, columns in _sections(*results.memory_calls):
        yield f"## {title}"
        yield ""
        if text:
            yield text
            yield ""
        yield from _table(results, columns)
    yield "## Versions"
    yield ""
    yield "| server | versions |"
    yield "| --- | --- |"
    for subject in results.subjects.values():
        versions = ", ".join(f"{name} {version}" for name, version in subject.versions.items())
        yield f"| {subject.title} | {subject.unavailable or versions} |"


def _preface(results: Results) -> Iterator[str]:
    yield "# Benchmarks"
    yield ""
    yield results.occasion
    yield ""
    for metric, occasion in results.added.items():
        yield f"Measured in a run of its own, `{metric}`: {occasion}"
        yield ""
    if results.quick:
        yield "**A quick run: it shows that everything works. Its numbers mean little.**"
        yield ""
    if results.failures:
        yield "**Failed:**"
        yield ""
        yield from (f"- {' '.join(failure.split())}" for failure in results.failures)
        yield ""
    yield (
        "All subjects took turns within one run, each as its own process, driven over stdio by the same client of raw JSON "
        "lines. Each value is the median of its samples, with the lowest and highest in brackets. Client, server and "
        "upstream share the cores, so compare within a table, not with numbers from elsewhere. Every reply was checked: "
        "a success with the right number in it."
    )
    yield ""
    rate = results.upstream_rates["64"]
    yield f"To repeat it: `make bench`. The upstream alone answers {rate:,.0f} requests/s over 64 connections."
    yield ""
    yield "## Against the stock SDK server"
    yield ""
    yield "Ratios are ours by stock's within a round: their median, with the lowest and highest; the median decides."
    yield ""


def _sections(few: int, many: int) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield each table's title, what to know of it, and its columns: their headings and the keys of their samples."""
    yield (
        "Start",
        "From the spawn to the reply to `tools/list`; memory and processor time up to then.",
        {
            "ms": "start_ms",
            "CPU ms": "start_cpu_ms",
            "memory MiB": "start_rss",
            "bytes of the list": "tools_bytes",
            "tools": "tools",
        },
    )
    yield "Calls one after another", "", {"p50 µs": "p50_us", "p99 µs": "p99_us"}
    yield (
        "Calls a second, by calls in flight",
        "",
        {
            f"{in_flight}{title}": f"rate_{in_flight}{suffix}"
            for title, suffix in (("", ""), (", 50 ms upstream", "_50ms"))
            for in_flight in IN_FLIGHT
        },
    )
    yield (
        "Streamable HTTP",
        "Over loopback: one call after another on one connection, then 64 on 64. Ours has the extra `[http]`; stock is as it comes.",
        {
            "p50 µs": "http_p50_us",
            "p99 µs": "http_p99_us",
            "calls/s, 64 in flight": "http_rate",
            "calls/s, 64 in flight, 50 ms upstream": "http_rate_50ms",
        },
    )
    yield (
        "Head of line",
        "In ms, alone and beside a call that takes the upstream 5 s. One long stall shows in the maximum, not in the p99.",
        {f"{what} {when}": f"{when}_{what}_ms" for what in ("p50", "p99", "max") for when in ("alone", "beside")},
    )
    yield (
        "Memory",
        "Resident MiB, 8 calls in flight; measured once.",
        {f"after {few:,} calls": "rss_few", f"after {many:,} calls": "rss_many", "growth between": "rss_growth"},
    )
    yield (
        "A hostile upstream",
        "One answer of 292 KB gzip that inflates to 300 MB; the call has to end as the error `invalid_reply`.",
        {
            "peak MiB before": "bomb_peak_before",
            "peak MiB after": "bomb_peak",
            "CPU ms": "bomb_cpu_ms",
            "ms": "bomb_ms",
        },
    )


def _table(results: Results, columns: dict[str, str]) -> Iterator[str]:
    """Yield one row for each server that has any of the values, or that should but could not be installed."""
    yield f"| server | {' | '.join(columns)} |"
    yield "| --- |" + " ---: |" * len(columns)
    for subject in results.subjects.values():
        if subject.unavailable:
            cells = [f"not measured: {subject.unavailable}"] + [_NONE] * (len(columns) - 1)
        elif any(key in subject.samples for key in columns.values()):
            cells = [_cell(subject.values(key)) if key in subject.samples else _NONE for key in columns.values()]
        else:
            continue
        yield f"| {subject.title} | {' | '.join(cells)} |"
    yield ""


def _targets(results: Results) -> Iterator[str]:
    yield "| what | ours | stock | ratio | target | |"
    yield "| --- | ---: | ---: | ---: | ---: | --- |"
    missing = SubjectResult(title="")
    ours, stock = (results.subjects.get(name, missing) for name in ("ours", "stock"))
    for target in targets(results.memory_calls):
        pairs = zip(ours.samples.get(target.key, ()), stock.samples.get(target.key, ()), strict=False)
        ratios = [mine / theirs for mine, theirs in pairs if mine is not None and theirs] if target.ratio else []
        decisive = ratios if target.ratio else ours.values(target.key)
        verdict = (
            "not measured" if not decisive else "met" if target.met(statistics.median(decisive)) else "**not met**"
        )
        cells = (_cell(ours.values(target.key)), _cell(stock.values(target.key)), _cell(ratios) if ratios else _NONE)
        yield f"| {target.title}{_unit(target)} | {' | '.join(cells)} | {target} | {verdict} |"
    yield ""


def _unit(target: Target) -> str:
    return f", {target.unit}" if target.unit else ""


def _cell(values: Sequence[float]) -> str:
    if not values:
        return "failed"
    low, middle, high = _rounded((min(values), statistics.median(values), max(values)))
    return middle if low == high else f"{middle} ({low}–{high})"


def _rounded(values: Iterable[float]) -> list[str]:
    """Return numbers with as many digits as mean something."""
    values = list(values)
    largest = max(abs(value) for value in values)
    whole = all(value == int(value) for value in values)
    digits = 0 if whole or largest == 0 else max(0, 2 - int(math.log10(max(largest, 1))))
    return [f"{value:,.{digits}f}".replace("-", "−") for value in values]
