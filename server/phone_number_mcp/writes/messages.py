"""What agents read about writes that did not simply succeed: errors and hints. Nothing here has side effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phone_number_mcp.errors import FieldProblem, InvalidArguments, JournalUnavailable, OutcomeUnknown, duration

if TYPE_CHECKING:
    from phone_number_mcp.tool import Tool
    from phone_number_mcp.writes.journal import Entry, JournalUnavailableError

CANNOT_LIST = (
    "Nothing was sent: the platform would choose the number, and without a list of the existing ones a lost "
    "answer could never be reconciled. Name a phone_number (an area_code alone does not help), or ask the person who runs this "
    "server to raise --timeout."
)
_LAST_RESORT = "If it stays unknown, whoever runs the server can resolve it with `phone-number-mcp journal resolve`."


def journal_unavailable(error: JournalUnavailableError) -> JournalUnavailable:
    """Return the error of a write that was not sent because the journal failed."""
    return JournalUnavailable(f"{error}. Nothing was sent")


def in_progress(entry: Entry, detail: str | None = None) -> OutcomeUnknown:
    """Return the error of a write that waited in vain for the same write of another process."""
    what = entry.phone_number or "a number that the platform chooses"
    return OutcomeUnknown(
        f"A write to {what} is in progress in another process of this server. Nothing was sent by this call",
        detail=detail,
        retry_after_seconds=10,
        hint="Do not create it in another way. Wait for retry_after_seconds, then repeat this call: it sends nothing while "
        "the other one is in progress, and returns how that one ended.",
    )


def key_reused() -> InvalidArguments:
    """Return the error of an idempotency key that another write has used."""
    problem = "was used for other arguments within the last 7 days; take a new one for a new number"
    return InvalidArguments(
        f"idempotency_key {problem}", fields=[FieldProblem(field="idempotency_key", problem=problem)]
    )


def steps(number: str, key: str | None, wait: float) -> str:
    """Return what to do about a create or an import with an unknown outcome, from the first look to the last resort."""
    again = "A repeat with the same idempotency_key" if key else "A repeat of this call"
    return (
        f"Do not repeat it yet. 1. Wait {duration(wait)}. 2. Call get_phone_number for {number}; if that fails, "
        "list_phone_numbers. 3. If the number is there, it was created: use it, and fix what differs with "
        f"update_phone_number. 4. If it is not there, ask the user whether to try again. {again} is safe then: it looks "
        "first, sends nothing while the outcome is unknown, and creates the number only if the platform says that it does "
        f"not hold it. {_LAST_RESORT}"
    )


def steps_without_number() -> str:
    """Return what to do about a purchase with an unknown outcome, where the platform chose the number."""
    return (
        "Do not repeat it yet. 1. Wait 60 s. 2. Call list_phone_numbers and look for a number that the user did not know "
        "of. 3. If there is one, it was bought: use it. 4. If there is none, ask the user whether to buy again. A repeat "
        "with the same idempotency_key never sends while the outcome is unknown; a new key, or none, buys a number. "
        f"{_LAST_RESORT}"
    )


def steps_of_change(tool: Tool[Any], number: str) -> str:
    """Return what to do about an update or a delete with an unknown outcome."""
    end = (
        "3. If it is not there, it was deleted. If it is, ask the user before you delete it again."
        if tool.deletes
        else "3. If it holds what was asked, it was changed. If not, call this again: to set the same values twice is safe."
    )
    return (
        f"Do not repeat it yet. 1. Wait 60 s. 2. Call get_phone_number for {number}; if that fails, list_phone_numbers. "
        f"{end}"
    )
