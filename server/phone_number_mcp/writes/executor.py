"""The executor: a write is claimed in the journal, sent once, reconciled if its answer is lost, and never cut off.

A write runs in a task of its own. Whoever asked for it may go away; it goes on within its deadline, and whoever asks for
the same meanwhile, in this process or another, shares its outcome.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio

from phone_number_mcp.e164 import PATTERN
from phone_number_mcp.errors import (
    CRASHES,
    AlreadyExists,
    FieldProblem,
    Internal,
    InvalidArguments,
    InvalidReply,
    JournalUnavailable,
    LimitReached,
    NotFound,
    OutcomeUnknown,
    TimedOut,
    ToolError,
    duration,
    of_code,
)
from phone_number_mcp.shutdown import Shutdown
from phone_number_mcp.tool import Success
from phone_number_mcp.writes.compare import as_asked
from phone_number_mcp.writes.journal import (
    Claimed,
    Entry,
    Intent,
    Journal,
    JournalUnavailableError,
    LimitExceededError,
    Taken,
)
from phone_number_mcp.writes.reconcile import LANDED_SECONDS, read_back, reconcile, steps, steps_without_number

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from phone_number_mcp.errors import Outcome
    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.tool import Arguments, Tool
    from phone_number_mcp.transports import AfterResponse
    from phone_number_mcp.upstream.api import Api
    from phone_number_mcp.upstream.call import Call
    from phone_number_mcp.upstream.request import Account

T = TypeVar("T")

log = logging.getLogger(__name__)

CLAIMING = 0.6
"""The share of a call's time in which the journal must grant the claim; the rest is for sending and reading back."""
LISTING = 1 / 3
"""The share of a call's time in which the numbers must be listed before a purchase for which the platform chooses one."""
SENDING = 0.7
"""The share of the time left in which the answer must come; the rest is for reading back."""
WAITING = 0.9
"""The share of a call's time for which it waits for the same write in another process."""
LISTING_AGAIN = 1.5
"""Times as long as the numbers took to list are left for listing them again."""
GRACE_SECONDS = 1.7
"""How long writes may go on when the server is told to end: after two seconds, clients kill it."""
LAST_SECONDS = 0.1
"""How long at the end to try to write down what was to be written down soon."""
ACKNOWLEDGED_SECONDS = 2.0
"""How long the answer to a write that has ended may be on its way to the client."""
POLL_SECONDS = 0.1
"""Interval between two looks at a write of another process."""
NOTE_SECONDS = 1.0
"""How long to try to write down how a write ended, before the caller is answered; after that, it is tried in the background."""


@dataclass(eq=False)
class InFlightWrite:
    """A write that has not ended, and its outcome once it has."""

    tool: Tool[Any]
    arguments: Arguments
    call: Call
    intent: Intent
    finished: anyio.Event = field(default_factory=anyio.Event)
    outcome: Success | ToolError | None = None
    entry_id: int | None = None
    """The entry in the journal that the outcome tells of."""
    key: str | None = None
    """The idempotency key that its outcome uses up: its own, or that of a write that joined it."""

    async def result(self) -> Success:
        """Return the outcome once there is one, or raise it."""
        await self.finished.wait()
        if isinstance(self.outcome, Success):
            return self.outcome
        raise self.outcome.replace() if self.outcome else Internal(f"{self.tool.name} ended without an outcome")

    def repeats(self, other: InFlightWrite) -> bool:
        """Whether this is the same intent as another of this process, by the same account and with the same secrets."""
        return (
            self.intent.fingerprint == other.intent.fingerprint
            and self.intent.credentials == other.intent.credentials
            and (self.key is None or other.key is None or self.key == other.key)
            and self.arguments.secrets() == other.arguments.secrets()
        )


