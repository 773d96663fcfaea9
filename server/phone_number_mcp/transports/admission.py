"""Admission and flow control of stdio: the SDK's two streams, which take in no more than can be answered."""

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
from phone_number_mcp.transports.codec import Lines, RefusedError, RequestId, encode, invalid_request, parse
from phone_number_mcp.transports.pipes import Sink, Source

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_RUNNING = 256
"""Requests that the server works on at once; more wait their turn."""
MAX_OPEN = 2_048
"""Requests without an answer, those that wait their turn included; more stay with the client, in the pipe."""
MAX_OPEN_BYTES = 8 * 1024 * 1024
"""Of their lines."""
MAX_UNPARSED_BYTES = 256 * 1024
"""Read, but not looked at yet; beyond it, the pipe keeps what comes."""
MAX_UNREAD_BYTES = 64 * 1024
"""Written, but not taken by the client yet; beyond it, nothing new is begun."""
GRACE_SECONDS = 2.0
"""How long requests may go on after the end of stdin: after two seconds, clients kill the server."""
STALLED_SECONDS = 1.0
"""A client that has closed stdin and reads nothing for so long will read nothing any more."""

JAMMED_SECONDS = 3.0
"""If nothing was answered for so long, requests above the limits are refused, so that what stands behind them is read."""

