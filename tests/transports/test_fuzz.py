"""Whatever bytes come in, the server stays, and says nothing but JSON-RPC. `make fuzz` does it for a minute."""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phone_number_mcp.platforms import load
from support.messages import INITIALIZE, INITIALIZED, get, lines, request
from support.server import command, environment

TOOLS = [tool.name for tool in load("zudu").tools]
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
MESSAGES = [
    INITIALIZE,
    INITIALIZED,
    get(1),
    get("é🙂"),
    request(2, "tools/call", name="create_phone_number", arguments={"phone_number": "+14155550120", "nickname": "x"}),
    request(3, "tools/list"),
    request(4, "prompts/get", name="provision_phone_number", arguments={}),
    request(5, "resources/read", uri="phone-number://+14155550100"),
    request(6, "server/discover", _meta=MODERN),
    request(7, "completion/complete"),
    request(8, "logging/setLevel", level="debug"),
    {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}},
    {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": 1, "progress": 0.5}},
    {"jsonrpc": "2.0", "id": 9, "result": {"action": "accept", "content": {}}},
    {"jsonrpc": "2.0", "id": 1, "error": {"code": 1, "message": "no"}},
]
PIECES = [
    b"\n",
    b"\x00",
    b"\xff",
    b'"',
    b"{",
    b"[",
    b"NaN",
    b"1e999",
    b"\\ud800",
    b'{"id":null}',
    b"9" * 30,
    b"\xef\xbb\xbf",
]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
calls = st.builds(
    lambda id_, tool, arguments: request(id_, "tools/call", name=tool, arguments=arguments),
    json_values,
    st.sampled_from(TOOLS) | st.text(max_size=20),
    st.dictionaries(st.sampled_from(["phone_number", "nickname", "limit", "idempotency_key"]), json_values, max_size=3)
    | json_values,
)


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    """Some messages, with a few bytes replaced, removed, put in, or said twice."""
    data = bytearray(lines(*draw(st.lists(st.sampled_from(MESSAGES), min_size=1, max_size=4))))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        data[start:end] = draw(st.sampled_from(PIECES) | st.binary(max_size=8)) * draw(st.sampled_from([0, 1, 1, 2]))
    return bytes(data)


inputs = (
    spoilt()
    | st.binary(max_size=500)
    | st.lists(calls, max_size=4).map(lambda messages: lines(*messages))
    | json_values.map(lines)
)


class Server:
    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process = process
        self.stdin = process.stdin
        self.stdout = process.stdout
        self._pings = itertools.count()
        self._received = b""

    def survives(self, data: bytes) -> None:
        """Send bytes, and then a ping, which must be answered; all that is said before it must be JSON-RPC."""
        ping = f"ping {next(self._pings)}"
        self.stdin.write(data + b"\n" + lines(request(ping)))
        self.stdin.flush()
        while True:
            message = json.loads(self._line(), parse_constant=_not_json)
            assert message["jsonrpc"] == "2.0"
            assert {"result", "error", "method"} & message.keys()
            if message.get("id") == ping:
                break
        assert self.process.poll() is None

    def _line(self) -> bytes:
        while b"\n" not in self._received:
            assert select.select([self.stdout], [], [], 20)[0], "no answer"
            chunk = os.read(self.stdout.fileno(), 65536)
            assert chunk, "the server is gone"
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return line


def _not_json(constant: str) -> Any:
    raise AssertionError(f"{constant} is not JSON")


@pytest.fixture
def server(own_journal: dict[str, str]) -> Iterator[Server]:
    program = command("--sandbox", "--allow-delete", "--timeout", "1")
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(own_journal)
    ) as process:
        started = Server(process)
        started.survives(lines(INITIALIZE, INITIALIZED))
        yield started
        started.stdin.close()
        assert process.wait(20) == 0


def test_no_input_ends_the_server_or_makes_it_say_what_is_not_json_rpc(
    server: Server, pytestconfig: pytest.Config
) -> None:
    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(inputs)
    def survives(data: bytes) -> None:
        server.survives(data)

    seconds = float(pytestconfig.getoption("--fuzz-seconds"))
    end = time.monotonic() + seconds
    survives()
    while time.monotonic() < end:
        survives()