class Writes:
    """Carries writes out, on one platform.

    Args:
        platform: Where to, and how to read back what it holds.
        api: The way to it.
        name: The platform's name in the journal.
        address: Where the platform is.
        journal: Makes the journal; nothing is opened before the first write.
        max_creates: How many numbers may be created a day; None for no limit.
    """

    def __init__(
        self,
        platform: Platform,
        api: Api,
        *,
        name: str,
        address: str,
        journal: Callable[[], Journal],
        max_creates: int | None,
    ) -> None:
        self._platform = platform
        self._api = api
        self._name, self._address = name, address
        self._make_journal = journal
        self._max_creates = max_creates
        self.shutdown = Shutdown()
        self._opened: Journal | None = None
        self._in_flight: list[InFlightWrite] = []
        self._sending: dict[int, InFlightWrite] = {}
        """Of these, those that have a claim, by entry."""
        self._to_acknowledge: set[int] = set()
        """Entries of which the client has the answer, as long as that is not written down."""
        self._drained_by: float | None = None
        self._flushing = False
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        await self.drain()
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        finally:
            if self._opened is not None:
                with anyio.CancelScope(shield=True):
                    await self._write_the_rest(self._opened)
                    await self._opened.close()

    async def _write_the_rest(self, journal: Journal) -> None:
        """Write down at the end what was to be written down soon."""
        deadline = anyio.current_time() + LAST_SECONDS
        with suppress(JournalUnavailableError):
            for id_ in list(self._to_acknowledge):
                await journal.acknowledge(id_, deadline)
            await journal.flush(deadline)

    async def drain(self) -> None:
        """Stop accepting writes; let in-flight ones finish, but not for long, however often one asks.

        What is cut off is in the journal.
        """
        self.shutdown.begin()
        if self._drained_by is None:
            self._drained_by = anyio.current_time() + GRACE_SECONDS
        with anyio.CancelScope(shield=True, deadline=self._drained_by):
            for write in list(self._in_flight):
                await write.finished.wait()

    async def run(
        self, tool: Tool[Any], arguments: Arguments, account: Account, after: AfterResponse | None = None
    ) -> Success:
        """Carry a write out, or share the outcome of the same one that is in flight, in this process or another.

        Args:
            tool: What to do.
            arguments: With what.
            account: Whose write it is.
            after: Runs callbacks once the client has the answer. Without it, whoever waits for the answer counts as told.

        Raises:
            ToolError: As the write ended; `write_outcome` is the truth as far as it could be learnt.
        """
        self.shutdown.refuse_if_begun()
        call = self._api.call(account, shutdown=self.shutdown)
        intent = self._intent(tool, arguments, account, call)
        write = InFlightWrite(tool, arguments, call, intent, key=intent.idempotency_key)
        self._in_flight.append(write)
        self._tasks.start_soon(self._execute, write)
        try:
            success = await write.result()
        except ToolError:
            await self._acknowledge(write.entry_id, after)
            raise
        await self._acknowledge(write.entry_id, after)
        return success

    async def check(self, tool: Tool[Any], arguments: Arguments, account: Account) -> None:
        """Refuse what would be refused anyway, before a person is asked about it.

        Raises:
            JournalUnavailable: Nothing could be written down.
            LimitReached: As many numbers as allowed were created today.
        """
        call = self._api.call(account, shutdown=self.shutdown)
        intent = self._intent(tool, arguments, account, call)
        try:
            count = await self._journal.count_today(intent, call.deadline_after(CLAIMING))
        except JournalUnavailableError as error:
            raise JournalUnavailable(f"{error}. Nothing was sent") from error
        if tool.costs and self._max_creates is not None and count >= self._max_creates:
            raise self._limit_reached(count)

    @property
    def _journal(self) -> Journal:
        if self._opened is None:
            self._opened = self._make_journal()
        return self._opened

    def _intent(self, tool: Tool[Any], arguments: Arguments, account: Account, call: Call) -> Intent:
        return Intent(
            platform=self._name,
            address=self._address,
            credentials=account.credentials,
            operation=tool.name,
            phone_number=getattr(arguments, "phone_number", None),
            fingerprint=_fingerprint(tool, arguments),
            budget=call.remaining,
            idempotency_key=getattr(arguments, "idempotency_key", None),
            creates=tool.creates,
        )

    def _limit_reached(self, count: int) -> LimitReached:
        return LimitReached(f"{count} numbers were created today, and --max-creates allows {self._max_creates}")

    # --- one write ---

    async def _execute(self, write: InFlightWrite) -> None:
        try:
            write.outcome = await self._claim_and_send(write)
        except ToolError as error:
            write.outcome = error
        except CRASHES:
            log.exception("%s failed", write.tool.name, extra={"secrets": write.arguments.secrets()})
            write.outcome = _crashed(write)
        finally:
            self._in_flight.remove(write)
            write.finished.set()

    async def _claim_and_send(self, write: InFlightWrite) -> Success:
        while True:
            if anyio.current_time() > write.call.deadline_after(CLAIMING):
                raise TimedOut(
                    "Another write to the same number took so long that nothing was sent", outcome="not_applied"
                )
            claim = await self._claim(write)
            if isinstance(claim, InFlightWrite):
                lost = "This idempotency_key could not be written down, so it is not used up"
                return await self._share(write, claim, lost if write.intent.idempotency_key else None)
            if isinstance(claim, Claimed):
                success = await self._send(write, claim.id)
            else:
                earlier = await self._earlier(write, claim)
                if earlier is None:
                    continue
                success = earlier
            return success.warned(claim.warning)

    async def _claim(self, write: InFlightWrite) -> Claimed | Taken | InFlightWrite:
        """Claim a write in the journal; where that cannot be done, return the same write of this process, if there is one."""
        limit = self._max_creates if write.tool.costs else None
        same = next((other for other in self._sending.values() if write.repeats(other)), None)
        try:
            return await self._journal.claim(write.intent, write.call.deadline_after(CLAIMING), limit)
        except LimitExceededError as error:
            raise self._limit_reached(error.count) from None
        except JournalUnavailableError as error:
            self._flush_soon()  # the claim may be on disk all the same, and others wait for it
            if same is not None and write.tool.creates and write.repeats(same):
                same.key = same.key or write.key
                return same
            raise JournalUnavailable(f"{error}. Nothing was sent") from error

    async def _send(self, write: InFlightWrite, id_: int) -> Success:
        """Send a write that is claimed; whatever happens, the journal learns how it ended before the caller does."""
        write.entry_id = id_
        self._sending[id_] = write
        try:
            success = await self._send_and_reconcile(write)
        except anyio.get_cancelled_exc_class():  # the server ends: what was never sent is known to be without effect
            if not write.call.trail.write_sent:
                await self._end(id_, "not_applied")
            raise
        except ToolError as error:
            await self._end(id_, error.write_outcome, code=error.code)
            raise
        except CRASHES:
            crashed = _crashed(write)
            await self._end(id_, crashed.write_outcome, code=crashed.code)
            raise
        else:
            number = self._platform.number_in(success.data) or ""
            await self._end(id_, "applied", phone_number=number if re.fullmatch(PATTERN, number) else None)
            return success
        finally:
            self._sending.pop(id_, None)

    async def _send_and_reconcile(self, write: InFlightWrite) -> Success:
        tool, call = write.tool, write.call
        self.shutdown.refuse_if_begun()
        before, reserve = None, 0.0
        if tool.creates and write.intent.phone_number is None and self._platform.list_all_numbers:
            listed_at = anyio.current_time()
            try:
                before = await self._platform.list_all_numbers(call.within(LISTING))
            except ToolError as error:
                raise error.replace(outcome="not_applied", hint=_CANNOT_LIST) from error
            reserve = (anyio.current_time() - listed_at) * LISTING_AGAIN
        reserve = max(call.remaining * (1 - SENDING), reserve)
        try:
            success: Success = await tool.handler(call.within(1 - reserve / call.remaining), write.arguments)
            self._check_answer(write, success)
        except ToolError as error:
            if not call.trail.write_sent:
                raise error.replace(outcome="not_applied") from error
            if error.write_outcome != "unknown":
                raise
            lost = error
        except CRASHES as error:
            if not call.trail.write_sent:
                raise
            log.exception("%s failed after it was sent", tool.name, extra={"secrets": write.arguments.secrets()})
            lost = InvalidReply("The platform's answer could not be handled by this server")
            lost.__cause__ = error
        else:
            return success
        return await reconcile(self._platform, tool, write.arguments, call, lost, before)

    def _check_answer(self, write: InFlightWrite, success: Success) -> None:
        """Refuse to believe an answer to a create that is not about its number.

        Raises:
            InvalidReply: It is about another one, or about none.
        """
        if not write.tool.creates:
            return
        number = self._platform.number_in(success.data)
        if number is None or number != (write.intent.phone_number or number):
            what = "another number" if number else "no number"
            raise InvalidReply(f"The platform's answer to {write.tool.name} is about {what}")

    # --- what somebody else has claimed ---

    async def _earlier(  # noqa: PLR0911  (a table of what may have become of the earlier write)
        self, write: InFlightWrite, taken: Taken
    ) -> Success | None:
        """Return the outcome of the earlier write that has the claim; None if the claim may be free now.

        Raises:
            ToolError: What it means that the earlier write has it. Nothing was sent.
        """
        intent, entry = write.intent, taken.entry
        if taken.by == "key" and entry.fingerprint != intent.fingerprint:
            raise _reused()
        same = intent.repeats(entry)
        if mine := self._sending.get(entry.id):
            if same and mine.arguments.secrets() == write.arguments.secrets():
                return await self._share(write, mine, None)
            await mine.finished.wait()
            return None
        match entry.outcome:
            case None:
                return await self._wait_for(write, entry, same=same)
            case "unknown":
                return await self._resolve(write, entry, same=same)
            case "applied" if taken.by == "key":
                return await self._repeat(write, entry)
            case "applied" if same or entry.acknowledged or entry.quiet >= ACKNOWLEDGED_SECONDS:
                return await self._tell(write, entry, same=same)
            case _:  # whoever sent it is about to be told
                await anyio.sleep(POLL_SECONDS)
                return None

    async def _share(self, write: InFlightWrite, other: InFlightWrite, warning: str | None) -> Success:
        write.entry_id = other.entry_id
        return (await other.result()).warned(warning)

    async def _wait_for(self, write: InFlightWrite, entry: Entry, *, same: bool) -> Success | None:
        """Wait until a write of another process has ended, and share its outcome; None if the claim may be free now."""
        try:
            latest = await self._ended(write, entry, same=same)
        except JournalUnavailable as error:
            if same:  # it may take effect while nobody can read how it ended
                raise _in_progress(entry, error.message) from error
            raise
        if latest is None or not same:
            return None
        if latest.outcome == "not_applied" and latest.code is None:
            return None  # its process ended before anything was sent
        write.entry_id = latest.id
        if latest.outcome == "not_applied":
            raise of_code(latest.code)(
                f"The same call, sent by another process of this server, failed: {latest.code}",
                outcome="not_applied",
                hint="It took no effect. Call again to learn the platform's own words, unless the user should decide first.",
            )
        if latest.outcome == "unknown":
            return await self._resolve(write, latest, same=True)
        held = await self._held(write.call, latest.phone_number)
        return Success(held, warning="Another process of this server sent it. Nothing was sent by this call")

    async def _ended(self, write: InFlightWrite, entry: Entry, *, same: bool) -> Entry | None:
        """Return the entry of another process once its write has ended.

        None if its owner is gone: it is adopted, and its outcome unknown, to whoever has the claim now. None, too, if another
        intent has waited for as long as it may.

        Raises:
            OutcomeUnknown: The same intent has waited for as long as it may.
            JournalUnavailable: The entry cannot be read.
        """
        until = write.call.deadline_after(WAITING if same else CLAIMING)
        while entry.running:
            if anyio.current_time() >= until:
                if same:
                    raise _in_progress(entry)
                return None
            await anyio.sleep(POLL_SECONDS)
            found = await self._noting(self._journal.entry(entry.id, until))
            if found is None:
                raise JournalUnavailable("The journal has lost an entry. Nothing was sent")
            entry = found
        if entry.outcome is None:
            await self._noting(self._journal.adopt(entry, write.call.deadline_after(WAITING)))
            return None
        return entry

    async def _resolve(self, write: InFlightWrite, entry: Entry, *, same: bool) -> Success | None:
        """Find out by reading back how an earlier write ended. It is never sent from here.

        Returns:
            The outcome; None if it took no effect, so that this one may be sent.
        """
        begun = f"An earlier {entry.operation}, begun {_ago(entry)} ago, ended with its outcome unknown"
        number, key = entry.phone_number, write.intent.idempotency_key
        if number is None:
            write.entry_id = entry.id
            raise OutcomeUnknown(
                f"{begun}, and the platform chose the number. Nothing was sent now", hint=steps_without_number()
            )
        try:
            sight = await read_back(self._platform, write.call, number)
        except ToolError as error:
            raise OutcomeUnknown(
                f"{begun}, and cannot be looked up now: {error.message}. Nothing was sent now",
                retry_after_seconds=max(1.0, round(LANDED_SECONDS - entry.quiet, 1)),
                hint=steps(number, key),
            ) from error
        if sight.number is None:
            wait = LANDED_SECONDS - entry.quiet
            if wait <= 0 and not sight.denied:
                raise OutcomeUnknown(
                    f"{begun}: the number is in no list, but the platform does not answer about it. Nothing was sent now",
                    hint=steps(number, key),
                )
            if wait > 0:
                raise OutcomeUnknown(
                    f"{begun}: the number is not there, but may still be on its way. Nothing was sent now",
                    retry_after_seconds=max(1.0, round(wait, 1)),
                    hint=steps(number, key, max(1.0, wait)),
                )
            await self._noting(self._journal.resolve(entry.id, "not_applied", write.call.deadline_after(WAITING)))
            return None
        try:
            await self._journal.resolve(entry.id, "applied", write.call.deadline_after(WAITING))
        except JournalUnavailableError as error:  # what was seen is the truth all the same
            log.warning("How a write ended could not be written down: %s", error)
        write.entry_id = entry.id
        if same and self._as_asked(write, sight.number):
            return Success(sight.number, reconciled=True, warning=f"{begun}; it took effect. Nothing was sent now")
        raise AlreadyExists(
            f"{begun}; the number is there, but not as asked now. Nothing was sent now",
            existing=sight.number,
            outcome="applied" if same else "not_applied",
        )

    async def _repeat(self, write: InFlightWrite, entry: Entry) -> Success:
        """Return the outcome of an idempotency key that was used before, with the number read afresh."""
        write.entry_id = entry.id
        told = f"Nothing was sent: this idempotency_key was used {_ago(entry)} ago"
        if entry.phone_number is None:
            return Success({}, warning=f"{told}, and the platform did not say which number it chose")
        try:
            sight = await read_back(self._platform, write.call, entry.phone_number)
        except ToolError as error:
            raise error.replace(
                detail=f"{told} for {entry.phone_number}, which was created and cannot be read now", outcome="applied"
            ) from error
        if sight.number is None:
            raise NotFound(
                f"{entry.phone_number} is not there any more",
                detail=f"{told} for {entry.phone_number}, which is gone since",
                outcome="applied",
            )
        return Success(sight.number, warning=told)

    async def _tell(self, write: InFlightWrite, entry: Entry, *, same: bool) -> Success | None:
        """Tell of a write that took effect and that nobody was told of; None if its number is gone since."""
        begun = f"An earlier {entry.operation}, begun {_ago(entry)} ago, took effect, and nobody was told"
        if entry.phone_number is None:
            write.entry_id = entry.id
            raise OutcomeUnknown(f"{begun} which number it came to. Nothing was sent now", hint=steps_without_number())
        try:
            sight = await read_back(self._platform, write.call, entry.phone_number)
        except ToolError:
            held = {"phone_number": entry.phone_number}
        else:
            if sight.denied:  # it was there, and is gone since
                await self._noting(self._journal.acknowledge(entry.id, write.call.deadline_after(WAITING)))
                return None
            held = sight.number or {"phone_number": entry.phone_number}
        write.entry_id = entry.id
        told = f"{begun}: {entry.phone_number} is there. Nothing was sent now"
        if same and (entry.chosen or self._as_asked(write, held)):
            return Success(held, reconciled=True, warning=told)
        raise AlreadyExists(
            told,
            existing=held,
            outcome="applied" if same else "not_applied",
            hint="Tell the user of it. If another number is wanted as well, call again." if entry.chosen else None,
        )

    def _as_asked(self, write: InFlightWrite, held: dict[str, Any]) -> bool:
        return as_asked(write.arguments.asked(), held, loosely_spelled=self._platform.loosely_spelled)

    async def _held(self, call: Call, phone_number: str | None) -> dict[str, Any]:
        """Return what the platform holds of a number that is known to be there, as far as it can be read."""
        if phone_number is None:
            return {}
        try:
            sight = await read_back(self._platform, call, phone_number)
        except ToolError:
            return {"phone_number": phone_number}
        return sight.number or {"phone_number": phone_number}

    # --- the journal ---

    async def _noting(self, operation: Awaitable[T]) -> T:
        """Return what the journal says, before anything is sent.

        Raises:
            JournalUnavailable: It says nothing.
        """
        try:
            return await operation
        except JournalUnavailableError as error:
            raise JournalUnavailable(f"{error}. Nothing was sent") from error

    async def _end(
        self, id_: int, outcome: Outcome, *, code: str | None = None, phone_number: str | None = None
    ) -> None:
        """Write down how a write ended, whole even if the server is ending; if that cannot be done, go on trying."""
        deadline = anyio.current_time() + NOTE_SECONDS
        if write := self._sending.get(id_):  # whoever waits for it is answered in time
            deadline = min(deadline, write.call.deadline_after(1))
        with anyio.CancelScope(shield=True):
            try:
                await self._journal.end(id_, outcome, deadline, code=code, phone_number=phone_number)
            except JournalUnavailableError as error:
                log.warning("How a write ended could not be written down yet: %s", error)
                self._flush_soon()

    async def _acknowledge(self, id_: int | None, after: AfterResponse | None) -> None:
        if id_ is None:
            return
        if after is None:
            with anyio.CancelScope(shield=True):
                await self._acknowledge_now(id_)
        else:
            after.add(partial(self._acknowledge_soon, id_))

    def _acknowledge_soon(self, id_: int) -> None:
        self._to_acknowledge.add(id_)
        self._tasks.start_soon(self._acknowledge_now, id_)

    async def _acknowledge_now(self, id_: int) -> None:
        try:
            await self._journal.acknowledge(id_, anyio.current_time() + NOTE_SECONDS)
        except JournalUnavailableError as error:
            log.warning("That a client was told of a write could not be written down yet: %s", error)
            self._flush_soon()
        self._to_acknowledge.discard(id_)

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self._tasks.start_soon(self._flush)

    async def _flush(self) -> None:
        try:
            while True:
                try:
                    await self._journal.flush(anyio.current_time() + NOTE_SECONDS)
                except JournalUnavailableError:
                    await anyio.sleep(NOTE_SECONDS)
                else:
                    return
        finally:
            self._flushing = False


