"""MCP over stdin and stdout, one JSON message a line.

The SDK's own transport hands every message through worker threads, and loses replies, memory or the process itself when a
client misbehaves. This one reads and writes on the event loop where that is possible, checks each line before the SDK sees it,
limits the requests in flight, and ends when the client does.

`codec` parses and encodes messages, `admission` decides which requests are started, `pipes` reads and writes the descriptors.
This module connects them to the process's stdin and stdout.

https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#stdio
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from phone_number_mcp.transports.admission import ReadStream, WriteStream
from phone_number_mcp.transports.pipes import claimed

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


class Stdio:
    """One client, at the process's own stdin and stdout."""

    def __init__(self) -> None:
        self._requests: ReadStream | None = None
        self._accepting = True
        self._stopped = False

    async def serve(self, server: Server[Any]) -> None:
        """Serve until the client closes stdin or stdout, or `stop` is called.

        Meanwhile, what other code prints goes to stderr, so that only the protocol is written to stdout.
        """
        if sys.stdin is None or sys.stdout is None:  # closed before the start: there is no client
            return
        with claimed(0, os.O_RDONLY) as source, claimed(1, os.O_WRONLY) as sink, redirect_stdout(sys.stderr):
            replies = WriteStream(sink)
            self._requests = ReadStream(source, replies)
            if not self._accepting:
                self._requests.stop_accepting()
            if self._stopped:
                self._requests.stop()
            await server.run(self._requests, replies, server.create_initialization_options())

    def stop_accepting(self) -> None:
        """Stop accepting requests; let in-flight ones finish."""
        self._accepting = False
        if self._requests is not None:
            self._requests.stop_accepting()

    def stop(self) -> None:
        """Make `serve` return now; in-flight requests are not waited for."""
        self._stopped = True
        if self._requests is not None:
            self._requests.stop()
