"""MCP over Streamable HTTP at `/mcp`, for clients on this machine: stateless, so that any request may be the first.

There is no sign-in: whoever reaches it can spend money. So it listens on loopback only, and refuses requests that a page in
a browser has sent to it by another name (DNS rebinding).

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
import uvicorn.protocols.http.auto
from starlette.responses import PlainTextResponse
from starlette.routing import Route, Router

from phone_number_mcp.transports.endpoint import Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.server.lowlevel import Server
    from starlette.requests import Request

PATH = "/mcp"
LAST_SECONDS = 1
"""Seconds that requests may take after the writes have been drained, at shutdown."""
MAX_CONNECTIONS = 10_000
"""Open at once, also where the system's limit on descriptors would allow more."""
MIN_CONNECTIONS = 8
"""Open at once, also where that limit leaves too few."""
RESERVED_DESCRIPTORS = 64
"""For the journal, the log and the event loop, and for connections that are accepted before they are counted."""
ACCEPTS_AT_ONCE = 8
"""In one turn of the event loop. asyncio accepts up to this many before any of them is counted; and where descriptors have run
out, it fails, and logs that, this many times a second."""
WAITING_CONNECTIONS = 1024
"""Those that the system keeps until they are accepted."""

log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections from this machine.

    Args:
        host: A loopback address.
        port: 0 takes a free one.

    Raises:
        ValueError: The host is no address.
        OSError: The port cannot be used.
    """
    address = ipaddress.ip_address(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET  # IPv6
    # Only where the protocol is named does asyncio set TCP_NODELAY; without it, each reply waits 40 ms for an ACK.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((str(address), port))
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener


class Http:
    """Clients on this machine, over HTTP.

    Args:
        listener: Where they connect.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._server: _Server | None = None
        self._stopped = False

    async def serve(self, server: Server[Any]) -> None:
        """Serve until `stop` is called. The address is printed on stderr: stdout stays free, as with stdio."""
        host, port = self._listener.getsockname()[:2]
        name = f"[{host}]" if ":" in host else host
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it tells of each request that is cut at the end
        async with server.lifespan(server) as state:
            endpoint = Endpoint(server, state, ["localhost", "127.0.0.1", "[::1]", name])
            config = uvicorn.Config(
                Router([Route(PATH, endpoint), Route("/healthz", _healthz)]),
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                http=_limited(_max_connections()),
                backlog=ACCEPTS_AT_ONCE,
                timeout_graceful_shutdown=LAST_SECONDS,
            )
            self._server = _Server(config)
            self._server.should_exit = self._stopped
            sys.stderr.write(f"phone-number-mcp serves MCP at http://{name}:{port}{PATH} (ctrl-c ends it)\n")
            sys.stderr.flush()
            await self._server.serve(sockets=[self._listener])

    def stop_accepting(self) -> None:
        """Stop accepting connections; let in-flight requests finish."""
        if self._server is not None:
            for each in self._server.servers:
                each.close()

    def stop(self) -> None:
        """End soon."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True


async def _healthz(_request: Request) -> PlainTextResponse:
    """Say that this process serves requests. It asks nobody else, so it can be polled often."""
    return PlainTextResponse("ok\n")


def _max_connections() -> int:
    """Return how many clients' connections may be open: each may need another one, to the platform."""
    if sys.platform == "win32":  # which has no such limit
        return MAX_CONNECTIONS
    import resource  # Windows has no such module

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(MIN_CONNECTIONS, min(MAX_CONNECTIONS, (soft - RESERVED_DESCRIPTORS) // 2))


def _limited(limit: int) -> type[asyncio.Protocol]:
    """Return the HTTP protocol with at most so many connections: one more replaces an idle one, or is closed if there is none.

    A connection that has made no request yet goes before one that has, and then the one that is idle longest.
    """
    protocol: Any = uvicorn.protocols.http.auto.AutoHTTPProtocol  # of two classes, the one whose parser is installed
    full = False

    class Limited(protocol):  # type: ignore[misc]
        def connection_made(self, transport: asyncio.Transport) -> None:
            nonlocal full
            super().connection_made(transport)
            self.used_at = self.loop.time()
            if len(self.connections) <= limit:
                full = full and len(self.connections) > limit // 2
                return
            if not full:
                full = True
                log.warning("%d connections are open, no more are possible: idle ones are closed for new ones", limit)
            idle = [each for each in self.connections if each is not self and each.idle]
            closed = min(idle, key=lambda each: (each.cycle is not None, each.used_at), default=self)
            self.connections.discard(closed)
            closed.transport.abort()

        def data_received(self, data: bytes) -> None:
            self.used_at = self.loop.time()
            super().data_received(data)

        @property
        def idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

    return Limited


class _Server(uvicorn.Server):
    """A server that leaves the signals to the process: the writes are drained first."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(WAITING_CONNECTIONS)  # it is the event loop that is to take a few at once, not the system

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
