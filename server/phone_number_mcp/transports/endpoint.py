"""The ASGI application behind `/mcp`: one POST is one message, and its response is one JSON object.

It calls the SDK's `Server` for each request, in the request's own task. The SDK's session manager starts a connection, three
tasks and four streams for each, and answers with an event stream. Here the response becomes an event stream only when the
server has something to say before the reply: progress, where the client asked for it.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http
"""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.server.connection import Connection
from mcp.server.runner import modern_error_data, serve_one
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.exceptions import NoBackChannelError
from mcp.shared.inbound import (
    ERROR_CODE_HTTP_STATUS,
    MCP_PROTOCOL_VERSION_HEADER,
    InboundLadderRejection,
    classify_inbound_request,
    find_duplicated_routing_header,
)
from mcp.shared.jsonrpc_dispatcher import progress_token_from_params
from mcp.shared.message import ServerMessageMetadata
from mcp.shared.transport_context import TransportContext
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request

from phone_number_mcp.transports import AfterResponse
from phone_number_mcp.transports.codec import MAX_LINE_BYTES, RefusedError, parse, too_long

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mcp.server.lowlevel import Server
    from mcp.shared.dispatcher import CallOptions
    from starlette.types import Receive, Scope, Send

JSON = "application/json"
EVENTS = "text/event-stream"
WATCH_AFTER_SECONDS = 1.0
"""A request that takes longer is cancelled if its client hangs up. Watching costs a task, so short requests go without."""

log = logging.getLogger(__name__)


