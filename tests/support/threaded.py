"""Runs a Python program whose server reads and writes pipes in threads, as it does on Windows.

As in `python threaded.py -m phone_number_mcp --sandbox`, or `python threaded.py crashing.py`.
"""

from __future__ import annotations

import runpy
import sys

from phone_number_mcp.transports import pipes

if __name__ == "__main__":
    pipes.LOOP_WAITS = False
    del sys.argv[0]
    if sys.argv[0] == "-m":
        del sys.argv[0]
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(sys.argv[0], run_name="__main__")
