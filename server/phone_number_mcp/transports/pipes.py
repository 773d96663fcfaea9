"""Stdin and stdout as file descriptors: the event loop waits for them, or a thread reads and writes them."""

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
"""Whether the event loop can wait for pipes and sockets. On Windows it cannot, so threads read and write them."""

_CHUNK = 256 * 1024


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


class Source:
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
        """Read no more until `resume` is called."""
        if self._may_read.is_set():
            self._may_read.clear()
            if self._thread is None:
                self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read again, unless the end was reached."""
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
        """Stop reading for good; the descriptor stays open."""
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


class Sink:
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
        """Write data after what is pending; drop it if the client reads no more."""
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
        """Stop writing, and leave the descriptor as it was found."""
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
def claimed(fd: int, flags: int) -> Iterator[int]:
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
