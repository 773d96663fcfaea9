"""An MCP client over Streamable HTTP: blocking sockets and `poll`, one request at a time on each connection, every reply checked.

As in `client.py`, there is no SDK and no event loop, and lines are read only after the clock has stopped.
"""

from __future__ import annotations

import json
import re
import select
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn, Self

from benchmarks.client import CALL, INITIALIZE, PATIENCE, WrongError, check, number

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SESSION = re.compile(r"^mcp-session-id: *(\S+)", re.IGNORECASE | re.MULTILINE)
_START_SECONDS = 0.02
"""Interval between attempts to connect to a server that is starting."""


def free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


class HttpServer:
    """A server under test that listens on a port, from its spawn to its end.

    Args:
        command: What starts it, the port included.
        environ: All of its environment.
        cwd: Where it runs.
        port: Where it will listen.
    """

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], cwd: Path, port: int) -> None:
        self._stderr = tempfile.TemporaryFile()  # closed in __exit__
        self._port = port
        self._session = b""
        self._next_id = 1
        self._connections: list[_Connection] = []
        self._process = subprocess.Popen(
            command, env=environ, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._stderr
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections:
            connection.socket.close()
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._stderr.close()

    def start(self) -> None:
        """Wait until it listens, and shake hands: a server that has sessions is given its session's id with each call."""
        until = time.perf_counter() + PATIENCE
        while not self._connections:
            try:
                self._connect(1)
            except ConnectionRefusedError:
                if time.perf_counter() > until or self._process.poll() is not None:
                    self._fail("it does not listen")
                time.sleep(_START_SECONDS)
        hello = {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": INITIALIZE}
        head, _ = self._ask(json.dumps(hello).encode())
        if found := _SESSION.search(head.decode()):
            self._session = b"mcp-session-id: " + found[1].encode() + b"\r\n"
        self._ask(b'{"jsonrpc":"2.0","method":"notifications/initialized"}')

    def sequential(self, seconds: float) -> list[float]:
        """Call one after another for so long; return how long each took, in seconds."""
        times: list[float] = []
        until = time.perf_counter() + seconds
        while (started := time.perf_counter()) < until:
            id_ = self._new_id()
            _, body = self._ask(_call(id_))
            times.append(time.perf_counter() - started)
            _check(body, id_)
        return times

    def pump(self, in_flight: int, seconds: float) -> float:
        """Keep so many calls in flight, each on its own connection; return the calls per second.

        It takes so many seconds, or until each connection could have had one answer: a busy machine takes longer.
        """
        self._connect(in_flight)
        poll = select.poll()
        by_fd: dict[int, tuple[_Connection, int]] = {}
        replies: list[tuple[bytes, int]] = []
        for connection in self._connections[:in_flight]:
            poll.register(connection.socket, select.POLLIN)
            by_fd[connection.socket.fileno()] = connection, self._send_call(connection)
        started = now = last = time.perf_counter()
        count, open_ = 0, in_flight
        while open_:
            ready = poll.poll(PATIENCE * 1000)
            if not ready:
                self._fail(f"it said nothing for {PATIENCE:.0f} s")
            now = time.perf_counter()
            for fd, _ in ready:
                connection, id_ = by_fd[fd]
                reply = self._receive(connection)
                if reply is None:
                    continue
                replies.append((reply[1], id_))
                if now - started > seconds and count >= in_flight:
                    open_ -= 1
                    continue
                count, last = count + 1, now
                by_fd[fd] = connection, self._send_call(connection)
        for body, id_ in replies:
            _check(body, id_)
        return count / (last - started)

    def _connect(self, connections: int) -> None:
        while len(self._connections) < connections:
            opened = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._connections.append(_Connection(opened))

    def _new_id(self) -> int:
        self._next_id += 1
        return self._next_id

    def _send_call(self, connection: _Connection) -> int:
        id_ = self._new_id()
        self._send(connection, _call(id_))
        return id_

    def _send(self, connection: _Connection, body: bytes) -> None:
        connection.socket.sendall(
            b"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:%d\r\ncontent-type: application/json\r\n"
            b"accept: application/json, text/event-stream\r\nmcp-protocol-version: %b\r\n%bcontent-length: %d\r\n\r\n%b"
            % (self._port, INITIALIZE["protocolVersion"].encode(), self._session, len(body), body)
        )

    def _ask(self, body: bytes) -> tuple[bytes, bytes]:
        connection = self._connections[0]
        self._send(connection, body)
        while (reply := self._receive(connection)) is None:
            pass
        return reply

    def _receive(self, connection: _Connection) -> tuple[bytes, bytes] | None:
        """Return the head and the body of a response, or None if it has not come whole."""
        try:
            data = connection.socket.recv(65536)
        except TimeoutError:
            self._fail(f"it said nothing for {PATIENCE:.0f} s")
        if not data:
            self._fail("it has closed a connection")
        connection.buffer += data
        return connection.pop()

    def _fail(self, what: str) -> NoReturn:
        self._stderr.seek(0)
        said = self._stderr.read()[-500:].decode("utf-8", "replace").strip()
        raise WrongError(f"{what}; on stderr: {said or 'nothing'}")


class _Connection:
    """A connection, and what has come of its response."""

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.buffer = b""

    def pop(self) -> tuple[bytes, bytes] | None:
        """Return the head and the body of the response, once it is there as a whole."""
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return None
        head, body = self.buffer[:end], self.buffer[end + 4 :]
        length = _LENGTH.search(head)
        if (len(body) < int(length[1])) if length else not body.endswith(b"0\r\n\r\n"):
            return None
        self.buffer = b""
        return head, body


def _call(id_: int) -> bytes:
    return CALL % (id_, number(id_).encode())


def _check(body: bytes, id_: int) -> None:
    """Raise unless a response, JSON or a stream with one event, is the right answer."""
    reply = next((line.removeprefix(b"data: ") for line in body.splitlines() if b'"jsonrpc"' in line), b"")
    if not reply or json.loads(reply).get("id") != id_:
        raise WrongError(f"call {id_} was answered with {body[:200]!r}")
    check(reply, number(id_))
