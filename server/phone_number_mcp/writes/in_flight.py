"""A write in flight in this process, whose outcome any caller that asks for the same can share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import anyio

from phone_number_mcp.errors import Internal, ToolError
from phone_number_mcp.tool import Success

if TYPE_CHECKING:
    from phone_number_mcp.tool import Arguments, Tool
    from phone_number_mcp.upstream.call import Call
    from phone_number_mcp.writes.journal import Intent


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
    """The entry in the journal that the outcome belongs to."""
    key: str | None = None
    """The idempotency key that its outcome uses up: its own, or that of a write that shares the outcome."""

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

    async def share(self, other: InFlightWrite, warning: str | None = None) -> Success:
        """Return the outcome of another write as that of this one, or raise it."""
        self.entry_id = other.entry_id
        return (await other.result()).warned(warning)
