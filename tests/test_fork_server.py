"""The fork server of the tests: what it starts is seen from outside as what Python starts anew."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from support.fork_server import SUPPORTED, forked, fresh, gone

pytestmark = pytest.mark.skipif(not SUPPORTED, reason="forks on Linux only")
STARTS = pytest.mark.parametrize("start", [fresh, forked])
Start = Callable[..., list[str]]


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str], str]:
    """Write a program, and return its path."""

    def write(code: str) -> str:
        path = tmp_path / "program.py"
        path.write_text(code)
        return str(path)

    return write


def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, timeout=30, check=False, **options)


def test_arguments_environment_directory_and_streams_are_those_of_a_fresh_start(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    path = program("""
import gc, json, os, signal, sys
seen = {
    "argv": sys.argv, "path": sys.path, "cwd": os.getcwd(), "umask": os.umask(0), "name": __name__, "file": __file__,
    "environment": {name: value for name, value in os.environ.items() if name != "LC_CTYPE"},
    "streams": [[each.encoding, each.errors, each.line_buffering, each.isatty()] for each in (sys.stdin, sys.stdout, sys.stderr)],
    "descriptors": sorted(number for number in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{number}")),
    "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
    "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "gc": gc.isenabled(), "read": sys.stdin.read(),
}
print(json.dumps(seen))
""")
    environment = {"A": "1", "B": "é", "PATH": os.environ["PATH"], "TZ": "Asia/Kolkata"}
    seen = [
        json.loads(run(start(path, "one", "two words"), input=b"in", cwd=tmp_path, env=environment).stdout)
        for start in (fresh, forked)
    ]
    assert seen[0] == seen[1]
    assert (seen[1]["argv"], seen[1]["read"]) == ([path, "one", "two words"], "in")


@STARTS
@pytest.mark.parametrize(
    ("code", "status", "said"),
    [
        ("pass", 0, b""),
        ("import sys; sys.exit(3)", 3, b""),
        ("import sys; sys.exit('no')", 1, b"no\n"),
        ("import os; os._exit(4)", 4, b""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, b""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL, b""),
        ("import atexit; atexit.register(print, 'late')", 0, b""),
        ("import threading; threading.Timer(0.05, print, ['late']).start()", 0, b""),
    ],
)
def test_it_ends_as_the_process_does(
    program: Callable[[str], str], start: Start, code: str, status: int, said: bytes
) -> None:
    ended = run(start(program(code)))
    assert (ended.returncode, ended.stderr) == (status, said)
    assert ended.stdout == (b"late\n" if "late" in code else b"")


@STARTS
def test_an_error_is_shown(program: Callable[[str], str], start: Start) -> None:
    ended = run(start(program("1 / 0")))
    assert ended.returncode == 1
    assert ended.stderr.endswith(b"ZeroDivisionError: division by zero\n")


@STARTS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_passed_on(program: Callable[[str], str], start: Start, number: signal.Signals) -> None:
    code = f"""
import signal, sys
signal.signal({number:d}, lambda received, _: sys.exit(received))
print("ready", flush=True)
signal.pause()
"""
    with subprocess.Popen(start(program(code)), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        assert process.wait(30) == number


@STARTS
def test_whoever_is_killed_is_gone(program: Callable[[str], str], start: Start) -> None:
    code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
    with subprocess.Popen(start(program(code)), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        process.kill()
        process.wait()
        gone(process.pid)
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
        assert process.stdout.read() == b""


@STARTS
def test_a_stream_that_the_process_closes_is_closed(program: Callable[[str], str], start: Start) -> None:
    code = "import os; os.close(1); os.close(2); os.read(0, 1)"
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(start(program(code)), **pipes) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")
        assert process.poll() is None
