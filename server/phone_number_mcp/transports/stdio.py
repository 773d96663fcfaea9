"""MCP over stdin and stdout: lines of JSON in, lines of JSON out, on the event loop.

The SDK's own transport hands every message through worker threads, and loses replies, memory or the process itself when a
client does what it should not. This one reads and writes where the event loop says it may, checks each line before the SDK
sees it, takes in no more than it can answer, and ends when the client does.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import os
import re
import select
import stat
import sys
import threading
from collections import deque
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias, TypedDict, TypeGuard

import anyio
import mcp_types as types
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from phone_number_mcp.transports import AfterResponse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mcp.server.lowlevel import Server

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Of one message. A tool call takes about 300 bytes."""
MAX_RUNNING = 256
"""Requests that the server works on at once; more wait their turn."""
MAX_OPEN = 2_048
"""Requests without an answer, those that wait their turn included; more stay with the client, in the pipe."""
MAX_OPEN_BYTES = 8 * 1024 * 1024
"""Of their lines."""
MAX_PARTS = 50_000
"""Of one message: brackets, braces and commas. Four million bytes of `[],` would become two hundred million."""
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

LOOP_WAITS = sys.platform != "win32"
"""Whether the event loop can wait for pipes and sockets. On Windows it cannot, so threads read and write them."""

_CHUNK = 256 * 1024
_GLANCE_SECONDS = 0.2
"""How often to look whether a client that does not read is still there: no event tells of it."""

log = logging.getLogger(__name__)

RequestId: TypeAlias = str | int


class Stdio:
    """One client, at the process's own stdin and stdout."""

    def __init__(self) -> None:
        self._requests: _Requests | None = None
        self._quiet = False
        self._stopped = False

    async def serve(self, server: Server[Any]) -> None:
        """Serve until the client closes stdin or stdout, or `stop` is called.

        While it does, nothing else can write to the protocol's stdout: what is printed goes to stderr.
        """
        if sys.stdin is None or sys.stdout is None:  # closed before the start: there is nobody
            return
        with _claimed(0, os.O_RDONLY) as source, _claimed(1, os.O_WRONLY) as sink, redirect_stdout(sys.stderr):
            replies = _Replies(sink)
            self._requests = _Requests(source, replies)
            if self._quiet:
                self._requests.quiesce()
            if self._stopped:
                self._requests.stop()
            await server.run(self._requests, replies, server.create_initialization_options())

    def quiesce(self) -> None:
        """Begin nothing more; what is under way goes on, and is answered."""
        self._quiet = True
        if self._requests is not None:
            self._requests.quiesce()

    def stop(self) -> None:
        """End now: nobody is waited for."""
        self._stopped = True
        if self._requests is not None:
            self._requests.stop()


# --- one line ---------------------------------------------------------------------------------------------------------


class RefusedError(Exception):
    """A line that is no message; the client is told why.

    Args:
        code: JSON-RPC's.
        message: What is wrong.
        id: Of the request, where it can be told and nothing else would be taken for its answer.
        answers: The id of the server's own request to which the line is a malformed answer, where it can be told.
    """

    def __init__(
        self,
        code: int,
        message: str,
        id: RequestId | None = None,  # noqa: A002  (JSON-RPC's word)
        answers: RequestId | None = None,
    ) -> None:
        super().__init__(message)
        self.error = types.JSONRPCError(jsonrpc="2.0", id=id, error=types.ErrorData(code=code, message=message))
        self.answers = answers


