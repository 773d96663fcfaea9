"""One HTTP exchange with a platform: a request goes out once, and JSON or an exception of `errors.py` comes back.

The only module that speaks HTTP. It knows nothing of any platform: `Api` is given where to send, how to authorize and
how to read a reply. Replies and errors hold texts as they arrived: `app.py` cleans what a client is shown.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import random
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from phone_number_mcp import __version__
from phone_number_mcp.errors import InvalidReply, PlatformError, RateLimited, TimedOut, ToolError, Unreachable

if TYPE_CHECKING:
    import httpx
    import tenacity

    from phone_number_mcp.upstream.connections import Connections

MAX_REPLY_BYTES = 1024 * 1024
"""Of one reply's body, after decompression. A phone number takes about 1 KB, a page of fifty 50 KB."""
MAX_TEXT = 10_000
"""Characters of one text in a reply, as a client is shown it."""
CLEANING_SECONDS = 30.0
"""How often connections that nobody uses are looked for."""
MAX_DEPTH = 32
"""Levels of nesting in a reply. The documented ones have five."""

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
ASGIApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A platform's answer, read safely but not judged.

    Args:
        method: Of the request.
        status: The HTTP status.
        body: The JSON as it arrived, with texts that may hold anything; None where there is none.
        unreadable: Why there is no JSON where some was due; None if it was read, or if the body is empty.
        retry_after_seconds: As the platform said, if it did.
        request_id: The platform's name for this exchange, if it gave one.
        date: When it answered, by its own clock: the header as it was sent.
    """

    method: str
    status: int
    body: Any
    unreadable: str | None = None
    retry_after_seconds: float | None = None
    request_id: str | None = None
    date: str | None = None

    def refusal(self, meaning: type[ToolError], message: str, detail: str = "") -> ToolError:
        """Return the error that this answer is.

        Args:
            meaning: What the platform means by it.
            message: The platform's own words; where it gave none, the status has to do.
            detail: What more it said.
        """
        if not message:
            why = f", and its text cannot be read: {self.unreadable}" if self.unreadable else ""
            message = f"The platform answered {self.status}{why}"
        return meaning(
            message,
            detail=detail or None,
            # A proxy says 408 also of a request that it had passed on (RFC 9110, section 15.5.9).
            outcome="unknown" if self.status == 408 else None,  # noqa: PLR2004
            http_status=self.status,
            retry_after_seconds=self.retry_after_seconds,
            request_id=self.request_id,
        )

    def invalid(self, reason: str) -> InvalidReply:
        """Return the error that this answer is if it should be a success but cannot be read."""
        reason = self.unreadable or reason
        return InvalidReply(f"The platform's answer cannot be read: {reason}", http_status=self.status)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: the path starts with `/` and is percent-encoded already; the body goes as JSON."""

    method: str
    path: str
    query: Mapping[str, str | int] | None = None
    body: Mapping[str, Any] | None = None
    changes: bool = False
    """It is a write: it goes out once, and not any more once the server is ending."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose call it is: credentials belong to a call, not to the process.

    Args:
        headers: Carry the credentials.
        credentials: The values, in the platform's order.
    """

    headers: Mapping[str, str] = field(repr=False)
    credentials: tuple[str, ...] = field(repr=False)


