"""The connections to one origin: kept, bounded, and honest about what was sent. The 64 at most are in test_transport.py."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import anyio
import httpcore
import httpx
import pytest
import trustme
from anyio.abc import SocketStream

from conftest import Open, credentials
from phone_number_mcp.connections import Connections
from upstream import Request, Upstream, envelope, http, reply, silence

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
        await connections.close_unused()
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


class Network(httpcore.AnyIOBackend):
    """A network on which a write is refused before anything left: what the system says of a connection that was reset."""

    def __init__(self) -> None:
        self.refuses = 0
        self.streams = 0

    async def connect_tcp(self, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        self.streams += 1
        return Stream(self, await super().connect_tcp(*args, **kwargs))


class Stream(httpcore.AsyncNetworkStream):
    def __init__(self, network: Network, inner: httpcore.AsyncNetworkStream) -> None:
        self.network = network
        self.inner = inner
        self.broken = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self.broken:
            raise httpcore.ReadError("reset")
        return await self.inner.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self.network.refuses:
            self.network.refuses -= 1
            self.broken = True
        if self.broken:
            raise httpcore.WriteError("reset")
        await self.inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self.inner.aclose()

    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_kept_connection_that_takes_nothing_is_replaced_once(upstream: Upstream, method: str) -> None:
    upstream.answer = reply(200, b"{}")
    network = Network()
    sent: list[str] = []
    async with Connections(upstream.url, network=network) as connections:
        await exchange(connections, a_request(upstream.url))
        network.refuses = 1
        assert await exchange(connections, a_request(upstream.url, method, sent)) == b"{}"
        assert (network.streams, len(upstream.requests)) == (2, 2)
        network.refuses = 2
        sent.clear()
        with pytest.raises(httpx.TransportError):
            await exchange(connections, a_request(upstream.url, method, sent))
    assert sent == []
    assert (network.streams, len(upstream.requests)) == (3, 2)


async def test_a_new_connection_that_takes_nothing_is_not_replaced(upstream: Upstream) -> None:
    network = Network()
    network.refuses = 1
    sent: list[str] = []
    async with Connections(upstream.url, network=network) as connections:
        with pytest.raises(httpx.TransportError):
            await exchange(connections, a_request(upstream.url, "POST", sent))
    assert (network.streams, upstream.requests, sent) == (1, [], [])


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


async def test_a_platform_that_is_down_at_the_start_is_told_by_the_call_alone(raw: Open) -> None:
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
