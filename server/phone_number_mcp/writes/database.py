"""The journal's file: a SQLite database that can be trusted, and the key beside it.

The database is in rollback mode and commits to disk: what was committed is in the file itself, so that no second file can
be damaged or lost with it (https://www.sqlite.org/lockingv3.html). A file that cannot be trusted is never used: it is
damaged, of a newer schema, another one than before, or gone although its key shows that there was one.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Literal

from phone_number_mcp.writes.journal import JournalUnavailableError
from phone_number_mcp.writes.schema import VERSION, create_or_migrate

if TYPE_CHECKING:
    from collections.abc import Callable

MEMORY = ":memory:"
_BUSY_SECONDS = 0.05
"""How long SQLite itself waits for another process; the caller tries again."""
_IN_USE = "in use"
"""The second line of the key file, once there is a journal that belongs to it."""


class BusyError(Exception):
    """Another process holds the database; it may be worth trying again."""


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether an error only says that another process holds the database."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}


def resolved_path(place: str) -> Path:
    """Return the path of a journal that is on disk.

    Raises:
        JournalUnavailableError: It is below a home directory, and there is none.
    """
    try:
        return Path(place).expanduser().absolute()
    except RuntimeError:
        reason = "there is no home directory; set HOME, or name a journal with --journal"
        raise JournalUnavailableError(f"The journal {place} cannot be written: {reason}") from None


def key_path(path: Path) -> Path:
    """Return where the key of a journal is."""
    return path.with_name(path.name + ".key")


class Database:
    """A journal's database, opened and checked.

    Args:
        place: A path, or `:memory:`.
        may_create: Where there is no journal, create one.
        now: Seconds since 1970.
        tick: Seconds on a clock that nobody sets, and that starts with the machine.

    Raises:
        JournalUnavailableError: It cannot be used; the message says why.
        BusyError: Another process holds it.
    """

    def __init__(
        self,
        place: str,
        *,
        may_create: bool = True,
        now: Callable[[], float] = time.time,
        tick: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path = None if place == MEMORY else resolved_path(place)
        self._may_create = may_create
        self._now, self._tick = now, tick
        self.connection = self._connect()
        try:
            self.identity = self._file()
            self.key, self.id = self._prepare()
        except sqlite3.Error as error:
            self.connection.close()
            raise unavailable(error, self.path) from error
        except BaseException:
            self.connection.close()
            raise

    def _connect(self) -> sqlite3.Connection:
        if self.path is None:
            return sqlite3.connect(MEMORY, check_same_thread=False, isolation_level=None)
        try:
            if not self.path.exists():
                if not self._may_create:
                    raise self._deleted()
                if _IN_USE in _lines(key_path(self.path))[1:]:
                    raise self._gone()
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))  # for this user alone, from its first moment
            return connect(self.path, "rw")
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error, self.path) from error

    def _file(self) -> tuple[int, int] | None:
        """Return which file is at the journal's path; None if there is none, or none is needed."""
        if self.path is None:
            return None
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def moved(self) -> bool:
        """Return whether there is another file at the path now.

        Raises:
            JournalUnavailableError: There is none.
        """
        if self.path is None:
            return False
        found = self._file()
        if found is None:
            raise self._deleted()
        return found != self.identity

    def begin(self, *, writes: bool) -> None:
        """Begin a transaction.

        Raises:
            BusyError: The schema is another one than before; open the database anew.
            sqlite3.Error: As SQLite has it.
        """
        self.connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
        if _version(self.connection) != VERSION:
            raise BusyError("Another process has changed the schema")

    def check(self) -> None:
        """Refuse a file that is damaged: an index that lost a claim would let a write out twice. 4 ms for 1,000 entries.

        Raises:
            JournalUnavailableError: It is damaged.
            sqlite3.Error: As SQLite has it.
        """
        problem = self.connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if problem != "ok":
            raise JournalUnavailableError(f"The journal {self.path} is damaged: {problem}")

    def _prepare(self) -> tuple[bytes, str]:
        """Create or migrate the schema; return the journal's key and id."""
        database = self.connection
        database.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns, also if the power goes
        _refuse_newer(database, self.path)
        self.check()
        with suppress(sqlite3.OperationalError):  # version 1 had a log beside it; while others use that, it stays
            database.execute("PRAGMA journal_mode = TRUNCATE").fetchone()
        database.execute("BEGIN IMMEDIATE")
        try:
            _refuse_newer(database, self.path)
            fresh = create_or_migrate(database, self._now(), self._tick())
            key = self._read_key(fresh=fresh)
            about = dict(database.execute("SELECT name, value FROM about").fetchall())
            self._check_key(key, about)
            about.setdefault("id", secrets.token_hex(8))
            database.executemany("INSERT OR IGNORE INTO about VALUES (?, ?)", about.items())
            database.execute(f"PRAGMA user_version = {VERSION}")
            database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            raise
        if self.path is not None:
            _mark_in_use(key_path(self.path))
        return key, about["id"]

    def _read_key(self, *, fresh: bool) -> bytes:
        """Return the key; whoever creates the journal makes it. Called while nobody else can."""
        if self.path is None:
            return secrets.token_bytes(32)
        if fresh and not self._may_create:
            raise self._deleted()
        path = key_path(self.path)
        try:
            lines = _lines(path)
            if not lines:
                if not fresh and self._has_key_check():
                    raise JournalUnavailableError(f"The key of the journal, {path}, is gone. Restore it")
                return _write_key(path)
            key = bytes.fromhex(lines[0])
        except OSError as error:
            raise unavailable(error, path) from error
        except ValueError as error:
            raise JournalUnavailableError(f"{path} is damaged: it holds no key. Restore it") from error
        if fresh and _IN_USE in lines[1:]:
            raise self._gone()
        return key

    def _deleted(self) -> JournalUnavailableError:
        return JournalUnavailableError(f"The journal {self.path} was deleted while the server ran. Restore it")

    def _gone(self) -> JournalUnavailableError:
        return JournalUnavailableError(
            f"The journal {self.path} is gone, but {self.path}.key shows that there was one. Restore it; to start with an "
            "empty journal, which knows of no earlier write, delete the key as well"
        )

    def _check_key(self, key: bytes, about: dict[str, str]) -> None:
        check = hashlib.sha256(key).hexdigest()[:32]
        if about.setdefault("key_check", check) != check:
            raise JournalUnavailableError(f"{self.path}.key is not the key of the journal {self.path}. Restore it")

    def _has_key_check(self) -> bool:
        return bool(self.connection.execute("SELECT 1 FROM about WHERE name = 'key_check'").fetchone())

    def close(self) -> None:
        """Close the database."""
        self.connection.close()