class Api:
    """The way to one platform. The connection is opened on first use.

    Args:
        base_url: Scheme, host and port, and a path if the platform is behind one.
        decipher: Returns the data of a reply, or raises what the platform means by it.
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
        app: ASGIApp | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self.decipher = decipher
        self._timeout = timeout
        self._app = app
        self._transport = transport
        self._connections: Connections | None = None
        self._url: httpx.URL | None = None
        """The base URL, where the rest of an address is given as the target: that saves reading it anew for each request."""
        self._prefix = ""
        self._background: asyncio.Task[None] | None = None
        self.ending = False
        """The server is ending: what changes something is not sent any more."""
        self.last: Reply | None = None
        """The latest answer, for whoever wants to know more of it than what it means."""

    def call(self, account: Account, progress: Progress | None = None) -> Call:
        """Return what one tool call reaches the platform with; its time starts now.

        Args:
            account: Whose call it is.
            progress: Is told before each further try.
        """
        now = anyio.current_time()
        return Call(self, account, now, now + self._timeout, progress)

    async def send(self, request: Request, account: Account, deadline: float, trail: Trail) -> Reply:
        """Send a request, once, and return the answer as it was read, whatever its status.

        Args:
            request: What to send.
            account: Whose request it is.
            deadline: On the event loop's clock, in seconds.
            trail: Notes what left.
        """
        import httpx  # noqa: PLC0415  (the first reply to a client needs no HTTP)

        headers = {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": _USER_AGENT,
            **account.headers,
        }
        content = None
        if request.body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(request.body, ensure_ascii=False, separators=(",", ":")).encode()
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
            if request.changes:
                if self.ending:
                    raise ended()
                trail.write_sent = True
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
                    raw, problem = await _read(response)
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
                body = _parse(raw)
            except _UnreadableError as error:
                problem = str(error)
        self.last = Reply(
            method=request.method,
            status=response.status_code,
            body=body,
            unreadable=problem,
            retry_after_seconds=_retry_after(response.headers.get("retry-after")),
            request_id=response.headers.get("x-request-id") or None,
            date=response.headers.get("date"),
        )
        return self.last

    def _lost(self, error: Exception, *, sent: bool, seconds: float) -> ToolError:
        """Return what it means that there is no whole answer."""
        import httpx  # noqa: PLC0415

        if isinstance(error, TimeoutError):
            message = f"No whole answer from the platform within {seconds:.1f} s"
            return TimedOut(message, outcome="unknown" if sent else "not_applied")
        if isinstance(error, httpx.RemoteProtocolError) and not str(error).startswith(_DISCONNECTED):
            return InvalidReply("The platform's answer is not HTTP as it should be")
        if sent:
            return Unreachable("The connection broke before the platform's answer was whole", outcome="unknown")
        reason = str(error) or type(error).__name__
        return Unreachable(f"No connection to {self._base_url}: {reason}. Nothing was sent", outcome="not_applied")

    def _open(self) -> httpx.AsyncBaseTransport:
        import httpx  # noqa: PLC0415  (the first reply to a client needs no HTTP)

        if self._app is not None:
            self._transport = httpx.ASGITransport(app=self._app)
        else:
            from phone_number_mcp.upstream.connections import Connections  # noqa: PLC0415  (the same)

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
        import httpx  # noqa: PLC0415  (the first reply to a client needs no HTTP)

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


def ended() -> Unreachable:
    """Return what it means that the server is ending."""
    return Unreachable(
        "The server is ending, so nothing was sent",
        outcome="not_applied",
        hint="Nothing was sent. Call again when the server is there again.",
    )


@dataclass(slots=True)
class Trail:
    """What a call has left at the platform."""

    write_sent: bool = False
    """Something that changes something was sent."""


Progress = Callable[[int, str], Awaitable[None]]
"""Tells whoever waits how it goes: which try is next, and a sentence."""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call's use of a platform: however many exchanges it takes, they share one deadline. Made by `Api.call`."""

    _api: Api
    _account: Account
    _started: float
    _deadline: float
    _progress: Progress | None = None
    trail: Trail = field(default_factory=Trail)

    def within(self, share: float) -> Call:
        """Return the same call with a share of the time that is left."""
        now = anyio.current_time()
        return replace(self, _deadline=now + (self._deadline - now) * share)

    @property
    def remaining(self) -> float:
        """The seconds that are left."""
        return max(0.001, self._deadline - anyio.current_time())

    def deadline_after(self, share: float) -> float:
        """Return when a share of the call's whole time is over, on the event loop's clock."""
        return self._started + (self._deadline - self._started) * share

    async def sleep(self, seconds: float) -> None:
        """Wait, but never for more than half of the time that is left."""
        await anyio.sleep(max(0, min(seconds, (self._deadline - anyio.current_time()) / 2)))

    async def read(self, path: str, query: Mapping[str, str | int] | None = None, *, post: bool = False) -> Any:
        """Ask for something, and return the data of the answer. It is asked up to three times, as the time allows.

        Args:
            path: Starting with `/`, its parts already percent-encoded.
            query: The query parameters.
            post: The platform wants this question as a POST.

        Raises:
            NotConfigured: There are no credentials; nothing was sent.
            Unreachable: No connection, or one that broke.
            TimedOut: No whole answer in time.
            InvalidReply: A redirect, or an answer that cannot be read.
            ToolError: What the platform's answer means, as `decipher` says.
        """
        request = Request("POST" if post else "GET", path, query, {} if post else None)
        return await self._repeated(request, _may_pass)

    async def write(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Change something, and return the data of the answer.

        The request goes out once. It is repeated only if no byte of it left.

        Args:
            method: POST, PATCH or DELETE.
            path: Starting with `/`, its parts already percent-encoded.
            body: Sent as JSON.

        Raises:
            ToolError: As `read` raises it; `write_outcome` says whether the write took effect, as far as that is known.
        """
        return await self._repeated(Request(method, path, None, body, changes=True), _was_never_sent)

    async def _repeated(self, request: Request, again: Callable[[BaseException], bool]) -> Any:
        try:
            return await self._exchange(request)
        except ToolError as error:
            if self._api.ending or not again(error):
                raise
            first: ToolError | None = error

        import tenacity  # noqa: PLC0415  (25 ms that only trouble costs)

        async def attempt() -> Any:
            nonlocal first
            if first is not None:  # the try that has been made already
                failed, first = first, None
                raise failed
            return await self._exchange(request)

        async def tell(state: tenacity.RetryCallState) -> None:
            failed = state.outcome.exception() if state.outcome else None
            if self._progress is not None and isinstance(failed, ToolError):
                number = state.attempt_number + 1
                why = failed.facts.get("http_status") or failed.code
                await self._progress(number, f"waiting {state.upcoming_sleep:.1f} s: {why}, try {number} of {TRIES}")

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(TRIES) | tenacity.stop_before_delay(self._deadline - anyio.current_time()),
            wait=_wait,
            retry=tenacity.retry_if_exception(again),
            before_sleep=tell,
            sleep=anyio.sleep,
            reraise=True,
        )
        return await retrying(attempt)

    async def _exchange(self, request: Request) -> Any:
        reply = await self._api.send(request, self._account, self._deadline, self.trail)
        if 300 <= reply.status < 400:  # noqa: PLR2004  (RFC 9110, section 15.4: redirection)
            # Following it would hand the credentials to another host.
            raise InvalidReply(
                f"The platform answered with a redirect ({reply.status}), which is never followed",
                http_status=reply.status,
                hint="The base URL may be wrong. Tell the person who runs this server.",
            )
        return self._api.decipher(reply)


_USER_AGENT = f"phone-number-mcp/{__version__}"
_DISCONNECTED = ("Server disconnected", "peer closed connection")
"""How httpx begins to say that the other side hung up; else the answer itself is at fault."""
TRIES = 3
_FIRST_WAIT = 0.5  # seconds; doubled for each further try
_PASSING = {429, 500, 502, 503, 504}


def _may_pass(error: BaseException) -> bool:
    """Return whether a question is worth asking again: what went wrong may be over in a moment."""
    if isinstance(error, Unreachable):
        return True
    return isinstance(error, RateLimited | PlatformError) and error.facts.get("http_status") in _PASSING


def _was_never_sent(error: BaseException) -> bool:
    return isinstance(error, Unreachable) and error.write_outcome == "not_applied"


def _wait(state: tenacity.RetryCallState) -> float:
    """Return the seconds to wait before the next try: what the platform said, or full jitter.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter: between nothing and a limit that doubles.
    """
    failed = state.outcome.exception() if state.outcome else None
    said = failed.facts.get("retry_after_seconds") if isinstance(failed, ToolError) else None
    limit = _FIRST_WAIT * 2 ** (state.attempt_number - 1)
    return said if said is not None else random.uniform(0, limit)  # noqa: S311  (no secret depends on it)


# --- reading an answer ------------------------------------------------------------------------------------------------


class _UnreadableError(Exception):
    """An answer that no client should be shown; the message says why."""


def _parse(raw: bytes) -> Any:
    """Return the JSON of a body, as it arrived.

    Raises:
        _UnreadableError: It is no JSON, or JSON that would trouble whoever reads it next.
    """
    try:
        value = json.loads(raw.decode("utf-8-sig", "replace"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise _UnreadableError("it is not JSON") from None
    _check(value, MAX_DEPTH)
    return value


def _no_constant(name: str) -> Any:
    raise _UnreadableError(f"it holds {name}, which is not JSON")


def _check(value: Any, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth == 0:
            raise _UnreadableError("it is nested too deeply")
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth - 1)
    elif (isinstance(value, float) and not math.isfinite(value)) or (
        isinstance(value, int) and not -(2**63) <= value < 2**64
    ):  # 1e999
        raise _UnreadableError("it holds a number that is out of range")


async def _read(response: httpx.Response) -> tuple[bytes, str | None]:
    """Return the body, decompressed, and why it could not be read, if so. Never holds more than the limit."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    inflate = None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        inflate = zlib.decompressobj(wbits=47)  # 32 + 15: the header tells gzip from zlib
    elif encoding != "identity":
        return b"", "it is in an encoding that was not asked for"
    body = bytearray()
    async for chunk in response.stream:  # type: ignore[union-attr]  # an asynchronous transport's
        if inflate is None:
            body += chunk
        else:
            try:
                body += inflate.decompress(chunk, MAX_REPLY_BYTES + 1 - len(body))
            except zlib.error:
                return b"", "its compression is broken"
            if inflate.eof and len(body) <= MAX_REPLY_BYTES:
                break  # whatever comes behind is no part of it
        if len(body) > MAX_REPLY_BYTES:
            return b"", f"it is larger than {MAX_REPLY_BYTES // 1024} KiB"
    if inflate is not None and not inflate.eof:
        return b"", "its compression is broken"
    return bytes(body), None


def _retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3): a number, or an HTTP date."""
    if value is None:
        return None
    if value.strip().isdecimal() and value.isascii():
        return min(float(value), 86_400.0)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415  (rare)

    try:
        when = parsedate_to_datetime(value)
        return min(max(0.0, round(when.timestamp() - time.time(), 1)), 86_400.0)
    except (ValueError, TypeError, OverflowError):
        return None
