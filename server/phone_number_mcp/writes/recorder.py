"""What must be written down after a write: how it ended, and that the client has the answer; now, or in the background."""

from __future__ import annotations

import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio

from phone_number_mcp.writes.journal import JournalUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup

    from phone_number_mcp.errors import Outcome
    from phone_number_mcp.transports import AfterResponse
    from phone_number_mcp.writes.journal import Journal

log = logging.getLogger(__name__)

LAST_SECONDS = 0.1
"""Seconds for which, at the end, writing down what is left is tried."""
RECORD_SECONDS = 1.0
"""Seconds for which writing down is tried before the caller is answered; after that, it is tried in the background."""


class Recorder:
    """Writes down in the journal what became known after a write was sent.

    Args:
        make_journal: Makes the journal; nothing is opened before the first write.
        tasks: Runs what is tried again in the background.
    """

    def __init__(self, make_journal: Callable[[], Journal], tasks: TaskGroup) -> None:
        self._make_journal = make_journal
        self._tasks = tasks
        self._opened: Journal | None = None
        self._to_acknowledge: set[int] = set()
        """Entries of which the client has the answer, as long as that is not written down."""
        self._flushing = False

    @property
    def journal(self) -> Journal:
        """The journal, made when it is first asked for."""
        if self._opened is None:
            self._opened = self._make_journal()
        return self._opened

    async def close(self) -> None:
        """Write down what is left, if that can be done at once, and close the journal."""
        if self._opened is not None:
            with anyio.CancelScope(shield=True):
                await self._write_the_rest(self._opened)
                await self._opened.close()

    async def _write_the_rest(self, journal: Journal) -> None:
        """Write down what is left, as far as that is possible at once."""
        deadline = anyio.current_time() + LAST_SECONDS
        with suppress(JournalUnavailableError):
            for id_ in list(self._to_acknowledge):
                await journal.acknowledge(id_, deadline)
            await journal.flush(deadline)

    async def end(
        self, id_: int, outcome: Outcome, until: float, *, code: str | None = None, phone_number: str | None = None
    ) -> None:
        """Write down how a write ended, whole even if the server is ending; if that cannot be done, go on trying.

        Args:
            id_: Of the entry.
            outcome: How it ended.
            until: When whoever waits for the write must be answered, on the event loop's clock.
            code: Of the error, if there was one.
            phone_number: What the platform chose, if it did.
        """
        deadline = min(anyio.current_time() + RECORD_SECONDS, until)
        with anyio.CancelScope(shield=True):
            try:
                await self.journal.end(id_, outcome, deadline, code=code, phone_number=phone_number)
            except JournalUnavailableError as error:
                log.warning("How a write ended could not be written down yet: %s", error)
                self.flush_soon()

    async def acknowledge(self, id_: int | None, after: AfterResponse | None) -> None:
        """Write down that the client knows how a write ended, once it does.

        Args:
            id_: Of the entry; None if there is none.
            after: Runs callbacks once the client has the answer. Without it, it has the answer now.
        """
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
            await self.journal.acknowledge(id_, anyio.current_time() + RECORD_SECONDS)
        except JournalUnavailableError as error:
            log.warning("The acknowledgement of a write could not be written down yet: %s", error)
            self.flush_soon()
        self._to_acknowledge.discard(id_)

    def flush_soon(self) -> None:
        """Write down in the background what could not be written before."""
        if not self._flushing:
            self._flushing = True
            self._tasks.start_soon(self._flush)

    async def _flush(self) -> None:
        try:
            while True:
                try:
                    await self.journal.flush(anyio.current_time() + RECORD_SECONDS)
                except JournalUnavailableError:
                    await anyio.sleep(RECORD_SECONDS)
                else:
                    return
        finally:
            self._flushing = False
