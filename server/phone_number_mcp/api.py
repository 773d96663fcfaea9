"""One HTTP exchange with a platform: a request goes out once, and cleaned JSON or an exception of `errors.py` comes back.

The only module that speaks HTTP. It knows nothing of any platform: `Api` is given where to send, how to authorize and
how to read a reply.
"""

from __future__ import annotations

import json
import logging
import math
import time
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import anyio

from phone_number_mcp import __version__
from phone_number_mcp.errors import InvalidReply, TimedOut, Unreachable

if TYPE_CHECKING:
    import httpx

    from phone_number_mcp.text import Sanitizer

MAX_REPLY_BYTES = 1024 * 1024
"""Of one reply's body, after decompression. A phone number takes about 1 KB, a page of fifty 50 KB."""
MAX_TEXT = 10_000
"""Characters of one text in a reply."""
MAX_DEPTH = 32
"""Levels of nesting in a reply. The documented ones have five."""

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
ASGIApp = Callable[[Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A platform's answer, read safely but not judged.

    Args:
        status: The HTTP status.
        body: The JSON, cleaned; None where there is none.
        unreadable: Why there is no JSON where some was due; None if it was read, or if the body is empty.
        retry_after_seconds: As the platform said, if it did.
        request_id: The platform's name for this exchange, if it gave one.
    """

    status: int
    body: Any
    unreadable: str | None = None
    retry_after_seconds: float | None = None
    request_id: str | None = None


class Api:
    """The way to one platform. The connection is opened on first use.

    Args:
        base_url: Scheme, host and port, and a path if the platform is behind one.
        authorize: Returns the headers that carry the credentials, or raises `NotConfigured`.
        decipher: Returns the data of a reply, or raises what the platform means by it.
        timeout: Seconds that one call may take, from the look-up of the host to the last byte of the last answer.
        sanitize: Applied to every text that comes back.
        app: A platform in this process, reached instead of the network.
    """

    def __init__(  # noqa: PLR0913  (each is one fact about the platform, given by keyword once)
        self,
        *,
        base_url: str,
        authorize: Callable[[], Mapping[str, str]],
        decipher: Callable[[Reply], Any],
        timeout: float,
        sanitize: Sanitizer,
        app: ASGIApp | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._authorize = authorize
        self.decipher = decipher
        self._timeout = timeout
        self._sanitize = sanitize
        self._app = app
        self._client: httpx.AsyncClient | None = None

    def call(self) -> Call:
        """Return what one tool call reaches the platform with; its time starts now."""
        return Call(self, anyio.current_time() + self._timeout)

    async def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | int] | None,
        body: Mapping[str, Any] | None,
        deadline: float,
    ) -> Reply:
        """Send one request, once, and return the answer as it was read, whatever its status."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", **self._authorize()}
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        import httpx  # noqa: PLC0415  (the first reply to a client needs no HTTP)

        client = self._client or self._open()
        started = time.perf_counter()
        sent = self._app is not None  # in this process, a request arrives as soon as it is made

        async def trace(event: str, _info: Any) -> None:
            nonlocal sent
            sent = sent or event.endswith(".send_request_headers.started")

        try:
            with anyio.fail_after(deadline - anyio.current_time()):
                async with client.stream(
                    method,
                    self._base_url + path,
                    params=query,
                    headers=headers,
                    content=content,
                    extensions={"trace": trace},
                ) as response:
                    raw, problem = await _read(response)
        except TimeoutError as error:
            log.debug("%s %s: no answer in time", method, path)
            raise TimedOut(
                f"No whole answer from the platform within the {self._timeout:g} s of a call",
                outcome="unknown" if sent else "not_applied",
            ) from error
        except (httpx.TransportError, OSError) as error:
            log.debug("%s %s: %s", method, path, type(error).__name__)
            if sent:
                raise Unreachable(
                    "The connection broke before the platform's answer was whole", outcome="unknown"
                ) from error
            reason = self._sanitize(str(error), 200) or type(error).__name__
            raise Unreachable(
                f"No connection to {self._base_url}: {reason}. Nothing was sent", outcome="not_applied"
            ) from error
        log.debug("%s %s: %d, %d bytes, %.0f ms", method, path, response.status_code, len(raw), _since(started))
        parsed = None
        if problem is None and raw:
            try:
                parsed = self._clean(json.loads(raw.decode("utf-8-sig", "replace"), parse_constant=_no_constant), 0)
            except (ValueError, RecursionError) as error:
                problem = str(error) if isinstance(error, _UnreadableError) else "it is not JSON"
        return Reply(
            status=response.status_code,
            body=parsed,
            unreadable=problem,
            retry_after_seconds=_retry_after(response.headers.get("retry-after")),
            request_id=self._sanitize(response.headers.get("x-request-id", ""), 200) or None,
        )

    def _open(self) -> httpx.AsyncClient:
        import httpx  # noqa: PLC0415  (the first reply to a client needs no HTTP)

        self._client = client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self._app) if self._app is not None else None,
            headers={"User-Agent": f"phone-number-mcp/{__version__}"},
            timeout=None,  # noqa: S113  (`fail_after` is the deadline: httpx's own are per read, and a drip never meets them)
            follow_redirects=False,
            trust_env=False,  # a proxy from the environment would see the credentials of a plain-http address
        )
        return client

    def _clean(self, value: Any, depth: int) -> Any:
        if isinstance(value, str):
            return self._sanitize(value, MAX_TEXT)
        if isinstance(value, dict):
            _check_depth(depth)
            return {self._sanitize(key, MAX_TEXT): self._clean(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            _check_depth(depth)
            return [self._clean(item, depth + 1) for item in value]
        if isinstance(value, float) and not math.isfinite(value):  # 1e999
            raise _UnreadableError("it holds a number that is out of range")
        if isinstance(value, int) and not -(2**63) <= value < 2**64:
            raise _UnreadableError("it holds a number that is out of range")
        return value

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call's use of a platform: however many exchanges it takes, they share one deadline.

    Made by `Api.call`.
    """

    _api: Api
    _deadline: float

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Any:
        """Send one request, once, and return the data of its reply.

        Args:
            method: The HTTP method.
            path: Starting with `/`, its parts already percent-encoded.
            query: The query parameters.
            body: Sent as JSON.

        Raises:
            NotConfigured: There are no credentials; nothing was sent.
            Unreachable: No connection (`outcome` is `not_applied`), or one that broke (`unknown`).
            TimedOut: No whole answer in time.
            InvalidReply: A redirect, or an answer that is not readable as JSON.
            ToolError: What the platform's answer means, as `decipher` says.
        """
        reply = await self._api.send(method, path, query, body, self._deadline)
        if 300 <= reply.status < 400:  # noqa: PLR2004  (RFC 9110, section 15.4: redirection)
            # Following it would hand the credentials to another host.
            raise InvalidReply(
                f"The platform answered with a redirect ({reply.status}), which is never followed",
                http_status=reply.status,
                hint="The base URL may be wrong. Tell the person who runs this server.",
            )
        return self._api.decipher(reply)


class _UnreadableError(ValueError):
    """JSON that parses but that no client should be shown."""


def _check_depth(depth: int) -> None:
    if depth >= MAX_DEPTH:
        raise _UnreadableError("it is nested too deeply")


def _no_constant(name: str) -> Any:
    raise _UnreadableError(f"it holds {name}, which is not JSON")


async def _read(response: httpx.Response) -> tuple[bytes, str | None]:
    """Return the body, decompressed, and why it could not be read, if so. Never holds more than the limit."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    inflate = None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        inflate = zlib.decompressobj(wbits=47)  # 32 + 15: the header tells gzip from zlib
    elif encoding != "identity":
        return b"", "it is in an encoding that was not asked for"
    body = bytearray()
    async for chunk in response.aiter_raw():
        if inflate is None:
            body += chunk
        else:
            try:
                body += inflate.decompress(chunk, MAX_REPLY_BYTES + 1 - len(body))
            except zlib.error:
                return b"", "its compression is broken"
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


def _since(started: float) -> float:
    return (time.perf_counter() - started) * 1000