_GLANCE_SECONDS = 0.2
"""How often to look whether a client that does not read is still there: no event tells of it."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """A request without an answer."""

    id: RequestId
    size: int
    """Of its line."""
    delivery: AfterResponse = field(default_factory=AfterResponse)


class Requests:
    """The SDK's read stream: what the client sends, checked, and no more at once than can be answered."""

    def __init__(self, fd: int, replies: Replies) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines = Lines()
        self._replies = replies
        self._open: dict[RequestId, _Open] = {}
        """Requests without an answer. "7" and 7 are one id: the SDK would cancel the one for the other."""
        self._open_bytes = 0
        self._waiting: deque[types.JSONRPCRequest] = deque()
        self._waker: asyncio.Future[None] | None = None
        self._full = False
        """There is more to read, but too much under way."""
        self._moved_at = self._loop.time()
        self._quiet = False
        self._stopped = False
        self._ends_at: float | None = None
        replies.changed = self._wake
        replies.answered = self._answered
        replies.closing = self._refuse_the_unanswered
        self._source = Source(fd, self._read)

    # --- what wakes it ---

    def _read(self, chunk: bytes) -> None:
        self._lines.feed(chunk or b"\n")  # the last line may lack its end
        if len(self._lines) > MAX_UNPARSED_BYTES:
            self._source.pause()
        self._wake()

    def _answered(self, id_: RequestId) -> AfterResponse | None:
        request = self._open.pop(coerce_request_id(id_), None)
        if request is None:
            return None
        self._open_bytes -= request.size
        self._moved_at = self._loop.time()
        if self._waiting or self._full or self._source.ended:
            self._wake()
        return request.delivery

    async def _unanswered(self, id_: RequestId) -> None:
        self._answered(id_)

    def quiesce(self) -> None:
        """Accept no more requests; let in-flight ones finish."""
        self._quiet = True
        self._wake()

    def stop(self) -> None:
        """End the stream now, whatever is in flight."""
        self._stopped = True
        self._replies.stop()
        self._wake()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    # --- what it does ---

    async def receive(self) -> SessionMessage:
        """Return the next message for the SDK.

        Raises:
            EndOfStream: The client has closed stdin or stdout, or `stop` was called.
        """
        while not self._over():
            message = self._next()
            if message is not None:
                return message
            await self._sleep()
        self._refuse_the_rest(self._source.rest())
        raise anyio.EndOfStream

    async def _sleep(self) -> None:
        if self._over():
            return
        self._waker = self._loop.create_future()
        glance = self._source.ended or self._quiet or self._held_back()
        timer = self._loop.call_later(_GLANCE_SECONDS, self._wake) if glance else None
        try:
            await self._waker
        finally:
            if timer is not None:
                timer.cancel()

    def _over(self) -> bool:
        if self._stopped or self._replies.broken:
            return True
        if not (self._source.ended or (self._held_back() and self._source.hung_up())):
            return False
        now = self._loop.time()
        if self._ends_at is None:
            self._ends_at = now + GRACE_SECONDS
        if now >= self._ends_at or self._replies.stalled_for(now) >= STALLED_SECONDS:
            return True
        return self._source.ended and not (self._open or self._lines)

    def _held_back(self) -> bool:
        """Whether the client is not read from, so that the end of what it sends would not be seen."""
        return self._full or self._replies.congested

    def _next(self) -> SessionMessage | None:
        """Return what is next for the SDK; None if there is nothing that it should be given now."""
        if self._quiet:
            self._refuse_the_rest()
            return None
        while not self._replies.congested:
            if self._waiting and self._running() < MAX_RUNNING:
                return self._begin(self._waiting.popleft())
            self._full = len(self._open) >= MAX_OPEN or self._open_bytes >= MAX_OPEN_BYTES
            if self._full and not self._jammed():
                return None
            try:
                line = self._lines.pop()
                if line is None:
                    self._source.resume()
                    return None
                message = self._take_in(line)
            except RefusedError as refused:
                message = self._refuse(refused)
            if message is not None:
                return message
        return None

    def _take_in(self, line: bytes) -> SessionMessage | None:
        """Return a message that the SDK should be given at once; a request is noted, and waits its turn."""
        message = parse(line)
        if isinstance(message, types.JSONRPCRequest):
            key = coerce_request_id(message.id)
            if key in self._open:
                # With that id, the refusal would be taken for the answer to the first: a purchase, perhaps.
                raise invalid_request("a request with this id is under way already")
            if self._full:
                raise RefusedError(types.CONNECTION_CLOSED, "Too many requests are under way: not begun", message.id)
            self._open[key] = _Open(message.id, len(line))
            self._open_bytes += len(line)
            self._waiting.append(message)
            return None
        return None if self._cancelled_before_it_began(message) else SessionMessage(message)

    def _jammed(self) -> bool:
        """Whether nothing moves although the client reads: what is under way may wait for an answer further back."""
        return self._loop.time() - self._moved_at >= JAMMED_SECONDS

    def _refuse(self, refused: RefusedError) -> SessionMessage | None:
        """Tell the client why a line is refused; return what the SDK should be given in its place.

        If the line is a malformed answer, that is an error for the same id: whoever waits for the answer stops waiting. The
        SDK ignores an answer that nobody waits for.
        """
        log.debug("refused a line: %s", refused)
        if refused.error.id is not None and coerce_request_id(refused.error.id) in self._open:
            refused.error.id = None
        self._replies.put(refused.error)
        if refused.answers is None:
            return None
        return SessionMessage(types.JSONRPCError(jsonrpc="2.0", id=refused.answers, error=refused.error.error))

    def _refuse_the_rest(self, more: bytes = b"") -> None:
        """Tell of each request that was not begun, and will not be."""
        self._lines.feed(more)
        while self._lines:
            try:
                line = self._lines.pop()
                if line is None:
                    break
                self._take_in(line)
            except RefusedError as refused:
                self._refuse(refused)
        for request in self._waiting:
            closed = types.ErrorData(code=types.CONNECTION_CLOSED, message="Connection closed: this was not begun")
            self._replies.put(types.JSONRPCError(jsonrpc="2.0", id=request.id, error=closed))
        self._waiting.clear()

    def _refuse_the_unanswered(self) -> None:
        """Answer requests whose handlers were cancelled at the end: the SDK may leave one without a response."""
        closed = types.ErrorData(code=types.CONNECTION_CLOSED, message="Connection closed before this was answered")
        for request in list(self._open.values()):
            self._replies.put(types.JSONRPCError(jsonrpc="2.0", id=request.id, error=closed))

    def _running(self) -> int:
        return len(self._open) - len(self._waiting)

    def _begin(self, request: types.JSONRPCRequest) -> SessionMessage:
        self._moved_at = self._loop.time()
        metadata = ServerMessageMetadata(
            request_context=self._open[coerce_request_id(request.id)].delivery,
            # The SDK answers no request that the client cancelled; this is how it tells that it is done with one.
            on_request_unanswered=partial(self._unanswered, request.id),
        )
        return SessionMessage(request, metadata)

    def _cancelled_before_it_began(self, message: types.JSONRPCMessage) -> bool:
        if not isinstance(message, types.JSONRPCNotification) or message.method != "notifications/cancelled":
            return False
        id_ = (message.params or {}).get("requestId")
        for request in self._waiting:
            if type(request.id) is type(id_) and request.id == id_:
                self._waiting.remove(request)
                self._answered(request.id)
                return True
        return False

    async def aclose(self) -> None:
        """Read no more."""
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


