"""The log on stderr: without secrets, and without waiting for whoever reads it."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from phone_number_mcp.sanitize import Sanitizer


class _Formatter(logging.Formatter):
    def __init__(self, sanitize: Sanitizer) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._sanitize = sanitize

    def format(self, record: logging.LogRecord) -> str:
        secrets = getattr(record, "secrets", ())  # those among the arguments of the call that crashed
        return self._sanitize.also(secrets).lines(super().format(record))


class _Stderr(logging.Handler):
    """Writes lines to stderr as long as somebody reads it: a log that nobody reads must not stop the server."""

    def __init__(self) -> None:
        super().__init__()
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001  (a log never brings down what it tells of)
            line = f"{record.name}: a line that cannot be formatted\n"
        if self._dropped:
            line = f"(nobody read {self._dropped} lines before this one)\n{line}"
        self._dropped = 0 if _write_without_waiting(2, line.encode(errors="backslashreplace")) else self._dropped + 1


def _write_without_waiting(fd: int, data: bytes) -> bool:
    """Write data if it is taken at once; return whether all of it was."""
    try:
        if sys.platform == "win32":  # there, nothing tells whether a pipe has room
            os.write(fd, data)
            return True
        import select  # only where there is something to log

        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        # A pipe that is ready takes PIPE_BUF bytes without waiting: pipe(7).
        for start in range(0, len(data), select.PIPE_BUF):
            if not poll.poll(0):
                return False
            os.write(fd, data[start : start + select.PIPE_BUF])
    except OSError:  # closed
        return False
    return True


def log_to_stderr(level: str, sanitize: Sanitizer) -> None:
    """Write the log to stderr.

    Args:
        level: Of this package's messages: debug, info, warning or error. Those of others are shown from warning on.
        sanitize: Applied to every line.
    """
    handler = _Stderr()
    handler.setFormatter(_Formatter(sanitize))
    logging.root.addHandler(handler)
    # Others' debug logs show whole messages, arguments and headers included: they speak only when something is wrong.
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("phone_number_mcp").setLevel(level.upper())
