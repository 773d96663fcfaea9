"""A dry run: the request of a write, and whether limits, journal or platform would stop it. No write is sent or counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from phone_number_mcp.errors import Internal, ToolError
from phone_number_mcp.tool import Success
from phone_number_mcp.upstream.call import WouldSendError
from phone_number_mcp.writes.earlier import CLAIMING
from phone_number_mcp.writes.journal import JournalUnavailableError
from phone_number_mcp.writes.messages import journal_unavailable, key_reused

if TYPE_CHECKING:
    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.tool import Arguments, Tool
    from phone_number_mcp.upstream.call import Call
    from phone_number_mcp.upstream.request import Request
    from phone_number_mcp.writes.journal import Entry, Intent, Journal, Taken

NOT_SHOWN = "(secret, not shown)"


async def rehearse(
    platform: Platform,
    journal: Journal,
    call: Call,
    *,
    intent: Intent,
    tool: Tool[Any],
    arguments: Arguments,
    max_creates: int | None,
) -> Success:
    """Return the request that a write would send, and whether it would be let through.

    Args:
        platform: Where it would go.
        journal: Where it would be claimed.
        call: Sends no write: `Api.call(…, rehearsal=True)`.
        intent: The write.
        tool: What would be done.
        arguments: With what.
        max_creates: How many numbers may be created a day; None for no limit.

    Raises:
        ToolError: What the call itself would raise before it sends anything.
    """
    deadline = call.deadline_after(CLAIMING)
    try:
        count = await journal.count_today(intent, deadline)
        taken = await journal.earlier(intent, deadline)
    except JournalUnavailableError as error:
        raise journal_unavailable(error) from error
    checks: list[str] = []
    allowed = True
    if tool.costs and max_creates is not None:
        allowed = count < max_creates
        checks.append(
            f"{count} of at most {max_creates} numbers were created today (--max-creates)"
            + ("" if allowed else ": this call would be refused")
        )
    if taken is not None:
        allowed = False
        checks.append(_of_earlier(taken, intent))
    if tool.creates and intent.phone_number is not None and await _exists(platform, call, intent.phone_number):
        allowed = False
        checks.append("The platform already holds this number: this call would create nothing")
    request = await _request(tool, call, arguments)
    body = dict(request.body) if request.body is not None else None
    for name, value in arguments:
        if body is not None and isinstance(value, SecretStr) and arguments.upstream_name(name) in body:
            body[arguments.upstream_name(name)] = NOT_SHOWN
    would_send: dict[str, Any] = {"method": request.method, "path": request.path}
    if body is not None:
        would_send["body"] = body
    return Success({"would_send": would_send, "allowed": allowed, "checks": checks}, dry_run=True)


async def _request(tool: Tool[Any], call: Call, arguments: Arguments) -> Request:
    try:
        await tool.handler(call, arguments)
    except WouldSendError as would:
        return would.request
    raise Internal(f"{tool.name} would send nothing", outcome="not_applied")


async def _exists(platform: Platform, call: Call, phone_number: str) -> bool:
    """Return whether the platform shows a number. If it cannot be read, the write itself will tell."""
    try:
        await platform.fetch_number(call.within(1 / 2), phone_number)
    except ToolError:
        return False
    return True


def _of_earlier(taken: Taken, intent: Intent) -> str:
    """Describe the earlier write that holds the number or the key that this write needs."""
    entry = taken.entry
    if taken.by == "key" and entry.fingerprint != intent.fingerprint:
        return key_reused().message
    return (
        f"An earlier {entry.operation} to {entry.phone_number or 'a number that the platform chooses'} {_state(entry)}"
    )


def _state(entry: Entry) -> str:
    match entry.outcome:
        case None:
            return "is in progress: this call would wait for it, and send nothing meanwhile"
        case "unknown":
            return "has an unknown outcome: this call would read back first, and send only if it surely took no effect"
        case _:
            return "took effect: this call would return its outcome, and send nothing"
