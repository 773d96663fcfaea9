"""MCP over stdin and stdout: lines of JSON in, lines of JSON out, on the event loop.

The SDK's own transport hands every message through worker threads, and loses replies, memory or the process itself when a
client does what it should not. This one reads and writes where the event loop says it may, checks each line before the SDK
sees it, takes in no more than it can answer, and ends when the client does.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from phone_number_mcp.transports.admission import Replies, Requests
from phone_number_mcp.transports.pipes import claimed

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


class Stdio:
    """One client, at the process's own stdin and stdout."""

    def __init__(self) -> None:
        self._requests: Requests | None = None
        self._quiet = False
        self._stopped = False

    async def serve(self, server: Server[Any]) -> None:
        """Serve until the client closes stdin or stdout, or `stop` is called.

        While it does, nothing else can write to the protocol's stdout: what is printed goes to stderr.
        """
        if sys.stdin is None or sys.stdout is None:  # closed before the start: there is nobody
            return
        with claimed(0, os.O_RDONLY) as source, claimed(1, os.O_WRONLY) as sink, redirect_stdout(sys.stderr):
            replies = Replies(sink)
            self._requests = Requests(source, replies)
            if self._quiet:
                self._requests.quiesce()
            if self._stopped:
                self._requests.stop()
            await server.run(self._requests, replies, server.create_initialization_options())

    def quiesce(self) -> None:
        """Begin nothing more; what is under way goes on, and is answered."""
        self._quiet = True
        if self._requests is not None:
            self._requests.quiesce()

    def stop(self) -> None:
        """End now: nobody is waited for."""
        self._stopped = True
        if self._requests is not None:
            self._requests.stop()
