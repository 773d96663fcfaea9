"""Which tests need which operating system. What is skipped elsewhere is named in pytest's summary, with the reason."""

from __future__ import annotations

import signal
import sys

import pytest

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="needs signals, modes, pipes or links of a POSIX system")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="needs a system call of Linux")

STOPS: list[signal.Signals] = [] if sys.platform == "win32" else [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
"""The signals that end a server. On Windows there is none: a process is ended there without being told."""
