"""The connections to one origin: kept, bounded in number, and honest about whether anything was sent.

An httpx transport on httpcore's public parts. httpx's own pool serves any number of origins, searches all its requests
whenever one comes or goes, and does not tell whether a request that failed had begun to leave.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Iterator

MAX_CONNECTIONS = 64
"""At once; further requests wait for one of them."""
IDLE_SECONDS = 30.0
"""How long an unused connection is kept. Common gateways close theirs after 60 seconds, and a request that crosses with
that is a request of which nobody knows what became."""


class Connections(httpx.AsyncBaseTransport):
    """Sends requests to one origin, over HTTP/1.1.

    A request may carry the extension `sent`, a callable: it is called as soon as a byte of the request may have left. If it
    was not called, nothing was sent.

    Args:
        base_url: Of which the origin is taken.
        idle_seconds: How long an unused connection is kept.
        network: What connects and is written to.
    """

    def __init__(
        self,
        base_url: str,
        idle_seconds: float = IDLE_SECONDS,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        url = httpx.URL(base_url)
        self._tls = url.scheme == "https"
        self._host, self._port = url.raw_host, url.port or (443 if self._tls else 80)
        self._origin = httpcore.Origin(url.raw_scheme, self._host, self._port)
        self._idle_seconds = idle_seconds
        self._network = network or httpcore.AnyIOBackend()
        self._ssl_context: ssl.SSLContext | None = None
        self._idle: list[_Connection] = []
        self._free = anyio.Semaphore(MAX_CONNECTIONS, fast_acquire=True)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the head of its answer; the connection is busy until the response is closed.

        Raises:
            httpx.TransportError: There is no connection, or it broke, or what came is not HTTP.
        """
        sent: Callable[[], None] = request.extensions.get("sent", lambda: None)
        outgoing = httpcore.Request(
            request.method,
            httpcore.URL(scheme=self._origin.scheme, host=self._host, port=self._port, target=request.url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
        )
        await self._free.acquire()
        try:
            with _errors_of_httpx():
                connection = await self._kept() or await self._new()
                try:
                    response = await connection.handle(outgoing, sent)
                except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                    if connection.wrote or not connection.kept:
                        raise
                    # The peer had hung up, and nothing had left: a new connection is as good as the first would have been.
                    connection = await self._new()
                    response = await connection.handle(outgoing, sent)
        except BaseException:
            self._free.release()
            raise
        return httpx.Response(
            response.status, headers=response.headers, stream=_Body(response, lambda: self._release(connection))
        )

    async def open(self) -> None:
        """Open a connection for the first request to come.

        Raises:
            httpx.TransportError: That is not possible.
        """
        with _errors_of_httpx():
            connection = await self._new()
        connection.kept = True
        self._idle.append(connection)

    async def close_unused(self) -> None:
        """Close the connections that nobody used for a while."""
        old = [connection for connection in self._idle if not connection.usable(self._idle_seconds)]
        self._idle = [connection for connection in self._idle if connection not in old]
        for connection in old:
            await connection.http.aclose()

    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            await self._idle.pop().http.aclose()

    async def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()  # the one used last is the least likely to be closed
            if connection.usable(self._idle_seconds):
                return connection
            await connection.http.aclose()
        return None

    async def _new(self) -> _Connection:
        host = self._host.decode("ascii").strip("[]")
        stream = await self._network.connect_tcp(host, self._port)
        if self._tls:
            if self._ssl_context is None:
                self._ssl_context = httpx.create_ssl_context()
                self._ssl_context.set_alpn_protocols(["http/1.1"])
            stream = await stream.start_tls(self._ssl_context, server_hostname=host)
        return _Connection(self._origin, stream)

    def _release(self, connection: _Connection) -> None:
        self._free.release()
        if connection.http.is_idle():
            connection.kept = True
            connection.used_at = time.monotonic()
            self._idle.append(connection)


class _Connection(httpcore.AsyncNetworkStream):
    """One connection, and the stream under it that knows what was written."""

    def __init__(self, origin: httpcore.Origin, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._sent: Callable[[], None] = lambda: None
        self.http = httpcore.AsyncHTTP11Connection(origin, self)
        self.used_at = time.monotonic()
        self.kept = False
        """It has answered a request before, or was opened ahead of one."""
        self.wrote = False
        """A byte of the request under way may have left."""

    def usable(self, idle_seconds: float) -> bool:
        """Whether it is fresh enough, and the peer has not closed it: an unused connection has nothing to read but the end."""
        return time.monotonic() - self.used_at < idle_seconds and not self._stream.get_extra_info("is_readable")

    async def handle(self, request: httpcore.Request, sent: Callable[[], None]) -> httpcore.Response:
        self._sent, self.wrote = sent, False
        return await self.http.handle_async_request(request)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return await self._stream.read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        try:
            await self._stream.write(buffer, timeout)
        except httpcore.WriteError:  # refused before anything of it left
            raise
        except BaseException:  # cancelled: how far it got, nobody knows
            self._wrote()
            raise
        self._wrote()

    def _wrote(self) -> None:
        self.wrote = True
        self._sent()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def get_extra_info(self, info: str) -> object:
        return self._stream.get_extra_info(info)


class _Body(httpx.AsyncByteStream):
    """The body of an answer; closing it frees the connection."""

    def __init__(self, response: httpcore.Response, release: Callable[[], None]) -> None:
        self._response = response
        self._release: Callable[[], None] | None = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            async for chunk in self._response.aiter_stream():
                yield chunk

    async def aclose(self) -> None:
        if self._release is not None:
            release, self._release = self._release, None
            try:
                with anyio.CancelScope(shield=True):
                    await self._response.aclose()
            finally:
                release()


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """Raise what httpx's users expect of a transport: the exceptions have the same names in both packages."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException) as error:
        raise getattr(httpx, type(error).__name__)(str(error)) from error
