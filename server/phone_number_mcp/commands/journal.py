"""`phone-number-mcp journal`: which writes were sent and how each ended; `resolve` settles one that nobody else can."""

from __future__ import annotations

import json
import sqlite3
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from phone_number_mcp.writes.database import BusyError, resolved_path
from phone_number_mcp.writes.journal import JournalUnavailableError
from phone_number_mcp.writes.sqlite import entries, settle

if TYPE_CHECKING:
    from phone_number_mcp.errors import Outcome
    from phone_number_mcp.writes.journal import Entry

_MEASURED = ("age", "quiet")
"""What is true only at the moment of the look."""


def show(place: str, *, as_json: bool, unresolved: bool) -> int:
    """Print what a journal holds, the newest first; return an exit status.

    Args:
        place: A path.
        as_json: For a machine: one array, times in seconds since 1970.
        unresolved: Only writes of which it is not known whether they took effect.
    """
    found: list[Entry] = []
    if resolved_path(place).exists():
        try:
            found = entries(place, unresolved=unresolved)
        except (sqlite3.Error, JournalUnavailableError) as error:
            sys.stderr.write(f"phone-number-mcp journal: {place} cannot be read: {error}\n")
            return 1
    if as_json:
        shown = [
            {name: value for name, value in asdict(entry).items() if name not in _MEASURED}
            | {"outcome": entry.outcome or "unknown"}
            for entry in found
        ]
        sys.stdout.write(json.dumps(shown, indent=2) + "\n")
        return 0
    if not found:
        sys.stdout.write(f"{'Nothing unresolved' if unresolved else 'No write was sent yet'}, says {place}\n")
        return 0

    from rich.box import SIMPLE  # noqa: PLC0415  (only a person needs it)
    from rich.console import Console  # noqa: PLC0415  (only a person needs it)
    from rich.table import Table  # noqa: PLC0415

    table = Table("id", "when (UTC)", "platform", "operation", "phone number", "outcome", box=SIMPLE)
    for entry in found:
        when = datetime.fromtimestamp(entry.started_at, UTC).strftime("%Y-%m-%d %H:%M:%S")
        outcome: str = "in progress" if entry.running else entry.outcome or "unknown, interrupted"
        if entry.code and entry.outcome != "unknown":
            outcome += f", {entry.code}"
        table.add_row(str(entry.id), when, entry.platform, entry.operation, entry.phone_number or "", outcome)
    Console().print(table)
    return 0


def resolve(place: str, entry_id: int, outcome: Outcome, phone_number: str | None) -> int:
    """Write down how a write ended that cannot be found out otherwise; return an exit status.

    Args:
        place: A path.
        entry_id: As `journal` shows it.
        outcome: `applied` or `not_applied`.
        phone_number: What the platform chose, if it did.
    """
    try:
        settle(place, entry_id, outcome, phone_number)
    except (ValueError, JournalUnavailableError, BusyError) as error:
        sys.stderr.write(f"phone-number-mcp journal resolve: {error}\n")
        return 1
    sys.stdout.write(f"Entry {entry_id} is {outcome} now\n")
    return 0
