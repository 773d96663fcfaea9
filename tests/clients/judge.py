"""Drive the real server with every client program, and judge what each reports by one list of expectations.

    python -m clients.judge                      # all clients, and the table in docs/clients-matrix.md; from tests/
    python -m clients.judge --only fastmcp,mcp   # these alone, and no table
    python -m clients.judge --update             # all, and write the table anew

Each program gets a plan on stdin and answers with one JSON object a line; python/driver.py says how. The platform is the sandbox
over HTTP in this process, one a program and platform, which writes every request down. What the server really wrote is taken from
its stdout, without a client: all of it must reach every far side, in text and, where the client shows it, as structured content.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from clients import matrix
from clients.cases import CASES, Case
from clients.programs import HERE, PROGRAMS, InstallError, Program, prepare
from phone_number_mcp.platforms import PLATFORMS, load
from support.recorded import Platform, recorded
from support.wire import RawClient

SERVER = str(Path(sys.executable).parent / "phone-number-mcp")
PATIENCE = 180
CHANGING = {"created_at", "updated_at", "last_modification_timestamp"}
"""Of the platform's fields: other for each client."""


@dataclass(frozen=True)
class Failure:
    """What was not as it must be."""

    client: str
    session: str
    case: str
    where: str
    expected: Any
    got: Any

    def __str__(self) -> str:
        place = " · ".join(part for part in (self.client, self.session, self.case, self.where) if part)
        return f"FAILED {place}\n  expected: {_short(self.expected)}\n  got:      {_short(self.got)}"


@dataclass
class Verdict:
    """What became of one program: its row in the table, and what failed."""

    failures: list[Failure] = field(default_factory=list)
    row: tuple[str, ...] = ()
    seconds: float = 0


@dataclass(frozen=True)
class Session:
    """One server, and what it is asked."""

    name: str
    platform: str
    env: dict[str, str]
    cases: tuple[Case, ...]

    @property
    def args(self) -> list[str]:
        """Return the server's options."""
        return ["--platform", self.platform]

    def plan(self) -> dict[str, Any]:
        """Return its part of a plan."""
        steps = [{"case": case.name, "tool": case.tool, "arguments": case.arguments} for case in self.cases]
        return {"name": self.name, "command": SERVER, "args": self.args, "env": self.env, "steps": steps}


Report = dict[tuple[str, str], dict[str, Any]]
"""By session and case."""