def connect(path: Path, mode: Literal["rw", "ro"]) -> sqlite3.Connection:
    """Open a database that exists.

    Raises:
        sqlite3.Error: It cannot be opened.
    """
    uri = f"{path.as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=_BUSY_SECONDS)


def snapshot(path: Path, tick: Callable[[], float] = time.monotonic) -> sqlite3.Connection:
    """Return a copy in memory of what a journal holds, in today's schema.

    The file stays as it is, unless a process ended in the middle of a commit: that is rolled back, as any server would
    (https://www.sqlite.org/rescode.html#readonly_rollback).

    Raises:
        sqlite3.Error: It cannot be read.
        JournalUnavailableError: Its schema is newer.
    """
    copy = sqlite3.connect(MEMORY, isolation_level=None)
    try:
        _back_up(path, "ro", copy)
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_READONLY:
            raise
        _back_up(path, "rw", copy)
    create_or_migrate(copy, time.time(), tick())
    return copy


def _back_up(path: Path, mode: Literal["rw", "ro"], copy: sqlite3.Connection) -> None:
    with closing(connect(path, mode)) as database:
        _refuse_newer(database, path)
        database.backup(copy)


def problem(place: str) -> str | None:
    """Return why the journal at a place cannot be used; None if it can. One that is not there yet is not created.

    Args:
        place: A path.
    """
    path = resolved_path(place)
    if not path.exists():
        return _problem_of_place(path)
    try:
        Database(place).close()
    except BusyError:
        return f"The journal {path} is locked by another process"
    except JournalUnavailableError as error:
        return str(error)
    return None


def _problem_of_place(path: Path) -> str | None:
    folder = next(folder for folder in path.parents if folder.exists())
    if not folder.is_dir():
        return f"The journal {path} cannot be written: {folder} is no folder"
    try:
        if _IN_USE in _lines(key_path(path))[1:]:
            return f"The journal {path} is gone, but {key_path(path)} shows that there was one"
        with TemporaryFile(dir=folder):  # gone again when this is over
            return None
    except OSError as error:
        return f"The journal {path} cannot be written: {folder}: {error.strerror}"


def default_place() -> str:
    """Return where the journal is if nobody says otherwise: in the user's state directory."""
    import platformdirs  # 14 ms that only a write needs

    try:
        directory = platformdirs.user_state_path("phone-number-mcp", appauthor=False)
    except (
        RuntimeError
    ):  # a user without a home directory, as in a container that runs as any user: it cannot be resolved
        directory = Path("~", ".local", "state", "phone-number-mcp")
    return str(directory / "journal.sqlite3")


def unavailable(error: Exception, path: Path | None) -> Exception:
    """Return what an error of the database or the file system means to a write."""
    if isinstance(error, sqlite3.Error):
        if is_busy(error):
            return BusyError(str(error))
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}:
            return JournalUnavailableError(f"The journal {path} is damaged, or no journal: {error}")
        return JournalUnavailableError(f"The journal {path} cannot be written: {error}")
    reason = getattr(error, "strerror", None) or str(error)
    return JournalUnavailableError(f"The journal {path} cannot be written: {reason}")


def _version(database: sqlite3.Connection) -> int:
    return int(database.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(database: sqlite3.Connection, path: Path | None) -> None:
    if (version := _version(database)) > VERSION:
        raise JournalUnavailableError(
            f"The journal {path} was written by a newer version of phone-number-mcp (schema {version}, here {VERSION}). "
            "Update this server, or give it another --journal"
        )


def _lines(path: Path) -> list[str]:
    return path.read_text("ascii").splitlines() if path.exists() else []


def _write_key(path: Path) -> bytes:
    key = secrets.token_bytes(32)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(fd, key.hex().encode() + b"\n")
        os.fsync(fd)
    finally:
        os.close(fd)
    temporary.replace(path)
    return key


def _mark_in_use(path: Path) -> None:
    """Note beside the key that there is a journal: should it be gone one day, nothing is sent as if it had never been."""
    with suppress(OSError), path.open("r+", encoding="ascii") as file:
        if _IN_USE not in file.read().splitlines():
            file.write(f"{_IN_USE}\n")
