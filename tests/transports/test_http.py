"""The real `phone-number-mcp http` as a process, with the official client over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import Process, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from mcp import Client
from mcp_types import ElicitResult

from phone_number_mcp.transports.codec import MAX_LINE_BYTES
from phone_number_mcp.transports.http import listen
from phone_number_mcp.writes.journal import Entry
from phone_number_mcp.writes.maintenance import entries
from support.faulty import Faulty, Held
from support.messages import INITIALIZE, get, request
from support.person import Person
from support.processes import until
from support.server import KEY, SECRET, TOOLS, command, content, credentials, environment, fresh_command
from support.system import STOPS
from support.upstream import Upstream, envelope, reply
from support.wire import MODERN

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("mode", ["legacy", MODERN])
WISH = {"phone_number": "+14155550120", "nickname": "Side door"}
ACCEPT = {"accept": "application/json, text/event-stream"}


@pytest.fixture
def platform(upstream: Upstream) -> Faulty:
    return Faulty(upstream)


@dataclass
class Served:
    url: str
    process: Process
    journal: str
    stdout: bytes = b""
    stderr: bytes = b""

    @property
    def noted(self) -> list[Entry]:
        return list(entries(self.journal))


def serving(own_journal: dict[str, str], *options: str, **env: str) -> AbstractAsyncContextManager[Served]:
    """Start the server at a free port; `stderr` and `stdout` are whole once it has ended."""
    return started(command(*options, "--port", "0"), own_journal, **env)


@asynccontextmanager
async def started(program: list[str], own_journal: dict[str, str], **env: str) -> AsyncIterator[Served]:
    environ = environment(own_journal, **env)
    with anyio.fail_after(60):
        async with await anyio.open_process(program, stdin=subprocess.DEVNULL, env=environ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            log = BufferedByteReceiveStream(process.stderr)
            line = await log.receive_until(b"\n", 1000)
            address = re.search(rb"http://(?:127\.0\.0\.1|\[::1\]):\d+/mcp", line)
            assert address is not None, line
            served = Served(address[0].decode(), process, own_journal["PHONE_NUMBER_MCP_JOURNAL"])
            try:
                yield served
            finally:
                if process.returncode is None:
                    process.terminate()
            served.stderr = line + b"".join([chunk async for chunk in log])
            served.stdout = b"".join([chunk async for chunk in process.stdout])
            await process.wait()


@pytest.mark.parametrize("parser", ["httptools", "h11"])
@ERAS
async def test_a_client_looks_a_number_up_and_creates_one(
    own_journal: dict[str, str], platform: Faulty, tmp_path: Path, mode: str, parser: str
) -> None:
    options = ("http", "--log-level", "debug")
    env = credentials(platform.upstream)
    if parser == "h11":  # which is what there is where httptools is not installed
        (tmp_path / "httptools.py").write_text("raise ImportError")
        env["PYTHONPATH"] = str(tmp_path)
    async with (
        serving(own_journal, *options, **env) as served,
        Client(served.url, mode=mode) as client,
    ):
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        created = await client.call_tool("create_phone_number", WISH)
        got = await client.call_tool("get_phone_number", {"phone_number": WISH["phone_number"]})
        missing = await client.call_tool("get_phone_number", {"phone_number": "+14155550121"})
    assert content(created)["data"]["nickname"] == "Side door"
    assert content(got)["data"]["nickname"] == "Side door"
    assert (missing.is_error, content(missing)["error"]["code"]) == (True, "not_found")
    assert platform.posts == 1
    assert served.stdout == b""
    for secret in (KEY, SECRET):
        assert secret not in served.stderr.decode()


@pytest.mark.parametrize("options", [("http", "--platform", "retell"), ("--platform", "retell", "http")])
async def test_options_count_before_and_after_the_command(
    own_journal: dict[str, str], options: tuple[str, ...]
) -> None:
    async with (
        serving(own_journal, *options, PHONE_NUMBER_MCP_SANDBOX="true") as served,
        Client(served.url) as client,
    ):
        result = await client.call_tool("get_phone_number", {"phone_number": "+14155550100"})
    assert "phone_number_pretty" in content(result)["data"]


async def test_a_person_is_asked_before_a_write_without_a_session(
    own_journal: dict[str, str], platform: Faulty
) -> None:
    person = Person(ElicitResult(action="accept", content={"confirm": True}))
    async with (
        serving(own_journal, "http", "--confirm", "always", **credentials(platform.upstream)) as served,
        Client(served.url, mode=MODERN, elicitation_callback=person) as client,
    ):
        result = await client.call_tool("create_phone_number", WISH)
    assert content(result)["data"]["nickname"] == "Side door"
    assert len(person.asked) == 1
    assert platform.posts == 1


async def test_up_to_2025_11_25_the_transport_is_named_that_cannot_ask(
    own_journal: dict[str, str], platform: Faulty
) -> None:
    person = Person(ElicitResult(action="accept", content={"confirm": True}))
    async with (
        serving(own_journal, "http", "--confirm", "always", **credentials(platform.upstream)) as served,
        Client(served.url, mode="legacy", elicitation_callback=person) as client,
    ):
        tools = [tool.name for tool in (await client.list_tools()).tools]
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
        assert client.instructions is not None
        assert "over HTTP the server can ask only in protocol version 2026-07-28" in client.instructions
    assert "get_phone_number" in tools
    assert "create_phone_number" not in tools
    assert (failure["code"], failure["outcome"]) == ("declined", "not_applied")
    assert "over HTTP" in failure["message"]
    for way in ("2026-07-28", "stdio", "without --confirm"):
        assert way in failure["hint"]
    assert person.asked == []
    assert platform.posts == 0


async def test_a_create_whose_client_hangs_up_is_not_torn_off(own_journal: dict[str, str], platform: Faulty) -> None:
    answer = Held(0)
    platform.fail(answer, commits=True)
    call = request(1, "tools/call", name="create_phone_number", arguments=WISH)
    async with serving(own_journal, "http", **credentials(platform.upstream)) as served:
        async with httpx.AsyncClient() as client, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post(served.url, json=call, headers=ACCEPT, timeout=None))
            await answer.reached.wait()
            tasks.cancel_scope.cancel()  # the connection is closed
        answer.release.set()
        platform.work()
        async with Client(served.url) as again:
            result = content(await again.call_tool("create_phone_number", WISH))
        assert platform.posts == 1
        assert result["data"]["nickname"] == "Side door"
        assert {entry.outcome for entry in served.noted} == {"applied"}


async def test_a_result_that_nobody_was_there_to_take_is_reported_to_the_next_call(
    own_journal: dict[str, str], platform: Faulty
) -> None:
    answer = Held(0)
    platform.fail(answer, commits=True)
    call = request(1, "tools/call", name="create_phone_number", arguments=WISH)
    async with serving(own_journal, "http", **credentials(platform.upstream)) as served:
        async with httpx.AsyncClient() as client, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: client.post(served.url, json=call, headers=ACCEPT, timeout=None))
            await answer.reached.wait()
            tasks.cancel_scope.cancel()
        answer.release.set()
        platform.work()
        await until(lambda: [entry.outcome for entry in served.noted] == ["applied"])
        async with httpx.AsyncClient() as client:  # the server is done with the first call when it has answered another
            assert (await client.post(served.url, json=get(2), headers=ACCEPT)).status_code == 200
            told = (await client.post(served.url, json=call, headers=ACCEPT)).json()["result"]["structuredContent"]
            assert (told["data"]["nickname"], platform.posts) == ("Side door", 1)
            again = (await client.post(served.url, json=call, headers=ACCEPT)).json()["result"]["structuredContent"]
            assert (again["error"]["code"], platform.posts) == ("already_exists", 2)  # that one was told before


@pytest.mark.parametrize("stop", STOPS)
async def test_a_signal_lets_a_create_finish(
    own_journal: dict[str, str], platform: Faulty, stop: signal.Signals
) -> None:
    answer = Held(0.5)
    platform.fail(answer, commits=True)
    call = request(1, "tools/call", name="create_phone_number", arguments=WISH)
    async with serving(own_journal, "http", **credentials(platform.upstream)) as served:
        async with httpx.AsyncClient() as client, anyio.create_task_group() as tasks:

            async def post() -> None:
                response = await client.post(served.url, json=call, headers=ACCEPT, timeout=None)
                assert "Side door" in response.text

            tasks.start_soon(post)
            await answer.reached.wait()
            served.process.send_signal(stop)
            answer.release.set()
        assert await served.process.wait() == 128 + stop
        (entry,) = served.noted
        assert (entry.phone_number, entry.outcome) == (WISH["phone_number"], "applied")
    assert b"Traceback" not in served.stderr


async def test_a_page_that_calls_by_another_name_is_refused(own_journal: dict[str, str]) -> None:
    async with serving(own_journal, "http", "--sandbox") as served, httpx.AsyncClient() as client:
        for headers, status in (
            ({}, 200),
            ({"origin": "http://localhost:3000"}, 200),
            ({"host": "evil.example.com"}, 421),
            ({"origin": "https://evil.example.com"}, 403),
            ({"origin": "null"}, 403),
        ):
            response = await client.post(served.url, json=INITIALIZE, headers=ACCEPT | headers)
            assert response.status_code == status, headers
        assert (await client.post(served.url, json=get(1), headers=ACCEPT)).status_code == 200
        assert (await client.get(served.url.removesuffix("/mcp"))).status_code == 404


JSON = {"content-type": "application/json"}


async def test_what_is_sent_leaves_at_once() -> None:
    nodelay: list[int] = []

    async def accepted(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nodelay.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listener = listen("127.0.0.1", 0)
    async with await asyncio.start_server(accepted, sock=listener):
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        await reader.read()
        writer.close()
    assert nodelay == [1]


async def test_a_reply_is_one_json_object(own_journal: dict[str, str]) -> None:
    async with serving(own_journal, "http", "--sandbox") as served, httpx.AsyncClient() as client:
        response = await client.post(served.url, json=get(7), headers=ACCEPT)
        assert (response.headers["content-type"], response.json()["id"]) == ("application/json", 7)
        plain = await client.post(served.url, json=get(8), headers={"accept": "application/json"})
        assert plain.json()["id"] == 8
        notified = await client.post(served.url, json={"jsonrpc": "2.0", "method": "notifications/initialized"})
        assert (notified.status_code, notified.content) == (202, b"")


@ERAS
async def test_progress_makes_the_reply_an_event_stream(
    own_journal: dict[str, str], upstream: Upstream, mode: str
) -> None:
    told: list[float] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        assert (total, bool(message)) == (3, True)
        told.append(progress)

    upstream.answer = reply(503, {"status": "error", "message": "Down"})
    async with (
        serving(own_journal, "http", **credentials(upstream)) as served,
        Client(served.url, mode=mode) as client,
    ):
        number = {"phone_number": "+14155550100"}
        result = await client.call_tool("get_phone_number", number, progress_callback=on_progress)
    assert content(result)["error"]["code"] == "platform_error"
    assert told == [2, 3]


async def test_there_is_no_stream_to_get_and_no_session_to_delete(own_journal: dict[str, str]) -> None:
    async with serving(own_journal, "http", "--sandbox") as served, httpx.AsyncClient() as client:
        for method in ("GET", "DELETE", "PUT"):
            response = await client.request(method, served.url, headers={"accept": "text/event-stream"})
            assert (response.status_code, response.headers["allow"]) == (405, "POST"), method
            assert "POST" in response.json()["error"]["message"]


async def test_healthz_answers_whoever_asks(own_journal: dict[str, str]) -> None:
    async with serving(own_journal, "http") as served, httpx.AsyncClient() as client:  # without credentials
        url = served.url.removesuffix("/mcp") + "/healthz"
        response = await client.get(url, headers={"host": "probe.example.com"})
        assert (response.status_code, response.text) == (200, "ok\n")
        assert (await client.head(url)).status_code == 200
        assert (await client.post(url)).status_code == 405


SUPPORTED = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"]
TOOLS_LIST = request(5, "tools/list")


@pytest.mark.parametrize(
    ("headers", "message", "status", "code", "why"),
    [
        ({}, TOOLS_LIST, 415, -32600, "Content-Type: application/json"),
        ({"content-type": "text/plain"}, TOOLS_LIST, 415, -32600, "Content-Type: application/json"),
        (JSON | {"accept": "text/html"}, TOOLS_LIST, 406, -32600, "Accept: application/json, text/event-stream"),
        (JSON | {"mcp-protocol-version": "2099-01-01"}, TOOLS_LIST, 400, -32022, ", ".join(SUPPORTED)),
        (JSON | {"mcp-protocol-version": MODERN}, TOOLS_LIST, 400, -32602, "io.modelcontextprotocol/protocolVersion"),
        (JSON, request(5, "tools/call", arguments={}), 200, -32602, "name: Field required"),
        (JSON | {"mcp-protocol-version": MODERN}, INITIALIZE, 400, -32602, "io.modelcontextprotocol/protocolVersion"),
    ],
)
async def test_what_cannot_be_served_says_what_is_expected(
    own_journal: dict[str, str], headers: dict[str, str], message: dict[str, object], status: int, code: int, why: str
) -> None:
    async with serving(own_journal, "http", "--sandbox") as served, httpx.AsyncClient() as client:
        response = await client.post(served.url, content=json.dumps(message), headers=headers)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert why in error["message"]
    if code == -32022:
        assert error["data"] == {"supported": [MODERN], "requested": "2099-01-01"}


async def test_spaces_around_a_header_are_no_part_of_it(own_journal: dict[str, str]) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": MODERN, "io.modelcontextprotocol/clientCapabilities": {}}
    call = json.dumps(request(1, "tools/list", _meta=meta)).encode()
    head = "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json \r\naccept:  */* \r\n"
    head += f"mcp-protocol-version:  {MODERN} \r\nmcp-method: \ttools/list \r\ncontent-length: {len(call)}\r\n\r\n"
    async with serving(own_journal, "http", "--sandbox") as served:
        port = httpx.URL(served.url).port
        assert port is not None
        async with await anyio.connect_tcp("127.0.0.1", port) as stream:
            await stream.send(head.encode() + call)
            assert (await stream.receive()).startswith(b"HTTP/1.1 200")


async def test_an_unknown_version_at_the_handshake_is_answered_with_the_newest(own_journal: dict[str, str]) -> None:
    client_info = {"name": "raw", "version": "0"}
    hello = request(1, "initialize", protocolVersion="2099-01-01", capabilities={}, clientInfo=client_info)
    async with serving(own_journal, "http", "--sandbox") as served, httpx.AsyncClient() as client:
        response = await client.post(served.url, json=hello, headers=ACCEPT)
    assert response.json()["result"]["protocolVersion"] == "2025-11-25"


CALL = (
    b'{"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": {"name": "create_phone_number", '
    b'"arguments": {"phone_number": "+14155550120"%s}}}'
)


async def call_raw(stream: SocketStream) -> bytes:
    """Call a tool on a connection; return the status line."""
    body = json.dumps(get(1)).encode()
    await stream.send(b"POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n")
    await stream.send(b"content-length: %d\r\n\r\n%b" % (len(body), body))
    received = b""
    while b'"result"' not in received:
        received += await stream.receive()
    return received.partition(b"\r\n")[0]


async def test_more_connections_than_descriptors_are_survived(own_journal: dict[str, str]) -> None:
    program = ["/bin/sh", "-c", 'ulimit -n 64; exec "$0" "$@"', *fresh_command("http", "--sandbox", "--port", "0")]
    async with started(program, own_journal) as served, AsyncExitStack() as stack:
        port = httpx.URL(served.url).port
        assert port is not None

        async def connect() -> SocketStream:
            return await stack.enter_async_context(await anyio.connect_tcp("127.0.0.1", port))

        first = await connect()
        assert await call_raw(first) == b"HTTP/1.1 200 OK"
        flood = [await connect() for _ in range(300)]
        assert await call_raw(first) == b"HTTP/1.1 200 OK"
        assert await call_raw(await connect()) == b"HTTP/1.1 200 OK"
        for each in flood:
            await each.aclose()
        assert await call_raw(await connect()) == b"HTTP/1.1 200 OK"
    logged = served.stderr.decode().partition("(ctrl-c ends it)")[2]
    assert logged.count("\n") == 1
    assert "idle ones are closed" in logged


REFUSED: list[tuple[bytes, int, int, int | None, str]] = [
    (CALL % b', "phone_number": "+14155550121"', 400, -32600, 77, '"phone_number" is there twice'),
    (CALL % b', "nickname": NaN', 400, -32700, 77, "NaN"),
    (CALL % b', "nickname": "\xff"', 400, -32700, 77, "not UTF-8"),
    (CALL % (b', "x": [1' + b",1" * 50_000 + b"]"), 400, -32600, None, "50,000 parts"),
    (CALL % (b', "x": ' + b"[" * 40_000), 400, -32700, None, "nested too deeply"),
    (CALL % (b', "nickname": "' + b"x" * MAX_LINE_BYTES + b'"'), 413, -32600, None, "4 MiB"),
    (b"[%s]" % (CALL % b""), 400, -32600, None, "no batches"),
    (b"", 400, -32700, None, "Parse error"),
]


@pytest.mark.parametrize("chunked", [False, True])
async def test_what_stdio_refuses_is_refused_and_nothing_is_sent(
    own_journal: dict[str, str], platform: Faulty, chunked: bool
) -> None:
    async def chunks(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    async with (
        serving(own_journal, "http", **credentials(platform.upstream)) as served,
        httpx.AsyncClient(headers=ACCEPT | {"content-type": "application/json"}) as client,
    ):
        for body, status, code, id_, why in REFUSED:
            response = await client.post(served.url, content=chunks(body) if chunked else body)
            assert (response.status_code, response.headers["content-type"]) == (status, "application/json"), why
            refusal = response.json()
            assert (refusal["jsonrpc"], refusal["id"], refusal["error"]["code"]) == ("2.0", id_, code), why
            assert why in refusal["error"]["message"]
        assert (await client.post(served.url, json=get(1))).status_code == 200
    assert platform.methods == ["GET"]
    assert b"Traceback" not in served.stderr


async def test_a_message_is_served_up_to_the_limit(own_journal: dict[str, str]) -> None:
    async with serving(own_journal, "http", "--sandbox") as served, httpx.AsyncClient() as client:
        body = json.dumps(get(1)).encode()
        body += b" " * (MAX_LINE_BYTES - len(body))
        headers = ACCEPT | {"content-type": "application/json"}
        assert (await client.post(served.url, content=body, headers=headers)).status_code == 200
        assert (await client.post(served.url, content=body + b" ", headers=headers)).status_code == 413


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("0.0.0.0", "must be loopback"),  # that is what must not be
        ("192.0.2.1", "must be loopback"),
        ("::", "must be loopback"),
        ("example.com", "must be an address, 127.0.0.1 or ::1, or localhost"),
    ],
)
def test_what_others_could_reach_is_not_served(host: str, why: str) -> None:
    ended = run("http", "--sandbox", "--host", host)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert f"\n  --host: {why}" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_port_that_is_taken_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("http", "--sandbox", "--port", str(port))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith(f"phone-number-mcp http: port {port} cannot be used: ")
    assert ended.stderr.count("\n") == 1


def test_a_fault_in_the_configuration_stops_it_as_it_stops_stdio() -> None:
    ended = run("http", "--timeout", "never")
    assert ended.returncode == 2
    assert "--timeout" in ended.stderr


@pytest.mark.anyio
async def test_the_address_comes_from_variables_too_and_an_option_wins(own_journal: dict[str, str]) -> None:
    named = {"PHONE_NUMBER_MCP_HOST": "::1"}
    async with serving(own_journal, "http", "--sandbox", **named) as served:
        assert served.url.startswith("http://[::1]:")
    async with serving(own_journal, "http", "--sandbox", "--host", "127.0.0.1", **named) as served:
        assert served.url.startswith("http://127.0.0.1:")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("http", "--sandbox", env={"PHONE_NUMBER_MCP_PORT": str(port)})
    assert ended.stderr.startswith(f"phone-number-mcp http: port {port} cannot be used: ")


def test_a_bad_address_is_reported_with_the_other_faults() -> None:
    wrong = {"PHONE_NUMBER_MCP_PORT": "sk_port", "PHONE_NUMBER_MCP_HOST": "192.0.2.1", "PHONE_NUMBER_MCP_TIMEOUT": "x"}
    ended = run("http", "--sandbox", env=wrong)
    assert (ended.returncode, ended.stdout) == (2, "")
    told = [line.partition(":")[0].strip() for line in ended.stderr.splitlines()[1:]]
    assert told == ["PHONE_NUMBER_MCP_TIMEOUT", "PHONE_NUMBER_MCP_HOST", "PHONE_NUMBER_MCP_PORT"]
    assert "sk_port" not in ended.stderr
    ended = run("http", "--sandbox", "--port", "70000")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "\n  --port: must be a port, 0 to 65535" in ended.stderr


def run(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*options),
        env=environment(env or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@ERAS
async def test_named_secrets_are_those_of_the_server_and_the_trace_of_a_call_is_passed_on(
    own_journal: dict[str, str], upstream: Upstream, mode: str
) -> None:
    upstream.answer = reply(200, envelope({"phone_number": {"phone_number": WISH["phone_number"]}}))
    env = credentials(upstream) | {"PHONE_NUMBER_MCP_SECRET_TWILIO": "t0ken-of-the-carrier"}
    wish = {"provider": "twilio", "account_sid": "AC1", "auth_token": "secret:twilio"} | WISH
    meta: Any = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    async with (
        serving(own_journal, "http", "--log-level", "debug", **env) as served,
        Client(served.url, mode=mode) as client,
    ):
        done = await client.call_tool("import_phone_number", wish, meta=meta)
    assert not done.is_error
    (sent,) = upstream.requests
    assert sent.json["auth_token"] == "t0ken-of-the-carrier"
    assert sent.headers["traceparent"] == meta["traceparent"]
    assert b"t0ken-of-the-carrier" not in served.stderr + served.stdout
