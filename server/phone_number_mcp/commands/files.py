"""Changes to other people's files: completely or not at all, with a backup of the previous content beside them."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from phone_number_mcp.commands.errors import InstallError


@dataclass(frozen=True)
class Written:
    """The result: whether the file was changed, the path of its backup, and its previous content if it existed."""

    changed: bool
    backup: Path | None = None
    before: bytes | None = None


def edit(path: Path, change: Callable[[bytes], bytes | None], *, force: bool, secret: bool = False) -> Written:
    """Change a file completely or not at all, and keep its previous content in a backup.

    Args:
        path: The file; a symbolic link is followed. It and its directories are created if they do not exist.
        change: The content before → the content after; None if nothing is to be changed.
        force: Replace a file that its owner made read-only.
        secret: The content holds credentials: a new file is readable by its owner only.

    Raises:
        InstallError: Nothing was changed.
    """
    target = Path(os.path.realpath(path))
    try:
        before = read_file(target)
        after = change(before or b"")
        if after is None:
            return Written(changed=False, before=before)
        if before is not None and not force:
            _check_writable(target)
        with ExitStack() as undo:
            for directory in reversed([parent for parent in target.parents if not parent.exists()]):
                directory.mkdir()
                undo.callback(_remove, directory.rmdir)
            new = target.with_name(f"{target.name}.{os.getpid()}.tmp")
            _create(new, after, 0o600 if secret or before is not None else 0o666)
            undo.callback(_remove, new.unlink)
            backup = None
            if before is not None:
                status = target.stat()
                _make_alike(new, status)
                backup = _back_up(target, before, status)
                undo.callback(_remove, backup.unlink)
            _check_unchanged(target, before)
            new.replace(target)
            undo.pop_all()
            return Written(changed=True, backup=backup, before=before)
    except OSError as error:
        raise InstallError(f"it cannot be read or written: {error.strerror or 'the system refuses'}") from None


def read_file(path: Path) -> bytes | None:
    """Return a file's content; None if it does not exist.

    Args:
        path: The file, with symbolic links resolved.

    Raises:
        InstallError: It is not a regular file.
        OSError: It cannot be read.
    """
    if path.is_symlink():  # resolved links are not; only a loop is left
        raise InstallError("it is a symbolic link that leads to itself")
    if not path.exists():
        return None
    if not path.is_file():  # reading from a pipe would block
        raise InstallError("it is not a file")
    return path.read_bytes()


def _check_writable(path: Path) -> None:
    """Refuse a file that its owner made read-only. Its mode is checked because replacing it would succeed, and root may write any file."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & stat.S_IWUSR or not os.access(path, os.W_OK):
        raise InstallError(
            f"it may not be written, by its mode {mode:04o}: make it writable, or replace it with --force"
        )


def _check_unchanged(path: Path, before: bytes | None) -> None:
    if read_file(path) != before:
        raise InstallError("another program has just changed it: run this again")


def _remove(remove: Callable[[], None]) -> None:
    with suppress(OSError):
        remove()


def _create(path: Path, content: bytes, mode: int) -> None:
    """Create a new file and flush it to disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def _make_alike(path: Path, status: os.stat_result) -> None:
    """Copy another file's mode, and its owner if permitted."""
    if sys.platform != "win32":
        with suppress(OSError):
            os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))


def _back_up(target: Path, content: bytes, status: os.stat_result) -> Path:
    """Write a file's content to the first unused backup name beside it, and return its path; earlier backups are kept."""
    number = 0
    while True:
        number += 1
        path = target.with_name(f"{target.name}.{number}.bak")
        with suppress(FileExistsError):
            _create(path, content, 0o600)
            _make_alike(path, status)
            return path