# --- the servers ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def closed_port() -> Iterator[int]:
    """Return a port that refuses connections, and that nobody else can take meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextlib.contextmanager
def sessions(place: Path, closed: int, *, cold: bool) -> Iterator[tuple[list[Session], dict[str, Platform]]]:
    """Serve the platforms anew, and return what is to be done with them, and what they saw."""
    with contextlib.ExitStack() as stack:
        served = {name: stack.enter_context(recorded(name)) for name in PLATFORMS}
        todo = []
        for name in PLATFORMS:
            up = _environ(name, served[name].url, place)
            down = _environ(name, f"http://127.0.0.1:{closed}", place)
            todo.append(Session(name, name, up, tuple(case for case in CASES if not case.down)))
            todo.append(Session(f"{name}, down", name, down, tuple(case for case in CASES if case.down)))
            if cold:
                uncompiled = {**up, "PYTHONPYCACHEPREFIX": str(place / f"{name}-bytecode")}
                todo.append(Session(f"{name}, cold", name, uncompiled, tuple(case for case in CASES if case.cold)))
        yield todo, served


def _environ(platform: str, url: str, place: Path) -> dict[str, str]:
    settings = load(platform)
    credentials = dict.fromkeys(settings.credentials, "sk_Rk7Zp2Qw9Lx4Vb6Nm1Ts8Jd3")
    journal = str(place / f"{platform}.sqlite3")
    return {**credentials, settings.base_url_variable: url, "PHONE_NUMBER_MCP_JOURNAL": journal}


# --- what is reported -------------------------------------------------------------------------------------------------


async def _wire(todo: Sequence[Session]) -> Report:
    """Return what the server writes, without any client."""
    report: Report = {}
    for session in todo:
        async with RawClient.started([SERVER, *session.args], session.env) as client:
            await client.initialize()
            for case in session.cases:
                if case.tool is None:
                    listed = (await client.ask("tools/list"))["result"]["tools"]
                    tools = [
                        {
                            "name": tool["name"],
                            "description": tool["description"],
                            "input_schema": tool["inputSchema"],
                            "output_schema": tool["outputSchema"],
                        }
                        for tool in listed
                    ]
                    report[session.name, case.name] = {"tools": tools, "protocol": None}
                else:
                    result = await client.call(case.tool, **case.arguments)
                    report[session.name, case.name] = {
                        "text": result["content"][0]["text"],
                        "structured": result["structuredContent"],
                        "is_error": result["isError"],
                    }
    return report


def _asked(program: Program, todo: Sequence[Session], home: Path) -> tuple[Report, list[Failure]]:
    """Run a program; return its report, and what kept it from one."""
    plan = json.dumps({"mode": program.mode, "sessions": [session.plan() for session in todo]})
    # Nothing of whoever runs this: a variable of theirs could change what a client does.
    environ = {"PATH": program.path(), "HOME": str(home), "LANG": "C.UTF-8", "PYTHONUTF8": "1"}
    done = _run(program.command(), plan, environ)
    report: Report = {}
    for line in done.stdout.splitlines():
        try:
            said = json.loads(line)
            report[said.pop("session"), said.pop("case")] = said
        except (ValueError, KeyError, AttributeError):
            return report, [Failure(program.label, "", "", "stdout", "a JSON object with session and case", line)]
    if done.returncode:
        return report, [Failure(program.label, "", "", "exit status", 0, f"{done.returncode}: {done.stderr[-2000:]}")]
    return report, []


def _run(command: list[str], stdin: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    with subprocess.Popen(
        command,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # with the servers that it started
            stdout, stderr = process.communicate()
            stderr += f"\nnot done within {PATIENCE} s"
        return subprocess.CompletedProcess(command, process.returncode, stdout, stderr)


# --- the judgement ----------------------------------------------------------------------------------------------------


def judge(program: Program, wire: Report, closed: int) -> Verdict:
    """Run a program and compare what it reports with what is expected, and with what the server wrote."""
    began = time.monotonic()
    verdict = Verdict()
    with (
        tempfile.TemporaryDirectory() as place,
        sessions(Path(place), closed, cold=program.cold) as (todo, served),
    ):
        report, verdict.failures = _asked(program, todo, Path(place))
    shown = Shown()
    if not verdict.failures:  # one that did not come to its end has said why: what is missing says nothing more
        verdict.failures = [
            failure
            for session in todo
            for failure in (
                *_judge_session(program.label, session, report, wire, shown),
                *_counted(program.label, session, served[session.platform]),
            )
        ]
    verdict.row = matrix.row(program, *shown.columns())
    verdict.seconds = time.monotonic() - began
    return verdict


Fail = Callable[[str, Any, Any], None]


def _judge_session(client: str, session: Session, report: Report, wire: Report, shown: Shown) -> list[Failure]:
    if said := report.get((session.name, "connect")):
        return [Failure(client, session.name, "connect", "", "a connection", said["raised"])]
    failures: list[Failure] = []
    for case in session.cases:

        def fail(where: str, expected: Any, got: Any, case: Case = case) -> None:
            failures.append(Failure(client, session.name, case.name, where, expected, got))

        said = report.get((session.name, case.name))
        written = wire[session.name.removesuffix(", cold"), case.name]
        if said is None or "raised" in said:
            fail("", "an answer", said["raised"] if said else "nothing")
        elif case.tool is None:
            shown.eras.add(said["protocol"] or "not shown")
            _judge_tools(said["tools"], written["tools"], fail)
        else:
            _judge_answer(case, session.platform, said, written, fail)
            shown.answer(said, written["is_error"])
    return failures


def _judge_tools(tools: list[dict[str, Any]], written: list[dict[str, Any]], fail: Fail) -> None:
    """What a client shows of a tool must be what the server wrote; what it does not show, it does not."""
    if (names := [tool["name"] for tool in tools]) != (expected := [tool["name"] for tool in written]):
        fail("names", expected, names)
        return
    for tool, sent in zip(tools, written, strict=True):
        for what, value in tool.items():
            if value != sent[what]:
                fail(f"{tool['name']} {what}", sent[what], value)


def _judge_answer(case: Case, platform: str, said: dict[str, Any], written: dict[str, Any], fail: Fail) -> None:
    original = written["structured"]
    if said["text"] is None and said["structured"] is None:
        fail("", "text or structured content", None)
    if said["text"] is not None:
        try:
            text = json.loads(said["text"])
        except ValueError:
            fail("text", "JSON", said["text"])
        else:
            _compare("text", case.expected(platform), text, fail)
            _differ("text", original, text, fail)
    if said["structured"] is not None:
        _compare("structured", case.expected(platform), said["structured"], fail)
        _differ("structured", original, said["structured"], fail)
    if said["is_error"] is not None and said["is_error"] != ("error" in case.expect):
        fail("is_error", "error" in case.expect, said["is_error"])


def _compare(where: str, expected: Any, got: Any, fail: Fail) -> None:
    """Look for what must be there at least."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key, value in expected.items():
            _compare(f"{where}.{key}", value, got.get(key, "nothing"), fail)
    elif expected != got:
        fail(where, expected, got)


