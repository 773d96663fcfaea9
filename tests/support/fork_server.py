"""Starts of the server in a hundredth of a second: a process that has imported everything forks for each.

A start of the real command costs a second of CPU, nearly all of it imports, and the tests start it more than a thousand times.
So each pytest process has one fork server, from its first `forked` on: this module as a program. It imports what the command and its
subcommands import, and waits. `forked(…)` is a command line in place of `python …`: `launcher.py`, which hands its descriptors,
environment and arguments to the fork server. That forks; the child takes all this over and runs the module or script as `python`
does. What is tested is still the real program in a process of its own, with nothing shared.

The launcher ends as the process does, passes SIGTERM, SIGINT and SIGHUP on, and if it is killed, so is the process;
`gone` waits for that. What the launcher cannot be is the process itself: tests of what a process inherits (ignored signals, closed
descriptors, limits), of its memory, of its imports, or that stop it, start Python anew, with `fresh`.

Only on Linux: forking without exec is not safe on macOS, and Windows has no fork. Elsewhere `forked` is `fresh`.
"""

from __future__ import annotations

import atexit
import gc
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader, BufferedWriter, FileIO, TextIOWrapper
from pathlib import Path
from typing import NoReturn, TextIO

SUPPORTED = sys.platform == "linux"
_HERE = Path(__file__).resolve()


# --- for the tests ----------------------------------------------------------------------------------------------------


def fresh(*arguments: str) -> list[str]:
    """Return the command line that starts Python anew."""
    return [sys.executable, *arguments]


def forked(*arguments: str) -> list[str]:
    """Return a command line that does what `python ARGUMENTS` does, in a process forked by this process' fork server.

    Args:
        arguments: `-m MODULE …` or `SCRIPT …`.
    """
    if not SUPPORTED:
        return fresh(*arguments)
    return [sys.executable, "-I", "-S", str(_HERE.with_name("launcher.py")), _ForkServer.running().name, *arguments]


def gone(launcher: int) -> None:
    """Return once the process is gone whose launcher was killed; nothing to wait for if it was none.

    Args:
        launcher: The id of the process that was killed.
    """
    server = _ForkServer.started
    if server is None:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connection:
        connection.connect(b"\0" + server.name.encode())
        connection.send(bytes(4) + launcher.to_bytes(4, "big"))
        connection.recv(4)


def end() -> None:
    """End this process' fork server, if it has one."""
    if _ForkServer.started is not None:
        _ForkServer.started.end()


@dataclass
class _ForkServer:
    """The fork server of this process. It ends with this process, by the end of its stdin."""

    name: str
    process: subprocess.Popen[bytes]
    owner: int

    started = None  # type: _ForkServer | None

    @classmethod
    def running(cls) -> _ForkServer:
        if cls.started is None:
            name = f"phone-number-mcp-tests-{os.getpid()}-{os.urandom(8).hex()}"
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listening:
                listening.bind(b"\0" + name.encode())
                listening.listen(1024)
                process = subprocess.Popen(
                    fresh(str(_HERE), str(listening.fileno())),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    pass_fds=[listening.fileno()],
                    start_new_session=True,
                )
            cls.started = cls(name, process, os.getpid())
            atexit.register(cls.started.end)
        return cls.started

    def end(self) -> None:
        """End it, and whatever it started."""
        if os.getpid() != self.owner:
            return
        type(self).started = None
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


# --- the program ------------------------------------------------------------------------------------------------------


@dataclass
class _Job:
    """What a launcher wants started."""

    arguments: list[str]
    environment: dict[bytes, bytes]
    directory: str
    umask: int
    descriptors: list[int]

    @classmethod
    def received(cls, connection: socket.socket, length: int, descriptors: list[int]) -> _Job:
        data = b""
        while len(data) < length:
            part = connection.recv(65536)
            if not part:
                raise ConnectionError("the launcher was killed before it had said what to start")
            data += part
        directory, umask, count, *rest = data.split(b"\0")
        arguments, variables = rest[: int(count)], rest[int(count) :]
        return cls(
            arguments=[os.fsdecode(argument) for argument in arguments],
            environment={name: value for name, _, value in (variable.partition(b"=") for variable in variables)},
            directory=os.fsdecode(directory),
            umask=int(umask),
            descriptors=descriptors,
        )

    def run(self) -> None:
        """Become what `python ARGUMENTS` is, and run it."""
        os.setpgid(0, 0)
        for number, descriptor in enumerate(self.descriptors):
            os.dup2(descriptor, number)
            os.close(descriptor)
        os.chdir(self.directory)
        os.umask(self.umask)
        os.environb.clear()
        os.environb.update(self.environment)
        time.tzset()
        sys.stdin, sys.stdout, sys.stderr = _opened(0, sys.stdin), _opened(1, sys.stdout), _opened(2, sys.stderr)
        first, *rest = self.arguments
        if first == "-m":
            sys.path.insert(0, self.directory)
            sys.argv[:] = rest
            runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(first).parent))
            sys.argv[:] = self.arguments
            runpy.run_path(first, run_name="__main__")


