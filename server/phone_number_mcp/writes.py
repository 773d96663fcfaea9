"""Writes: written down, sent once, settled if the answer is lost, and never torn off in mid-flight.

A write runs in a task of its own. Whoever asked for it may go away; it goes on, within its deadline, and whoever asks for
the same meanwhile shares its outcome.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import anyio
import anyio.to_thread

from phone_number_mcp.api import ended
from phone_number_mcp.errors import (
    CRASHES,
    AlreadyExists,
    FieldProblem,
    Internal,
    InvalidArguments,
    InvalidReply,
    LimitReached,
    NotFound,
    OutcomeUnknown,
    PlatformError,
    ToolError,
)
from phone_number_mcp.platforms.numbers import as_asked, before_a_write, not_shown
from phone_number_mcp.tool import Success

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from phone_number_mcp.api import Api, Call
    from phone_number_mcp.journal import Entry, Journal
    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.tool import Arguments, Tool

log = logging.getLogger(__name__)

SENDING = 0.7
"""The share of a call's time in which the answer must come; the rest is for reading back."""
LOOK_AGAIN_SECONDS = 1.0
"""When to look a second time for a write that may still be on its way."""
LANDED_SECONDS = 60.0
"""After this long, a write that is not there will not come any more: no gateway waits longer."""
GRACE_SECONDS = 1.7
"""How long writes may settle when the server is told to end: after two seconds, clients kill it."""

_ANSWERED = {500, 503, 200}
"""Statuses with which the platform itself says that it failed. After any other, the write may still be on its way."""


@dataclass(eq=False)
class _Flight:
    """A write under way, and what it came to."""

    tool: str
    fingerprint: str
    phone_number: str | None
    idempotency_key: str | None
    landed: anyio.Event = field(default_factory=anyio.Event)
    outcome: Success | ToolError | None = None
    noted: int | None = None
    """Its place in the journal."""

    def conflicts_with(self, other: _Flight) -> bool:
        """Whether the two cannot be under way at once: they have the number or the key in common, or neither has a number.

        Purchases without a number go one by one: what is new in the list must be of one of them.
        """
        if self.idempotency_key and self.idempotency_key == other.idempotency_key:
            return True
        return self.phone_number == other.phone_number

    def repeated_by(self, other: _Flight) -> bool:
        """Whether another is the same intent: the same arguments, unless two keys say that two are wanted."""
        if self.fingerprint != other.fingerprint:
            return False
        two_keys = self.idempotency_key and other.idempotency_key and self.idempotency_key != other.idempotency_key
        return self.phone_number is not None or not two_keys

    async def result(self) -> Success:
        await self.landed.wait()
        if isinstance(self.outcome, Success):
            return self.outcome
        raise self.outcome or Internal(f"{self.tool} ended without an outcome")


class Delivery:
    """What to do once the answer to a request has been handed to the client: a transport that can tell does it then."""

    def __init__(self) -> None:
        self._then: list[Callable[[], None]] = []

    def then(self, what: Callable[[], None]) -> None:
        """Do something once the answer is handed over; never, if it is not."""
        self._then.append(what)

    def done(self) -> None:
        """Say that the answer is handed over."""
        for what in self._then:
            what()


