"""What the transports, stdio and Streamable HTTP, share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class AfterResponse:
    """Callbacks to run once the response to a request has been handed to the client. A transport that can tell runs them."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []

    def __bool__(self) -> bool:
        """Return whether there is any callback."""
        return bool(self._callbacks)

    def add(self, callback: Callable[[], None]) -> None:
        """Run a callback once the response is handed over; never, if it is not."""
        self._callbacks.append(callback)

    def run(self) -> None:
        """Run the callbacks: the response is handed over."""
        for callback in self._callbacks:
            callback()
