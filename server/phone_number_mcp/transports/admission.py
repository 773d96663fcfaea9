"""Admission and flow control of stdio: the SDK's two streams, and the limits on what is read and started.

A request is accepted (parsed, and its id noted), then queued, then running once the SDK has it, until its response is written.
While too many are accepted, or the client does not read its replies, nothing more is read: the client's pipe fills up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Self

import anyio
import mcp_types as types
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import ServerMessageMetadata, SessionMessage

from phone_number_mcp.transports import AfterResponse
from phone_number_mcp.transports.codec import LineBuffer, RefusedError, RequestId, encode, invalid_request, parse
from phone_number_mcp.transports.pipes import Sink, Source

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_RUNNING = 256
"""Requests that run at the same time; more are queued."""
MAX_ACCEPTED = 2_048
"""Requests without a response, queued ones included; more stay in the pipe."""
MAX_ACCEPTED_BYTES = 8 * 1024 * 1024
"""Total size of the lines of those requests."""
MAX_UNPARSED_BYTES = 256 * 1024
"""Bytes read but not parsed yet; above this, reading pauses."""
MAX_UNREAD_BYTES = 64 * 1024
"""Bytes of replies that the client has not read yet; above this, no request is started."""
GRACE_SECONDS = 2.0
"""Time that requests have to finish after the end of stdin. Clients kill the server after two seconds."""
STALLED_SECONDS = 1.0
"""After the end of stdin, a client that reads nothing for this long is taken to be gone."""
NO_PROGRESS_SECONDS = 3.0
"""Time without any response after which requests above the limits are refused, so that the lines behind them are read."""

_POLL_SECONDS = 0.2
"""Interval between checks whether the client is still there while it is not read from: no event reports its end then."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Accepted:
    """A request without a response."""

    id: RequestId
    size: int
    """Of its line, in bytes."""
    after_response: AfterResponse = field(default_factory=AfterResponse)


