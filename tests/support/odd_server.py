"""The real command, with one more platform in the table: that of `odd.py`. A program."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from phone_number_mcp.platforms import PLATFORMS

PLATFORMS["odd"] = "support.odd"

from phone_number_mcp.cli import main

if __name__ == "__main__":
    sys.exit(main())
