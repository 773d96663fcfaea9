"""The journal: which writes went out and how each ended, on disk before the first byte leaves.

SQLite in WAL mode, shared by every server of this user. It holds no secret and no reply: of the arguments it keeps the
phone number and a fingerprint of the rest.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import sys
import threading
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from phone_number_mcp.errors import Outcome

log = logging.getLogger(__name__)

MEMORY = ":memory:"
KEY_DAYS = 7
"""How long an idempotency key is remembered."""
_DAY = 86_400.0
_BUSY_SECONDS = 5.0
_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS writes (
    id              INTEGER PRIMARY KEY,
    platform        TEXT NOT NULL,
    address         TEXT NOT NULL,  -- of the platform: a staging one is another
    operation       TEXT NOT NULL,
    phone_number    TEXT,           -- null until known: the platform may choose it
    fingerprint     TEXT NOT NULL,  -- of the arguments, less secrets
    idempotency_key TEXT,
    started_at      REAL NOT NULL,  -- seconds since 1970, UTC
    ended_at        REAL,           -- null: under way, or cut off
    outcome         TEXT,           -- applied, not_applied, unknown
    code            TEXT,           -- of the error, if there was one
    chosen          INTEGER NOT NULL, -- whether the platform chooses the number
    told            INTEGER NOT NULL DEFAULT 0 -- whether somebody was there to hear how it ended
);
CREATE INDEX IF NOT EXISTS writes_by_number ON writes (platform, address, phone_number);
CREATE INDEX IF NOT EXISTS writes_by_key ON writes (platform, address, idempotency_key);
"""

_TODAY = """
SELECT count(*) FROM writes WHERE platform = ? AND operation = ? AND started_at >= ? AND outcome IS NOT 'not_applied'
"""


@dataclass(frozen=True)
class Entry:
    """One write, as the journal has it."""

    id: int
    platform: str
    address: str
    operation: str
    phone_number: str | None
    fingerprint: str
    idempotency_key: str | None
    started_at: float
    ended_at: float | None
    outcome: Outcome | None
    code: str | None
    chosen: bool
    told: bool

    @property
    def settled(self) -> bool:
        """Whether it is known if it took effect."""
        return self.outcome in {"applied", "not_applied"}

    @property
    def open(self) -> bool:
        """Whether there is something left to say of it: it is not settled, or it took effect and nobody was told."""
        return not self.settled or (self.outcome == "applied" and not self.told)


@dataclass(frozen=True)
class Intent:
    """A write that is about to go out."""

    operation: str
    phone_number: str | None
    fingerprint: str
    idempotency_key: str | None = None