class ReadStream:
    """The SDK's read stream: the client's messages, checked, and at most as many requests as the limits allow.

    Args:
        fd: The descriptor to read.
        replies: The write stream to the same client.
    """

    def __init__(self, fd: int, replies: WriteStream) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines = LineBuffer()
        self._replies = replies
        self._accepted: dict[RequestId, _Accepted] = {}
        """By id. "7" and 7 are one id, because the SDK treats them as one when a request is cancelled."""
        self._accepted_bytes = 0
        self._queued: deque[types.JSONRPCRequest] = deque()
        self._wakeup: asyncio.Future[None] | None = None
        self._full = False
        """The limits are reached, so no further line is parsed."""
        self._progress_at = self._loop.time()
        self._accepting = True
        self._stopped = False
        self._ends_at: float | None = None
        replies.on_change = self._wake
        replies.on_response = self._release
        replies.on_close = self._refuse_unanswered
        self._source = Source(fd, self._feed)

    def stop_accepting(self) -> None:
        """Stop accepting requests; let in-flight ones finish."""
        self._accepting = False
        self._wake()

    def stop(self) -> None:
        """End the stream now; in-flight requests are not waited for."""
        self._stopped = True
        self._replies.stop()
        self._wake()

    async def receive(self) -> SessionMessage:
        """Return the next message for the SDK.

        Raises:
            EndOfStream: The client has closed stdin or stdout, or `stop` was called.
        """
        while not self._ended():
            message = self._next()
            if message is not None:
                return message
            await self._wait_for_change()
        self._refuse_remaining(self._source.read_rest())
        raise anyio.EndOfStream

    # --- waiting ---

    def _feed(self, chunk: bytes) -> None:
        self._lines.feed(chunk or b"\n")  # the last line may lack its newline
        if len(self._lines) > MAX_UNPARSED_BYTES:
            self._source.pause()
        self._wake()

    def _release(self, id_: RequestId) -> AfterResponse | None:
        """Remove a request that has its response; return its callbacks, or None if there is no such request."""
        request = self._accepted.pop(coerce_request_id(id_), None)
        if request is None:
            return None
        self._accepted_bytes -= request.size
        self._progress_at = self._loop.time()
        if self._queued or self._full or self._source.ended:
            self._wake()
        return request.after_response

    async def _release_unanswered(self, id_: RequestId) -> None:
        self._release(id_)

    def _wake(self) -> None:
        if self._wakeup is not None and not self._wakeup.done():
            self._wakeup.set_result(None)

    async def _wait_for_change(self) -> None:
        if self._ended():
            return
        self._wakeup = self._loop.create_future()
        poll = self._source.ended or not self._accepting or self._held_back()
        timer = self._loop.call_later(_POLL_SECONDS, self._wake) if poll else None
        try:
            await self._wakeup
        finally:
            if timer is not None:
                timer.cancel()

    def _ended(self) -> bool:
        if self._stopped or self._replies.broken:
            return True
        if not (self._source.ended or (self._held_back() and self._source.hung_up())):
            return False
        now = self._loop.time()
        if self._ends_at is None:
            self._ends_at = now + GRACE_SECONDS
        if now >= self._ends_at or self._replies.stalled_for(now) >= STALLED_SECONDS:
            return True
        return self._source.ended and not (self._accepted or self._lines)

    def _held_back(self) -> bool:
        """Return whether the client is not read from, so that the end of stdin would go unnoticed."""
        return self._full or self._replies.congested

    # --- admission ---

    def _next(self) -> SessionMessage | None:
        """Return the next message that the SDK may have now, or None."""
        if not self._accepting:
            self._refuse_remaining()
            return None
        while not self._replies.congested:
            if self._queued and len(self._accepted) - len(self._queued) < MAX_RUNNING:
                return self._start(self._queued.popleft())
            self._full = len(self._accepted) >= MAX_ACCEPTED or self._accepted_bytes >= MAX_ACCEPTED_BYTES
            if self._full and not self._makes_no_progress():
                return None
            try:
                line = self._lines.pop()
                if line is None:
                    self._source.resume()
                    return None
                message = self._accept(line)
            except RefusedError as refused:
                message = self._refuse(refused)
            if message is not None:
                return message
        return None

    def _accept(self, line: bytes) -> SessionMessage | None:
        """Queue a request; return any other message, which the SDK gets at once, or None if it is dealt with here."""
        message = parse(line)
        if isinstance(message, types.JSONRPCRequest):
            key = coerce_request_id(message.id)
            if key in self._accepted:
                # The refusal has no id: the client would take it for the response to the first request, perhaps a purchase.
                raise invalid_request("a request with this id is under way already")
            if self._full:
                raise RefusedError(types.CONNECTION_CLOSED, "Too many requests in flight: not started", message.id)
            self._accepted[key] = _Accepted(message.id, len(line))
            self._accepted_bytes += len(line)
            self._queued.append(message)
            return None
        return None if self._cancels_queued(message) else SessionMessage(message)

    def _start(self, request: types.JSONRPCRequest) -> SessionMessage:
        self._progress_at = self._loop.time()
        metadata = ServerMessageMetadata(
            request_context=self._accepted[coerce_request_id(request.id)].after_response,
            # The SDK sends no response to a request that the client cancelled; it calls this instead.
            on_request_unanswered=partial(self._release_unanswered, request.id),
        )
        return SessionMessage(request, metadata)

    def _cancels_queued(self, message: types.JSONRPCMessage) -> bool:
        """Remove the queued request that a notification cancels; return whether there was one."""
        if not isinstance(message, types.JSONRPCNotification) or message.method != "notifications/cancelled":
            return False
        id_ = (message.params or {}).get("requestId")
        for request in self._queued:
            if type(request.id) is type(id_) and request.id == id_:
                self._queued.remove(request)
                self._release(request.id)
                return True
        return False

    def _makes_no_progress(self) -> bool:
        """Return whether nothing was started or answered for `NO_PROGRESS_SECONDS`.

        Then the running requests may be waiting for answers of the client that stand behind unparsed requests.
        """
        return self._loop.time() - self._progress_at >= NO_PROGRESS_SECONDS

    # --- refusals ---

    def _refuse(self, refused: RefusedError) -> SessionMessage | None:
        """Send the client the reason why a line is refused; return what the SDK gets in its place.

        For a malformed answer to a request of the server's, that is an error with the same id, so that the request fails at
        once instead of at its timeout. The SDK ignores an answer that matches no request.
        """
        log.debug("refused a line: %s", refused)
        if refused.error.id is not None and coerce_request_id(refused.error.id) in self._accepted:
            refused.error.id = None
        self._replies.put(refused.error)
        if refused.answers is None:
            return None
        return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=refused.answers, error=refused.error.error))

    def _refuse_remaining(self, more: bytes = b"") -> None:
        """Refuse every request that was read but not started, those in `more` included."""
        self._lines.feed(more)
        while self._lines:
            try:
                line = self._lines.pop()
                if line is None:
                    break
                self._accept(line)
            except RefusedError as refused:
                self._refuse(refused)
        for request in self._queued:
            self._replies.put(_connection_closed(request.id, "Connection closed: the request was not started"))
        self._queued.clear()

    def _refuse_unanswered(self) -> None:
        """Answer requests whose handlers were cancelled at the end: the SDK may leave one without a response."""
        for request in list(self._accepted.values()):
            self._replies.put(_connection_closed(request.id, "Connection closed before the request was answered"))

    # --- the SDK's interface ---

    async def aclose(self) -> None:
        """Stop reading."""
        self._source.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


