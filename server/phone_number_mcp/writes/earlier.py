"""What an earlier write with the same claim means for a write that is not sent because of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from phone_number_mcp.errors import (
    AlreadyExists,
    JournalUnavailable,
    NotFound,
    OutcomeUnknown,
    ToolError,
    duration,
    of_code,
)
from phone_number_mcp.tool import Success
from phone_number_mcp.writes.compare import as_asked
from phone_number_mcp.writes.journal import JournalUnavailableError
from phone_number_mcp.writes.messages import (
    in_progress,
    journal_unavailable,
    key_reused,
    steps,
    steps_without_number,
)
from phone_number_mcp.writes.reconcile import ARRIVAL_SECONDS, read_back

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.writes.in_flight import InFlightWrite
    from phone_number_mcp.writes.journal import Entry, Journal, Taken

T = TypeVar("T")

log = logging.getLogger(__name__)

CLAIMING = 0.6
"""The share of a call's time in which the journal must grant the claim; the rest is for sending and reading back."""
WAITING = 0.9
"""The share of a call's time for which it waits for the same write in another process."""
ACKNOWLEDGED_SECONDS = 2.0
"""Seconds within which a client has the answer to a write that has ended."""
POLL_SECONDS = 0.1
"""Interval between two looks at a write of another process."""


