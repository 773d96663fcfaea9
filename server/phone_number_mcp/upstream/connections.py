"""A pool of connections to one origin: kept alive, bounded in number, and precise about whether a byte was sent.

An httpx transport on httpcore's HTTP/1.1 and asyncio's streams. httpx's own pool serves any number of origins, searches all
its requests whenever one comes or goes, and does not tell whether a request that failed had begun to leave.
"""

from __future__ import annotations

import asyncio
import select
import sys
import time
from typing import TYPE_CHECKING, Any

import anyio
import httpcore
import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Awaitable, Callable
    from socket import socket

    Connect = Callable[..., Awaitable[tuple[asyncio.Transport, asyncio.BaseProtocol]]]

MAX_CONNECTIONS = 64
"""Open connections; further requests wait for one of them."""
IDLE_SECONDS = 30.0
"""Seconds that an idle connection is kept. Common gateways close theirs after 60 s, and a request racing that close has an
unknown outcome."""

_ERRORS = (httpcore.NetworkError, httpcore.ProtocolError)


class Connections(httpx.AsyncBaseTransport):
    """Sends requests to one origin, over HTTP/1.1.

    A request may carry two extensions: `target` as in httpx, and `sent`, a callable that is called before the first byte of
    the request leaves. If it was not called, or raised, nothing was sent.

    Args:
        base_url: Of which the origin is taken.
        idle_seconds: How long an idle connection is kept.
        connect: Opens a connection, as the event loop's `create_connection` does.
    """

    def __init__(self, base_url: str, idle_seconds: float = IDLE_SECONDS, connect: Connect | None = None) -> None:
        url = httpx.URL(base_url)
        self._tls = url.scheme == "https"
        self._host, self._port = url.raw_host, url.port or (443 if self._tls else 80)
        self._origin = httpcore.Origin(url.raw_scheme, self._host, self._port)
        self._ssl_context: ssl.SSLContext | None = None
        self._idle_seconds = idle_seconds
        self._connect = connect or asyncio.get_running_loop().create_connection
        self._idle: list[_Connection] = []
        self._free = anyio.Semaphore(MAX_CONNECTIONS, fast_acquire=True)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the head of its answer; the connection is busy until the response is closed.

        Raises:
            httpx.TransportError: There is no connection, or it broke, or what came is not HTTP.
        """
        target = request.extensions.get("target", request.url.raw_path)
        outgoing = httpcore.Request(
            request.method,
            httpcore.URL(scheme=self._origin.scheme, host=self._host, port=self._port, target=target),
            headers=request.headers.raw,
            content=request.stream,
        )
        sent: Callable[[], None] = request.extensions.get("sent", lambda: None)
        await self._free.acquire()
        try:
            connection = self._kept() or await self._new()
            try:
                response = await connection.handle(outgoing, sent)
            except (httpcore.NetworkError, httpcore.RemoteProtocolError):
                if connection.wrote or not connection.kept:
                    raise
                # The peer had closed the connection, and no byte was sent: the request may be sent on a new one.
                connection = await self._new()
                response = await connection.handle(outgoing, sent)
        except BaseException as error:
            self._free.release()
            if isinstance(error, _ERRORS):
                raise _as_httpx(error) from error
            raise
        body = _Body(response, lambda: self._release(connection))
        return httpx.Response(response.status, headers=response.headers, stream=body)

    async def open(self) -> None:
        """Open a connection for the next request, unless there is one.

        Raises:
            httpx.TransportError: That is not possible.
        """
        async with self._free:
            if self._idle or self._free.value < MAX_CONNECTIONS - 1:
                return
            try:
                connection = await self._new()
            except httpcore.NetworkError as error:
                raise _as_httpx(error) from error
            connection.kept = True
            self._idle.append(connection)

    def close_unused(self) -> None:
        """Close the connections that have been idle for too long."""
        for connection in list(self._idle):
            if not connection.usable(self._idle_seconds):
                self._idle.remove(connection)
                connection.close()

    async def aclose(self) -> None:
        """Close the connections that are not in use."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()  # the one used last is the least likely to be closed
            if connection.usable(self._idle_seconds):
                return connection
            connection.close()
        return None

    async def _new(self) -> _Connection:
        host = self._host.decode("ascii").strip("[]")
        if self._tls and self._ssl_context is None:
            self._ssl_context = httpx.create_ssl_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        loop = asyncio.get_running_loop()
        reader = _Reader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await self._connect(
                lambda: protocol, host, self._port, ssl=self._ssl_context, happy_eyeballs_delay=0.25
            )
        except OSError as error:  # no such host, nobody there, or nobody who can prove to be it
            raise httpcore.ConnectError(str(error)) from error
        return _Connection(self._origin, reader, asyncio.StreamWriter(transport, protocol, reader, loop))

    def _release(self, connection: _Connection) -> None:
        self._free.release()
        if connection.http.is_idle():
            connection.kept = True
            connection.used_at = time.monotonic()
            self._idle.append(connection)
        else:
            connection.close()