_CANNOT_LIST = (
    "Nothing was sent: the platform would choose the number, and without a list of those that are there already a lost "
    "answer could never be settled. Name a phone_number (an area_code alone does not help), or ask the person who runs this "
    "server to raise --timeout."
)


def _in_progress(entry: Entry, detail: str | None = None) -> OutcomeUnknown:
    what = entry.phone_number or "a number that the platform chooses"
    return OutcomeUnknown(
        f"A write to {what} is in progress in another process of this server. Nothing was sent by this call",
        detail=detail,
        retry_after_seconds=10,
        hint="Do not create it in another way. Wait for retry_after_seconds, then repeat this call: it sends nothing while "
        "the other one is in progress, and tells how that ended.",
    )


def _crashed(write: InFlightWrite) -> Internal:
    return Internal(
        f"{write.tool.name} failed inside the server",
        outcome="unknown" if write.call.trail.write_sent else "not_applied",
    )


def _reused() -> InvalidArguments:
    problem = "was used for other arguments within the last 7 days; take a new one for a new number"
    return InvalidArguments(
        f"idempotency_key {problem}", fields=[FieldProblem(field="idempotency_key", problem=problem)]
    )


def _fingerprint(tool: Tool[Any], arguments: Arguments) -> str:
    """Return what tells one write from another: the tool and its arguments, less secrets and the key itself."""
    canonical = json.dumps([tool.name, arguments.fingerprinted()], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _ago(entry: Entry) -> str:
    return duration(round(entry.age))