def _differ(where: str, written: Any, got: Any, fail: Fail) -> None:
    """Look for whatever is other than the server wrote it."""
    if isinstance(written, dict) and isinstance(got, dict):
        for key in dict.fromkeys([*written, *got]):
            if key not in CHANGING or (key in written) != (key in got):
                _differ(f"{where}.{key}", written.get(key, "nothing"), got.get(key, "nothing"), fail)
    elif written != got or type(written) is not type(got):
        fail(f"{where}, as the server wrote it", written, got)


def _counted(client: str, session: Session, served: Platform) -> Iterator[Failure]:
    """Count POSTs at the platform: those of each case, and that there are no others."""
    if session.name != session.platform:
        return
    posts = [str(request.body.get("phone_number")) for request in served.requests if request.method == "POST"]
    numbers = {case.arguments["phone_number"]: case.posts for case in session.cases if case.tool and case.posts}
    expected = sorted(number for number, times in numbers.items() for _ in range(times))
    if sorted(posts) != expected:
        yield Failure(
            client, session.name, "all", "numbers that the platform was sent in a POST", expected, sorted(posts)
        )


@dataclass
class Shown:
    """What a client shows its far side, over all answers."""

    eras: set[str] = field(default_factory=set)
    forms: dict[bool, set[str]] = field(default_factory=lambda: {False: set(), True: set()})

    def answer(self, said: dict[str, Any], is_error: bool) -> None:
        """Take one answer in."""
        text, structured = said["text"] is not None, said["structured"] is not None
        form = "both" if text and structured else "text" if text else "structured" if structured else "nothing"
        self.forms[is_error].add(form)

    def columns(self) -> tuple[str, str, str]:
        """Return the cells: the era, what a success shows, what an error shows."""
        forms = [", ".join(sorted(self.forms[is_error])) for is_error in (False, True)]
        return ", ".join(sorted(self.eras)), forms[0], forms[1]


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 1500 else f"{text[:1500]} … ({len(text)} characters)"