def _opened(number: int, like: TextIO) -> TextIO:
    """Open a standard stream as Python does."""
    stream = FileIO(number, "r" if number == 0 else "w", closefd=False)
    buffer = BufferedReader(stream) if number == 0 else BufferedWriter(stream)
    return TextIOWrapper(buffer, like.encoding, like.errors, line_buffering=number == 2 or os.isatty(number))


def _leave(status: int) -> NoReturn:
    """End as the interpreter does, but for freeing every object: that touches, and so copies, all memory shared with the parent."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


@dataclass
class _Child:
    """A process that was forked, and its launcher."""

    pid: int
    connection: socket.socket
    launcher: int
    over: bool = False
    """Whether the launcher has gone."""


class _Forker:
    """Forks a child for every launcher, and tells the launcher how it ended."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._children: dict[int, _Child] = {}
        """By the descriptor that tells of the end of the process."""
        self._launchers: dict[int, int] = {}
        """The same descriptor, by that of the connection."""
        self._waiting: list[tuple[int, socket.socket]] = []
        self._poll = select.poll()
        self._poll.register(0, select.POLLIN)
        self._poll.register(listening, select.POLLIN)

    def serve(self) -> _Job | None:
        """Fork for whoever asks. Return what to run, in each child; None in this process, at the end of stdin."""
        while True:
            descriptor, _ = self._poll.poll()[0]  # only one: what is done may close what another stands for
            if descriptor == 0:
                for child in self._children.values():
                    os.kill(child.pid, signal.SIGKILL)
                return None
            if descriptor == self._listening.fileno():
                job = self._accept()
                if job is not None:
                    return job
            elif descriptor in self._children:
                self._reap(descriptor)
            else:
                self._pass_on(descriptor)

    def _accept(self) -> _Job | None:
        connection, _ = self._listening.accept()
        head, descriptors, _, _ = socket.recv_fds(connection, 8, 3)
        length, launcher = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
        if not length:
            self._waiting.append((launcher, connection))
            self._tell_who_waits()
            return None
        try:
            job = _Job.received(connection, length, descriptors) if head else None
        except ConnectionError:
            job = None
        if job is not None and (pid := os.fork()) == 0:
            self._close(connection)
            return job
        for each in descriptors:
            os.close(each)
        if job is None:
            connection.close()
            return None
        ended = os.pidfd_open(pid)
        self._children[ended] = _Child(pid, connection, launcher)
        self._launchers[connection.fileno()] = ended
        self._poll.register(ended, select.POLLIN)
        self._poll.register(connection, select.POLLIN)
        return None

    def _close(self, connection: socket.socket) -> None:
        """Close, in a child, all that is not its own."""
        for each in (self._listening, connection, *(child.connection for child in self._children.values())):
            each.close()
        for _, waiting in self._waiting:
            waiting.close()
        for descriptor in self._children:
            os.close(descriptor)

    def _pass_on(self, descriptor: int) -> None:
        """Send the child the signal that its launcher received; SIGKILL if the launcher was killed."""
        child = self._children[self._launchers[descriptor]]
        try:
            received = child.connection.recv(1)
        except ConnectionError:
            received = b""
        os.kill(child.pid, received[0] if received else signal.SIGKILL)
        if not received:
            self._poll.unregister(descriptor)
            del self._launchers[descriptor]
            child.over = True

    def _reap(self, descriptor: int) -> None:
        child = self._children.pop(descriptor)
        self._poll.unregister(descriptor)
        os.close(descriptor)
        _, status = os.waitpid(child.pid, 0)
        if not child.over:
            self._poll.unregister(child.connection)
            del self._launchers[child.connection.fileno()]
            with suppress(ConnectionError):  # the launcher was killed just now
                child.connection.send(status.to_bytes(4, "big"))
        child.connection.close()
        self._tell_who_waits()

    def _tell_who_waits(self) -> None:
        running = {child.launcher for child in self._children.values()}
        for launcher, connection in self._waiting:
            if launcher not in running:
                connection.close()
        self._waiting = [(launcher, connection) for launcher, connection in self._waiting if launcher in running]


def _import_all() -> None:
    """Import what the command and its subcommands import, at the start or later."""
    import importlib
    import pkgutil

    import phone_number_mcp.serve  # first: it decides how the SDK is imported

    for module in pkgutil.walk_packages(phone_number_mcp.__path__, "phone_number_mcp."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def _measure_each_child() -> None:
    """Under coverage.py, write down what the imports covered, and have each child measure what is its own."""
    if "COVERAGE_PROCESS_CONFIG" not in os.environ:
        return
    from coverage import Coverage, process_startup

    measured = Coverage.current()
    if measured is not None:
        measured.stop()
        measured.save()
    os.register_at_fork(after_in_child=lambda: process_startup(force=True))


def main() -> None:
    del sys.path[0]  # this folder, whose modules have names that others may have
    _import_all()
    _measure_each_child()
    gc.collect()
    gc.freeze()
    job = _Forker(socket.socket(fileno=int(sys.argv[1]))).serve()
    if job is None:
        return
    try:
        job.run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _leave(end.code or 0)
        raise
    _leave(0)


if __name__ == "__main__":
    main()
