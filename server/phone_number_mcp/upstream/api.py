"""The way to one platform: one HTTP exchange at a time, over connections that stay open. It knows nothing of any platform.

`Api` is given where to send, how to authorize and how to read a reply. Errors hold texts as they arrived: they are
cleaned where a client is shown them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from phone_number_mcp import __version__
from phone_number_mcp.errors import InvalidReply, TimedOut, ToolError, Unreachable, duration
from phone_number_mcp.shutdown import Shutdown
from phone_number_mcp.upstream.call import Call, Progress
from phone_number_mcp.upstream.memory import Memory
from phone_number_mcp.upstream.reply import Reply, UnreadableError, parse, read_body, retry_after
from phone_number_mcp.upstream.request import as_json

if TYPE_CHECKING:
    import httpx

    from phone_number_mcp.upstream.connections import Connections
    from phone_number_mcp.upstream.request import Account, Request

CLEANING_SECONDS = 30.0
"""Interval between sweeps of idle connections."""

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
ASGIApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


class Api:
    """The way to one platform. The connection is opened on first use.

    Args:
        base_url: Scheme, host and port, and a path if the platform is behind one.
        decipher: Returns the data of a reply, or raises what the platform means by it.
        encode: Returns the content type and the bytes of a request's body.
        timeout: Seconds that one call may take, from the look-up of the host to the last byte of the last answer.
        app: A platform in this process, reached instead of the network.
        transport: Used instead of the network. It calls a request's extension `sent` before the first byte leaves.
    """

    def __init__(
        self,
        *,
        base_url: str,
        decipher: Callable[[Reply], Any],
        timeout: float,
        encode: Callable[[Mapping[str, Any]], tuple[str, bytes]] = as_json,
        app: ASGIApp | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self.decipher = decipher
        self._timeout = timeout
        self._encode = encode
        self._app = app
        self._transport = transport
        self._connections: Connections | None = None
        self._url: httpx.URL | None = None
        """The base URL, where the rest of an address is given as the target: that saves reading it anew for each request."""
        self._prefix = ""
        self._background: asyncio.Task[None] | None = None
        self._memory = Memory()

    def call(
        self,
        account: Account,
        progress: Progress | None = None,
        *,
        shutdown: Shutdown | None = None,
        elapsed: float = 0.0,
        rehearsal: bool = False,
    ) -> Call:
        """Return what one tool call reaches the platform with.

        Args:
            account: Whose call it is.
            progress: Called before each further try.
            shutdown: Once it has begun, no write is sent, and nothing is tried again.
            elapsed: Seconds of its time that are over already.
            rehearsal: It sends no write; `Call.write` raises what it would send.
        """
        started = anyio.current_time() - elapsed
        return Call(
            self,
            account,
            shutdown or Shutdown(),
            started,
            started + self._timeout,
            progress,
            _memory=self._memory,
            _rehearsal=rehearsal,
        )

    async def send(
        self, request: Request, account: Account, deadline: float, before_sending: Callable[[], None] = lambda: None
    ) -> Reply:
        """Send a request, once, and return the answer as it was read, whatever its status.

        Args:
            request: What to send.
            account: Whose request it is.
            deadline: On the event loop's clock, in seconds.
            before_sending: Called before the first byte leaves; nothing is sent if it raises.
        """
        import httpx  # the first reply to a client needs no HTTP

        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": _USER_AGENT,
            **account.headers,
        }
        content = None
        if request.body is not None:
            headers["Content-Type"], content = self._encode(request.body)
        query = {  # a value may be from a reply, and hold what cannot be encoded
            name: value.encode(errors="replace").decode() if isinstance(value, str) else value
            for name, value in (request.query or {}).items()
        }
        target = f"{request.path}?{httpx.QueryParams(query)}" if query else request.path
        transport = self._transport or self._open()
        started = time.perf_counter()
        sent = False

        def leaves() -> None:
            nonlocal sent
            before_sending()
            sent = True

        if self._app is not None:  # in this process, a request arrives as soon as it is made
            leaves()
        try:
            outgoing = httpx.Request(
                request.method,
                self._url or self._base_url + target,
                headers=headers,
                content=content,
                extensions={"sent": leaves, "target": (self._prefix + target).encode("ascii")},
            )
            with anyio.fail_after(deadline - anyio.current_time()):
                response = await transport.handle_async_request(outgoing)
                try:
                    raw, problem = await read_body(response)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, OSError) as error:
            log.debug("%s %s: %s", request.method, request.path, type(error).__name__)
            raise self._lost(error, sent=sent, seconds=time.perf_counter() - started) from error
        milliseconds = (time.perf_counter() - started) * 1000
        log.debug(
            "%s %s: %d, %d bytes, %.0f ms", request.method, request.path, response.status_code, len(raw), milliseconds
        )
        body = None
        if problem is None and raw:
            try:
                body = parse(raw)
            except UnreadableError as error:
                problem = str(error)
        return Reply(
            method=request.method,
            status=response.status_code,
            body=body,
            unreadable=problem,
            retry_after_seconds=retry_after(response.headers.get("retry-after")),
            request_id=response.headers.get("x-request-id") or None,
            date=response.headers.get("date"),
        )

    def _lost(self, error: Exception, *, sent: bool, seconds: float) -> ToolError:
        """Return what it means that there is no whole answer."""
        import httpx

        if isinstance(error, TimeoutError):
            message = f"No whole answer from the platform within {duration(seconds)}"
            return TimedOut(message, outcome="unknown" if sent else "not_applied")
        if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(_DISCONNECTED):
            return InvalidReply("The platform's answer is not HTTP as it should be")
        if sent:
            return Unreachable("The connection broke before the platform's answer was whole", outcome="unknown")
        reason = str(error) or type(error).__name__
        return Unreachable(f"No connection to {self._base_url}: {reason}. Nothing was sent", outcome="not_applied")

    def _open(self) -> httpx.AsyncBaseTransport:
        import httpx  # the first reply to a client needs no HTTP

        if self._app is not None:
            self._transport = httpx.ASGITransport(app=self._app)
        else:
            from phone_number_mcp.upstream.connections import Connections  # the same

            self._url = httpx.URL(self._base_url)
            self._prefix = self._url.raw_path.decode("ascii").rstrip("/")
            self._transport = self._connections = Connections(self._base_url)
        return self._transport

    def prepare(self) -> None:
        """Get ready for the first call, in the background: what it needs is loaded, and a connection opened."""
        if self._background is None and self._app is None:
            self._background = asyncio.create_task(self._keep_ready())

    async def _keep_ready(self) -> None:
        await anyio.to_thread.run_sync(import_module, "phone_number_mcp.upstream.connections")
        try:
            await self.connect()
        except ToolError as error:
            log.debug("no connection ahead of the first call: %s", error.code)
        while True:
            await anyio.sleep(CLEANING_SECONDS)
            if self._connections is not None:
                self._connections.close_unused()

    async def connect(self) -> None:
        """Open a connection for the first request to come.

        Raises:
            Unreachable: That is not possible; the message says why.
            TimedOut: It took too long.
        """
        import httpx  # the first reply to a client needs no HTTP

        started = time.perf_counter()
        if self._transport is None:
            self._open()
        if self._connections is None:
            return
        try:
            with anyio.fail_after(self._timeout):
                await self._connections.open()
        except (httpx.HTTPError, OSError, UnicodeError) as error:
            raise self._lost(error, sent=False, seconds=time.perf_counter() - started) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close the connections."""
        if self._background is not None:
            self._background.cancel()
            with suppress(asyncio.CancelledError):
                await self._background
        if self._transport is not None:
            await self._transport.aclose()
            self._transport = self._connections = None


_USER_AGENT = f"phone-number-mcp/{__version__}"
_DISCONNECTED = ("Server disconnected", "peer closed connection")
"""How httpx begins to say that the other side hung up; else the answer itself is at fault."""
