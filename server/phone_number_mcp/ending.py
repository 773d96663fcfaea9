"""How the process ends: which signals end it, and the one call that ends it for sure.

Clients give a server two seconds to end, and kill it then. An ordinary exit of Python waits for every thread, and one may hang:
a look-up of a host, a read from a terminal. So the process ends with `os._exit`, after everything has been closed and written.
"""

from __future__ import annotations

import os
import signal
import sys

SECONDS_TO_END = 1.9
"""Seconds after which the process ends, whatever hangs."""


def end_process(status: int) -> None:
    """End this process now; nothing that still runs is waited for. What matters has to be closed and written before.

    Args:
        status: The exit status: 128 and the signal's number after a signal.
    """
    os._exit(status)


def end_on_signals() -> None:
    """End the process at once on a signal, as long as there is nothing to finish."""
    for each in ending_signals():
        signal.signal(each, lambda received, _: end_process(128 + received))


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end the server: not those that whoever started it has it ignore, as nohup does."""
    if sys.platform == "win32":  # where the event loop takes none
        return []
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return [each for each in ending if signal.getsignal(each) is not signal.SIG_IGN]
