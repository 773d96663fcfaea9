"""What people do with a journal on disk: read it, resolve an entry, remove old ones. Servers that run go on meanwhile."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from phone_number_mcp.writes.clock import Clock
from phone_number_mcp.writes.database import BusyError, Database, resolved_path, snapshot, unavailable
from phone_number_mcp.writes.journal import KEY_DAYS, Entry, JournalUnavailableError
from phone_number_mcp.writes.owners import Owners
from phone_number_mcp.writes.statements import (
    ACKNOWLEDGE,
    BY_ID,
    DAY,
    END,
    KEPT,
    NEWEST_FIRST,
    PRUNE,
    ending,
    entry_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from phone_number_mcp.errors import Outcome

_PATIENCE = 2.0
"""Seconds for which a command waits while another process holds the journal."""
_PAUSE = 0.25
"""Seconds between two tries."""

T = TypeVar("T")


def entries(place: str, *, unresolved: bool = False) -> list[Entry]:
    """Return what a journal on disk holds, the newest first. Nothing is written; see `database.snapshot`.

    Args:
        place: A path.
        unresolved: Only writes of which it is not known whether they took effect, of every scope.

    Raises:
        sqlite3.Error: There is no journal, or it cannot be read.
        JournalUnavailableError: It was written by a newer version.
    """
    path = resolved_path(place)
    owners = Owners(path.with_name(path.name + ".owners"))
    clock = Clock()
    copy = snapshot(path)
    try:
        rows = copy.execute(NEWEST_FIRST).fetchall()
    finally:
        copy.close()
    found = [entry_of(row, clock, owners.alive) for row in rows]
    return [entry for entry in found if not (unresolved and entry.resolved)]


def resolve_entry(place: str, id_: int, outcome: Outcome, phone_number: str | None = None) -> None:
    """Write down what a person knows of an entry with an unknown outcome.

    Args:
        place: A path.
        id_: Of the entry.
        outcome: `applied` or `not_applied`.
        phone_number: What the platform chose, if it did.

    Raises:
        ValueError: There is no such entry, it is in progress, about another number or resolved already; the message says which.
        JournalUnavailableError: The journal cannot be written, or another process holds it.
    """

    def resolve(connection: sqlite3.Connection) -> None:
        row = connection.execute(BY_ID, {"id": id_}).fetchone()
        if row is None:
            raise ValueError(f"{path} has no entry {id_}")
        found = entry_of(row, clock, owners.alive)
        if found.running:
            raise ValueError(f"entry {id_} is in progress in a process that is alive; wait for it")
        if found.resolved:
            raise ValueError(f"entry {id_} is {found.outcome} already")
        if phone_number is not None and found.phone_number not in {None, phone_number}:
            raise ValueError(f"entry {id_} is about another number, {found.phone_number}")
        connection.execute(END, ending(id_, outcome, clock, phone_number=phone_number))
        connection.execute(ACKNOWLEDGE, {"id": id_})  # whoever says it knows it

    path, clock = resolved_path(place), Clock()
    owners = Owners(path.with_name(path.name + ".owners"))
    _in_transaction(path, resolve)


@dataclass(frozen=True)
class Pruned:
    """What `prune` did.

    Args:
        removed: How many entries it removed.
        kept: How many there are still.
        kept_older: How many of those are from before the date.
    """

    removed: int
    kept: int
    kept_older: int


def prune(place: str, before: float) -> Pruned:
    """Remove old entries of which nothing depends any more, in one transaction. No write is refused or sent because of it.

    Kept are entries that are open, entries that are not acknowledged, keys within their `KEY_DAYS`, the last 24 hours (limits
    count since midnight), and the newest entry: by it, servers that run know their journal again.

    Args:
        place: A path.
        before: Seconds since 1970; what was claimed at that time or later is kept.

    Raises:
        ValueError: There is no journal.
        JournalUnavailableError: The journal cannot be written, or another process holds it.
    """
    now = time.time()
    values = {"before": before, "yesterday": now - DAY, "key_since": now - KEY_DAYS * DAY}

    def remove(connection: sqlite3.Connection) -> Pruned:
        removed = connection.execute(PRUNE, values).rowcount
        kept, kept_older = connection.execute(KEPT, values).fetchone()
        return Pruned(removed, kept, kept_older)

    return _in_transaction(resolved_path(place), remove)


def _in_transaction(path: Path, operation: Callable[[sqlite3.Connection], T]) -> T:
    """Change a journal that exists in one transaction; wait some seconds for another process that holds it."""
    if not path.exists():
        raise ValueError(f"there is no journal at {path}")
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            return _one_transaction(path, operation)
        except BusyError:
            if time.monotonic() > until:
                raise JournalUnavailableError(f"The journal {path} is locked by another process") from None
        time.sleep(_PAUSE)


def _one_transaction(path: Path, operation: Callable[[sqlite3.Connection], T]) -> T:
    database = Database(str(path))
    try:
        database.begin(writes=True)
        result = operation(database.connection)
        database.connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise unavailable(error, path) from error
    else:
        return result
    finally:
        database.close()  # rolls back what was not committed
