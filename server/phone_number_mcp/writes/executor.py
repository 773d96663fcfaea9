"""The executor: a write is claimed in the journal, sent once, reconciled if its answer is lost, and never cut off.

A write runs in a task of its own. Whoever asked for it may go away; it goes on within its deadline, and whoever asks for
the same meanwhile, in this process or another, shares its outcome.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from typing import TYPE_CHECKING, Any, Self

import anyio

from phone_number_mcp.e164 import PATTERN
from phone_number_mcp.errors import (
    CRASHES,
    Internal,
    InvalidReply,
    LimitReached,
    TimedOut,
    ToolError,
)
from phone_number_mcp.shutdown import Shutdown
from phone_number_mcp.writes.earlier import CLAIMING, EarlierWrite
from phone_number_mcp.writes.in_flight import InFlightWrite
from phone_number_mcp.writes.journal import (
    Claimed,
    Intent,
    Journal,
    JournalUnavailableError,
    LimitExceededError,
    Taken,
)
from phone_number_mcp.writes.messages import CANNOT_LIST, journal_unavailable
from phone_number_mcp.writes.reconcile import reconcile
from phone_number_mcp.writes.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.tool import Arguments, Success, Tool
    from phone_number_mcp.transports import AfterResponse
    from phone_number_mcp.upstream.api import Api
    from phone_number_mcp.upstream.call import Call
    from phone_number_mcp.upstream.request import Account

log = logging.getLogger(__name__)

LISTING = 1 / 3
"""The share of a call's time in which the numbers must be listed before a purchase for which the platform chooses one."""
SENDING = 0.7
"""The share of the time left in which the answer must come; the rest is for reading back."""
LISTING_AGAIN = 1.5
"""Times as long as the numbers took to list are left for listing them again."""
GRACE_SECONDS = 1.7
"""Seconds that in-flight writes have at shutdown: after two seconds, clients kill the server."""


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
        self._max_creates = max_creates
        self.shutdown = Shutdown()
        self._in_flight: list[InFlightWrite] = []
        self._sending: dict[int, InFlightWrite] = {}
        """Of these, those that have a claim, by entry."""
        self._drained_by: float | None = None
        self._tasks = anyio.create_task_group()
        self._recorder = Recorder(journal, self._tasks)

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
            await self._recorder.close()

    async def drain(self) -> None:
        """Stop accepting writes; let in-flight ones finish within `GRACE_SECONDS` of the first call.

        What is cut off is in the journal.
        """
        self.shutdown.begin()
        if self._drained_by is None:
            self._drained_by = anyio.current_time() + GRACE_SECONDS
        with anyio.CancelScope(shield=True, deadline=self._drained_by):
            for write in list(self._in_flight):
                await write.finished.wait()

    async def run(
        self,
        tool: Tool[Any],
        arguments: Arguments,
        account: Account,
        after: AfterResponse | None = None,
        *,
        elapsed: float = 0.0,
    ) -> Success:
        """Carry a write out, or share the outcome of the same one that is in flight, in this process or another.

        Args:
            tool: What to do.
            arguments: With what.
            account: Whose write it is.
            after: Runs callbacks once the client has the answer. Without it, the outcome counts as acknowledged when this returns.
            elapsed: Seconds of the call's time that are over already.

        Raises:
            ToolError: As the write ended; `write_outcome` is the truth as far as it could be learnt.
        """
        self.shutdown.refuse_if_begun()
        call = self._api.call(account, shutdown=self.shutdown, elapsed=elapsed)
        intent = self._intent(tool, arguments, account, call)
        write = InFlightWrite(tool, arguments, call, intent, key=intent.idempotency_key)
        self._in_flight.append(write)
        self._tasks.start_soon(self._execute, write)
        try:
            success = await write.result()
        except ToolError:
            await self._recorder.acknowledge(write.entry_id, after)
            raise
        await self._recorder.acknowledge(write.entry_id, after)
        return success

    async def rehearse(self, tool: Tool[Any], arguments: Arguments, account: Account, *, elapsed: float) -> Success:
        """Return what a write would send, and what would be said to it; nothing is sent or counted.

        Args:
            tool: What would be done.
            arguments: With what.
            account: Whose write it would be.
            elapsed: Seconds of the call's time that are over already.

        Raises:
            ToolError: What the write itself would raise before it sends anything.
        """
        from phone_number_mcp.writes.rehearsal import rehearse  # only a dry run needs it

        call = self._api.call(account, shutdown=self.shutdown, elapsed=elapsed, rehearsal=True)
        intent = self._intent(tool, arguments, account, call)
        journal, limit = self._recorder.journal, self._max_creates
        return await rehearse(
            self._platform, journal, call, intent=intent, tool=tool, arguments=arguments, max_creates=limit
        )

    async def check(self, tool: Tool[Any], arguments: Arguments, account: Account) -> None:
        """Refuse what would be refused anyway, before a person is asked about it.

        Raises:
            JournalUnavailable: Nothing could be written down.
            LimitReached: As many numbers as allowed were created today.
        """
        call = self._api.call(account, shutdown=self.shutdown)
        intent = self._intent(tool, arguments, account, call)
        try:
            count = await self._recorder.journal.count_today(intent, call.deadline_after(CLAIMING))
        except JournalUnavailableError as error:
            raise journal_unavailable(error) from error
        if tool.costs and self._max_creates is not None and count >= self._max_creates:
            raise self._limit_reached(count)

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
                lost = "This idempotency_key could not be written down, so it does not count as used"
                return await write.share(claim, lost if write.intent.idempotency_key else None)
            if isinstance(claim, Claimed):
                success = await self._send(write, claim.id)
            else:
                earlier = EarlierWrite(self._platform, self._recorder.journal, write, claim)
                outcome = await earlier.outcome(self._sending)
                if outcome is None:
                    continue
                success = outcome
            return success.warned(claim.warning)

    async def _claim(self, write: InFlightWrite) -> Claimed | Taken | InFlightWrite:
        """Claim a write in the journal; where that cannot be done, return the same write of this process, if there is one."""
        limit = self._max_creates if write.tool.costs else None
        same = next((other for other in self._sending.values() if write.repeats(other)), None)
        try:
            return await self._recorder.journal.claim(write.intent, write.call.deadline_after(CLAIMING), limit)
        except LimitExceededError as error:
            raise self._limit_reached(error.count) from None
        except JournalUnavailableError as error:
            self._recorder.flush_soon()  # the claim may be on disk all the same, and others wait for it
            if same is not None and write.tool.creates and write.repeats(same):
                same.key = same.key or write.key
                return same
            raise journal_unavailable(error) from error

    async def _send(self, write: InFlightWrite, id_: int) -> Success:
        """Send a write that is claimed; whatever happens, the journal learns how it ended before the caller does."""
        write.entry_id = id_
        until = write.call.deadline_after(1)
        self._sending[id_] = write
        try:
            success = await self._send_and_reconcile(write)
        except anyio.get_cancelled_exc_class():  # the server ends: what was never sent is known to be without effect
            if not write.call.trail.write_sent:
                await self._recorder.end(id_, "not_applied", until)
            raise
        except ToolError as error:
            await self._recorder.end(id_, error.write_outcome, until, code=error.code)
            raise
        except CRASHES:
            crashed = _crashed(write)
            await self._recorder.end(id_, crashed.write_outcome, until, code=crashed.code)
            raise
        else:
            number = self._platform.number_in(success.data) or ""
            await self._recorder.end(
                id_, "applied", until, phone_number=number if re.fullmatch(PATTERN, number) else None
            )
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
                raise error.replace(outcome="not_applied", hint=CANNOT_LIST) from error
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
        return await reconcile(self._platform, tool, write.arguments, call, lost=lost, before=before)

    def _check_answer(self, write: InFlightWrite, success: Success) -> None:
        """Check that the answer to a create is about its number.

        Raises:
            InvalidReply: It is about another one, or about none.
        """
        if not write.tool.creates:
            return
        number = self._platform.number_in(success.data)
        if number is None or number != (write.intent.phone_number or number):
            what = "another number" if number else "no number"
            raise InvalidReply(f"The platform's answer to {write.tool.name} is about {what}")


def _crashed(write: InFlightWrite) -> Internal:
    return Internal(
        f"{write.tool.name} failed inside the server",
        outcome="unknown" if write.call.trail.write_sent else "not_applied",
    )


def _fingerprint(tool: Tool[Any], arguments: Arguments) -> str:
    """Return what distinguishes one write from another: the tool and its arguments, less secrets and the key itself."""
    canonical = json.dumps([tool.name, arguments.identity()], sort_keys=True, default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]
