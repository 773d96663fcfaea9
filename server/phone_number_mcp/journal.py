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
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from phone_number_mcp.errors import Outcome

log = logging.getLogger(__name__)

MEMORY = ":memory:"
KEY_DAYS = 7
"""How long an idempotency key is remembered."""
_DAY = 86_400.0
_BUSY_SECONDS = 2.0
_VERSION = 1

_SCHEMA = """
CREATE TABLE IF NOT EXISTS writes (
    id              INTEGER PRIMARY KEY,
    platform        TEXT NOT NULL,
    account         TEXT NOT NULL,  -- a fingerprint of address and key: one user may have several accounts
    operation       TEXT NOT NULL,
    phone_number    TEXT,           -- null until known: the platform may choose it
    fingerprint     TEXT NOT NULL,  -- of the arguments, less secrets
    idempotency_key TEXT,
    started_at      REAL NOT NULL,  -- seconds since 1970, UTC
    ended_at        REAL,           -- null: under way, or cut off
    outcome         TEXT,           -- applied, not_applied, unknown
    code            TEXT            -- of the error, if one was told
);
CREATE INDEX IF NOT EXISTS writes_by_number ON writes (platform, account, phone_number);
CREATE INDEX IF NOT EXISTS writes_by_key ON writes (platform, account, idempotency_key);
"""


@dataclass(frozen=True)
class Entry:
    """One write, as the journal has it."""

    id: int
    platform: str
    account: str
    operation: str
    phone_number: str | None
    fingerprint: str
    idempotency_key: str | None
    started_at: float
    ended_at: float | None
    outcome: Outcome | None
    code: str | None

    @property
    def settled(self) -> bool:
        """Whether it is known if it took effect."""
        return self.outcome in {"applied", "not_applied"}


@dataclass(frozen=True)
class Intent:
    """A write that is about to go out."""

    operation: str
    phone_number: str | None
    fingerprint: str
    idempotency_key: str | None = None


class Journal:
    """The writes of one account on one platform. Its methods block for a few milliseconds: call them in a thread.

    Args:
        place: A path, or `:memory:`. What cannot be opened or written is said once, in the log, and the journal goes on in
            memory.
        platform: The platform's name.
        account: A fingerprint of the account.
    """

    def __init__(self, place: str, platform: str, account: str) -> None:
        self._scope = (platform, account)
        self._lock = threading.Lock()
        self._database = self._open(place)

    def begin(self, intent: Intent) -> int:
        """Write down that a write is about to go out, and return its id. When this returns it is on disk."""
        row = (
            *self._scope,
            intent.operation,
            intent.phone_number,
            intent.fingerprint,
            intent.idempotency_key,
            time.time(),
        )
        columns = "platform, account, operation, phone_number, fingerprint, idempotency_key, started_at"
        written = self._execute(f"INSERT INTO writes ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id", row)  # noqa: S608  (the columns are ours)
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

    def by_key(self, operation: str, key: str) -> Entry | None:
        """Return the latest write with an idempotency key that may have taken effect, of the last seven days."""
        return self._latest(
            "operation = ? AND idempotency_key = ? AND started_at > ? AND outcome IS NOT 'not_applied'",
            operation, key, time.time() - KEY_DAYS * _DAY,
        )  # fmt: skip

    def unsettled(self, phone_number: str) -> Entry | None:
        """Return the latest write that added a number, if it is not known whether it took effect."""
        found = self._latest(
            "phone_number = ? AND operation IN ('create_phone_number', 'import_phone_number')", phone_number
        )
        return found if found and not found.settled else None

    def cut_off(self, operation: str) -> Entry | None:
        """Return the latest write without a number that was under way when a server ended, and that nobody was told of."""
        return self._latest("operation = ? AND phone_number IS NULL AND ended_at IS NULL", operation)

    def count_today(self, operation: str) -> int:
        """Return how many writes may have taken effect since midnight UTC, on this platform, whatever the account."""
        midnight = time.time() // _DAY * _DAY
        where = "platform = ? AND operation = ? AND started_at >= ? AND outcome IS NOT 'not_applied'"
        (found,) = self._execute(f"SELECT count(*) FROM writes WHERE {where}", (self._scope[0], operation, midnight))  # noqa: S608
        return int(found[0])

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._database.close()

    def _latest(self, where: str, *values: Any) -> Entry | None:
        statement = f"SELECT * FROM writes WHERE platform = ? AND account = ? AND {where} ORDER BY id DESC LIMIT 1"  # noqa: S608
        rows = self._execute(statement, (*self._scope, *values))
        return Entry(*rows[0]) if rows else None

    def _execute(self, statement: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock:
            try:
                return self._database.execute(statement, values).fetchall()
            except sqlite3.Error as error:
                self._go_on_in_memory(error)
                return self._database.execute(statement, values).fetchall()

    def _open(self, place: str) -> sqlite3.Connection:
        try:
            return connect(place)
        except (sqlite3.Error, OSError) as error:
            return self._go_on_in_memory(error)

    def _go_on_in_memory(self, error: Exception) -> sqlite3.Connection:
        log.warning("The journal cannot be written (%s): it goes on in memory and is lost when the server ends", error)
        self._database = connect(MEMORY)
        return self._database


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
    return [entry for entry in (Entry(*row) for row in rows) if not (unsettled and entry.settled)]


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
        sys.stdout.write("Nothing unsettled.\n" if unsettled else "No write has gone out yet.\n")
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