class Replies:
    """The SDK's write stream: what it sends, as fast as the client reads."""

    def __init__(self, fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = Sink(fd, self._moved)
        self._stopped = False
        self._movement: asyncio.Future[None] | None = None
        self._stalled_since = 0.0
        self.changed: Callable[[], None] = lambda: None
        """Called when the client has read something, or has gone."""
        self.answered: Callable[[RequestId], AfterResponse | None] = lambda _id: None
        """Called with the id of a request when its answer goes out; returns who wants to know when it has."""
        self.closing: Callable[[], None] = lambda: None
        """Called once nothing more is answered."""
        self._deliveries: list[AfterResponse] = []
        """Of answers that the client has not taken yet."""

    @property
    def congested(self) -> bool:
        """The client does not read as fast as it asks."""
        return self._sink.pending > MAX_UNREAD_BYTES

    @property
    def broken(self) -> bool:
        """The client reads no more."""
        return self._sink.broken

    def stalled_for(self, now: float) -> float:
        """Return for how many seconds the client has read nothing, while there was something to read."""
        return now - self._stalled_since if self._sink.pending else 0.0

    def stop(self) -> None:
        """Wait for the client no longer."""
        self._stopped = True
        self._moved()

    def _moved(self) -> None:
        self._stalled_since = self._loop.time()
        self._deliver()
        if self._movement is not None and not self._movement.done():
            self._movement.set_result(None)
        self.changed()

    async def _moves(self) -> None:
        if self._movement is None or self._movement.done():
            self._movement = self._loop.create_future()
        await asyncio.shield(self._movement)  # others wait for the same

    async def send(self, item: SessionMessage) -> None:
        """Write a message, once the client has room for it.

        Raises:
            BrokenResourceError: Nobody reads any more.
        """
        while self.congested and not self._stopped:
            await self._moves()
        if self.broken or self.congested:
            raise anyio.BrokenResourceError
        self.put(item.message)

    def put(self, message: types.JSONRPCMessage) -> None:
        """Write a message, whether there is room or not."""
        line = encode(message)
        if not self._sink.pending:
            self._stalled_since = self._loop.time()
        self._sink.put(line)
        if isinstance(message, types.JSONRPCResponse | types.JSONRPCError) and message.id is not None:
            delivery = self.answered(message.id)
            if delivery is not None:
                self._deliveries.append(delivery)
                self._deliver()

    def _deliver(self) -> None:
        if self._deliveries and not self._sink.pending:
            deliveries, self._deliveries = self._deliveries, []
            if not self.broken:
                for delivery in deliveries:
                    delivery.run()

    async def aclose(self) -> None:
        """Wait until the client has read everything, but not for long."""
        self.closing()
        try:
            with anyio.move_on_after(_GLANCE_SECONDS if self._stopped else STALLED_SECONDS):
                while self._sink.pending and self.stalled_for(self._loop.time()) < STALLED_SECONDS:
                    await self._moves()
        finally:
            self._sink.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()
