"""Reading stdin and writing stdout, as file descriptors.

Where the event loop can wait for a descriptor, it does. Where it cannot (files, terminals, everything on Windows), a thread
reads or writes it.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import select
import stat
import sys
import threading
from collections import deque
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LOOP_WAITS = sys.platform != "win32"
"""Whether the event loop can wait for pipes and sockets. On Windows it cannot."""

_CHUNK_BYTES = 256 * 1024


def _loop_can_wait_for(fd: int) -> bool:
    """Return whether the event loop can wait for a descriptor.

    It cannot for a file, which is always ready, and should not for a terminal, where a read or write may block.
    """
    mode = os.fstat(fd).st_mode
    return LOOP_WAITS and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


class _CallOnLoop:
    """Calls functions on the event loop from a thread.

    They run in the context in which the object was created, because anyio looks there for the event loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()

    def __call__(self, function: Callable[..., None], *args: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(partial(function, *args), context=self._context)


class Source:
    """Reads a descriptor until its end.

    Args:
        fd: The descriptor. Its blocking mode is not changed: other processes may share it.
        on_chunk: Called on the event loop with each chunk; an empty chunk is the end.
    """

    def __init__(self, fd: int, on_chunk: Callable[[bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._on_chunk = on_chunk
        self._open = True
        self._may_read = threading.Event()
        self._handled = threading.Semaphore(0)
        """Released when the event loop has a chunk from the thread, which reads the next one only then."""
        self._thread: threading.Thread | None = None
        self.ended = False
        if not _loop_can_wait_for(fd):
            self._call_on_loop = _CallOnLoop()
            # A daemon, because the process cannot interrupt its read and must not wait for it.
            self._thread = threading.Thread(target=self._in_thread, name="stdin", daemon=True)
            self._thread.start()
        self.resume()

    def pause(self) -> None:
        """Stop reading until `resume` is called."""
        if self._may_read.is_set():
            self._may_read.clear()
            if self._thread is None:
                self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Start reading again, unless the end was reached or `close` was called."""
        if self._open and not self.ended and not self._may_read.is_set():
            self._may_read.set()
            if self._thread is None:
                self._loop.add_reader(self._fd, self._ready)

    def hung_up(self) -> bool:
        """Return whether the client has closed its end, even if there is more to read. Always false for a thread."""
        if self._thread is not None:
            return False  # no system call reports it
        poll = select.poll()
        poll.register(self._fd, getattr(select, "POLLRDHUP", 0))
        return bool(poll.poll(0))

    def read_rest(self) -> bytes:
        """Return what is left to read if the client has closed its end, otherwise nothing."""
        return b"" if self.ended or not self.hung_up() else b"".join(iter(self._take, b"")) + b"\n"

    def close(self) -> None:
        """Stop reading for good; the descriptor stays open."""
        self.pause()
        self._open = False

    def _take(self) -> bytes:
        try:
            return os.read(self._fd, _CHUNK_BYTES)
        except OSError:
            return b""

    def _ready(self) -> None:
        # A single read does not block when data is available, so the descriptor need not be non-blocking.
        try:
            chunk = os.read(self._fd, _CHUNK_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        self._handle(chunk)

    def _handle(self, chunk: bytes) -> None:
        if not chunk:
            self.pause()
            self.ended = True
        self._on_chunk(chunk)

    def _handle_and_release(self, chunk: bytes) -> None:
        self._handle(chunk)
        self._handled.release()

    def _in_thread(self) -> None:
        chunk = b"-"
        while chunk:
            self._may_read.wait()
            try:
                chunk = os.read(self._fd, _CHUNK_BYTES)
            except BlockingIOError:  # another process has made the terminal non-blocking
                select.select([self._fd], [], [])
                continue
            except OSError:
                chunk = b""
            self._call_on_loop(self._handle_and_release, chunk)
            self._handled.acquire()


class Sink:
    """Writes a descriptor without blocking the event loop, and buffers what the reader has no room for.

    Args:
        fd: The descriptor.
        on_progress: Called on the event loop when some of the buffer was written, and when the reader has closed its end.
    """

    def __init__(self, fd: int, on_progress: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._on_progress = on_progress
        self._rest = bytearray()
        self._queue: deque[bytes] = deque()
        self._filled = threading.Semaphore(0)
        self._threaded = not _loop_can_wait_for(fd)
        self._was_blocking: bool | None = None
        self.pending = 0
        """Bytes that are not written yet."""
        self.broken = False
        if self._threaded:
            self._call_on_loop = _CallOnLoop()
            threading.Thread(target=self._in_thread, name="stdout", daemon=True).start()
        else:
            self._was_blocking = os.get_blocking(fd)
            os.set_blocking(fd, False)
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                # The writing end of a pipe becomes readable only when the reader closes its end.
                self._loop.add_reader(fd, self._break)

    def put(self, data: bytes) -> None:
        """Write data after what is pending. Once the reader has closed its end, data is dropped."""
        if self.broken:
            return
        if self._threaded:
            self.pending += len(data)
            self._queue.append(data)
            self._filled.release()
            return
        if self._rest:
            self._rest += data
        elif (written := self._write(data)) < len(data) and not self.broken:
            self._rest += memoryview(data)[written:]
            self._loop.add_writer(self._fd, self._ready)
        self.pending = len(self._rest)

    def close(self) -> None:
        """Stop writing, and restore the blocking mode of the descriptor."""
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
        written = self._write(self._rest)
        if self.broken:
            return
        del self._rest[:written]
        self.pending = len(self._rest)
        if not self._rest:
            self._loop.remove_writer(self._fd)
        if written:
            self._on_progress()

    def _break(self) -> None:
        if not self._threaded:
            self._loop.remove_reader(self._fd)
            self._loop.remove_writer(self._fd)
            self._rest.clear()
        self.broken = True
        self.pending = 0
        self._on_progress()

    def _in_thread(self) -> None:
        while True:
            self._filled.acquire()
            data = self._queue.popleft()
            try:
                _write_all(self._fd, data)
            except OSError:
                self._call_on_loop(self._break)
                return
            self._call_on_loop(self._wrote, len(data))

    def _wrote(self, count: int) -> None:
        self.pending = max(0, self.pending - count)
        self._on_progress()


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:  # another process has made the terminal non-blocking
            select.select([], [fd], [])


@contextmanager
def claimed(fd: int, flags: int) -> Iterator[int]:
    """Yield a private duplicate of a standard stream's descriptor. Until the end, the original is redirected.

    So nothing else in the process or its children can read or write the protocol's streams.

    Args:
        fd: 0 or 1.
        flags: `os.O_RDONLY` redirects to the null device; `os.O_WRONLY` redirects to stderr.
    """
    if flags == os.O_WRONLY:
        with suppress(OSError, ValueError):
            sys.stdout.flush()
    private = os.dup(fd)
    try:
        replacement = os.dup(2) if flags == os.O_WRONLY else os.open(os.devnull, flags)
    except OSError:  # stderr is closed
        replacement = os.open(os.devnull, flags)
    os.dup2(replacement, fd)
    os.close(replacement)
    try:
        yield private
    finally:
        os.dup2(private, fd)  # `private` stays open: a thread may still be reading it
