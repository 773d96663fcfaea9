"""Reading back: what the platform holds shows whether a write whose answer was lost took effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phone_number_mcp.errors import (
    AlreadyExists,
    InvalidReply,
    NotFound,
    OutcomeUnknown,
    PlatformError,
    ToolError,
)
from phone_number_mcp.tool import Success
from phone_number_mcp.writes.compare import as_asked, not_shown
from phone_number_mcp.writes.messages import steps, steps_of_change, steps_without_number

if TYPE_CHECKING:
    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.tool import Arguments, Tool
    from phone_number_mcp.upstream.call import Call

LOOK_AGAIN_SECONDS = 1.0
"""Seconds before the second look for a write that may still take effect."""
ARRIVAL_SECONDS = 60.0
"""Seconds after which a write that is not visible will not take effect any more: no gateway waits longer."""
FIRST_LOOK = 0.5
"""The share of the time for reading back in which the number itself must be read; the rest is for the list."""
_FAILED = {500, 503, 200}
"""Statuses with which the platform itself says that it failed. After any other, the write may still take effect."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What reading back showed.

    Args:
        number: What the platform holds; None if it is not there.
        denied: Asked for this very number, the platform said that it does not hold it. A list without it says less.
    """

    number: dict[str, Any] | None
    denied: bool = False


async def read_back(platform: Platform, call: Call, phone_number: str) -> Sight:
    """Return what the platform holds of a number: as it says of the number itself, else as its list says.

    Raises:
        ToolError: Neither can be read; an answer about another number is none.
    """
    try:
        held = await platform.fetch_number(call.within(FIRST_LOOK), phone_number)
    except NotFound:
        return Sight(None, denied=True)
    except ToolError as error:
        failure = error
    else:
        if platform.number_in(held) == phone_number:
            return Sight(held)
        failure = InvalidReply("The platform's answer is not about this number")
    try:
        return Sight(await platform.find_number(call, phone_number))
    except ToolError:
        raise failure from None


async def reconcile(
    platform: Platform,
    tool: Tool[Any],
    arguments: Arguments,
    call: Call,
    *,
    lost: ToolError,
    before: set[str] | None,
) -> Success:
    """Return the success that reading back proves.

    Args:
        platform: Where it was sent.
        tool: What was sent.
        arguments: With what.
        call: Its time is what is left of the call's.
        lost: What came instead of the answer.
        before: Of a purchase for which the platform chooses the number: the numbers that were there before.

    Raises:
        ToolError: It took no effect (`not_applied`), the number exists but not as asked, or the outcome is unknown.
    """
    number: str | None = getattr(arguments, "phone_number", None)
    if number is None:
        return await _reconcile_without_number(platform, call, lost, before)
    for last_look in (False, True):
        try:
            sight = await read_back(platform, call, number)
        except ToolError as error:
            raise unknown(tool, number, lost, f"reading it back failed {_likewise(lost, error)}", arguments) from error
        if tool.deletes and sight.number is None:
            return Success({"phone_number": number}, reconciled=True, warning=tool.lost_with_answer)
        if not tool.deletes and sight.number is not None:
            return _judge(platform, tool, arguments, sight.number, lost)
        if _failed(lost):
            raise lost.replace(outcome="not_applied")
        if not last_look:
            await call.sleep(LOOK_AGAIN_SECONDS)
    raise unknown(tool, number, lost, "the change is not visible, but may still take effect", arguments)


async def _reconcile_without_number(
    platform: Platform, call: Call, lost: ToolError, before: set[str] | None
) -> Success:
    """Compare the numbers before and after: the platform chose, so there is no number to read back."""
    message = f"Whether a number was bought is unknown: {lost.message}"
    hint = steps_without_number()
    if platform.list_all_numbers is None or before is None:
        raise OutcomeUnknown(message, hint=hint)
    try:
        after = await platform.list_all_numbers(call)
    except ToolError as error:
        raise OutcomeUnknown(f"{message}; listing the numbers failed {_likewise(lost, error)}", hint=hint) from error
    status = lost.facts.get("http_status")
    if new := sorted(after - before):
        listed = ", ".join(new)
        raise OutcomeUnknown(
            f"{message}. New since: {listed}",
            hint=f"Call get_phone_number for {listed}. If it is as asked, this call bought it: use it, and do not repeat. "
            "If it is not, ask the user whose it is before you buy another.",
            detail=f"candidates: {listed}",
            http_status=status,
        ) from lost
    if _failed(lost):
        raise lost.replace(outcome="not_applied")
    raise OutcomeUnknown(f"{message}. No new number is there yet", hint=hint, http_status=status) from lost


def _likewise(lost: ToolError, error: ToolError) -> str:
    """Return how to describe the second of two failures after the first: what both have in common is said once."""
    same = type(error) is type(lost) and error.facts.get("http_status") == lost.facts.get("http_status")
    return "in the same way" if same else f"too: {error.message}"


def _failed(lost: ToolError) -> bool:
    """Whether the platform itself said that the write failed, so that its absence is a proof."""
    return isinstance(lost, PlatformError) and lost.facts.get("http_status") in _FAILED


def _judge(platform: Platform, tool: Tool[Any], arguments: Arguments, held: dict[str, Any], lost: ToolError) -> Success:
    """Return the success that a number proves; raise if it proves none."""
    number, asked = str(getattr(arguments, "phone_number", "")), arguments.comparable()
    unseen = not_shown(arguments.body(), asked, held)
    same = as_asked(asked, held, loosely_spelled=platform.loosely_spelled)
    if same and (tool.creates or not unseen):
        warning = f"The platform does not show {', '.join(unseen)}, so that could not be checked"
        return Success(held, reconciled=True, warning=warning if unseen else None)
    if tool.creates:
        raise AlreadyExists(
            f"{number} exists, but not quite as asked, and the answer to this call was lost: {lost.message}",
            existing=held,
            http_status=lost.facts.get("http_status"),
            outcome="unknown",
            hint="It may be what this very call created, with values that the platform changed. Do not create it again: "
            "compare `existing` with what the user asked for, tell them what differs, and fix it with update_phone_number.",
        )
    raise unknown(
        tool, number, lost, "what the platform holds differs from what was asked, or cannot be compared", arguments
    )


def unknown(tool: Tool[Any], number: str, lost: ToolError, why: str, arguments: Arguments) -> OutcomeUnknown:
    """Return the error of an unknown outcome, with the steps to find it out."""
    key = getattr(arguments, "idempotency_key", None)
    return OutcomeUnknown(
        f"The outcome of the write to {number} is unknown: {lost.message}; {why}",
        detail=lost.facts.get("detail"),
        http_status=lost.facts.get("http_status"),
        request_id=lost.facts.get("request_id"),
        hint=steps(number, key, ARRIVAL_SECONDS) if tool.creates else steps_of_change(tool, number),
    )
