"""Raw JSON-RPC messages, and the server at streams of the test's own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from support.server import Program, environment
from support.wire import HANDSHAKE

NUMBER = "+14155550100"


INITIALIZE = {
    "jsonrpc": "2.0",
    "id": "init",
    "method": "initialize",
    "params": {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}},
}


INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}


def request(id_: Any, method: str = "ping", **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id_, "method": method, "params": params}


def get(id_: Any, **arguments: Any) -> dict[str, Any]:
    return request(id_, "tools/call", name="get_phone_number", arguments={"phone_number": NUMBER} | arguments)


def lines(*messages: Any) -> bytes:
    return b"".join(json.dumps(message).encode() + b"\n" for message in messages)


def session(*messages: Any) -> bytes:
    return lines(INITIALIZE, INITIALIZED, *messages)


def answers(stdout: bytes) -> dict[Any, Any]:
    """Every line is a message; by id, those that answer."""
    return {message["id"]: message for message in map(json.loads, stdout.splitlines()) if "method" not in message}


@contextmanager
def started(program: Program, own_journal: dict[str, str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server at given streams, and see to it that it ends."""
    env = environment(own_journal, **streams.pop("env", {}))
    process = subprocess.Popen(program(*streams.pop("options", ["--sandbox"])), env=env, **streams)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
