"""The connections to one origin: kept, bounded, and honest about what was sent. The 64 at most are in transports/test_stdio.py."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
import trustme
from anyio.abc import SocketStream

from phone_number_mcp.upstream.connections import Connections
from support.server import Open, credentials
from support.upstream import Request, Upstream, envelope, http, reply, silence

pytestmark = pytest.mark.anyio
FOUND = {"phone_number": "+14155550100"}


def a_request(url: str, method: str = "GET", sent: list[str] | None = None) -> httpx.Request:
    noted: list[str] = [] if sent is None else sent
    content = b"{}" if method == "POST" else None
    return httpx.Request(method, f"{url}/x", content=content, extensions={"sent": lambda: noted.append(method)})


async def exchange(connections: Connections, request: httpx.Request) -> bytes:
    response = await connections.handle_async_request(request)
    try:
        return await response.aread()
    finally:
        await response.aclose()


def hang_up(*, after: int) -> Any:
    """Answer, and close the connection after so many answers on it."""
    served: dict[int, int] = {}

    async def answer(request: Request, stream: SocketStream) -> None:
        served[id(stream)] = served.get(id(stream), 0) + 1
        await reply(200, envelope(FOUND))(request, stream)
        if served[id(stream)] >= after:
            await stream.aclose()

    return answer


async def test_one_connection_serves_one_request_after_the_other(upstream: Upstream) -> None:
    upstream.answer = reply(200, b"{}")
    async with Connections(upstream.url) as connections:
        for method in ("GET", "POST", "GET"):
            assert await exchange(connections, a_request(upstream.url, method)) == b"{}"
    assert (upstream.connections, len(upstream.requests)) == (1, 3)


async def test_requests_at_once_have_connections_of_their_own_which_are_kept(upstream: Upstream) -> None:
    upstream.answer = reply(200, b"{}")
    async with Connections(upstream.url) as connections:
        for _ in range(3):
            async with anyio.create_task_group() as tasks:
                for _ in range(10):
                    tasks.start_soon(exchange, connections, a_request(upstream.url))
    assert len(upstream.requests) == 30
    assert upstream.connections <= 10


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_the_peer_closed_is_not_used_again(upstream: Upstream, method: str) -> None:
    upstream.answer = hang_up(after=1)
    async with Connections(upstream.url) as connections:
        for _ in range(3):
            assert await exchange(connections, a_request(upstream.url, method))
            await anyio.wait_all_tasks_blocked()  # so the end has come
    assert (upstream.connections, len(upstream.requests)) == (3, 3)


STRAY = http(200, b'{"stray": true}')


@pytest.mark.parametrize("at_once", [True, False])
async def test_what_comes_behind_an_answer_is_not_taken_for_the_next_one(upstream: Upstream, at_once: bool) -> None:
    sent_more = anyio.Event()

    async def answer(_request: Request, stream: SocketStream) -> None:
        if at_once:
            await stream.send(http(200, b"{}") + STRAY)
        else:
            await stream.send(http(200, b"{}"))
            await asyncio.sleep(0)
            await stream.send(STRAY)
        sent_more.set()

    upstream.answer = answer
    async with Connections(upstream.url) as connections:
        for method in ("GET", "POST", "GET"):
            assert await exchange(connections, a_request(upstream.url, method)) == b"{}"
            await sent_more.wait()
            sent_more = anyio.Event()
            await anyio.wait_all_tasks_blocked()  # so it has come
    assert upstream.connections == 3


async def test_no_connection_is_opened_ahead_where_there_is_one(upstream: Upstream) -> None:
    upstream.answer = reply(200, b"{}")
    async with Connections(upstream.url) as connections:
        await exchange(connections, a_request(upstream.url))
        await connections.open()
        response = await connections.handle_async_request(a_request(upstream.url))
        await connections.open()
        await response.aclose()
    assert upstream.connections == 1


async def test_a_connection_is_not_kept_for_long(upstream: Upstream) -> None:
    upstream.answer = reply(200, b"{}")
    async with Connections(upstream.url, idle_seconds=0) as connections:
        for _ in range(3):
            await exchange(connections, a_request(upstream.url))
    assert upstream.connections == 3


async def test_an_unused_connection_is_closed_in_time(upstream: Upstream) -> None:
    ended = anyio.Event()

    async def answer(request: Request, stream: SocketStream) -> None:
        await reply(200, b"{}")(request, stream)
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
        ended.set()

    upstream.answer = answer
    async with Connections(upstream.url, idle_seconds=0) as connections:
        await exchange(connections, a_request(upstream.url))
        connections.close_unused()
        with anyio.fail_after(5):
            await ended.wait()


async def test_an_exchange_that_is_broken_off_costs_its_connection_and_no_other(upstream: Upstream) -> None:
    sent: list[str] = []
    async with Connections(upstream.url) as connections:
        upstream.answer = silence()
        with anyio.move_on_after(0.2):
            await exchange(connections, a_request(upstream.url, "POST", sent))
        assert sent
        upstream.answer = reply(200, b"{}")
        for _ in range(100):  # more than there are connections: none was lost
            await exchange(connections, a_request(upstream.url))
    assert upstream.connections == 2


async def test_a_connection_that_was_opened_ahead_is_the_first_to_be_used(upstream: Upstream) -> None:
    upstream.answer = reply(200, b"{}")
    async with Connections(upstream.url) as connections:
        await connections.open()
        await upstream.connected.wait()
        assert upstream.requests == []
        await exchange(connections, a_request(upstream.url))
    assert upstream.connections == 1


class Network:
    """The real network, on which connections can be made to break."""

    def __init__(self, *, broken: bool = False) -> None:
        self.broken = broken
        self.transports: list[asyncio.Transport] = []

    async def connect(self, *args: Any, **kwargs: Any) -> tuple[asyncio.Transport, asyncio.BaseProtocol]:
        transport, protocol = await asyncio.get_running_loop().create_connection(*args, **kwargs)
        self.transports.append(transport)
        if self.broken:
            self.break_one()
        return transport, protocol

    def break_one(self) -> None:
        self.transports[-1].abort()


async def exchange_on_a_connection_that_breaks(
    connections: Connections, network: Network, request: httpx.Request
) -> bytes:
    """Break the connection after it was found to be usable, and before anything is written to it."""
    exchanged = asyncio.create_task(exchange(connections, request))
    await asyncio.sleep(0)  # its first step, which ends where httpcore takes its lock
    network.break_one()
    return await exchanged


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_takes_nothing_is_replaced_once(upstream: Upstream, method: str) -> None:
    upstream.answer = reply(200, b"{}")
    network = Network()
    sent: list[str] = []
    async with Connections(upstream.url, connect=network.connect) as connections:
        await exchange(connections, a_request(upstream.url))
        request = a_request(upstream.url, method, sent)
        assert await exchange_on_a_connection_that_breaks(connections, network, request) == b"{}"
        assert (len(network.transports), len(upstream.requests)) == (2, 2)
        assert sent
        sent.clear()
        network.broken = True
        with pytest.raises(httpx.TransportError):
            await exchange_on_a_connection_that_breaks(connections, network, request)
    assert sent == []
    assert (len(network.transports), len(upstream.requests)) == (3, 2)


async def test_a_new_connection_that_takes_nothing_is_not_replaced(upstream: Upstream) -> None:
    network = Network(broken=True)
    sent: list[str] = []
    async with Connections(upstream.url, connect=network.connect) as connections:
        with pytest.raises(httpx.TransportError):
            await exchange(connections, a_request(upstream.url, "POST", sent))
    assert (len(network.transports), upstream.requests, sent) == (1, [], [])


async def test_a_request_that_left_is_not_sent_again(upstream: Upstream) -> None:
    sent: list[str] = []

    async def answer(_request: Request, stream: SocketStream) -> None:
        if len(upstream.requests) == 1:
            await stream.send(http(200, b"{}"))
        else:
            await stream.aclose()

    upstream.answer = answer
    async with Connections(upstream.url) as connections:
        await exchange(connections, a_request(upstream.url))
        with pytest.raises(httpx.RemoteProtocolError, match="Server disconnected"):
            await exchange(connections, a_request(upstream.url, "POST", sent))
    assert sent
    assert len(upstream.requests) == 2


# --- the real process -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False])
async def test_with_credentials_a_connection_is_opened_ahead_of_the_first_call(
    raw: Open, upstream: Upstream, listed: bool
) -> None:
    upstream.answer = reply(200, envelope(FOUND))
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        if listed:
            await client.ask("tools/list")
        await upstream.connected.wait()
        await client.ask("ping")  # meanwhile the server has noticed, too
        assert upstream.requests == []
        await client.call("get_phone_number", phone_number="+14155550100")
    assert (upstream.connections, len(upstream.requests)) == (1, 1)


async def test_without_credentials_nothing_is_opened(raw: Open, upstream: Upstream) -> None:
    async with raw(env={"ZUDU_BASE_URL": upstream.url}) as client:
        await client.initialize()
        await client.ask("tools/list")
        result = await client.call("get_phone_number", phone_number="+14155550100")
        assert result["structuredContent"]["error"]["code"] == "not_configured"
    assert upstream.connections == 0


async def test_a_platform_that_is_down_at_the_start_is_reported_by_the_call_alone(raw: Open) -> None:
    async with raw(
        env={"ZUDU_API_KEY": "sk_abcdef", "ZUDU_API_SECRET": "s3cr3t_ghijkl", "ZUDU_BASE_URL": "http://127.0.0.1:1"}
    ) as client:
        await client.initialize()
        await client.ask("tools/list")
        result = await client.call("get_phone_number", phone_number="+14155550100")
        assert result["structuredContent"]["error"]["code"] == "unreachable"
    assert client.stderr == b""


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


async def test_https_is_spoken_to_whoever_can_prove_the_name(raw: Open, tmp_path: Path, authority: trustme.CA) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    async with Upstream.listening(context) as upstream:
        upstream.answer = reply(200, envelope(FOUND))
        env = credentials(upstream) | {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
        async with raw(env=env) as client:
            await client.initialize()
            for _ in range(3):
                result = await client.call("get_phone_number", phone_number="+14155550100")
                assert result["structuredContent"] == {"data": FOUND}
        assert (upstream.connections, len(upstream.requests)) == (1, 3)


@pytest.mark.parametrize("name", ["localhost", "elsewhere.test"])
async def test_nothing_is_sent_to_whoever_cannot_prove_the_name(
    raw: Open, tmp_path: Path, authority: trustme.CA, name: str
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(name).configure_cert(context)
    trusted = authority if name != "localhost" else trustme.CA()
    trusted.cert_pem.write_to_path(tmp_path / "authority.pem")
    async with Upstream.listening(context) as upstream:
        env = credentials(upstream) | {"SSL_CERT_FILE": str(tmp_path / "authority.pem")}
        async with raw("--timeout", "5", env=env) as client:
            await client.initialize()
            result = await client.call("create_phone_number", phone_number="+14155550120")
            error = result["structuredContent"]["error"]
            assert (error["code"], error["outcome"]) == ("unreachable", "not_applied")
            assert "certificate" in error["message"].lower()
        assert upstream.requests == []


async def test_a_request_of_which_the_first_byte_left_is_sent_whole_whatever_begins_then(upstream: Upstream) -> None:
    left: list[str] = []

    def leaves() -> None:
        left.append("POST")
        assert len(left) == 1, "asked again after the first byte"

    upstream.answer = reply(200, b"{}")
    async with Connections(upstream.url) as connections:
        request = httpx.Request("POST", f"{upstream.url}/x", content=b"{}", extensions={"sent": leaves})
        assert await exchange(connections, request) == b"{}"
    assert [asked.body for asked in upstream.requests] == [b"{}"]
