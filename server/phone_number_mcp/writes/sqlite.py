"""The journal in SQLite, shared by every server of this user on this machine."""

from __future__ import annotations

import errno
import random
import sqlite3
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from phone_number_mcp.writes.database import (
    MEMORY,
    BusyError,
    Database,
    is_busy,
    key_path,
    resolved_path,
    snapshot,
    unavailable,
)
from phone_number_mcp.writes.journal import (
    KEY_DAYS,
    Claimed,
    Entry,
    Intent,
    JournalUnavailableError,
    LimitExceededError,
    Taken,
)
from phone_number_mcp.writes.owners import Owners, ProofOfLife
from phone_number_mcp.writes.scope import normalized, tenant

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from phone_number_mcp.errors import Outcome

    InThread = Callable[[Callable[[], Any]], Awaitable[Any]]

_DAY = 86_400.0
_FIRST_PAUSE, _LAST_PAUSE = 0.01, 0.25
"""Seconds between two tries while another process holds the journal."""
_PATIENCE = 2.0
"""Seconds for which a command for people waits while another process holds the journal."""

_COLUMNS = (
    "id, platform, address, tenant, owner, operation, phone_number, fingerprint, idempotency_key, started_at, ended_at, "
    "outcome, code, chosen, acknowledged, started_tick, budget, ended_tick"
)
_SCOPE = "platform = :platform AND address = :address AND tenant = :tenant"
# Counted over all addresses of a platform: another address is no way around a limit.
_TODAY = """
SELECT count(*) FROM writes
WHERE platform = :platform AND tenant = :tenant AND operation = :operation AND started_at >= :midnight
    AND outcome IS NOT 'not_applied'
"""
_SAME = "SELECT (SELECT value FROM about WHERE name = 'id'), (SELECT coalesce(max(id), 0) FROM writes)"
_CLAIM = f"""
INSERT INTO writes (platform, address, tenant, owner, operation, phone_number, fingerprint, idempotency_key, started_at,
    started_tick, budget, chosen, key_claim, subject_claim)
SELECT :platform, :address, :tenant, :owner, :operation, :number, :fingerprint, :key, :now, :tick, :budget, :chosen,
    :key, :subject
WHERE :limit IS NULL OR ({_TODAY}) < :limit
ON CONFLICT DO NOTHING RETURNING id
"""
_EXPIRE = f"""
UPDATE writes SET key_claim = NULL
WHERE {_SCOPE} AND key_claim = :key AND started_at < :since AND outcome = 'applied'
"""  # noqa: S608  (constants)
_END = """
UPDATE writes SET outcome = :outcome, code = :code, ended_at = :now, ended_tick = :tick,
    phone_number = coalesce(phone_number, :number),
    key_claim = CASE :outcome WHEN 'not_applied' THEN NULL ELSE key_claim END,
    subject_claim = CASE WHEN :outcome = 'not_applied' OR (:outcome = 'applied' AND acknowledged) THEN NULL
        ELSE subject_claim END
WHERE id = :id
"""
# Whoever knows of it may go on: a number that is there can be released and created again. What is unknown of a number stays
# claimed until it is known; what is unknown of a purchase without one will never be.
_ACKNOWLEDGE = """
UPDATE writes SET acknowledged = 1,
    subject_claim = CASE WHEN outcome = 'applied' OR chosen THEN NULL ELSE subject_claim END
WHERE id = :id AND outcome IS NOT NULL
"""
_PRUNE = """
DELETE FROM writes
WHERE started_at < :before AND started_at < :yesterday
    AND outcome IN ('applied', 'not_applied') AND subject_claim IS NULL
    AND (key_claim IS NULL OR started_at < :key_since)
    AND id < (SELECT max(id) FROM writes)
"""

T = TypeVar("T")


@dataclass(frozen=True)
class Clock:
    """The two clocks of the journal.

    Args:
        now: Seconds since 1970: for people and for days. Somebody may set it.
        tick: Seconds since the machine started: for all waiting. https://peps.python.org/pep-0418/#time-monotonic
    """

    now: Callable[[], float] = time.time
    tick: Callable[[], float] = time.monotonic

    def since(self, tick: float) -> float:
        """Return how many seconds ago a tick was, at least. One that lies ahead is of before the machine started anew."""
        now = self.tick()
        return now - tick if tick <= now else now