class WriteStream:
    """The SDK's write stream: replies, notifications and the server's own requests, as fast as the client reads them.

    Args:
        fd: The descriptor to write.
    """

    def __init__(self, fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = Sink(fd, self._progressed)
        self._stopped = False
        self._progress: asyncio.Future[None] | None = None
        self._stalled_since = 0.0
        self.on_change: Callable[[], None] = lambda: None
        """Called when the client has read something, or has closed its end."""
        self.on_response: Callable[[RequestId], AfterResponse | None] = lambda _id: None
        """Called with a request's id when its response is written; returns the callbacks to run once it is handed over."""
        self.on_close: Callable[[], None] = lambda: None
        """Called when the SDK closes the stream: no handler runs any more."""
        self._after_responses: list[AfterResponse] = []
        """Callbacks of responses that are written, but not handed over yet."""

    @property
    def congested(self) -> bool:
        """Whether more than `MAX_UNREAD_BYTES` wait for the client to read."""
        return self._sink.pending > MAX_UNREAD_BYTES

    @property
    def broken(self) -> bool:
        """Whether the client has closed its end."""
        return self._sink.broken

    def stalled_for(self, now: float) -> float:
        """Return for how many seconds the client has read nothing, although there was something to read."""
        return now - self._stalled_since if self._sink.pending else 0.0

    async def send(self, item: SessionMessage) -> None:
        """Write a message once the stream is no longer congested.

        Raises:
            BrokenResourceError: The client has closed its end, or the stream was stopped while congested.
        """
        while self.congested and not self._stopped:
            await self._wait_for_progress()
        if self.broken or self.congested:
            raise anyio.BrokenResourceError
        self.put(item.message)

    def put(self, message: types.JSONRPCMessage) -> None:
        """Write a message without waiting, even if the stream is congested."""
        line = encode(message)
        if not self._sink.pending:
            self._stalled_since = self._loop.time()
        self._sink.put(line)
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and message.id is not None:
            after_response = self.on_response(message.id)
            if after_response is not None:
                self._after_responses.append(after_response)
                self._run_after_responses()

    def stop(self) -> None:
        """Make `send` fail instead of waiting for the client."""
        self._stopped = True
        self._progressed()

    async def aclose(self) -> None:
        """Wait until the client has read everything, for at most `STALLED_SECONDS`, and stop writing."""
        self.on_close()
        try:
            with anyio.move_on_after(_POLL_SECONDS if self._stopped else STALLED_SECONDS):
                while self._sink.pending and self.stalled_for(self._loop.time()) < STALLED_SECONDS:
                    await self._wait_for_progress()
        finally:
            self._sink.close()

    def _progressed(self) -> None:
        self._stalled_since = self._loop.time()
        self._run_after_responses()
        if self._progress is not None and not self._progress.done():
            self._progress.set_result(None)
        self.on_change()

    async def _wait_for_progress(self) -> None:
        if self._progress is None or self._progress.done():
            self._progress = self._loop.create_future()
        await asyncio.shield(self._progress)  # several tasks wait for the same future

    def _run_after_responses(self) -> None:
        if self._after_responses and not self._sink.pending:
            callbacks, self._after_responses = self._after_responses, []
            if not self.broken:
                for each in callbacks:
                    each.run()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()


def _connection_closed(id_: RequestId, message: str) -> types.JSONRPCError:
    error = types.ErrorData(code=types.CONNECTION_CLOSED, message=message)
    return types.JSONRPCError(jsonrpc="2.0", id=id_, error=error)
