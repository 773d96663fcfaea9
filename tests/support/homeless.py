"""Runs the server as a user whom the system does not know, as containers do; without HOME, there is no home directory."""

from __future__ import annotations

import pwd
import runpy
from typing import NoReturn


def _unknown(uid: int) -> NoReturn:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


if __name__ == "__main__":
    pwd.getpwuid = _unknown
    runpy.run_module("phone_number_mcp", run_name="__main__", alter_sys=True)