class EarlierWrite:
    """An earlier write that has the claim which a new one needs. Nothing is sent from here.

    Args:
        platform: Where both go.
        journal: Where both are.
        write: The write that could not be claimed.
        taken: What the journal said of the earlier one.
    """

    def __init__(self, platform: Platform, journal: Journal, write: InFlightWrite, taken: Taken) -> None:
        self._platform = platform
        self._journal = journal
        self._write = write
        self._entry = taken.entry
        self._by_key = taken.by == "key"
        self._same = write.intent.repeats(taken.entry)
        """Both are the same intent."""

    async def outcome(self, sending: Mapping[int, InFlightWrite]) -> Success | None:
        """Return the outcome of the earlier write that has the claim; None if the claim may be free now.

        Args:
            sending: What this process is sending, by entry.

        Raises:
            ToolError: What it means that the earlier write has it. Nothing was sent.
        """
        write, entry = self._write, self._entry
        if self._by_key and entry.fingerprint != write.intent.fingerprint:
            raise key_reused()
        if mine := sending.get(entry.id):
            if self._same and mine.arguments.secrets() == write.arguments.secrets():
                return await write.share(mine)
            await mine.finished.wait()
            return None
        return await self._outcome_elsewhere()

    async def _outcome_elsewhere(self) -> Success | None:
        entry = self._entry
        match entry.outcome:
            case None:
                return await self._wait()
            case "unknown":
                return await self._resolve(entry)
            case "applied" if self._by_key:
                return await self._repeat()
            case "applied" if self._same or entry.acknowledged or entry.quiet >= ACKNOWLEDGED_SECONDS:
                return await self._report()
            case _:  # its process is about to answer its caller
                await anyio.sleep(POLL_SECONDS)
                return None

    async def _wait(self) -> Success | None:
        """Wait until a write of another process has ended, and share its outcome; None if the claim may be free now."""
        entry = self._entry
        try:
            latest = await self._ended(entry)
        except JournalUnavailable as error:
            if self._same:  # it may take effect while nobody can read how it ended
                raise in_progress(entry, error.message) from error
            raise
        if latest is None or not self._same:
            return None
        if latest.outcome == "not_applied" and latest.code is None:
            return None  # its process ended before anything was sent
        self._write.entry_id = latest.id
        if latest.outcome == "not_applied":
            raise of_code(latest.code)(
                f"The same call, sent by another process of this server, failed: {latest.code}",
                outcome="not_applied",
                hint="It took no effect. Call again to get the platform's own message, unless the user should decide first.",
            )
        if latest.outcome == "unknown":
            return await self._resolve(latest)
        held = await self._held(latest.phone_number)
        return Success(held, warning="Another process of this server sent it. Nothing was sent by this call")

    async def _ended(self, entry: Entry) -> Entry | None:
        """Return the entry of another process once its write has ended.

        None if its owner is gone: it is adopted, and its outcome unknown, to whoever has the claim now. None, too, if another
        intent has waited for as long as it may.

        Raises:
            OutcomeUnknown: The same intent has waited for as long as it may.
            JournalUnavailable: The entry cannot be read.
        """
        until = self._write.call.deadline_after(WAITING if self._same else CLAIMING)
        while entry.running:
            if anyio.current_time() >= until:
                if self._same:
                    raise in_progress(entry)
                return None
            await anyio.sleep(POLL_SECONDS)
            found = await self._before_sending(self._journal.entry(entry.id, until))
            if found is None:
                raise JournalUnavailable("The journal has lost an entry. Nothing was sent")
            entry = found
        if entry.outcome is None:
            await self._before_sending(self._journal.adopt(entry, self._write.call.deadline_after(WAITING)))
            return None
        return entry

    async def _resolve(self, entry: Entry) -> Success | None:
        """Find out by reading back how an earlier write ended. It is never sent from here.

        Returns:
            The outcome; None if it took no effect, so that this one may be sent.
        """
        earlier = f"An earlier {entry.operation}, started {_ago(entry)} ago, ended with its outcome unknown"
        number, key = entry.phone_number, self._write.intent.idempotency_key
        if number is None:
            self._write.entry_id = entry.id
            raise OutcomeUnknown(
                f"{earlier}, and the platform chose the number. Nothing was sent now", hint=steps_without_number()
            )
        try:
            sight = await read_back(self._platform, self._write.call, number)
        except ToolError as error:
            raise OutcomeUnknown(
                f"{earlier}, and cannot be looked up now: {error.message}. Nothing was sent now",
                retry_after_seconds=max(1.0, round(ARRIVAL_SECONDS - entry.quiet, 1)),
                hint=steps(number, key, ARRIVAL_SECONDS),
            ) from error
        if sight.number is None:
            wait = ARRIVAL_SECONDS - entry.quiet
            if wait <= 0 and not sight.denied:
                raise OutcomeUnknown(
                    f"{earlier}: the number is in no list, but the platform gives no answer about the number itself. Nothing was sent now",
                    hint=steps(number, key, ARRIVAL_SECONDS),
                )
            if wait > 0:
                raise OutcomeUnknown(
                    f"{earlier}: the number does not exist yet, but may still be created. Nothing was sent now",
                    retry_after_seconds=max(1.0, round(wait, 1)),
                    hint=steps(number, key, max(1.0, wait)),
                )
            await self._before_sending(
                self._journal.resolve(entry.id, "not_applied", self._write.call.deadline_after(WAITING))
            )
            return None
        try:
            await self._journal.resolve(entry.id, "applied", self._write.call.deadline_after(WAITING))
        except JournalUnavailableError as error:  # what the platform shows is the truth all the same
            log.warning("How a write ended could not be written down: %s", error)
        self._write.entry_id = entry.id
        if self._same and self._as_asked(sight.number):
            return Success(sight.number, reconciled=True, warning=f"{earlier}; it took effect. Nothing was sent now")
        raise AlreadyExists(
            f"{earlier}; the number exists, but not as asked now. Nothing was sent now",
            existing=sight.number,
            outcome="applied" if self._same else "not_applied",
        )

    async def _repeat(self) -> Success:
        """Return the outcome of an idempotency key that was used before, with the number read afresh."""
        entry = self._entry
        self._write.entry_id = entry.id
        used = f"Nothing was sent: this idempotency_key was used {_ago(entry)} ago"
        if entry.phone_number is None:
            return Success({}, warning=f"{used}, and the platform did not say which number it chose")
        try:
            sight = await read_back(self._platform, self._write.call, entry.phone_number)
        except ToolError as error:
            raise error.replace(
                detail=f"{used} for {entry.phone_number}, which was created and cannot be read now", outcome="applied"
            ) from error
        if sight.number is None:
            raise NotFound(
                f"{entry.phone_number} does not exist any more",
                detail=f"{used} for {entry.phone_number}, which does not exist any more",
                outcome="applied",
            )
        return Success(sight.number, warning=used)

    async def _report(self) -> Success | None:
        """Return the outcome of a write that took effect and was not acknowledged; None if its number does not exist any more."""
        entry = self._entry
        earlier = (
            f"An earlier {entry.operation}, started {_ago(entry)} ago, took effect, but its outcome was not reported"
        )
        if entry.phone_number is None:
            self._write.entry_id = entry.id
            raise OutcomeUnknown(
                f"{earlier}, nor which number the platform chose. Nothing was sent now", hint=steps_without_number()
            )
        try:
            sight = await read_back(self._platform, self._write.call, entry.phone_number)
        except ToolError:
            held = {"phone_number": entry.phone_number}
        else:
            if sight.denied:  # it existed, and does not any more
                await self._before_sending(
                    self._journal.acknowledge(entry.id, self._write.call.deadline_after(WAITING))
                )
                return None
            held = sight.number or {"phone_number": entry.phone_number}
        self._write.entry_id = entry.id
        report = f"{earlier}: {entry.phone_number} exists. Nothing was sent now"
        if self._same and (entry.chosen or self._as_asked(held)):
            return Success(held, reconciled=True, warning=report)
        raise AlreadyExists(
            report,
            existing=held,
            outcome="applied" if self._same else "not_applied",
            hint="Tell the user about it. If another number is wanted as well, call again." if entry.chosen else None,
        )

    def _as_asked(self, held: dict[str, Any]) -> bool:
        return as_asked(self._write.arguments.comparable(), held, loosely_spelled=self._platform.loosely_spelled)

    async def _held(self, phone_number: str | None) -> dict[str, Any]:
        """Return what the platform holds of a number that is known to exist, as far as it can be read."""
        if phone_number is None:
            return {}
        try:
            sight = await read_back(self._platform, self._write.call, phone_number)
        except ToolError:
            return {"phone_number": phone_number}
        return sight.number or {"phone_number": phone_number}

    async def _before_sending(self, operation: Awaitable[T]) -> T:
        """Return what the journal says, before anything is sent.

        Raises:
            JournalUnavailable: It says nothing.
        """
        try:
            return await operation
        except JournalUnavailableError as error:
            raise journal_unavailable(error) from error


def _ago(entry: Entry) -> str:
    return duration(round(entry.age))
