"""The tables of the journal in SQLite, and the migration of what an older version wrote."""

from __future__ import annotations

import sqlite3

from phone_number_mcp.writes.scope import normalized

VERSION = 2
"""What `PRAGMA user_version` is."""

_SCHEMA = """
CREATE TABLE writes (
    id              INTEGER PRIMARY KEY AUTOINCREMENT, -- in the order of the claims, whatever the clock says
    platform        TEXT NOT NULL,
    address         TEXT NOT NULL,    -- of the platform, normalized: a staging one is another
    tenant          TEXT NOT NULL,    -- a keyed hash of the credentials; '' in what version 1 wrote
    owner           TEXT NOT NULL,    -- the process that sends it, or took it over
    operation       TEXT NOT NULL,
    phone_number    TEXT,             -- null until known: the platform may choose it
    fingerprint     TEXT NOT NULL,    -- of the arguments, less secrets
    idempotency_key TEXT,
    started_at      REAL NOT NULL,    -- seconds since 1970, UTC
    started_tick    REAL NOT NULL,    -- seconds on a clock that nobody sets
    budget          REAL NOT NULL,    -- seconds after the start in which it may be sent
    ended_at        REAL,
    ended_tick      REAL,
    outcome         TEXT,             -- applied, not_applied, unknown; null while open
    code            TEXT,             -- of the error, if there was one
    chosen          INTEGER NOT NULL, -- whether the platform chooses the number
    acknowledged    INTEGER NOT NULL DEFAULT 0,
    key_claim       TEXT,             -- the idempotency key, as long as nobody else may use it
    subject_claim   TEXT              -- the number or the operation, as long as nobody else may create it
);
CREATE UNIQUE INDEX writes_by_key ON writes (platform, address, tenant, key_claim) WHERE key_claim IS NOT NULL;
CREATE UNIQUE INDEX writes_by_subject ON writes (platform, address, tenant, subject_claim)
    WHERE subject_claim IS NOT NULL;
CREATE INDEX writes_by_day ON writes (platform, tenant, operation, started_at);
CREATE TABLE about (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""
_CREATED_IN_1 = ("create_phone_number", "import_phone_number")
"""What claimed a number in version 1, which had no claims."""
_ENTRIES_OF_1 = """
SELECT platform, address, operation, phone_number, fingerprint, idempotency_key, started_at, ended_at, outcome, code, chosen,
    told
FROM writes ORDER BY id
"""
"""What version 1 called `told` is `acknowledged` now."""


def create_or_migrate(database: sqlite3.Connection, now: float, tick: float) -> bool:
    """Bring a database to today's schema; return whether it was empty.

    Args:
        database: In a transaction of the caller's, if it is on disk.
        now: Seconds since 1970.
        tick: Seconds on the clock of `started_tick`.
    """
    fresh = not _tables(database)
    if fresh:
        _run(database, _SCHEMA)
    elif "subject_claim" not in _columns(database):
        _migrate_from_1(database, now, tick)
    return fresh


def _tables(database: sqlite3.Connection) -> set[str]:
    return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _columns(database: sqlite3.Connection) -> set[str]:
    return {row[1] for row in database.execute("PRAGMA table_info(writes)")}


def _run(database: sqlite3.Connection, script: str) -> None:
    """Execute statements one by one: `executescript` would commit before them."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            database.execute(statement)
            statement = ""


def _migrate_from_1(database: sqlite3.Connection, now: float, tick: float) -> None:
    """Take over what version 1 wrote: its keys, its open writes, its counts. It knew no accounts and no owners."""
    rows = database.execute(_ENTRIES_OF_1).fetchall()
    for table in ("writes_by_number", "writes_by_key"):
        database.execute(f"DROP INDEX IF EXISTS {table}")
    database.execute("DROP TABLE writes")
    _run(database, _SCHEMA)
    taken: set[tuple[str, ...]] = set()
    converted = []
    for row in reversed(rows):  # of two that claim the same, the newer one counts
        platform, address, operation, number, _fingerprint, key, started, ended, outcome, code, chosen, acknowledged = (
            row
        )
        scope = (platform, normalized(address))
        open_ = outcome not in {"applied", "not_applied"} or (outcome == "applied" and not acknowledged)
        subject = number if number and not chosen else f"*{operation}"
        claims = [
            key if key and outcome != "not_applied" else None,
            subject if open_ and operation in _CREATED_IN_1 and not (chosen and acknowledged) else None,
        ]
        for place, claim in enumerate(claims):
            name = (*scope, str(place), str(claim))
            if claim and name in taken:
                claims[place] = None
            taken.add(name)
        since = max(0.0, now - started)
        converted.append(
            (
                *scope,
                *row[2:7],
                tick - since,
                ended,
                ended and tick - since,
                outcome,
                code,
                chosen,
                acknowledged,
                *claims,
            )
        )
    database.executemany(
        """
        INSERT INTO writes (platform, address, operation, phone_number, fingerprint, idempotency_key, started_at,
            started_tick, ended_at, ended_tick, outcome, code, chosen, acknowledged, key_claim, subject_claim,
            tenant, owner, budget)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', '', 0)
        """,
        reversed(converted),
    )
