"""An MCP client of raw JSON lines over the pipes of a child process, which checks every answer.

No SDK and no event loop: what the client spends is taken from a server's share of the machine. Lines are only counted while
the clock runs, and read afterwards. Every wait has an end, so a server that hangs fails its run and not the whole benchmark.
"""

from __future__ import annotations

import json
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, Self

PATIENCE = 30.0
"""Seconds that a server may take for its next line."""
PILE = 20_000
"""Lines that are kept unread, at most: what keeps them from filling the memory."""

INITIALIZE: dict[str, Any] = {
    "protocolVersion": "2025-06-18",  # the newest that all subjects know
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}
CALL = (
    b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":'
    b'{"name":"get_phone_number","arguments":{"phone_number":"%b"}}}\n'
)


class WrongError(Exception):
    """The server gave a wrong answer, or none: whatever it was timed at counts for nothing."""


def number(id_: int) -> str:
    """Return the reserved number that a call asks for: 0100 to 0198, as 0199 is the slow one."""
    return f"+14155550{100 + id_ % 99}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of the values does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


class Server:
    """A server under test, from its spawn to its end.

    Args:
        command: What starts it.
        environ: All of its environment.
        cwd: Where it runs.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], cwd: Path) -> None:
        # A file, not a pipe: a full pipe that nobody reads would stop a talkative server.
        self._stderr = tempfile.TemporaryFile()  # closed in __exit__
        self._next_id = 1
        self._open: set[int] = set()
        self._answers: dict[int, tuple[bytes, float]] = {}
        self._buffer = bytearray()
        self.spawned = time.perf_counter()
        self._process = subprocess.Popen(
            command, env=environ, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(self._out, select.POLLIN)
        self._writable.register(self._in, select.POLLOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        for harder in (self._process.terminate, self._process.kill):
            try:
                self._process.wait(3)
                break
            except subprocess.TimeoutExpired:
                harder()
        self._process.wait()
        self._stderr.close()

    # --- the protocol ---

    def start(self) -> bytes:
        """Shake hands, ask for the tools, and return the line that lists them."""
        self._request("initialize", INITIALIZE)
        self._send(b'{"jsonrpc":"2.0","method":"notifications/initialized"}\n')
        return self._request("tools/list", {})

    def call(self, phone_number: str) -> dict[str, Any]:
        """Call get_phone_number and return its result, whether a success or an error."""
        id_ = self.begin(phone_number)
        return _result(self.finish(id_)[0])

    def begin(self, phone_number: str) -> int:
        """Send a call without waiting for its answer; return its id."""
        id_ = self._new_id()
        self._open.add(id_)
        self._send(CALL % (id_, phone_number.encode()))
        return id_

    def finish(self, id_: int) -> tuple[bytes, float]:
        """Return the answer to a call and when it came. Answers to other calls under way are kept for their turn."""
        while id_ not in self._answers:
            line = self._line()
            now = time.perf_counter()
            answered = _id(line)
            if answered is None:
                continue  # a notification
            if answered not in self._open:
                raise WrongError(f"an answer to no call, or a second one: {line[:200]!r}")
            self._open.remove(answered)
            self._answers[answered] = line, now
        return self._answers.pop(id_)

    def sequential(self, seconds: float) -> list[float]:
        """Call one after another for so long; return how long each took, in seconds."""
        times: list[float] = []
        until = time.perf_counter() + seconds
        while (started := time.perf_counter()) < until:
            id_ = self._next_id
            line, ended = self.finish(self.begin(number(id_)))
            times.append(ended - started)
            check(line, number(id_))
        return times

    def pump(self, in_flight: int, *, seconds: float = 1e9, calls: int = 1_000_000_000) -> float:
        """Keep so many calls in flight for so long, or for so many calls; return the calls per second.

        Writing does not wait for a server that reads: 256 requests are 36 KB, and a pipe holds 64.
        """
        pending: set[int] = set()
        piled: list[bytes] = []
        count, left = 0, calls
        started = now = last = time.perf_counter()
        due = min(in_flight, left)
        while due or pending:
            if due:
                ids = [self._new_id() for _ in range(due)]
                pending.update(ids)
                self._send(b"".join([CALL % (id_, number(id_).encode()) for id_ in ids]))
                left -= due
            lines = self._lines()
            now = time.perf_counter()
            piled += lines
            if now - started <= seconds:
                count, last = count + len(lines), now
                due = min(len(lines), left)
            else:
                due = 0
            # Once the time is up, only as many lines are waited for as there are calls without an answer.
            if len(piled) >= PILE or (not due and len(piled) >= len(pending)):
                _settle(piled, pending)
                piled.clear()
        if not count:
            raise WrongError(f"no answer within {seconds:.0f} s")
        return count / (last - started)

    # --- what the kernel says of the process ---

    def rss(self) -> float:
        """Return the memory that it holds, in MiB."""
        return self._status("VmRSS")

    def peak(self) -> float:
        """Return the most memory that it has held, in MiB."""
        return self._status("VmHWM")

    def cpu(self) -> float:
        """Return the processor time that it has taken, user and system, in ms."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def _status(self, field: str) -> float:
        status = Path(f"/proc/{self._process.pid}/status").read_text("utf-8")
        found = re.search(rf"^{field}:\s+(\d+) kB", status, re.MULTILINE)
        if found is None:
            self._fail("it has ended")
        return int(found[1]) / 1024

    # --- lines ---

    def _request(self, method: str, params: Mapping[str, Any]) -> bytes:
        id_ = self._new_id()
        self._open.add(id_)
        self._send(json.dumps({"jsonrpc": "2.0", "id": id_, "method": method, "params": params}).encode() + b"\n")
        line = self.finish(id_)[0]
        _result(line)
        return line

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    def _send(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._in, data) :]
            except BlockingIOError:
                if not self._writable.poll(PATIENCE * 1000):
                    self._fail(f"it read nothing for {PATIENCE:.0f} s")
            except BrokenPipeError:
                self._fail("it has closed its stdin")

    def _line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _lines(self) -> list[bytes]:
        while (end := self._buffer.rfind(b"\n")) < 0:
            self._fill()
        lines = bytes(self._buffer[:end]).split(b"\n")
        del self._buffer[: end + 1]
        return lines

    def _fill(self) -> None:
        if not self._readable.poll(PATIENCE * 1000):
            self._fail(f"it said nothing for {PATIENCE:.0f} s")
        data = os.read(self._out, 256 * 1024)
        if not data:
            self._fail("it has closed its stdout")
        self._buffer += data

    def _fail(self, what: str) -> NoReturn:
        self._stderr.seek(0)
        said = self._stderr.read()[-500:].decode("utf-8", "replace").strip()
        raise WrongError(f"{what}; on stderr: {said or 'nothing'}")