# --- the command ------------------------------------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0 if everything held."""
    parser = argparse.ArgumentParser(prog="python -m clients.judge", description=__doc__.partition("\n")[0])
    parser.add_argument("--only", metavar="NAME,…", help=", ".join(dict.fromkeys(each.name for each in PROGRAMS)))
    parser.add_argument("--update", action="store_true", help="write the table in docs/ anew")
    arguments = parser.parse_args(argv)
    only = arguments.only.split(",") if arguments.only else [each.name for each in PROGRAMS]
    programs = [program for program in PROGRAMS if program.name in only]
    if unknown := set(only) - {program.name for program in programs}:
        parser.error(f"no client is called {', '.join(sorted(unknown))}")

    began = time.monotonic()
    workers = 2 * max(2, os.cpu_count() or 2)
    with ThreadPoolExecutor(max_workers=workers) as pool:  # most of it waits for the network
        made = list(pool.map(_prepared, {program.environment: program for program in programs}.values()))
    if not all(made):
        return 1
    with closed_port() as closed:
        with tempfile.TemporaryDirectory() as place, sessions(Path(place), closed, cold=False) as (todo, _served):
            wire = anyio.run(_wire, todo)
        failures = _wire_failures(todo, wire)
        with ThreadPoolExecutor(max_workers=workers) as pool:
            running = {each: pool.submit(judge, each, wire, closed) for each in programs if not each.cold}
            replies = [pool.submit(_replies, program) for program in programs if program.name == "typescript-1"]
        # One by one: a client that has a patience of its own is not to wait for the others' processors.
        alone = {each: judge(each, wire, closed) for each in programs if each.cold}
        verdicts = [alone[each] if each.cold else running[each].result() for each in programs]
    for program, verdict in zip(programs, verdicts, strict=True):
        held = f"{len(verdict.failures)} FAILED" if verdict.failures else "held"
        _say(f"{program.title} {program.pinned()[1]}, {verdict.row[3]}: {held} ({verdict.seconds:.0f} s)")
        failures += verdict.failures
    for replied in replies:
        failures += replied.result()
    for failure in failures:
        _say(str(failure))
    page = matrix.PAGE.read_text("utf-8")
    if not arguments.only and not failures:
        filled = matrix.fill(page, [verdict.row for verdict in verdicts])
        if arguments.update:
            matrix.PAGE.write_text(filled, "utf-8")
        elif filled != page:
            _say(f"FAILED docs/{matrix.PAGE.name} is not what the clients show: make test-clients UPDATE=--update")
            names = ("the page", "what they show")
            _say("\n".join(difflib.unified_diff(page.splitlines(), filled.splitlines(), *names, n=0, lineterm="")))
            return 1
    _say(f"{len(programs)} clients, {len(failures)} failures, {time.monotonic() - began:.0f} s")
    return 1 if failures else 0


def _prepared(program: Program) -> bool:
    began = time.monotonic()
    try:
        if prepare(program):
            _say(f"environment of {program.environment}: made in {time.monotonic() - began:.0f} s")
    except InstallError as error:
        _say(f"FAILED environment of {program.environment}: {error}")
        return False
    return True


def _wire_failures(todo: Sequence[Session], wire: Report) -> list[Failure]:
    """Judge the server without a client first: then a client's failure is the client's."""
    found: list[Failure] = []
    for session in todo:
        for case in session.cases:
            said = wire[session.name, case.name]
            at = ("no client", session.name, case.name)
            if case.tool is None:
                names = [tool.name for tool in load(session.platform).tools if not tool.deletes]
                if (got := [tool["name"] for tool in said["tools"]]) != names:
                    found.append(Failure(*at, "names", names, got))
            else:
                _judge_answer(
                    case, session.platform, said, said, lambda *what, at=at: found.append(Failure(*at, *what))
                )
    return found


def _replies(program: Program) -> list[Failure]:
    """Run the TypeScript client's own program: replies of every kind, each validated against the output schema."""
    command = [program.command()[0], str(HERE / program.name / "replies.mjs"), sys.executable]
    done = _run(command, "", {"PATH": program.path(), "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8"})
    _say(done.stdout.strip())
    if done.returncode:
        return [
            Failure("typescript-1", "", "replies.mjs", "exit status", 0, f"{done.returncode}: {done.stderr[-2000:]}")
        ]
    return []


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