def parse(line: bytes) -> types.JSONRPCMessage:
    """Return the message that a line is.

    Stricter than the SDK and most parsers: what two parsers would read differently (a key that is there twice, NaN, broken
    UTF-8) is refused, for one of them may be what a person was shown before the purchase.

    Raises:
        RefusedError: It is none; -32700 and -32600 as in https://www.jsonrpc.org/specification#error_object.
    """
    if sum(map(line.count, (b"[", b"{", b","))) > MAX_PARTS:
        raise _invalid(f"a message may have {MAX_PARTS:,} parts at most")
    try:
        value = _DECODER.decode(line.decode())
        if _ESCAPED_SURROGATE.search(line):
            value = _without_surrogates(value)
    except UnicodeDecodeError:
        raise RefusedError(types.PARSE_ERROR, "Parse error: not UTF-8", **_id_in(line)) from None
    except json.JSONDecodeError as error:
        raise RefusedError(types.PARSE_ERROR, f"Parse error: {error.msg}, at character {error.pos}") from None
    except _AmbiguousError as error:
        raise RefusedError(error.code, str(error), **_id_in(line)) from None
    except RecursionError:
        raise RefusedError(types.PARSE_ERROR, "Parse error: nested too deeply") from None
    except ValueError:  # https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation
        raise RefusedError(types.PARSE_ERROR, "Parse error: a number has too many digits", **_id_in(line)) from None
    return _message(value)


class _AmbiguousError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        shown = f'"{twice}"' if re.fullmatch(r"\w{1,64}", twice, re.ASCII) else "a key"
        raise _AmbiguousError(types.INVALID_REQUEST, f"Invalid Request: {shown} is there twice in one object")
    return value


