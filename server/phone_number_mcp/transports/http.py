"""MCP over Streamable HTTP at `/mcp`, for clients on this machine: stateless, so that any request may be the first.

There is no sign-in: whoever reaches it can spend money. So it listens on loopback only, and refuses requests that a page in
a browser has sent to it by another name (DNS rebinding).

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

from __future__ import annotations

import logging
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.responses import Response

from phone_number_mcp.settings import loopback
from phone_number_mcp.transports.stdio import MAX_LINE_BYTES, RefusedError, parse, too_long

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mcp.server.lowlevel import Server
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/mcp"
LAST_SECONDS = 1
"""How long requests may go on once the process is told to end, and the writes have settled."""

log = logging.getLogger(__name__)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that takes connections from this machine.

    Args:
        host: A loopback address, or `localhost`.
        port: 0 takes a free one.

    Raises:
        ValueError: The host is not loopback; the message says what to do.
        OSError: The port cannot be used.
    """
    address = loopback(host)
    listener = socket.socket(socket.AF_INET6 if address.version == 6 else socket.AF_INET)  # noqa: PLR2004  (IPv6)
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
        names = ["localhost", "127.0.0.1", "[::1]", name]
        app = server.streamable_http_app(
            streamable_http_path=PATH,
            stateless_http=True,
            transport_security=TransportSecuritySettings(
                enable_dns_rebinding_protection=True,
                allowed_hosts=[each for name in names for each in (name, f"{name}:*")],
                allowed_origins=[each for name in names for each in (f"http://{name}", f"http://{name}:*")],
            ),
        )
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)  # it tells of each request that is cut at the end
        config = uvicorn.Config(
            _Checked(app), log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=LAST_SECONDS
        )
        self._server = _Server(config)
        self._server.should_exit = self._stopped
        sys.stderr.write(f"phone-number-mcp serves MCP at http://{name}:{port}{PATH} (ctrl-c ends it)\n")
        sys.stderr.flush()
        await self._server.serve(sockets=[self._listener])

    def quiesce(self) -> None:
        """Take no more connections; what is under way goes on, and is answered."""
        if self._server is not None:
            for each in self._server.servers:
                each.close()

    def stop(self) -> None:
        """End soon."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True


class _Checked:
    """An application that is given only messages that stdio would take: one parser reads what another would read differently.

    What is refused is answered with JSON-RPC's error as JSON, and status 400; 413 if it is too large.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, as ASGI has it."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        try:
            if len(body) > MAX_LINE_BYTES:
                raise too_long()
            parse(body)
        except RefusedError as refused:
            log.debug("refused a message: %s", refused)
            content = refused.error.model_dump_json(by_alias=True, exclude_unset=True)
            status = 413 if len(body) > MAX_LINE_BYTES else 400
            await Response(content, status, media_type="application/json")(scope, receive, send)
            return
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await receive()

        await self._app(scope, replay, send)


async def _body(receive: Receive) -> bytes | None:
    """Return the body of a request; of one that is too large, just more than the limit; None if the client has gone.

    The rest of what is too large is read as well, but not kept: a client that is still sending would not see the answer.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        if len(body) <= MAX_LINE_BYTES:
            body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


class _Server(uvicorn.Server):
    """A server that leaves the signals to whoever runs it: the writes have to settle first."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
