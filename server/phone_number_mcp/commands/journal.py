"""`phone-number-mcp journal`: which writes were sent and how each ended; `resolve` and `prune` change what it holds."""

from __future__ import annotations

import json
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from phone_number_mcp.writes.database import MEMORY, default_place, resolved_path
from phone_number_mcp.writes.journal import KEY_DAYS, JournalUnavailableError
from phone_number_mcp.writes.maintenance import entries, resolve_entry
from phone_number_mcp.writes.maintenance import prune as prune_journal

if TYPE_CHECKING:
    from phone_number_mcp.errors import Outcome
    from phone_number_mcp.writes.journal import Entry

_MEASURED = ("age", "quiet")
"""What is true only at the moment of the look."""
_ANY_WIDTH = 10_000
"""Columns where nobody says how many there are, as in a pipe: one line an entry, for grep."""


def show(place: str | None, *, as_json: bool, unresolved: bool) -> int:
    """Print what a journal holds, the newest first; return an exit status.

    Args:
        place: A path; None for the default journal, which need not exist yet.
        as_json: For a machine: one array, times in seconds since 1970.
        unresolved: Only writes of which it is not known whether they took effect.
    """
    chosen = place or default_place()
    found: list[Entry] = []
    if chosen == MEMORY:
        return _fail("show", f"{MEMORY} is the memory of a server: it holds nothing that could be read from elsewhere")
    if resolved_path(chosen).exists():
        try:
            found = entries(chosen, unresolved=unresolved)
        except (sqlite3.Error, JournalUnavailableError) as error:
            return _fail("show", f"{chosen} cannot be read: {error}")
    elif place is not None:
        return _fail("show", f"there is no journal at {place}: the path is wrong, or no write was sent yet")
    if as_json:
        shown = [
            {name: value for name, value in asdict(entry).items() if name not in _MEASURED}
            | {"outcome": entry.outcome or "unknown"}
            for entry in found
        ]
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
    elif found:
        sys.stdout.writelines(_table(found, shutil.get_terminal_size((_ANY_WIDTH, 24)).columns))
    else:
        sys.stdout.write(f"{'Nothing unresolved' if unresolved else 'No write was sent yet'}: {chosen}\n")
    return 0


def resolve(place: str | None, entry_id: int, outcome: Outcome, phone_number: str | None) -> int:
    """Write down how a write ended that cannot be found out otherwise; return an exit status.

    Args:
        place: A path; None for the default journal.
        entry_id: As `journal` shows it.
        outcome: `applied` or `not_applied`.
        phone_number: What the platform chose, if it did.
    """
    try:
        resolve_entry(place or default_place(), entry_id, outcome, phone_number)
    except (ValueError, JournalUnavailableError) as error:
        return _fail("resolve", str(error))
    sys.stdout.write(f"Entry {entry_id} is {outcome} now\n")
    return 0


def prune(place: str | None, before: date) -> int:
    """Remove old entries on which nothing depends any more; return an exit status.

    Args:
        place: A path; None for the default journal.
        before: The first day (UTC) whose entries are kept; not in the future.
    """
    start = datetime(before.year, before.month, before.day, tzinfo=UTC).timestamp()
    try:
        pruned = prune_journal(place or default_place(), start)
    except (ValueError, JournalUnavailableError) as error:
        return _fail("prune", str(error))
    sys.stdout.write(f"Removed {pruned.removed}, kept {pruned.kept}\n")
    if pruned.kept_older:
        sys.stdout.write(
            f"{pruned.kept_older} of those kept are from before {before}: they are unresolved, not reported to a client yet, "
            f"from the last 24 hours, hold an idempotency key of the last {KEY_DAYS} days, or are the newest entry\n"
        )
    return 0


def _fail(command: str, reason: str) -> int:
    sys.stderr.write(f"phone-number-mcp journal{'' if command == 'show' else f' {command}'}: {reason}\n")
    return 1


def _table(found: list[Entry], width: int) -> Iterator[str]:
    """Yield the lines of a table: numbers and operations whole; what does not fit beside them is in a line below."""
    platforms = {entry.platform for entry in found}
    rows: list[tuple[str, ...]] = [("id", "when (UTC)", "operation", "phone number", "outcome", "")]
    for entry in found:
        when = datetime.fromtimestamp(entry.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        outcome: str = "in progress" if entry.running else entry.outcome or "interrupted"
        code = entry.code if entry.code and entry.code != "outcome_unknown" else None
        details = [*([entry.platform] if len(platforms) > 1 else []), *([code] if code else [])]
        cells = (str(entry.id), when, entry.operation, entry.phone_number or "", outcome, ", ".join(details))
        rows.append(tuple(map(_printable, cells)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    flat = sum(widths) + 2 * (len(widths) - 1) <= width
    if len(platforms) == 1:
        yield f"{_printable(*platforms)}, newest first\n"
    for row in rows:
        padded = [f"{cell:{size}}" for cell, size in zip(row, widths, strict=True)]
        yield "  ".join(padded if flat else padded[:-1]).rstrip() + "\n"
        if not flat and row[-1]:
            yield f"{'':{widths[0]}}  {row[-1]}\n"


def _printable(text: str) -> str:
    """Return a text that moves no cursor and colours nothing: part of it came from a platform."""
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