class Endpoint:
    """Answers the messages of clients, of both protocol eras, each on its own: there are no sessions.

    Args:
        server: What to call.
        lifespan_state: What the server's lifespan yielded.
        hosts: The names, or bracketed addresses, by which clients may call this server: any other is DNS rebinding.
    """

    def __init__(self, server: Server[Any], lifespan_state: Any, hosts: Sequence[str]) -> None:
        self._server = server
        self._lifespan_state = lifespan_state
        self._security = TransportSecurityMiddleware(
            TransportSecuritySettings(
                enable_dns_rebinding_protection=True,
                allowed_hosts=[each for host in hosts for each in (host, f"{host}:*")],
                allowed_origins=[each for host in hosts for each in (f"http://{host}", f"http://{host}:*")],
            )
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request, as ASGI has it."""
        forbidden = await self._security.validate_request(Request(scope))
        if forbidden is not None:
            await forbidden(scope, receive, send)
            return
        try:
            await self._post(scope, receive, send)
        except _HttpError as error:
            log.debug("refused a request: %s", error)
            await _send_json(send, error.status, _error(None, types.INVALID_REQUEST, str(error)), error.headers)
        except RefusedError as refused:
            log.debug("refused a message: %s", refused)
            status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if isinstance(refused, _TooLongError) else 400
            content = refused.error.model_dump(by_alias=True, exclude_unset=True)
            await _send_json(send, status, content)

    async def _post(self, scope: Scope, receive: Receive, send: Send) -> None:
        # uvicorn's parsers differ in whether they cut the spaces around a value.
        headers = Headers(raw=[(name, value.strip()) for name, value in scope["headers"]])
        streams = _check_headers(scope["method"], headers)
        body = await _body(receive)
        if body is None:  # the client has gone
            return
        if len(body) > MAX_LINE_BYTES:
            raise _TooLongError
        message = parse(body)
        if not isinstance(message, types.JSONRPCRequest):
            # Nothing is under way that a notification could be about: a client cancels by hanging up.
            await _send(send, HTTPStatus.ACCEPTED, [(b"content-length", b"0")], b"")
            return
        connection = _connection(message, headers)
        if isinstance(connection, InboundLadderRejection):
            content = _error(message.id, connection.code, connection.message, connection.data)
            await _send_json(send, ERROR_CODE_HTTP_STATUS[connection.code], content)
            return
        exchange = _Exchange(send, message, headers, streams=streams)
        with _cancelled_by_hang_up(receive):
            content = await self._serve(exchange, message, connection)
            modern = connection.protocol_version in MODERN_PROTOCOL_VERSIONS
            status = ERROR_CODE_HTTP_STATUS.get(content["error"]["code"], 200) if modern and "error" in content else 200
            delivered = not exchange.after_response or not await _is_gone(receive)
            await exchange.finish(status, content)
            if delivered:
                exchange.after_response.run()

    async def _serve(
        self, exchange: _Exchange, message: types.JSONRPCRequest, connection: Connection
    ) -> dict[str, Any]:
        """Return the response to a request, as JSON."""
        try:
            result = await serve_one(
                self._server,
                exchange,
                message.method,
                message.params,
                connection=connection,
                lifespan_state=self._lifespan_state,
            )
        except Exception as error:  # noqa: BLE001  (the SDK logs what it does not know)
            data = modern_error_data(error)
            return _error(message.id, data.code, data.message, data.data)
        return {"jsonrpc": "2.0", "id": message.id, "result": result}


# --- what is refused --------------------------------------------------------------------------------------------------


class _HttpError(Exception):
    """A request that is refused for its method or its headers; the message says what is expected."""

    def __init__(self, status: HTTPStatus, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{status.phrase}: {message}")
        self.status = status
        self.headers = headers or {}


class _TooLongError(RefusedError):
    def __init__(self) -> None:
        error = too_long().error.error
        super().__init__(error.code, error.message)


def _check_headers(method: str, headers: Headers) -> bool:
    """Return whether the client accepts an event stream.

    Raises:
        _HttpError: The request is no POST of JSON by a client that accepts JSON.
    """
    if method != "POST":
        raise _HttpError(
            HTTPStatus.METHOD_NOT_ALLOWED,
            "this server has no sessions and no streams; send each message with POST",
            {"allow": "POST"},
        )
    given = headers.get("content-type", "")
    if given.partition(";")[0].strip().lower() != JSON:
        raise _HttpError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"send the header Content-Type: {JSON}")
    accepted = {each.partition(";")[0].strip().lower() for each in headers.get("accept", "*/*").split(",")}
    if accepted.isdisjoint((JSON, "application/*", "*/*")):
        raise _HttpError(HTTPStatus.NOT_ACCEPTABLE, f"send the header Accept: {JSON}, {EVENTS}")
    return not accepted.isdisjoint((EVENTS, "text/*", "*/*"))


def _connection(message: types.JSONRPCRequest, headers: Headers) -> Connection | InboundLadderRejection:
    """Return the connection that a request would have been the first of, or why there is none.

    Up to 2025-11-25 the header says which version a client negotiated; without it, it is the SDK's default. In 2026-07-28
    header and body say it, and who asks.
    """
    version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
    params = message.params or {}
    if version in HANDSHAKE_PROTOCOL_VERSIONS or (version is None and not _has_envelope(params)):
        return Connection.from_envelope(version or types.DEFAULT_NEGOTIATED_VERSION, None, None)
    if version is not None and version not in MODERN_PROTOCOL_VERSIONS:
        known = ", ".join((*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS))
        return InboundLadderRejection(
            types.UNSUPPORTED_PROTOCOL_VERSION,
            f"Unsupported protocol version in the header MCP-Protocol-Version. Supported are {known}",
            {"supported": list(MODERN_PROTOCOL_VERSIONS), "requested": version},  # as server/discover lists them
        )
    if twice := find_duplicated_routing_header(headers.items()):
        return InboundLadderRejection(types.HEADER_MISMATCH, f"the header {twice} appears more than once")
    body = {"method": message.method, "params": params}
    route = classify_inbound_request(body, headers=headers)
    if isinstance(route, InboundLadderRejection):
        return route
    return Connection.from_envelope(route.protocol_version, route.client_info, route.client_capabilities)


def _has_envelope(params: Mapping[str, Any]) -> bool:
    meta = params.get("_meta")
    return isinstance(meta, dict) and types.PROTOCOL_VERSION_META_KEY in meta


def _error(id_: types.RequestId | None, code: int, message: str, data: Any = None) -> dict[str, Any]:
    error = {"code": code, "message": message} | ({} if data is None else {"data": data})
    return {"jsonrpc": "2.0", "id": id_, "error": error}


# --- one exchange -----------------------------------------------------------------------------------------------------


@dataclass
class _Exchange:
    """A request and its response, as the SDK's `DispatchContext`: what it says before the reply is sent as an event."""

    _send: Send
    _request: types.JSONRPCRequest
    _headers: Headers
    streams: bool = field(kw_only=True)
    """The client accepts an event stream."""
    after_response: AfterResponse = field(default_factory=AfterResponse)
    _streaming: bool = False

    can_send_request = False

    @property
    def request_id(self) -> types.RequestId:
        return self._request.id

    @cached_property
    def transport(self) -> TransportContext:
        return TransportContext(kind="streamable-http", can_send_request=False, headers=self._headers)

    @cached_property
    def message_metadata(self) -> ServerMessageMetadata:
        return ServerMessageMetadata(request_context=self.after_response)

    @cached_property
    def cancel_requested(self) -> anyio.Event:
        return anyio.Event()

    async def send_raw_request(
        self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None
    ) -> dict[str, Any]:
        del params, opts  # the client's answer would have nowhere to go
        raise NoBackChannelError(method)

    async def notify(self, method: str, params: Mapping[str, Any] | None, opts: CallOptions | None = None) -> None:
        del opts  # none applies to a notification
        if self.streams:
            message = {"jsonrpc": "2.0", "method": method} | ({} if params is None else {"params": params})
            await self._event(message, more=True)

    async def progress(self, progress: float, total: float | None = None, message: str | None = None) -> None:
        token = progress_token_from_params(self._request.params)
        if token is not None:
            params = {"progressToken": token, "progress": progress, "total": total, "message": message}
            await self.notify(
                "notifications/progress", {name: each for name, each in params.items() if each is not None}
            )

    async def finish(self, status: int, response: Mapping[str, Any]) -> None:
        """Send the response: as JSON, or as the last event if there were others."""
        if self._streaming:
            await self._event(response, more=False)
        else:
            await _send_json(self._send, status, response)

    async def _event(self, message: Mapping[str, Any], *, more: bool) -> None:
        if not self._streaming:
            self._streaming = True
            headers = {"content-type": EVENTS, "cache-control": "no-cache, no-transform", "x-accel-buffering": "no"}
            await self._send({"type": "http.response.start", "status": 200, "headers": _encoded(headers)})
        event = b"event: message\r\ndata: %b\r\n\r\n" % _json(message)
        await self._send({"type": "http.response.body", "body": event, "more_body": more})


def _json(content: Mapping[str, Any]) -> bytes:
    # ASCII: half a surrogate pair, in whatever text it came, cannot be encoded otherwise.
    return json.dumps(content, separators=(",", ":")).encode()


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]


async def _send_json(
    send: Send, status: int, content: Mapping[str, Any], headers: Mapping[str, str] | None = None
) -> None:
    body = _json(content)
    encoded = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *_encoded(headers or {})]
    await _send(send, status, encoded, body)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


# --- the client's end -------------------------------------------------------------------------------------------------


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


async def _is_gone(receive: Receive) -> bool:
    """Return whether the client has hung up already."""
    with anyio.move_on_after(0):
        while (await receive())["type"] != "http.disconnect":
            pass
        return True
    return False


@contextmanager
def _cancelled_by_hang_up(receive: Receive) -> Iterator[None]:
    """Cancel what runs inside once the client has hung up, if it takes longer than `WATCH_AFTER_SECONDS`."""
    loop = asyncio.get_running_loop()
    watches: list[asyncio.Task[None]] = []
    with anyio.CancelScope() as scope:

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            scope.cancel()

        timer = loop.call_later(WATCH_AFTER_SECONDS, lambda: watches.append(loop.create_task(watch())))
        try:
            yield
        finally:
            timer.cancel()
            for each in watches:
                each.cancel()
