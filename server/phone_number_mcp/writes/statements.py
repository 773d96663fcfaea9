"""The SQL of the journal in SQLite, and what its rows and values mean. Nothing is executed here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from phone_number_mcp.writes.journal import Entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from phone_number_mcp.errors import Outcome
    from phone_number_mcp.writes.clock import Clock

DAY = 86_400.0
"""Seconds."""

Values: TypeAlias = dict[str, str | float | None]
"""The named values of a statement."""

ENTRIES = """
SELECT id, platform, address, tenant, owner, operation, phone_number, fingerprint, idempotency_key, started_at, ended_at,
    outcome, code, chosen, acknowledged, started_tick, budget, ended_tick
FROM writes
"""
"""The columns that `entry_of` takes."""
_SCOPE = "platform = :platform AND address = :address AND tenant = :tenant"
BY_ID = f"{ENTRIES} WHERE id = :id"
BY_KEY = f"{ENTRIES} WHERE {_SCOPE} AND key_claim = :key"
BY_SUBJECT = f"{ENTRIES} WHERE {_SCOPE} AND subject_claim = :subject"
NEWEST_FIRST = f"{ENTRIES} ORDER BY id DESC"
# Counted over all addresses of a platform: another address is no way around a limit.
TODAY = """
SELECT count(*) FROM writes
WHERE platform = :platform AND tenant = :tenant AND operation = :operation AND started_at >= :midnight
    AND outcome IS NOT 'not_applied'
"""
IDENTITY = "SELECT (SELECT value FROM about WHERE name = 'id'), (SELECT coalesce(max(id), 0) FROM writes)"
CLAIM = f"""
INSERT INTO writes (platform, address, tenant, owner, operation, phone_number, fingerprint, idempotency_key, started_at,
    started_tick, budget, chosen, key_claim, subject_claim)
SELECT :platform, :address, :tenant, :owner, :operation, :number, :fingerprint, :key, :now, :tick, :budget, :chosen,
    :key, :subject
WHERE :limit IS NULL OR ({TODAY}) < :limit
ON CONFLICT DO NOTHING RETURNING id
"""
EXPIRE = """
UPDATE writes SET key_claim = NULL
WHERE platform = :platform AND address = :address AND tenant = :tenant
    AND key_claim = :key AND started_at < :since AND outcome = 'applied'
"""
TAKE_OVER_VERSION_1 = """
UPDATE OR IGNORE writes SET tenant = :tenant
WHERE tenant = '' AND platform = :platform AND address = :address
"""
USE_KEY = "UPDATE writes SET idempotency_key = :key, key_claim = :key WHERE id = :id"
RENAME_OWNER = "UPDATE writes SET owner = :owner WHERE owner = :former AND outcome IS NULL"
OPEN_OF_OWNER = "SELECT id FROM writes WHERE owner = :owner AND outcome IS NULL"
ADOPT = """
UPDATE writes SET owner = :owner, outcome = 'unknown', code = 'outcome_unknown', ended_at = :now, ended_tick = :tick
WHERE id = :id
"""
END = """
UPDATE writes SET outcome = :outcome, code = :code, ended_at = :now, ended_tick = :tick,
    phone_number = coalesce(phone_number, :number),
    key_claim = CASE :outcome WHEN 'not_applied' THEN NULL ELSE key_claim END,
    subject_claim = CASE WHEN :outcome = 'not_applied' OR (:outcome = 'applied' AND acknowledged) THEN NULL
        ELSE subject_claim END
WHERE id = :id
"""
# Whoever knows of it may go on: a number that is there can be released and created again. What is unknown of a number stays
# claimed until it is known; what is unknown of a purchase without one will never be.
ACKNOWLEDGE = """
UPDATE writes SET acknowledged = 1,
    subject_claim = CASE WHEN outcome = 'applied' OR chosen THEN NULL ELSE subject_claim END
WHERE id = :id AND outcome IS NOT NULL
"""
RESOLVE = f"{END} AND outcome = 'unknown'"
PRUNE = """
DELETE FROM writes
WHERE started_at < :before AND started_at < :yesterday
    AND outcome IN ('applied', 'not_applied') AND subject_claim IS NULL
    AND (key_claim IS NULL OR started_at < :key_since)
    AND id < (SELECT max(id) FROM writes)
"""
KEPT = "SELECT count(*), count(CASE WHEN started_at < :before THEN 1 END) FROM writes"


def ending(
    id_: int, outcome: Outcome, clock: Clock, *, code: str | None = None, phone_number: str | None = None
) -> Values:
    """Return the values of `END` and `RESOLVE` for a write that ends now."""
    now, tick = clock.now(), clock.tick()
    return {"id": id_, "outcome": outcome, "code": code, "number": phone_number, "now": now, "tick": tick}


def entry_of(row: tuple[Any, ...], clock: Clock, alive: Callable[[str], bool]) -> Entry:
    """Return a row of `ENTRIES` as an entry.

    Args:
        row: As SQLite returns it.
        clock: Measures how long ago things were.
        alive: Whether an owner may be alive.
    """
    id_, platform, address, tenant, owner, operation, phone_number, fingerprint, key, started_at, *rest = row
    ended_at, outcome, code, chosen, acknowledged, started_tick, budget, ended_tick = rest
    age = clock.since(started_tick)
    return Entry(
        id=id_,
        platform=platform,
        address=address,
        tenant=tenant,
        owner=owner,
        operation=operation,
        phone_number=phone_number,
        fingerprint=fingerprint,
        idempotency_key=key,
        started_at=started_at,
        ended_at=ended_at,
        outcome=outcome,
        code=code,
        chosen=bool(chosen),  # SQLite has no booleans
        acknowledged=bool(acknowledged),
        running=outcome is None and bool(owner) and alive(owner),
        age=age,
        quiet=max(0.0, age - budget) if ended_tick is None else clock.since(ended_tick),
    )