class _Reader(asyncio.StreamReader):
    """A stream that counts the bytes that were received and not read yet: asyncio reads ahead."""

    unread = 0

    def feed_data(self, data: Any) -> None:
        self.unread += len(data)
        super().feed_data(data)

    async def read(self, n: int = -1) -> bytes:
        data = await super().read(n)
        self.unread -= len(data)
        return data


class _Connection(httpcore.AsyncNetworkStream):
    """One connection: httpcore's HTTP, over a stream that records whether anything was written.

    httpcore's own streams have a time-out for each read and write; here, the caller has one deadline for the exchange.
    """

    def __init__(self, origin: httpcore.Origin, reader: _Reader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._sent: Callable[[], None] = lambda: None
        self.http = httpcore.AsyncHTTP11Connection(origin, self)
        self.used_at = time.monotonic()
        self.kept = False
        """It has answered a request before, or was opened ahead of one."""
        self.wrote = False
        """A byte of the current request may have been sent."""

    def usable(self, idle_seconds: float) -> bool:
        """Return whether it may carry another request: not idle for too long, not closed by the peer, no unread bytes."""
        if time.monotonic() - self.used_at >= idle_seconds or self._writer.is_closing() or self._reader.unread:
            return False
        # httpcore keeps bytes that follow a response for the next one, and has no public attribute for them.
        if self.http._h11_state.trailing_data[0]:  # noqa: SLF001
            return False
        # A readable socket has unread bytes in the system's buffer, or was closed by the peer.
        return not _readable(self._writer.get_extra_info("socket"))

    async def handle(self, request: httpcore.Request, sent: Callable[[], None]) -> httpcore.Response:
        self._sent, self.wrote = sent, False
        return await self.http.handle_async_request(request)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return await self._reader.read(max_bytes)
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._writer.is_closing():
            raise httpcore.WriteError("The connection is closed")
        if not self.wrote:  # httpcore writes a request in parts, the last of them empty: once begun, it is sent whole
            self._sent()  # may refuse
            self.wrote = True
        try:
            self._writer.write(buffer)
            await self._writer.drain()
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        # Without the closing handshake of TLS: a peer that does not answer it would be waited for.
        self._writer.transport.abort()


class _Body(httpx.AsyncByteStream):
    """The body of a response; closing it frees the connection."""

    def __init__(self, response: httpcore.Response, release: Callable[[], None]) -> None:
        self._response = response
        self._release: Callable[[], None] | None = release

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.stream:  # type: ignore[union-attr]  # it is asynchronous
                yield chunk
        except _ERRORS as error:
            raise _as_httpx(error) from error

    async def aclose(self) -> None:
        if self._release is not None:
            release, self._release = self._release, None
            try:
                await self._response.aclose()
            finally:
                release()


def _readable(connection: socket) -> bool:
    if sys.platform == "win32":  # it has no poll; elsewhere, select takes no descriptor above 1,023
        return bool(select.select([connection], [], [], 0)[0])
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


def _as_httpx(error: Exception) -> Exception:
    """Return httpx's exception for one of httpcore: they have the same names in both packages."""
    mapped: Exception = getattr(httpx, type(error).__name__)(str(error))
    return mapped