class SqliteJournal:
    """The journal in one SQLite file; see `journal.Journal`.

    Args:
        place: A path, or `:memory:`.
        may_forget: It is the default journal: where none was ever written and none can be, go on in memory, and say so with
            each write.
        clock: The two clocks.
        in_thread: Runs what blocks for some milliseconds.
        make_owners: Returns proof of life, given the folder for it.
    """

    def __init__(
        self,
        place: str,
        *,
        may_forget: bool = False,
        clock: Clock | None = None,
        in_thread: InThread = anyio.to_thread.run_sync,
        make_owners: Callable[[Path], ProofOfLife] = Owners,
    ) -> None:
        self._place = place
        self._may_forget = may_forget
        self._clock = clock or Clock()
        self._in_thread = in_thread
        self._make_owners = make_owners
        self._one_at_a_time = anyio.Lock()
        self._database: Database | None = None
        self._owners: ProofOfLife | None = None
        self._me = ""
        self._former: list[str] = []
        """Names that this process had, as long as its entries may have them still."""
        self._warning: str | None = None
        self._journal_id: str | None = None
        self._last_id = 0
        """The highest that was seen: a file that lacks it is not the one that was used before."""
        self._mine: set[int] = set()
        """Entries whose claim was returned: of no other one of this process was anything sent."""
        self._in_doubt = False
        """A commit failed, and may have been written all the same."""
        self._unwritten: dict[int, dict[str, Any]] = {}
        """How writes ended, as long as it could not be written down."""
        self._unacknowledged: set[int] = set()

    # --- the contract ---

    async def claim(self, intent: Intent, deadline: float, limit: int | None = None) -> Claimed | Taken:
        """See `journal.Journal`."""
        claim: Claimed | Taken | int
        claim = await self._write(lambda database: self._claim(database, intent, limit), deadline)
        self._former.clear()
        if isinstance(claim, int):  # not raised before: what else was written is to be committed
            raise LimitExceededError(claim)
        if isinstance(claim, Claimed):
            self._mine.add(claim.id)
            self._last_id = max(self._last_id, claim.id)  # not before: a commit that fails gives its id to the next
        return claim

    async def entry(self, id_: int, deadline: float) -> Entry | None:
        """See `journal.Journal`."""
        return await self._attempt_until(deadline, lambda database: self._find(database, "id = :id", {"id": id_}))

    async def adopt(self, entry: Entry, deadline: float) -> bool:
        """See `journal.Journal`."""
        return await self._write(lambda database: self._adopt(database, entry), deadline)

    async def resolve(self, id_: int, outcome: Outcome, deadline: float, phone_number: str | None = None) -> bool:
        """See `journal.Journal`."""
        values = _ending(id_, outcome, self._clock, phone_number=phone_number)
        changed = await self._write(
            lambda database: database.connection.execute(f"{_END} AND outcome = 'unknown'", values).rowcount, deadline
        )
        return changed > 0

    async def end(
        self, id_: int, outcome: Outcome, deadline: float, *, code: str | None = None, phone_number: str | None = None
    ) -> None:
        """See `journal.Journal`."""
        self._unwritten[id_] = _ending(id_, outcome, self._clock, code=code, phone_number=phone_number)
        await self.flush(deadline)

    async def acknowledge(self, id_: int, deadline: float) -> None:
        """See `journal.Journal`."""
        self._unacknowledged.add(id_)
        await self.flush(deadline)

    async def flush(self, deadline: float) -> None:
        """See `journal.Journal`."""
        if self._unwritten or self._unacknowledged or self._in_doubt:
            await self._write(lambda _database: None, deadline)

    async def count_today(self, intent: Intent, deadline: float) -> int:
        """See `journal.Journal`."""
        return await self._write(lambda database: self._count(database, self._values(database, intent)), deadline)

    async def close(self) -> None:
        """See `journal.Journal`."""
        async with self._one_at_a_time:
            if self._database is not None:
                self._database.close()
                self._database = None
            if self._owners is not None:
                self._owners.leave()

    # --- one transaction ---

    async def _write(self, operation: Callable[[Database], T], deadline: float) -> T:
        return await self._attempt_until(deadline, operation, writes=True)

    async def _attempt_until(self, deadline: float, operation: Callable[[Database], T], *, writes: bool = False) -> T:
        """Do something in a transaction, off the event loop, and whole even if the caller is cancelled.

        All that wait for another process try again by turns, each until its own deadline.

        Raises:
            JournalUnavailableError: Nothing was done.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                with anyio.CancelScope(shield=True):
                    async with self._one_at_a_time:
                        done: T = await self._in_thread(partial(self._attempt, operation, writes=writes))
                        return done
            except BusyError as error:
                left = deadline - anyio.current_time()
                if left <= 0:
                    raise JournalUnavailableError(f"The journal {self._place} is locked by another process") from error
            await anyio.sleep(min(left, random.uniform(pause / 2, pause)))  # noqa: S311  (no secret depends on it)
            pause = min(pause * 2, _LAST_PAUSE)

    def _attempt(self, operation: Callable[[Database], T], *, writes: bool) -> T:
        database = self._opened()
        connection = database.connection
        try:
            database.begin(writes=writes)
            self._check_the_same(database)
            written = self._write_down(connection) if writes else ()
            if writes and self._in_doubt:
                self._end_unsent(connection)
            result = operation(database)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back(connection)
            if not is_busy(error):
                # A new connection starts from what is in the file: one that failed may be read-only, or know better.
                self._in_doubt = self._in_doubt or writes
                self._shut()
            raise unavailable(error, database.path) from error
        except (BusyError, JournalUnavailableError):  # open it anew: what was read of a damaged file is in memory
            self._roll_back(connection)
            self._shut()
            raise
        except BaseException:
            self._roll_back(connection)
            raise
        for id_ in written:
            self._unwritten.pop(id_, None)
            self._unacknowledged.discard(id_)
        self._in_doubt = self._in_doubt and not writes
        return result

    @staticmethod
    def _roll_back(connection: sqlite3.Connection) -> None:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")

    def _opened(self) -> Database:
        """Return the database, opened, and the same as before.

        Raises:
            JournalUnavailableError: It cannot be used.
            BusyError: Another process holds it.
        """
        if self._database is not None and self._database.moved():
            self._shut()
        if self._database is None:
            self._database = self._open()
        return self._database

    def _open(self) -> Database:
        try:
            database = Database(self._place, now=self._clock.now, tick=self._clock.tick)
        except JournalUnavailableError as error:
            if not self._may_forget or not self._never_written():
                raise
            self._warning = (
                f"{error}. So this write is remembered only until this server ends, and other servers do not know of it"
            )
            self._place = MEMORY
            database = Database(MEMORY, now=self._clock.now, tick=self._clock.tick)
        try:
            self._check_the_same(database)
            self._enter(database)
        except sqlite3.Error as error:
            database.close()
            raise unavailable(error, database.path) from error
        except BaseException:
            database.close()
            raise
        self._journal_id = database.id
        return database

    def _never_written(self) -> bool:
        try:
            path = resolved_path(self._place)
            return not (path.exists() and path.stat().st_size) and not key_path(path).exists()
        except JournalUnavailableError:  # there is no such place
            return True
        except OSError as error:  # it cannot be told; a folder that is a file holds none
            return error.errno == errno.ENOTDIR

    def _check_the_same(self, database: Database) -> None:
        """Refuse a file that took the place of the one that was used before, also under the open connection.

        Raises:
            JournalUnavailableError: It is another journal, or lacks what this process has seen.
        """
        id_, newest = database.connection.execute(_SAME).fetchone()
        if self._journal_id is not None and (id_ != self._journal_id or newest < self._last_id):
            raise JournalUnavailableError(
                f"The journal {database.path} was replaced by another or an older one while the server ran. Restore it"
            )

    def _enter(self, database: Database) -> None:
        if self._me:
            return
        if database.path is None:
            self._me = "this process"
            return
        owners = self._make_owners(database.path.with_name(database.path.name + ".owners"))
        try:
            owners.enter()
        except OSError as error:
            raise unavailable(error, database.path) from error
        self._owners, self._me = owners, owners.name

    def _shut(self) -> None:
        if self._database is not None:
            self._database.close()
            self._database = None

    def _write_down(self, connection: sqlite3.Connection) -> tuple[int, ...]:
        """Write down what could not be written before; return of which entries."""
        for ending in list(self._unwritten.values()):
            connection.execute(_END, ending)
        for id_ in list(self._unacknowledged):
            connection.execute(_ACKNOWLEDGE, {"id": id_})
        return (*self._unwritten, *self._unacknowledged)

    # --- what is done in one ---

    def _values(self, database: Database, intent: Intent) -> dict[str, Any]:
        return {
            "platform": intent.platform,
            "address": normalized(intent.address),
            "tenant": tenant(database.key, intent.credentials),
            "operation": intent.operation,
            "midnight": self._clock.now() // _DAY * _DAY,
        }

    def _claim(self, database: Database, intent: Intent, limit: int | None) -> Claimed | Taken | int:
        """Return the claim, or who has it; where neither, how many were claimed today."""
        values = self._values(database, intent) | {
            "owner": self._me,
            "number": intent.phone_number,
            "fingerprint": intent.fingerprint,
            "key": intent.idempotency_key if intent.creates else None,
            "subject": intent.subject,
            "now": self._clock.now(),
            "tick": self._clock.tick(),
            "budget": intent.budget,
            "chosen": intent.phone_number is None,
            "limit": limit,
        }
        connection = database.connection
        database.check()
        self._keep_lock(connection)
        self._take_over_version_1(connection, values)
        connection.execute(_EXPIRE, values | {"since": values["now"] - KEY_DAYS * _DAY})
        claimed = connection.execute(_CLAIM, values).fetchone()
        if claimed is not None:
            return Claimed(claimed[0], self._warning)
        if found := self._find(database, f"{_SCOPE} AND key_claim = :key", values):
            return Taken(found, "key", self._warning)
        found = self._find(database, f"{_SCOPE} AND subject_claim = :subject", values)
        if found is None:
            return self._count(database, values)
        if intent.idempotency_key and intent.repeats(found):
            # The answer to come uses this key up: from now on, it is that write's.
            connection.execute(
                "UPDATE writes SET idempotency_key = :key, key_claim = :key WHERE id = :id",
                {"key": intent.idempotency_key, "id": found.id},
            )
        return Taken(found, "subject", self._warning)

    def _keep_lock(self, connection: sqlite3.Connection) -> None:
        """See that this process is known to be alive."""
        if self._owners is not None and not self._owners.present():
            before, self._me = self._me, ""
            try:
                self._owners.enter()
            except OSError as error:
                self._me = before
                raise JournalUnavailableError(
                    f"The journal {self._place} cannot be written: {error.strerror}"
                ) from error
            self._me = self._owners.name
            self._former.append(before)
        for former in self._former:
            connection.execute("UPDATE writes SET owner = ? WHERE owner = ? AND outcome IS NULL", (self._me, former))

    def _end_unsent(self, connection: sqlite3.Connection) -> None:
        """Close claims of this process that are on disk although their commit failed: nothing was sent on them."""
        rows = connection.execute("SELECT id FROM writes WHERE owner = ? AND outcome IS NULL", (self._me,)).fetchall()
        for (id_,) in rows:
            if id_ not in self._mine:
                connection.execute(_END, _ending(id_, "not_applied", self._clock, code="journal_unavailable"))

    @staticmethod
    def _take_over_version_1(connection: sqlite3.Connection, values: dict[str, Any]) -> None:
        """Give what was written before there were accounts to the first that writes at the same address."""
        connection.execute(
            "UPDATE OR IGNORE writes SET tenant = :tenant "
            "WHERE tenant = '' AND platform = :platform AND address = :address",
            values,
        )

    def _adopt(self, database: Database, entry: Entry) -> bool:
        now = self._find(database, "id = :id", {"id": entry.id})
        if now is None or now.outcome is not None or now.running or now.owner != entry.owner:
            return False
        database.connection.execute(
            "UPDATE writes SET owner = :owner, outcome = 'unknown', code = 'outcome_unknown', ended_at = :now, "
            "ended_tick = :tick WHERE id = :id",
            {"owner": self._me, "now": self._clock.now(), "tick": self._clock.tick() - now.quiet, "id": entry.id},
        )
        return True

    def _count(self, database: Database, values: dict[str, Any]) -> int:
        return int(database.connection.execute(_TODAY, values).fetchone()[0])

    def _find(self, database: Database, where: str, values: dict[str, Any]) -> Entry | None:
        row = database.connection.execute(f"SELECT {_COLUMNS} FROM writes WHERE {where}", values).fetchone()  # noqa: S608
        if row is None:
            return None
        found = _entry(row, self._clock, self._alive)
        self._last_id = max(self._last_id, found.id)
        return found

    def _alive(self, owner: str) -> bool:
        return owner in {self._me, *self._former} or (self._owners is not None and self._owners.alive(owner))


def _ending(
    id_: int, outcome: Outcome, clock: Clock, *, code: str | None = None, phone_number: str | None = None
) -> dict[str, Any]:
    now, tick = clock.now(), clock.tick()
    return {"id": id_, "outcome": outcome, "code": code, "number": phone_number, "now": now, "tick": tick}


def _entry(row: tuple[Any, ...], clock: Clock, alive: Callable[[str], bool]) -> Entry:
    facts = dict(zip(_COLUMNS.split(", "), row, strict=True))
    age, budget, ended_tick = clock.since(facts.pop("started_tick")), facts.pop("budget"), facts.pop("ended_tick")
    facts |= {"chosen": bool(facts["chosen"]), "acknowledged": bool(facts["acknowledged"])}  # SQLite has no booleans
    return Entry(
        **facts,
        running=facts["outcome"] is None and bool(facts["owner"]) and alive(facts["owner"]),
        age=age,
        quiet=max(0.0, age - budget) if ended_tick is None else clock.since(ended_tick),
    )


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
        rows = copy.execute(f"SELECT {_COLUMNS} FROM writes ORDER BY id DESC").fetchall()  # noqa: S608
    finally:
        copy.close()
    found = [_entry(row, clock, owners.alive) for row in rows]
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
        row = connection.execute(f"SELECT {_COLUMNS} FROM writes WHERE id = ?", (id_,)).fetchone()  # noqa: S608
        if row is None:
            raise ValueError(f"{path} has no entry {id_}")
        found = _entry(row, clock, owners.alive)
        if found.running:
            raise ValueError(f"entry {id_} is in progress in a process that is alive; wait for it")
        if found.resolved:
            raise ValueError(f"entry {id_} is {found.outcome} already")
        if phone_number is not None and found.phone_number not in {None, phone_number}:
            raise ValueError(f"entry {id_} is about another number, {found.phone_number}")
        connection.execute(_END, _ending(id_, outcome, clock, phone_number=phone_number))
        connection.execute(_ACKNOWLEDGE, {"id": id_})  # whoever says it knows it

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

    Kept are entries that are open, entries that nobody was told of, keys within their `KEY_DAYS`, the last 24 hours (limits
    count since midnight), and the newest entry: by it, servers that run know their journal again.

    Args:
        place: A path.
        before: Seconds since 1970; what was claimed at that time or later is kept.

    Raises:
        ValueError: There is no journal.
        JournalUnavailableError: The journal cannot be written, or another process holds it.
    """
    now = time.time()
    values = {"before": before, "yesterday": now - _DAY, "key_since": now - KEY_DAYS * _DAY}

    def remove(connection: sqlite3.Connection) -> Pruned:
        removed = connection.execute(_PRUNE, values).rowcount
        kept, kept_older = connection.execute(
            "SELECT count(*), count(CASE WHEN started_at < :before THEN 1 END) FROM writes", values
        ).fetchone()
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
        time.sleep(_LAST_PAUSE)


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
