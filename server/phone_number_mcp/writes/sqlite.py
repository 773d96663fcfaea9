"""The journal in SQLite, shared by every server of this user on this machine."""

from __future__ import annotations

import errno
import random
import sqlite3
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeVar

import anyio
import anyio.to_thread

from phone_number_mcp.writes.clock import Clock
from phone_number_mcp.writes.database import (
    MEMORY,
    BusyError,
    Database,
    is_busy,
    key_path,
    resolved_path,
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
from phone_number_mcp.writes.statements import (
    ACKNOWLEDGE,
    ADOPT,
    BY_ID,
    BY_KEY,
    BY_SUBJECT,
    CLAIM,
    DAY,
    END,
    EXPIRE,
    IDENTITY,
    OPEN_OF_OWNER,
    RENAME_OWNER,
    RESOLVE,
    TAKE_OVER_VERSION_1,
    TODAY,
    USE_KEY,
    Values,
    ending,
    entry_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from phone_number_mcp.errors import Outcome

_FIRST_PAUSE, _LAST_PAUSE = 0.01, 0.25
"""Seconds between two tries while another process holds the journal."""

T = TypeVar("T")


class InThread(Protocol):
    """Runs what blocks for some milliseconds off the event loop, as `anyio.to_thread.run_sync` does."""

    async def __call__(self, attempt: Callable[[], T], /) -> T:
        """Return what the attempt returns, or raise what it raises."""


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
        self._unwritten: dict[int, Values] = {}
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
            self._last_id = max(self._last_id, claim.id)  # not before: a commit that fails gives its id to the next
        return claim

    async def earlier(self, intent: Intent, deadline: float) -> Taken | None:
        """See `journal.Journal`."""
        return await self._attempt_until(deadline, lambda database: self._earlier(database, intent))

    async def entry(self, id_: int, deadline: float) -> Entry | None:
        """See `journal.Journal`."""
        return await self._attempt_until(deadline, lambda database: self._find(database, BY_ID, {"id": id_}))

    async def adopt(self, entry: Entry, deadline: float) -> bool:
        """See `journal.Journal`."""
        return await self._write(lambda database: self._adopt(database, entry), deadline)

    async def resolve(self, id_: int, outcome: Outcome, deadline: float, phone_number: str | None = None) -> bool:
        """See `journal.Journal`."""
        values = ending(id_, outcome, self._clock, phone_number=phone_number)
        changed = await self._write(lambda database: database.connection.execute(RESOLVE, values).rowcount, deadline)
        return changed > 0

    async def end(
        self, id_: int, outcome: Outcome, deadline: float, *, code: str | None = None, phone_number: str | None = None
    ) -> None:
        """See `journal.Journal`."""
        self._unwritten[id_] = ending(id_, outcome, self._clock, code=code, phone_number=phone_number)
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
                        return await self._in_thread(partial(self._attempt, operation, writes=writes))
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
            if isinstance(result, Claimed):  # before anybody else can close it as unsent
                self._mine.add(result.id)
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
            # One that was used before is restored, by whoever runs this server, and never created anew: not even between
            # two files that are being restored, where the key file's place is still empty.
            may_create = self._journal_id is None or self._place == MEMORY
            database = Database(self._place, may_create=may_create, now=self._clock.now, tick=self._clock.tick)
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
        except OSError as error:  # it cannot be known; a folder that is a file holds none
            return error.errno == errno.ENOTDIR

    def _check_the_same(self, database: Database) -> None:
        """Refuse a file that took the place of the one that was used before, also under the open connection.

        Raises:
            JournalUnavailableError: It is another journal, or lacks what this process has seen.
        """
        id_, newest = database.connection.execute(IDENTITY).fetchone()
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
        for values in list(self._unwritten.values()):
            connection.execute(END, values)
        for id_ in list(self._unacknowledged):
            connection.execute(ACKNOWLEDGE, {"id": id_})
        return (*self._unwritten, *self._unacknowledged)

    # --- what is done in one ---

    def _values(self, database: Database, intent: Intent) -> Values:
        return {
            "platform": intent.platform,
            "address": normalized(intent.address),
            "tenant": tenant(database.key, intent.credentials),
            "operation": intent.operation,
            "midnight": self._clock.now() // DAY * DAY,
        }

    def _earlier(self, database: Database, intent: Intent) -> Taken | None:
        values = self._values(database, intent) | {
            "key": intent.idempotency_key if intent.creates else None,
            "subject": intent.subject,
        }
        expired = self._clock.now() - KEY_DAYS * DAY
        found = self._find(database, BY_KEY, values)
        if found is not None and not (found.outcome == "applied" and found.started_at < expired):
            return Taken(found, "key", self._warning)
        found = self._find(database, BY_SUBJECT, values)
        return None if found is None else Taken(found, "subject", self._warning)

    def _claim(self, database: Database, intent: Intent, limit: int | None) -> Claimed | Taken | int:
        """Return the claim, or who has it; where neither, how many were claimed today."""
        now = self._clock.now()
        values = self._values(database, intent) | {
            "owner": self._me,
            "number": intent.phone_number,
            "fingerprint": intent.fingerprint,
            "key": intent.idempotency_key if intent.creates else None,
            "subject": intent.subject,
            "now": now,
            "tick": self._clock.tick(),
            "budget": intent.budget,
            "chosen": intent.phone_number is None,
            "limit": limit,
        }
        connection = database.connection
        database.check()
        self._keep_lock(connection)
        connection.execute(TAKE_OVER_VERSION_1, values)
        connection.execute(EXPIRE, values | {"since": now - KEY_DAYS * DAY})
        claimed = connection.execute(CLAIM, values).fetchone()
        if claimed is not None:
            return Claimed(claimed[0], self._warning)
        if found := self._find(database, BY_KEY, values):
            return Taken(found, "key", self._warning)
        found = self._find(database, BY_SUBJECT, values)
        if found is None:
            return self._count(database, values)
        if intent.idempotency_key and intent.repeats(found):
            # The answer to come uses this key up: from now on, it is that write's.
            connection.execute(USE_KEY, {"key": intent.idempotency_key, "id": found.id})
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
            connection.execute(RENAME_OWNER, {"owner": self._me, "former": former})

    def _end_unsent(self, connection: sqlite3.Connection) -> None:
        """Close claims of this process that are on disk although their commit failed: nothing was sent on them."""
        rows = connection.execute(OPEN_OF_OWNER, {"owner": self._me}).fetchall()
        for (id_,) in rows:
            if id_ not in self._mine:
                connection.execute(END, ending(id_, "not_applied", self._clock, code="journal_unavailable"))

    def _adopt(self, database: Database, entry: Entry) -> bool:
        now = self._find(database, BY_ID, {"id": entry.id})
        if now is None or now.outcome is not None or now.running or now.owner != entry.owner:
            return False
        database.connection.execute(
            ADOPT,
            {"owner": self._me, "now": self._clock.now(), "tick": self._clock.tick() - now.quiet, "id": entry.id},
        )
        return True

    def _count(self, database: Database, values: Values) -> int:
        return int(database.connection.execute(TODAY, values).fetchone()[0])

    def _find(self, database: Database, statement: str, values: Values) -> Entry | None:
        row = database.connection.execute(statement, values).fetchone()
        if row is None:
            return None
        found = entry_of(row, self._clock, self._alive)
        self._last_id = max(self._last_id, found.id)
        return found

    def _alive(self, owner: str) -> bool:
        return owner in {self._me, *self._former} or (self._owners is not None and self._owners.alive(owner))