def check(line: bytes, phone_number: str) -> None:
    """Raise unless a reply is a success that holds the number asked for."""
    result = _result(line)
    if result.get("isError"):
        raise WrongError(f"{phone_number} was answered with an error: {str(result)[:300]}")
    try:
        text = result["content"][0]["text"]
    except (LookupError, TypeError):
        text = ""
    if f'"{phone_number}"' not in text:
        raise WrongError(f"{phone_number} was answered with something else: {str(result)[:300]}")


def _settle(lines: list[bytes], pending: set[int]) -> None:
    for line in lines:
        id_ = _id(line)
        if id_ is None:
            continue  # a notification
        if id_ not in pending:
            raise WrongError(f"an answer to no call, or a second one: {line[:200]!r}")
        pending.remove(id_)
        check(line, number(id_))


def _read(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except ValueError:
        raise WrongError(f"not JSON: {line[:200]!r}") from None
    if not isinstance(message, dict):
        raise WrongError(f"not a message: {line[:200]!r}")
    return message


def _id(line: bytes) -> int | None:
    """Return the id of a reply, or None if the line is a notification."""
    id_ = _read(line).get("id")
    return id_ if isinstance(id_, int) else None


def _result(line: bytes) -> dict[str, Any]:
    message = _read(line)
    if "result" not in message:
        raise WrongError(f"a protocol error: {line[:300]!r}")
    result: dict[str, Any] = message["result"]
    return result
