"""Proof of life on one machine: each process that shares a journal holds a lock that the kernel releases when it ends."""

from __future__ import annotations

import os
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import Protocol

if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    _probe = _lock
else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _probe(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: two that look at once see no owner in each other


class ProofOfLife(Protocol):
    """Shows which of the processes that share a journal are alive; `Owners` does it with file locks."""

    name: str
    """Of this process, once it has entered."""

    def enter(self) -> None:
        """Become an owner, under a new name."""

    def alive(self, name: str) -> bool:
        """Return whether an owner may be alive. False is a proof."""

    def present(self) -> bool:
        """Return whether others can see that this process is alive."""

    def leave(self) -> None:
        """Stop being an owner."""


class Owners:
    """The processes that share a journal, each known by the name of a file that it keeps locked.

    Args:
        folder: Where the files are. It is made when a process enters.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd: int | None = None
        self.name = ""
        """Of this process, once it has entered."""

    def enter(self) -> None:
        """Become an owner, under a new name: until `leave`, or the end of the process however it ends, `alive` says so.

        Raises:
            OSError: The folder or the file cannot be made, or the file system has no locks.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._remove_the_gone()
        name = secrets.token_hex(8)
        path = self._folder / name
        # It gets its name only once it is locked: nobody can take it for that of a process which is gone.
        temporary = path if sys.platform == "win32" else path.with_suffix(".new")
        fd = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _lock(fd)
            if temporary != path:
                temporary.rename(path)
        except OSError:
            os.close(fd)
            with suppress(OSError):
                temporary.unlink()
            raise
        if self._fd is not None:
            os.close(self._fd)
        self._fd, self.name = fd, name

    def alive(self, name: str) -> bool:
        """Return whether an owner may be alive. False is a proof; what cannot be known counts as alive."""
        if self._fd is not None and name == self.name:
            return True
        try:
            fd = os.open(self._folder / name, os.O_RDWR)
        except FileNotFoundError:
            return False
        except OSError:
            return True
        try:
            _probe(fd)
        except OSError:
            return True
        finally:
            os.close(fd)  # releases the lock, too
        return False

    def present(self) -> bool:
        """Return whether this process can be seen by others: its file has not been removed."""
        if self._fd is None:
            return False
        try:
            named, held = (self._folder / self.name).stat(), os.fstat(self._fd)
        except OSError:
            return False
        return (named.st_dev, named.st_ino) == (held.st_dev, held.st_ino)

    def leave(self) -> None:
        """Be an owner no longer."""
        if self._fd is None:
            return
        fd, self._fd = self._fd, None
        if sys.platform == "win32":
            os.close(fd)  # an open file cannot be removed there
        with suppress(OSError):
            (self._folder / self.name).unlink()
        if sys.platform != "win32":
            os.close(fd)

    def _remove_the_gone(self) -> None:
        for path in self._folder.iterdir():
            if not path.suffix and not self.alive(path.name):
                with suppress(OSError):
                    path.unlink()
