"""Measure this server beside others: one run, all subjects by turns, so that the machine's noise hits all alike.

    python -m benchmarks.bench --quick             # does it work? two minutes, and numbers that mean little
    python -m benchmarks.bench --write             # the real thing; writes RESULTS.md and results.json
    python -m benchmarks.bench --only latency --subjects ours,stock --rounds 20

Linux only: memory and processor time are read from /proc. Every reply is checked, and a wrong one fails the run.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import json
import os
import platform
import re
import select
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks import report
from benchmarks.client import Server, WrongError, check, number, percentile
from benchmarks.environments import HERE, SUBJECTS, Subject, UnavailableError, prepare
from benchmarks.http_client import HttpServer, free_port
from benchmarks.report import HTTP_IN_FLIGHT, IN_FLIGHT, Results, SubjectResult
from benchmarks.upstream import SLOW_NUMBER, answer

RESULTS_JSON = HERE / "results.json"
RESULTS_MD = HERE / "RESULTS.md"
ROUNDS = 5


@dataclass(frozen=True)
class Scale:
    """How long to measure: a full run, or a quick one that only shows that all works."""

    rounds: int
    starts: int
    """Cold starts a round: they are cheap, and vary most."""
    slow_rounds: int
    """Rounds, at most, in which head-of-line delay is measured: each takes six seconds a subject."""
    warm_up: float
    seconds: float
    beside_slow: float
    """Seconds of fast calls beside the slow one; less than that takes."""
    memory_calls: tuple[int, int]


FULL = Scale(ROUNDS, 3, 3, 0.5, 1.5, 3.0, (5_000, 100_000))
QUICK = Scale(1, 1, 1, 0.2, 0.5, 1.5, (500, 2_000))


@dataclass(frozen=True)
class Bench:
    """What a measurement needs.

    Args:
        scale: How long to measure.
        upstream: The base URL of the platform that answers at once.
        place: A directory for whatever a server writes.
    """

    scale: Scale
    upstream: str
    place: Path

    def spawn(self, subject: Subject, path: str = "") -> Server:
        """Start a subject.

        Args:
            subject: What to start.
            path: Of the base URL: how the platform behaves.
        """
        return Server(subject.command(), self._environ(subject, path), self.place)

    @contextlib.contextmanager
    def warm_http(self, subject: Subject, path: str = "") -> Iterator[HttpServer]:
        """Start a subject as an HTTP server, and call it until it has loaded what it needs."""
        assert subject.http is not None
        port = free_port()
        command = [*subject.command(), *subject.http, str(port)]
        with HttpServer(command, self._environ(subject, path), self.place, port) as server:
            server.start()
            server.sequential(self.scale.warm_up)
            yield server

    def _environ(self, subject: Subject, path: str) -> dict[str, str]:
        environ = {
            # Nothing of whoever runs this: a variable of theirs could change what a server does.
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.place),
            "LANG": "C.UTF-8",
            "ZUDU_API_KEY": "sk_benchmark",
            "ZUDU_API_SECRET": "s3cr3t_benchmark",
            "ZUDU_BASE_URL": self.upstream + path,
            **dict(subject.environ),
        }
        if subject.name == "ours":
            environ["PHONE_NUMBER_MCP_JOURNAL"] = str(self.place / "journal")
        return environ

    @contextlib.contextmanager
    def warm(self, subject: Subject, path: str = "") -> Iterator[Server]:
        """Start a subject and call it until it has loaded what it needs."""
        with self.spawn(subject, path) as server:
            server.start()
            server.pump(1, seconds=self.scale.warm_up)
            yield server


# --- what is measured -------------------------------------------------------------------------------------------------


def start(bench: Bench, subject: Subject) -> dict[str, float]:
    """From the spawn to the reply to tools/list."""
    with bench.spawn(subject) as server:
        line = server.start()
        ms = (time.perf_counter() - server.spawned) * 1000
        cpu, rss = server.cpu(), server.rss()
        tools = len(json.loads(line)["result"]["tools"])
    return {"start_ms": ms, "start_cpu_ms": cpu, "start_rss": rss, "tools_bytes": len(line), "tools": tools}


def latency(bench: Bench, subject: Subject) -> dict[str, float]:
    """Calls one after another."""
    with bench.warm(subject) as server:
        times = server.sequential(2 * bench.scale.seconds)
    return {"p50_us": percentile(times, 0.5) * 1e6, "p99_us": percentile(times, 0.99) * 1e6}


def throughput(bench: Bench, subject: Subject) -> dict[str, float]:
    """Calls a second with so many in flight."""
    rates = {}
    for path, suffix in (("", ""), ("/delay/50", "_50ms")):
        with bench.warm(subject, path) as server:
            for in_flight in IN_FLIGHT:
                if in_flight > 1:
                    server.pump(in_flight, calls=2 * in_flight)  # connections are opened
                rates[f"rate_{in_flight}{suffix}"] = server.pump(in_flight, seconds=bench.scale.seconds)
    return rates


def http(bench: Bench, subject: Subject) -> dict[str, float]:
    """Calls over HTTP: one after another, and with so many in flight."""
    with bench.warm_http(subject) as server:
        times = server.sequential(2 * bench.scale.seconds)
        server.pump(HTTP_IN_FLIGHT, bench.scale.seconds)
        rate = server.pump(HTTP_IN_FLIGHT, bench.scale.seconds)
    with bench.warm_http(subject, "/delay/50") as server:
        server.pump(HTTP_IN_FLIGHT, bench.scale.seconds)
        slow_rate = server.pump(HTTP_IN_FLIGHT, bench.scale.seconds)
    return {
        "http_p50_us": percentile(times, 0.5) * 1e6,
        "http_p99_us": percentile(times, 0.99) * 1e6,
        "http_rate": rate,
        "http_rate_50ms": slow_rate,
    }


def head_of_line(bench: Bench, subject: Subject) -> dict[str, float]:
    """What a slow call does to fast ones."""
    with bench.warm(subject) as server:
        alone = server.sequential(bench.scale.beside_slow)
        slow = server.begin(SLOW_NUMBER)
        beside = server.sequential(bench.scale.beside_slow)
        check(server.finish(slow)[0], SLOW_NUMBER)
    values = {}
    for name, share in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
        values[f"alone_{name}_ms"] = percentile(alone, share) * 1000
        values[f"beside_{name}_ms"] = percentile(beside, share) * 1000
    return {**values, "extra_p99_ms": values["beside_p99_ms"] - values["alone_p99_ms"]}


def memory(bench: Bench, subject: Subject) -> dict[str, float]:
    """What it holds after a few and after many calls. Eight in flight: faster than one, and nothing queues."""
    few, many = bench.scale.memory_calls
    with bench.spawn(subject) as server:
        server.start()
        server.pump(8, calls=few)
        after_few = server.rss()
        server.pump(8, calls=many - few)
        after_many = server.rss()
    return {"rss_few": after_few, "rss_many": after_many, "rss_growth": after_many - after_few}


def bomb(bench: Bench, subject: Subject) -> dict[str, float]:
    """What an answer costs that inflates to 300 MB."""
    with bench.spawn(subject, "/bomb") as server:
        server.start()
        cpu, before = server.cpu(), server.peak()
        began = time.perf_counter()
        result = server.call(number(0))
        ms = (time.perf_counter() - began) * 1000
        cpu, after = server.cpu() - cpu, server.peak()
    # Any other error would not show that the answer was read up to the cap and no further.
    code = result.get("structuredContent", {}).get("error", {}).get("code")
    if not result.get("isError") or code != "invalid_reply":
        raise WrongError(f"the bomb was answered with {str(result)[:200]}")
    return {"bomb_peak_before": before, "bomb_peak": after, "bomb_cpu_ms": cpu, "bomb_ms": ms}


@dataclass(frozen=True)
class Metric:
    """One measurement: how, of whom, how often in a round, and the names of what it yields."""

    measure: Callable[[Bench, Subject], dict[str, float]]
    applies: Callable[[Subject], bool]
    repeats: Callable[[Scale, int], int]
    values: tuple[str, ...]


_RATES = tuple(f"rate_{in_flight}{suffix}" for suffix in ("", "_50ms") for in_flight in IN_FLIGHT)
_DELAYS = tuple(f"{when}_{what}_ms" for when in ("alone", "beside") for what in ("p50", "p99", "max"))
METRICS = {
    "start": Metric(
        start,
        lambda _: True,
        lambda scale, _: scale.starts,
        ("start_ms", "start_cpu_ms", "start_rss", "tools_bytes", "tools"),
    ),
    "latency": Metric(latency, lambda subject: subject.calls, lambda *_: 1, ("p50_us", "p99_us")),
    "throughput": Metric(throughput, lambda subject: subject.calls, lambda *_: 1, _RATES),
    "http": Metric(
        http,
        lambda subject: subject.http is not None,
        lambda *_: 1,
        ("http_p50_us", "http_p99_us", "http_rate", "http_rate_50ms"),
    ),
    "head-of-line": Metric(
        head_of_line,
        lambda subject: subject.calls,
        lambda scale, round_: int(round_ < scale.slow_rounds),
        (*_DELAYS, "extra_p99_ms"),
    ),
    "bomb": Metric(
        bomb,
        lambda subject: subject.name == "ours",
        lambda *_: 1,
        ("bomb_peak_before", "bomb_peak", "bomb_cpu_ms", "bomb_ms"),
    ),
    "memory": Metric(
        memory,
        lambda subject: subject.many_calls,
        lambda _, round_: int(round_ == 0),
        ("rss_few", "rss_many", "rss_growth"),
    ),
}


# --- the run ----------------------------------------------------------------------------------------------------------


def run(scale: Scale, subjects: Sequence[Subject], metrics: Sequence[str]) -> Results:
    """Prepare the subjects, measure them by turns, and return what came out."""
    results = Results(
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        quick=scale.memory_calls == QUICK.memory_calls,
        rounds=scale.rounds,
        machine=_machine(),
        memory_calls=scale.memory_calls,
        upstream_rates={},
        subjects={},
        failures=[],
    )
    present = []
    for subject in subjects:
        _say(f"environment of {subject.name}")
        entry = SubjectResult(title=subject.title)
        results.subjects[subject.name] = entry
        try:
            entry.versions = prepare(subject)
            present.append(subject)
        except UnavailableError as error:
            entry.unavailable = str(error)
    with tempfile.TemporaryDirectory() as place, _upstream() as port:
        bench = Bench(scale, f"http://127.0.0.1:{port}", Path(place))
        results.upstream_rates = {str(n): _upstream_rate(port, n, scale.seconds) for n in (1, 64)}
        for round_ in range(scale.rounds):
            for name in metrics:
                _measure(bench, name, round_, present, results)
    return results


def _measure(bench: Bench, name: str, round_: int, subjects: Sequence[Subject], results: Results) -> None:
    """Take one metric of all subjects for one round. Who goes first moves on, so that nobody always has the same place."""
    metric = METRICS[name]
    for repeat in range(metric.repeats(bench.scale, round_)):
        first = (round_ + repeat) % max(len(subjects), 1)
        for subject in (*subjects[first:], *subjects[:first]):
            if not metric.applies(subject):
                continue
            values: dict[str, float] = {}
            try:
                values = metric.measure(bench, subject)
            except WrongError as error:
                results.failures.append(f"{subject.name}, {name}, round {round_ + 1}: {error}")
            # A failure leaves a gap, so that samples at one index stay those of one moment.
            for key in metric.values:
                results.subjects[subject.name].samples.setdefault(key, []).append(values.get(key))
            shown = ", ".join(f"{key} {value:,.1f}" for key, value in values.items()) or results.failures[-1]
            _say(f"round {round_ + 1}/{bench.scale.rounds}, {subject.name}: {shown}")


@contextlib.contextmanager
def _upstream() -> Iterator[int]:
    command = [sys.executable, str(HERE / "upstream.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            _ask(port, b"/bomb")  # it takes seconds to make: not while somebody is measured
            yield port
        finally:
            process.terminate()


def _ask(port: int, base: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(_get(0, base))
        connection.recv(1)


def _get(id_: int, base: bytes = b"") -> bytes:
    return b"GET %b/api/phone-numbers/%%2B%b HTTP/1.1\r\nhost: x\r\n\r\n" % (base, number(id_)[1:].encode())


def _upstream_rate(port: int, connections: int, seconds: float) -> float:
    """Return how many requests a second the upstream answers: with many connections it must be far more than any server asks.

    With one connection most of it is the machine waking an idle core: that part is in every server's sequential calls.
    """
    with contextlib.ExitStack() as stack:
        poll = select.poll()
        by_fd: dict[int, socket.socket] = {}
        for _ in range(connections):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10))
            by_fd[connection.fileno()] = connection
            poll.register(connection, select.POLLIN)
        for fd, connection in by_fd.items():
            connection.sendall(_get(fd))
        count, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            for fd, _ in poll.poll(1000):
                if by_fd[fd].recv(65536) != answer(number(fd)):
                    raise WrongError("the upstream itself answers wrongly")
                by_fd[fd].sendall(_get(fd))
                count += 1
        return count / (time.perf_counter() - began)


def _machine() -> dict[str, str]:
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text("utf-8"))
    node = shutil.which("node")
    version = (
        subprocess.run([node, "--version"], check=True, capture_output=True, text=True, timeout=10) if node else None
    )
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": cpu[1] if cpu else platform.machine(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "Python": platform.python_version(),
        "Node": version.stdout.strip().removeprefix("v") if version else "not here",
    }


def _say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


# --- the command ------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 1 if any reply was wrong."""
    arguments = _arguments(argv)
    if arguments.report:
        results = Results.load(RESULTS_JSON)
    else:
        scale = QUICK if arguments.quick else FULL
        if arguments.rounds:
            scale = replace(scale, rounds=arguments.rounds)
        results = run(scale, arguments.subjects, arguments.only)
        if arguments.add:
            kept = Results.load(RESULTS_JSON)
            kept.add(results, arguments.only)
            results = kept
    text = report.render(results)
    if arguments.write or arguments.add:
        results.save(RESULTS_JSON)
    if arguments.write or arguments.add or arguments.report:
        RESULTS_MD.write_text(text, "utf-8")
    print(text)
    return 1 if results.failures else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a short run that shows that all works")
    parser.add_argument("--subjects", type=_subjects, default=SUBJECTS, metavar="A,B", help=", ".join(_BY_NAME))
    parser.add_argument("--only", type=_metrics, default=tuple(METRICS), metavar="METRIC,…", help=", ".join(METRICS))
    parser.add_argument("--rounds", type=int, metavar="N", help=f"default: {ROUNDS}, or 1 with --quick")
    parser.add_argument("--write", action="store_true", help="write RESULTS.md and results.json")
    parser.add_argument("--add", action="store_true", help="as --write, but keep what is not measured this time")
    parser.add_argument("--report", action="store_true", help="measure nothing; write RESULTS.md from results.json")
    return parser.parse_args(argv)


_BY_NAME = {subject.name: subject for subject in SUBJECTS}


def _subjects(value: str) -> list[Subject]:
    return [_BY_NAME[name] for name in _chosen(value, _BY_NAME)]


def _metrics(value: str) -> list[str]:
    return _chosen(value, METRICS)


def _chosen(value: str, known: Iterable[str]) -> list[str]:
    names = value.split(",")
    if unknown := [name for name in names if name not in known]:
        raise argparse.ArgumentTypeError(f"no {', '.join(unknown)}; there are {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
