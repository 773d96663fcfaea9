"""One server process: settings → the platform, the writes and the MCP server, over a transport, until it ends.

What this module imports is imported before the first reply to a client: start-up is a budget. What only some servers need is
imported where it is needed.
"""

from __future__ import annotations

import asyncio
import gc
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from phone_number_mcp.ending import SECONDS_TO_END, end_process, ending_signals
from phone_number_mcp.lazy_imports import import_lazily
from phone_number_mcp.logs import log_to_stderr

import_lazily("mcp")
import_lazily("mcp.server")

from phone_number_mcp.app import build
from phone_number_mcp.sanitize import Sanitizer
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.writes.executor import Writes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mcp.server.lowlevel import Server

    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.settings import Settings
    from phone_number_mcp.upstream.api import ASGIApp
    from phone_number_mcp.writes.journal import Journal

AFTER_THE_START = 1.0
"""Seconds after the start until the first call is prepared (imports, a connection), unless a client lists the tools before."""


class Transport(Protocol):
    """How clients reach the server."""

    async def serve(self, server: Server[Any]) -> None:
        """Serve until there is nobody left, or `stop` is called."""

    def stop_accepting(self) -> None:
        """Stop accepting requests; let in-flight ones finish."""

    def stop(self) -> None:
        """Make `serve` return soon."""


def serve(settings: Settings, transport: Transport) -> int:
    """Serve clients until they have gone or a signal comes. The process ends here: no code of the caller runs afterwards.

    Args:
        settings: What to serve.
        transport: How clients reach it.
    """
    options, platform = settings.options, settings.platform
    sanitize = Sanitizer(settings.secrets())
    log_to_stderr(options.log_level, sanitize)

    async def run() -> None:
        status = 0
        loop = asyncio.get_running_loop()
        with _received_signals() as signals:
            async with anyio.create_task_group() as tasks:
                async with (
                    Api(
                        base_url=settings.base_url,
                        decipher=platform.decipher,
                        encode=platform.encode,
                        timeout=options.timeout,
                        app=_embedded(platform) if options.sandbox else None,
                    ) as api,
                    Writes(
                        platform,
                        api,
                        # What is simulated must not be taken for a purchase, where one journal serves both.
                        name=platform.name + (" (sandbox)" if options.sandbox else ""),
                        address=settings.base_url,
                        journal=partial(_journal, settings),
                        max_creates=options.max_creates,
                    ) as writes,
                ):

                    async def end_on_signal() -> None:
                        nonlocal status
                        status = 128 + await anext(signals)
                        loop.call_later(SECONDS_TO_END, end_process, status)  # whatever may hang
                        transport.stop_accepting()
                        await writes.drain()
                        transport.stop()

                    tasks.start_soon(end_on_signal)
                    if settings.configured:
                        loop.call_later(AFTER_THE_START, api.prepare)
                    server = build(settings, api, writes, sanitize)
                    gc.freeze()
                    gc.enable()
                    await transport.serve(server)
                    loop.call_later(SECONDS_TO_END, lambda: end_process(status))
                tasks.cancel_scope.cancel()
            end_process(status)

    anyio.run(run)
    return 0


@contextmanager
def _received_signals() -> Iterator[AsyncIterator[int]]:
    """Receive the signals that end the server, until it ends: a second signal must not cut short what the first one started."""

    async def none() -> AsyncIterator[int]:
        await anyio.sleep_forever()
        yield 0

    ending = ending_signals()
    if not ending:
        yield none()
        return
    with anyio.open_signal_receiver(*ending) as received:
        yield aiter(received)


def _journal(settings: Settings) -> Journal:
    from phone_number_mcp.writes.database import MEMORY, default_place  # the first write needs it
    from phone_number_mcp.writes.sqlite import SqliteJournal  # SQLite

    place = settings.options.journal
    if place is None and settings.options.sandbox:
        place = MEMORY
    return SqliteJournal(place or default_place(), may_forget=place is None)


def _embedded(platform: Platform) -> ASGIApp:
    from phone_number_mcp.sandbox import create_app

    return create_app(platform.sandbox())
