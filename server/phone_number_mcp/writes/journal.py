"""The journal's contract: the one authority on which writes were claimed, by whom, and how each ended.

Every server that shares a journal asks it before it reads or sends anything. A claim is one atomic step, so that of two
processes with the same intent one sends and the other waits. What an engine (SQLite, later PostgreSQL) must do is `Journal`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

if TYPE_CHECKING:
    from phone_number_mcp.errors import Outcome

KEY_DAYS = 7
"""Days for which an idempotency key that was applied stays used up."""

ClaimedBy: TypeAlias = Literal["key", "subject"]


@dataclass(frozen=True, slots=True)
class Intent:
    """A write that is about to be sent.

    Args:
        platform: Where to; a simulated platform has another name than the real one.
        address: The platform's base URL, in the form of `scope.normalized`.
        credentials: Whose write it is. The journal keeps a keyed hash of them.
        operation: The tool.
        phone_number: None where the platform chooses it.
        fingerprint: Distinguishes one write from another: a hash of the operation and its arguments, less secrets.
        budget: Seconds from now after which nothing of it is sent any more.
        idempotency_key: As the caller gave it.
        creates: It creates or imports a number, so that doing it twice is not the same as doing it once: it claims its
            number, or, without one, its operation, and its idempotency key.
    """

    platform: str
    address: str
    credentials: tuple[str, ...] = field(repr=False)
    operation: str
    phone_number: str | None
    fingerprint: str
    budget: float
    idempotency_key: str | None = None
    creates: bool = False

    @property
    def subject(self) -> str | None:
        """What nobody else may create meanwhile: the number, or, where the platform chooses it, any by this operation."""
        return (self.phone_number or f"*{self.operation}") if self.creates else None

    def repeats(self, entry: Entry) -> bool:
        """Whether this is the same intent as that of an entry: the same arguments, unless two keys say that two are wanted."""
        two_keys = None not in {self.idempotency_key, entry.idempotency_key} and (
            self.idempotency_key != entry.idempotency_key
        )
        return self.fingerprint == entry.fingerprint and not two_keys


@dataclass(frozen=True, slots=True)
class Entry:
    """One write, as the journal has it.

    Args:
        id: Rises in the order of the claims.
        owner: The process that sends it, or that took it over.
        running: It has not ended, and its owner may be alive.
        started_at: Seconds since 1970, UTC, by the clock of that time.
        ended_at: The same; None as long as nothing was written down of its end.
        outcome: None until something was written down.
        code: Of the error, if there was one.
        chosen: The platform chooses the number.
        acknowledged: A client has the answer of how it ended, or a person knows.
        age: Seconds since it was claimed, at least: measured without the wall clock.
        quiet: Seconds since anything of it can have been sent, at least.
    """

    id: int
    platform: str
    address: str
    tenant: str
    owner: str
    operation: str
    phone_number: str | None
    fingerprint: str
    idempotency_key: str | None
    started_at: float
    ended_at: float | None
    outcome: Outcome | None
    code: str | None
    chosen: bool
    acknowledged: bool
    running: bool
    age: float
    quiet: float

    @property
    def resolved(self) -> bool:
        """Whether it is known if it took effect."""
        return self.outcome in {"applied", "not_applied"}


@dataclass(frozen=True, slots=True)
class Claimed:
    """The intent is this process's to send. On disk when it is returned.

    Args:
        id: Of its entry.
        warning: What the caller should know of the journal, if anything.
    """

    id: int
    warning: str | None = None


@dataclass(frozen=True, slots=True)
class Taken:
    """An earlier write has the claim. If the intent repeats it, the intent's idempotency key is that write's now.

    Args:
        entry: The earlier write.
        by: What both claim: the idempotency key, or the subject.
        warning: What the caller should know of the journal, if anything.
    """

    entry: Entry
    by: ClaimedBy
    warning: str | None = None


class LimitExceededError(Exception):
    """As many writes as allowed were claimed today.

    Args:
        count: How many.
    """

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} today")
        self.count = count


class JournalUnavailableError(Exception):
    """The journal cannot be written, so nothing may be sent. The message says why; it ends without a full stop."""


class Journal(Protocol):
    """Every method takes a `deadline`, on the event loop's clock, until which it tries again while others hold the journal.

    Each but `close` raises `JournalUnavailableError`: nothing was written then, or it counts as not written.
    """

    async def claim(self, intent: Intent, deadline: float, limit: int | None = None) -> Claimed | Taken:
        """Claim an intent, or return who has it, in one step.

        Args:
            intent: The write.
            deadline: See above.
            limit: How many of its operation may be applied, or may have been, on a day (UTC), by this tenant on this platform.

        Raises:
            LimitExceededError: So many were claimed already. An intent that is taken is never over the limit.
        """

    async def earlier(self, intent: Intent, deadline: float) -> Taken | None:
        """Return who has what an intent would claim, and change nothing; None if it could be claimed."""

    async def entry(self, id_: int, deadline: float) -> Entry | None:
        """Return an entry as it is now."""

    async def adopt(self, entry: Entry, deadline: float) -> bool:
        """Take over an entry whose owner is gone, with the outcome unknown; return whether this process has it now."""

    async def resolve(self, id_: int, outcome: Outcome, deadline: float, phone_number: str | None = None) -> bool:
        """Write down what reading back showed of an entry with an unknown outcome; return whether it was still unknown."""

    async def end(
        self, id_: int, outcome: Outcome, deadline: float, *, code: str | None = None, phone_number: str | None = None
    ) -> None:
        """Write down how a write of this process ended.

        Raises:
            JournalUnavailableError: It is kept in memory and written down as soon as that is possible.
        """

    async def acknowledge(self, id_: int, deadline: float) -> None:
        """Write down that somebody knows how a write ended."""

    async def flush(self, deadline: float) -> None:
        """Write down what could not be written before."""

    async def count_today(self, intent: Intent, deadline: float) -> int:
        """Return how many writes as this one may have been applied since midnight UTC."""

    async def close(self) -> None:
        """Close the journal; this process owns nothing any more."""