class LimitExceededError(Exception):
    """As many writes as allowed went out today."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} today")
        self.count = count


class BusyError(Exception):
    """Another process holds the journal for so long that nothing could be written down."""


class Journal:
    """The writes on one platform. Its methods block for a few milliseconds: call them in a thread.

    Args:
        place: A path, or `:memory:`. What cannot be opened or written is said once, in the log, and the journal goes on in
            memory, with what it could still read.
        platform: The platform's name.
        address: Where the platform is.
    """

    def __init__(self, place: str, platform: str, address: str) -> None:
        self._scope = (platform, address)
        self._lock = threading.Lock()
        try:
            self._database = connect(place)
        except (sqlite3.Error, OSError) as error:
            self._database = connect(MEMORY)
            _warn(error)

    def begin(self, intent: Intent, limit: int | None = None) -> int:
        """Write down that a write is about to go out, and return its id. When this returns it is on disk.

        Args:
            intent: The write.
            limit: How many of its operation may go out a day; counted and written down in one step, whoever else counts.

        Raises:
            LimitExceededError: So many went out already.
            BusyError: It could not be written down.
        """
        number = intent.phone_number
        row = {
            "id": time.time_ns(),  # its own in every journal: one that goes on in memory may hear of writes begun on disk
            "platform": self._scope[0],
            "address": self._scope[1],
            "operation": intent.operation,
            "phone_number": number,
            "fingerprint": intent.fingerprint,
            "idempotency_key": intent.idempotency_key,
            "started_at": time.time(),
            "chosen": number is None,
        }
        columns, values = ", ".join(row), ", ".join("?" * len(row))
        statement = f"INSERT INTO writes ({columns}) SELECT {values} WHERE ? IS NULL OR ({_TODAY}) < ? RETURNING id"
        written = self._execute(statement, (*row.values(), limit, *self._today(intent.operation), limit))
        if not written:
            raise LimitExceededError(self.count_today(intent.operation))
        return int(written[0][0])

    def end(self, id_: int, outcome: Outcome, *, code: str | None = None, phone_number: str | None = None) -> None:
        """Write down how a write ended.

        Args:
            id_: From `begin`.
            outcome: Whether it took effect.
            code: Of the error that the agent was told.
            phone_number: What the platform chose, if the caller had not.
        """
        self._execute(
            "UPDATE writes SET ended_at = ?, outcome = ?, code = ?, phone_number = coalesce(phone_number, ?) WHERE id = ?",
            (time.time(), outcome, code, phone_number, id_),
        )

    def tell(self, id_: int) -> None:
        """Write down that somebody was told how a write ended."""
        self._execute("UPDATE writes SET told = 1 WHERE id = ?", (id_,))

    def by_key(self, key: str) -> Entry | None:
        """Return the latest write with an idempotency key that may have taken effect, of the last seven days."""
        return self._latest(
            "idempotency_key = ? AND started_at > ? AND outcome IS NOT 'not_applied'",
            key,
            time.time() - KEY_DAYS * _DAY,
        )

    def by_number(self, phone_number: str) -> Entry | None:
        """Return the latest write that added a number, if there is something left to say of it."""
        found = self._latest(
            "phone_number = ? AND operation IN ('create_phone_number', 'import_phone_number')", phone_number
        )
        return found if found and found.open else None

    def untold(self, operation: str) -> Entry | None:
        """Return the latest write for which the platform chooses the number, if it may have taken effect untold."""
        return self._latest("operation = ? AND chosen AND NOT told AND outcome IS NOT 'not_applied'", operation)

    def count_today(self, operation: str) -> int:
        """Return how many writes may have taken effect since midnight UTC, on this platform, wherever it is."""
        (found,) = self._execute(_TODAY, self._today(operation))
        return int(found[0])

    def _today(self, operation: str) -> tuple[str, str, float]:
        return self._scope[0], operation, time.time() // _DAY * _DAY

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _latest(self, where: str, *values: Any) -> Entry | None:
        statement = f"SELECT * FROM writes WHERE platform = ? AND address = ? AND {where} ORDER BY id DESC LIMIT 1"  # noqa: S608
        rows = self._execute(statement, (*self._scope, *values))
        return _entry(rows[0]) if rows else None

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
                    raise BusyError("the journal is locked by another process") from error
                _warn(error)
                self._database = _in_memory(self._database)
                return self._database.execute(statement, values).fetchall()


def _warn(error: Exception) -> None:
    log.warning("The journal cannot be written (%s): it goes on in memory and is lost when the server ends", error)


def _in_memory(broken: sqlite3.Connection) -> sqlite3.Connection:
    """Return a journal in memory, with what could be read of a broken one: its limits and keys go on to hold."""
    memory = connect(MEMORY)
    try:
        rows = broken.execute("SELECT * FROM writes").fetchall()
        memory.executemany(f"INSERT INTO writes VALUES ({', '.join('?' * len(rows[0]))})", rows) if rows else None  # noqa: S608
        broken.close()
    except sqlite3.Error:
        log.warning("What the journal held cannot be read")
    return memory


def _entry(row: tuple[Any, ...]) -> Entry:
    entry = Entry(*row)
    return replace(entry, chosen=bool(entry.chosen), told=bool(entry.told))  # SQLite has no booleans


def connect(place: str, *, mode: Literal["rwc", "ro"] = "rwc") -> sqlite3.Connection:
    """Open a journal.

    Args:
        place: A path, or `:memory:`.
        mode: `ro` opens what is there, and only to read.

    Raises:
        OSError: The folder cannot be made.
        sqlite3.Error: The file cannot be opened, or is no journal.
    """
    if place == MEMORY:
        database = sqlite3.connect(MEMORY, check_same_thread=False, isolation_level=None)
    else:
        path = Path(place).expanduser().absolute()
        if mode == "rwc":
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # for this user alone, from its first moment
        uri = f"{path.as_uri()}?mode={'rw' if mode == 'rwc' else 'ro'}"
        database = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None, timeout=_BUSY_SECONDS)
    try:
        if mode == "rwc":
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns, also if the power goes
            database.executescript(_SCHEMA)
            database.execute(f"PRAGMA user_version = {_VERSION}")
    except BaseException:
        database.close()
        raise
    return database


def problem(place: str) -> str | None:
    """Return why a journal could not be written at a place; None if it could. One that is not there yet is not made.

    Args:
        place: A path.
    """
    path = Path(place).expanduser().absolute()
    if not path.exists():
        folder = next(folder for folder in path.parents if folder.exists())
        if not folder.is_dir():
            return f"{folder} is no folder"
        try:
            with TemporaryFile(dir=folder):  # gone again when this is over
                return None
        except OSError as error:
            return f"{folder}: {error.strerror}"
    try:
        connect(place).close()
    except (sqlite3.Error, OSError) as error:
        return getattr(error, "strerror", None) or str(error)
    return None


def entries(place: str, *, unsettled: bool = False) -> list[Entry]:
    """Return what a journal holds, the newest first.

    Args:
        place: A path.
        unsettled: Only writes of which it is not known whether they took effect.

    Raises:
        sqlite3.Error: There is no journal, or it cannot be read.
    """
    database = connect(place, mode="ro")
    try:
        rows = database.execute("SELECT * FROM writes ORDER BY id DESC").fetchall()
    finally:
        database.close()
    return [entry for entry in map(_entry, rows) if not (unsettled and entry.settled)]


def show(place: str, *, as_json: bool, unsettled: bool) -> int:
    """Print what a journal holds; return an exit status.

    Args:
        place: A path.
        as_json: For a machine: one array, times in seconds since 1970.
        unsettled: Only writes of which it is not known whether they took effect.
    """
    try:
        found = entries(place, unsettled=unsettled)
    except sqlite3.Error as error:
        if Path(place).expanduser().exists():
            sys.stderr.write(f"phone-number-mcp journal: {place} cannot be read: {error}\n")
            return 1
        found = []
    if as_json:
        shown = [asdict(entry) | {"outcome": entry.outcome or "unknown"} for entry in found]
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return 0
    if not found:
        sys.stdout.write(f"{'Nothing unsettled' if unsettled else 'No write has gone out yet'}, says {place}\n")
        return 0

    from rich.console import Console  # noqa: PLC0415  (only a person needs it)
    from rich.table import Table  # noqa: PLC0415

    table = Table("when (UTC)", "platform", "operation", "phone number", "outcome", "error")
    for entry in found:
        when = datetime.fromtimestamp(entry.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        outcome = entry.outcome or "unknown (cut off, or under way)"
        table.add_row(when, entry.platform, entry.operation, entry.phone_number or "", outcome, entry.code or "")
    Console().print(table)
    return 0


def default_place() -> str:
    """Return where the journal is if nobody says otherwise: in the user's state directory."""
    import platformdirs  # noqa: PLC0415  (14 ms that only a write needs)

    return str(platformdirs.user_state_path("phone-number-mcp", appauthor=False) / "journal.sqlite3")