class Writes:
    """Carries writes out, on one platform.

    Args:
        platform: Where to, and how to read back what it holds.
        api: The way to it.
        journal: Opens the journal; it is opened at the first write.
        max_creates: How many numbers may be created a day; None for no limit.
    """

    def __init__(self, platform: Platform, api: Api, journal: Callable[[], Journal], max_creates: int | None) -> None:
        self._platform = platform
        self._api = api
        self._open_journal = journal
        self._max_creates = max_creates
        self._journal: Journal | None = None
        self._one_at_a_time = anyio.Lock()
        self._flights: list[_Flight] = []
        self._settled_by: float | None = None
        self._tasks = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        self._api.ending = False
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        await self.settle()
        self._tasks.cancel_scope.cancel()
        try:
            return await self._tasks.__aexit__(kind, error, traceback)
        finally:
            if self._journal is not None:
                self._journal.close()

    async def settle(self) -> None:
        """Wait for the writes under way, but not for long, however often one asks: what is cut off is in the journal."""
        self._api.ending = True
        if self._settled_by is None:
            self._settled_by = anyio.current_time() + GRACE_SECONDS
        with anyio.CancelScope(shield=True, deadline=self._settled_by):
            for flight in list(self._flights):
                await flight.landed.wait()

    async def run(self, tool: Tool[Any], arguments: Arguments, delivery: Delivery | None = None) -> Success:
        """Carry a write out, or share the outcome of the same one under way.

        Args:
            tool: What to do.
            arguments: With what.
            delivery: Tells when the client has the answer. Without it, whoever waits for the answer counts as told.

        Raises:
            ToolError: As the write ended; `write_outcome` is the truth as far as it could be learnt.
        """
        self._api.authorize()  # without credentials there is nothing to write down
        if self._api.ending:
            raise ended()
        flight = _Flight(
            tool=tool.name,
            fingerprint=_fingerprint(tool, arguments),
            phone_number=getattr(arguments, "phone_number", None),
            idempotency_key=getattr(arguments, "idempotency_key", None),
        )
        if tool.adds:
            while under_way := self._conflicting(flight):
                if under_way.repeated_by(flight):
                    return await self._share(under_way, flight, delivery)
                if under_way.idempotency_key and under_way.idempotency_key == flight.idempotency_key:
                    raise _reused()
                await under_way.landed.wait()
        self._flights.append(flight)
        self._tasks.start_soon(self._fly, flight, tool, arguments)
        return await self._told(flight, delivery)

    async def check(self, tool: Tool[Any]) -> None:
        """Refuse what would be refused anyway, before a person is asked about it.

        Raises:
            NotConfigured: There are no credentials.
            LimitReached: As many numbers as allowed were created today.
        """
        self._api.authorize()
        if tool.costs and self._max_creates is not None:
            count = await self._note("count_today", tool.name)
            if count >= self._max_creates:
                raise self._limit_reached(count)

    def _limit_reached(self, count: int) -> LimitReached:
        return LimitReached(f"{count} numbers were created today, and --max-creates allows {self._max_creates}")

    async def _share(self, under_way: _Flight, flight: _Flight, delivery: Delivery | None) -> Success:
        """Return what the same write under way comes to; the key of the one that joins is used up as well."""
        from phone_number_mcp.journal import Intent  # noqa: PLC0415  (it loads SQLite, which only a write needs)

        success = await self._told(under_way, delivery)
        if flight.idempotency_key and flight.idempotency_key != under_way.idempotency_key:
            number = flight.phone_number or _number_in(success.data)
            id_ = await self._note("begin", Intent(flight.tool, number, flight.fingerprint, flight.idempotency_key))
            await self._note("end", id_, "applied")
            await self._tell(id_, delivery)
        return success

    async def _told(self, flight: _Flight, delivery: Delivery | None) -> Success:
        """Return what a write came to, and see to it that it is written down when the client has heard of it."""
        try:
            success = await flight.result()
        except ToolError:
            await self._tell(flight.noted, delivery)
            raise
        await self._tell(flight.noted, delivery)
        return success

    async def _tell(self, noted: int | None, delivery: Delivery | None) -> None:
        if noted is None:
            return
        if delivery is None:
            await self._note("tell", noted)
        else:
            delivery.then(lambda: self._tell_soon(noted))

    def _tell_soon(self, noted: int) -> None:
        self._tasks.start_soon(self._note, "tell", noted)

    def _conflicting(self, flight: _Flight) -> _Flight | None:
        """Return the write under way that a new one repeats, or has to wait for."""
        return next((other for other in self._flights if other.conflicts_with(flight)), None)

    async def _fly(self, flight: _Flight, tool: Tool[Any], arguments: Arguments) -> None:
        try:
            call = self._api.call().hiding(arguments.secrets())
            flight.outcome = await self._earlier(flight, tool, arguments, call) or await self._send(
                flight, tool, arguments, call
            )
        except ToolError as error:
            flight.outcome = error
        except CRASHES:
            log.exception("%s failed", tool.name)
            flight.outcome = Internal(f"{tool.name} failed inside the server")
        finally:
            self._flights.remove(flight)
            flight.landed.set()

    # --- what is known from before ---

    async def _earlier(self, flight: _Flight, tool: Tool[Any], arguments: Arguments, call: Call) -> Success | None:
        """Return the outcome of an earlier write that this one repeats; None if it is to be sent."""
        if not tool.adds:
            return None
        if flight.idempotency_key and (entry := await self._note("by_key", flight.idempotency_key)):
            if entry.fingerprint != flight.fingerprint:
                raise _reused()
            return await self._repeat(entry, arguments, call)
        if flight.phone_number and (entry := await self._note("by_number", flight.phone_number)):
            return await self._settle_earlier(entry, arguments, call)
        if not flight.phone_number and (entry := await self._note("untold", tool.name)):
            return await self._tell_earlier(entry, flight, call)
        return None

    async def _repeat(self, entry: Entry, arguments: Arguments, call: Call) -> Success | None:
        """Return the first outcome of an idempotency key, with the number read afresh."""
        if not entry.settled:
            return await self._settle_earlier(entry, arguments, call)
        told = f"Nothing was sent: this idempotency_key was used {_ago(entry)} ago"
        if entry.phone_number is None:
            return Success({}, warning=f"{told}, and the platform did not say which number it chose")
        try:
            return Success(await self._held(call, entry.phone_number), warning=told)
        except NotFound as error:
            error.facts["detail"] = f"{told} for {entry.phone_number}, which is gone since"
            error.facts["outcome"] = "applied"
            raise

    async def _settle_earlier(self, entry: Entry, arguments: Arguments, call: Call) -> Success | None:
        """Find out how an earlier write for the number ended; return its outcome, or None if there is nothing to say."""
        begun = f"An earlier {entry.operation}, begun {_ago(entry)} ago, {_left_open(entry)}"
        age = time.time() - entry.started_at
        if entry.phone_number is None:
            raise OutcomeUnknown(
                f"{begun}, and the platform chose the number. Nothing was sent now",
                hint=f"{_LOOK_AT_ALL} If there is none, call again with another idempotency_key.",
            )
        try:
            held = await self._held(call, entry.phone_number)
        except NotFound:
            if entry.outcome == "applied":  # it was there, and is gone since
                await self._note("tell", entry.id)
                return None
            if age < LANDED_SECONDS:
                raise OutcomeUnknown(
                    f"{begun}: the number is not there, but may still be on its way. Nothing was sent now",
                    retry_after_seconds=round(LANDED_SECONDS - age, 1),
                    hint="Wait for retry_after_seconds, then call again: it is looked up first, and sent if it is not there.",
                ) from None
            await self._note("end", entry.id, "not_applied")
            return None
        except ToolError as error:
            raise OutcomeUnknown(
                f"{begun}, and cannot be looked up now: {error.message}. Nothing was sent now"
            ) from error
        await self._note("end", entry.id, "applied")
        await self._note("tell", entry.id)
        if as_asked(arguments.asked(), held):
            return Success(held, reconciled=True, warning=f"{begun}; it took effect. Nothing was sent now")
        raise AlreadyExists(f"{begun}; the number is there, but not as asked now", existing=held)

    async def _tell_earlier(self, entry: Entry, flight: _Flight, call: Call) -> Success:
        """Tell of an earlier purchase whose number the platform chose and of which nobody was told; nothing is sent now."""
        begun = f"An earlier purchase, begun {_ago(entry)} ago, {_left_open(entry)}"
        await self._note("tell", entry.id)
        if entry.outcome != "applied" or entry.phone_number is None:
            if not entry.settled:
                await self._note("end", entry.id, "unknown", code=OutcomeUnknown.code)
            raise OutcomeUnknown(
                f"{begun}: whether a number was bought is unknown. Nothing was sent now", hint=_LOOK_AND_REPEAT
            )
        try:
            held = await self._held(call, entry.phone_number)
        except ToolError:
            held = {"phone_number": entry.phone_number}
        told = f"{begun}: it bought {entry.phone_number}. Nothing was sent now"
        if entry.fingerprint == flight.fingerprint:
            return Success(held, reconciled=True, warning=told)
        raise AlreadyExists(
            told, existing=held, hint="Tell the user of it. If another number is wanted as well, call again."
        )

    async def _held(self, call: Call, phone_number: str) -> dict[str, Any]:
        """Return what the platform holds, if that is the number that was asked for: an empty answer proves nothing."""
        held = await self._platform.held(call, phone_number)
        if held.get("phone_number") != phone_number:
            raise InvalidReply("The platform's answer is not about this number")
        return held

    # --- sending and settling ---

    async def _send(self, flight: _Flight, tool: Tool[Any], arguments: Arguments, call: Call) -> Success:
        from phone_number_mcp.journal import Intent, LimitExceededError  # noqa: PLC0415  (SQLite)

        if self._api.ending:
            raise ended()
        before = None
        if tool.adds and flight.phone_number is None and self._platform.every_number:
            before = await before_a_write(self._platform.every_number(call))
        intent = Intent(tool.name, flight.phone_number, flight.fingerprint, flight.idempotency_key)
        try:
            limit = self._max_creates if tool.costs else None
            flight.noted = id_ = await self._note("begin", intent, limit)
        except LimitExceededError as error:
            raise self._limit_reached(error.count) from None
        try:
            success = await tool.handler(call.within(SENDING), arguments)
        except anyio.get_cancelled_exc_class():  # the server ends: what never left is known to be without effect
            if not call.trail.wrote:
                await self._note("end", id_, "not_applied")
            raise
        except ToolError as error:
            if error.write_outcome != "unknown":
                await self._note("end", id_, error.write_outcome, code=error.code)
                raise
            lost = error
        else:
            await self._note("end", id_, "applied", phone_number=_number_in(success.data))
            return success
        try:
            success = await self._settle(flight, tool, arguments, call, lost, before)
        except ToolError as error:
            await self._note("end", id_, error.write_outcome, code=error.code)
            raise
        await self._note("end", id_, "applied")
        return success

    async def _settle(  # noqa: PLR0913, PLR0917  (all that is known of a write whose answer is lost)
        self,
        flight: _Flight,
        tool: Tool[Any],
        arguments: Arguments,
        call: Call,
        lost: ToolError,
        before: set[str] | None,
    ) -> Success:
        """Find out by reading back what became of a write whose answer is lost.

        Raises:
            ToolError: It surely took no effect (`not_applied`), is there but not as asked, or nobody knows.
        """
        if flight.phone_number is None:
            return await self._settle_without_number(call, lost, before or set())
        number = flight.phone_number
        answered = isinstance(lost, PlatformError) and lost.facts.get("http_status") in _ANSWERED
        for last_look in (False, True):
            try:
                held = await self._held(call, number)
            except NotFound:
                held = None
            except ToolError as error:
                raise _unknown(number, lost, f"reading it back failed too: {error.message}") from error
            if tool.removes and held is None:
                return Success({}, reconciled=True)
            if not tool.removes and held is not None:
                return _judge(tool, arguments, held, lost)
            if answered:
                lost.facts["outcome"] = "not_applied"
                raise lost
            if not last_look:
                await call.sleep(LOOK_AGAIN_SECONDS)
        raise _unknown(number, lost, "the change is not there, but may still be on its way")

    async def _settle_without_number(self, call: Call, lost: ToolError, before: set[str]) -> Success:
        """Compare the numbers before and after: the platform chose, so there is no key to read back by."""
        if self._platform.every_number is None:
            raise OutcomeUnknown(f"Whether a number was bought is unknown: {lost.message}", hint=_LOOK_AT_ALL)
        try:
            after = await self._platform.every_number(call)
        except ToolError as error:
            raise OutcomeUnknown(
                f"Whether a number was bought is unknown: {lost.message}", hint=_LOOK_AT_ALL
            ) from error
        if new := sorted(after - before):
            raise OutcomeUnknown(
                f"Whether a number was bought is unknown: {lost.message}. New since: {', '.join(new)}",
                hint=f"Call get_phone_number for {', '.join(new)}. If it is as asked, it is the one: use it, and do not repeat.",
                detail=f"candidates: {', '.join(new)}",
                http_status=lost.facts.get("http_status"),
            ) from lost
        if isinstance(lost, PlatformError) and lost.facts.get("http_status") in _ANSWERED:
            lost.facts["outcome"] = "not_applied"
            raise lost
        raise OutcomeUnknown(
            f"Whether a number was bought is unknown: {lost.message}. No new number is there yet", hint=_LOOK_AT_ALL
        ) from lost

    async def _note(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Do something with the journal, off the event loop, and whole even if the server is ending.

        Raises:
            Internal: The journal is locked, so nothing may be sent. How a write ended may stay unwritten: then it is open,
                and the next one looks.
        """
        from phone_number_mcp.journal import BusyError  # noqa: PLC0415  (SQLite)

        with anyio.CancelScope(shield=True):
            async with self._one_at_a_time:
                if self._journal is None:
                    self._journal = await anyio.to_thread.run_sync(self._open_journal)
                try:
                    return await anyio.to_thread.run_sync(partial(getattr(self._journal, method), *args, **kwargs))
                except BusyError as error:
                    if method in {"end", "tell"}:
                        log.warning("How a write ended could not be written down: %s", error)
                        return None
                    raise Internal(
                        "The journal is locked by another process, so nothing was sent",
                        outcome="not_applied",
                        hint="Nothing was sent. Try again in a little while; if it stays, tell the person who runs this server.",
                    ) from error


_LOOK_AND_REPEAT = "Call list_phone_numbers and look for a number that the user did not know of. Then call again."
_LOOK_AT_ALL = "Do not repeat it yet. Wait a minute, call list_phone_numbers, and look for a number that is new."


def _judge(tool: Tool[Any], arguments: Arguments, held: dict[str, Any], lost: ToolError) -> Success:
    """Return the success that a number proves, or raise what it leaves open."""
    number, asked = str(held.get("phone_number")), arguments.asked()
    unseen = not_shown(arguments.sent(), asked, held)
    if as_asked(asked, held) and (tool.adds or not unseen):
        told = f"The platform does not show {', '.join(unseen)}, so that could not be checked"
        return Success(held, reconciled=True, warning=told if unseen else None)
    if tool.adds:
        raise _other_than_asked(number, lost, held)
    raise _unknown(number, lost, "what is there now is not wholly what was asked, or cannot be compared")


def _other_than_asked(number: str, lost: ToolError, held: dict[str, Any]) -> AlreadyExists:
    return AlreadyExists(
        f"{number} is there, but not quite as asked. The answer to this call was lost: {lost.message}",
        existing=held,
        http_status=lost.facts.get("http_status"),
        outcome="unknown",
        hint="It may be what this very call created, with values that the platform changed. Do not create it again: compare "
        "`existing` with what the user asked for, tell them what differs, and mend it with update_phone_number.",
    )


def _left_open(entry: Entry) -> str:
    return "was told to nobody" if entry.settled else "was cut off" if entry.ended_at is None else "was not settled"


def _unknown(number: str, lost: ToolError, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(
        f"What became of the write to {number} is unknown: {lost.message}; {why}",
        detail=lost.facts.get("detail"),
        http_status=lost.facts.get("http_status"),
        request_id=lost.facts.get("request_id"),
        hint=f"Do not repeat it yet. Wait a minute and call get_phone_number for {number}: what is there is the truth.",
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


def _number_in(data: Mapping[str, Any]) -> str | None:
    number = data.get("phone_number")
    return number if isinstance(number, str) else None


def _ago(entry: Entry) -> str:
    return str(timedelta(seconds=round(max(0, time.time() - entry.started_at))))