def _constant(name: str) -> NoReturn:
    raise _AmbiguousError(types.PARSE_ERROR, f"Parse error: {name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
_ID_DIGITS = 40  # no client counts further
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_surrogates(value: Any) -> Any:
    """Return JSON with U+FFFD for each surrogate that is not one of a pair: half a character cannot be written out again."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


class _Ids(TypedDict, total=False):
    id: RequestId
    answers: RequestId


def _id_in(line: bytes) -> _Ids:
    """Return the id of a message that is refused, as `RefusedError` takes it, if it can be told beyond doubt."""
    if len(re.findall(rb'"id"\s*:', line)) != 1:
        return {}
    with suppress(ValueError, RecursionError):
        value = json.loads(
            line.decode(errors="replace"), parse_int=lambda digits: int(digits) if len(digits) <= _ID_DIGITS else None
        )
        id_ = value.get("id") if isinstance(value, dict) else None
        if isinstance(id_, str):
            id_ = _SURROGATE.sub("\ufffd", id_)
        if _is_id(id_):
            return {"id": id_} if "method" in value else {"answers": id_}
    return {}


def _is_id(value: Any) -> TypeGuard[RequestId]:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _message(value: Any) -> types.JSONRPCMessage:
    if not isinstance(value, dict):
        raise _invalid("MCP has no batches; send one message a line" if isinstance(value, list) else "not an object")
    id_ = value.get("id")
    answers = id_ if "method" not in value and _is_id(id_) else None
    if value.get("jsonrpc") != "2.0":
        raise _invalid('"jsonrpc" must be "2.0"', answers=answers)
    if "method" not in value:
        try:
            return types.jsonrpc_message_adapter.validate_python(value, by_name=False)
        except ValidationError:
            raise _invalid("neither a request nor an answer", answers=answers) from None
    if "id" in value and not _is_id(id_):
        raise _invalid('"id" must be a string or an integer')
    if not isinstance(value["method"], str):
        raise _invalid('"method" must be a string', id_)
    given = {name: value[name] for name in ("method", "params") if name in value}
    if not isinstance(given.get("params", {}), dict):
        raise _invalid('"params" must be an object', id_)
    if id_ is None:
        return types.JSONRPCNotification(jsonrpc="2.0", **given)
    return types.JSONRPCRequest(jsonrpc="2.0", id=id_, **given)


def _invalid(what: str, id_: RequestId | None = None, answers: RequestId | None = None) -> RefusedError:
    return RefusedError(types.INVALID_REQUEST, f"Invalid Request: {what}", id_, answers)


def _line(message: types.JSONRPCMessage) -> bytes:
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except (PydanticSerializationError, UnicodeError):  # a lone surrogate, in whatever text it came
        value = message.model_dump(by_alias=True, exclude_unset=True)
        return to_json(_without_surrogates(value)) + b"\n"


class _Lines:
    """What was read, cut into lines; of one that is too long, only its end is looked for."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, chunk: bytes) -> None:
        self._buffer += chunk

    def pop(self) -> bytes | None:
        """Return the next whole line; None if there is none.

        Raises:
            RefusedError: The line that has begun is too long; said once.
        """
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(memoryview(self._buffer)[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            if self._skipping:
                self._skipping = False
            elif len(line) > MAX_LINE_BYTES:
                raise too_long()
            elif line.strip():
                return line
        self._searched = len(self._buffer)
        if self._skipping or len(self._buffer) > MAX_LINE_BYTES:
            self._buffer.clear()
            self._searched = 0
            if not self._skipping:
                self._skipping = True
                raise too_long()
        return None


def too_long() -> RefusedError:
    """Return the refusal of a message above `MAX_LINE_BYTES`."""
    return _invalid(f"a message may have {MAX_LINE_BYTES // 1024 // 1024} MiB at most")


# --- the SDK's two streams --------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Open:
    """A request without an answer."""

    id: RequestId
    size: int
    """Of its line."""
    delivery: AfterResponse = field(default_factory=AfterResponse)


class _Requests:
    """The SDK's read stream: what the client sends, checked, and no more at once than can be answered."""

    def __init__(self, fd: int, replies: _Replies) -> None:
        self._loop = asyncio.get_running_loop()
        self._lines = _Lines()
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
        self._source = _Source(fd, self._read)

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
        self._quiet = True
        self._wake()

    def stop(self) -> None:
        self._stopped = True
        self._replies.stop()
        self._wake()

    def _wake(self) -> None:
        if self._waker is not None and not self._waker.done():
            self._waker.set_result(None)

    # --- what it does ---

    async def receive(self) -> SessionMessage:
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
                raise _invalid("a request with this id is under way already")
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


class _Replies:
    """The SDK's write stream: what it sends, as fast as the client reads."""

    def __init__(self, fd: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._sink = _Sink(fd, self._moved)
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
        line = _line(message)
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


# --- the two file descriptors -----------------------------------------------------------------------------------------


def _on_loop(fd: int) -> bool:
    """Return whether the event loop can wait for a descriptor. Files are always ready, and a terminal may be blocking."""
    mode = os.fstat(fd).st_mode
    return LOOP_WAITS and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


class _FromThread:
    """Calls functions on the event loop from a thread, in the context of whoever made this: there, anyio finds the loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()

    def __call__(self, function: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is there any more
            self._loop.call_soon_threadsafe(partial(function, *args), context=self._context)


class _Source:
    """Reads a descriptor, and passes on what comes; an empty chunk is the end."""

    def __init__(self, fd: int, chunk: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._chunk = chunk
        self._open = True
        self._may_read = threading.Event()
        self._passed_on = threading.Semaphore(0)
        """Of the thread: it reads no further before the event loop has what it read."""
        self._thread: threading.Thread | None = None
        self.ended = False
        if not _on_loop(fd):
            self._schedule = _FromThread()
            # A daemon: the process does not wait for what it may be reading.
            self._thread = threading.Thread(target=self._in_thread, name="stdin", daemon=True)
            self._thread.start()
        self.resume()

    def pause(self) -> None:
        if self._may_read.is_set():
            self._may_read.clear()
            if self._thread is None:
                self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        if self._open and not self.ended and not self._may_read.is_set():
            self._may_read.set()
            if self._thread is None:
                self._loop.add_reader(self._fd, self._ready)

    def hung_up(self) -> bool:
        """Whether the client has closed its end, though there may be more to read."""
        if self._thread is not None:
            return False  # no system call tells of it
        poll = select.poll()
        poll.register(self._fd, getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    def rest(self) -> bytes:
        """Return what the client has left when it closed its end; nothing if it has not."""
        return b"" if self.ended or not self.hung_up() else b"".join(iter(self._take, b"")) + b"\n"

    def close(self) -> None:
        self.pause()
        self._open = False

    def _take(self) -> bytes:
        try:
            return os.read(self._fd, _CHUNK)
        except OSError:
            return b""

    def _ready(self) -> None:
        # One read of what is there does not wait, so the descriptor can stay as it is for others who share it.
        try:
            chunk = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._pass_on(chunk)

    def _pass_on(self, chunk: bytes) -> None:
        if not chunk:
            self.pause()
            self.ended = True
        self._chunk(chunk)

    def _pass_on_and_release(self, chunk: bytes) -> None:
        self._pass_on(chunk)
        self._passed_on.release()

    def _in_thread(self) -> None:
        chunk = b"-"
        while chunk:
            self._may_read.wait()
            try:
                chunk = os.read(self._fd, _CHUNK)
            except BlockingIOError:  # a terminal that somebody else made so
                select.select([self._fd], [], [])
                continue
            except OSError:
                chunk = b""
            self._schedule(self._pass_on_and_release, chunk)
            self._passed_on.acquire()


class _Sink:
    """Writes to a descriptor what it takes, and keeps the rest until it takes more."""

    def __init__(self, fd: int, moved: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._moved = moved
        self._rest = bytearray()
        self._queue: deque[bytes] = deque()
        self._filled = threading.Semaphore(0)
        self._threaded = not _on_loop(fd)
        self._was_blocking: bool | None = None
        self.pending = 0
        """Bytes that were not taken yet."""
        self.broken = False
        if self._threaded:
            self._schedule = _FromThread()
            threading.Thread(target=self._in_thread, name="stdout", daemon=True).start()
        else:
            self._was_blocking = os.get_blocking(fd)
            os.set_blocking(fd, False)
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                self._loop.add_reader(
                    fd, self._break
                )  # the end that is written to is never readable, but by its closing

    def put(self, data: bytes) -> None:
        if self.broken:
            return
        if self._threaded:
            self.pending += len(data)
            self._queue.append(data)
            self._filled.release()
            return
        if self._rest:
            self._rest += data
        elif (taken := self._write(data)) < len(data) and not self.broken:
            self._rest += memoryview(data)[taken:]
            self._loop.add_writer(self._fd, self._ready)
        self.pending = len(self._rest)

    def close(self) -> None:
        if not self._threaded:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
        if self._was_blocking:
            os.set_blocking(self._fd, True)

    def _write(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            self._break()
            return 0

    def _ready(self) -> None:
        taken = self._write(self._rest)
        if self.broken:
            return
        del self._rest[:taken]
        self.pending = len(self._rest)
        if not self._rest:
            self._loop.remove_writer(self._fd)
        if taken:
            self._moved()

    def _break(self) -> None:
        if not self._threaded:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._rest.clear()
        self.broken = True
        self.pending = 0
        self._moved()

    def _in_thread(self) -> None:
        while True:
            self._filled.acquire()
            data = self._queue.popleft()
            try:
                _write_all(self._fd, data)
            except OSError:
                self._schedule(self._break)
                return
            self._schedule(self._took, len(data))

    def _took(self, count: int) -> None:
        self.pending = max(0, self.pending - count)
        self._moved()


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # a terminal that somebody else made so
            select.select([], [fd], [])


@contextmanager
def _claimed(fd: int, flags: int) -> Iterator[int]:
    """Lend the protocol's descriptor; meanwhile its old number leads nowhere (stdin), or to stderr (stdout)."""
    if flags == os.O_WRONLY:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
    private = os.dup(fd)
    try:
        diversion = os.dup(2) if flags == os.O_WRONLY else os.open(os.devnull, flags)
    except OSError:  # stderr is closed
        diversion = os.open(os.devnull, flags)
    os.dup2(diversion, fd)
    os.close(diversion)
    try:
        yield private
    finally:
        os.dup2(private, fd)  # `private` stays open: a thread may be waiting for it
