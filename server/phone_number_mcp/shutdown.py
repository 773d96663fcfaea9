"""The server's shutdown: begun once, and looked at before the first byte of a write leaves."""

from __future__ import annotations

from phone_number_mcp.errors import Unreachable


class Shutdown:
    """Whether the server is shutting down: no write is sent any more, and nothing is tried again."""

    def __init__(self) -> None:
        self._begun = False

    @property
    def begun(self) -> bool:
        """It has begun, and does not end."""
        return self._begun

    def begin(self) -> None:
        """Begin it; more than once is the same."""
        self._begun = True

    def refuse_if_begun(self) -> None:
        """Refuse a write that would be sent now.

        Raises:
            Unreachable: The shutdown has begun; nothing was sent.
        """
        if self._begun:
            raise Unreachable(
                "The server is shutting down, so nothing was sent",
                outcome="not_applied",
                hint="Nothing was sent. Call again when the server is running again.",
            )
