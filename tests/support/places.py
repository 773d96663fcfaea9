"""Where files of the repository are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
"""The README and the pages of docs/, without the decisions."""
GOLDENS = ROOT / "tests" / "goldens"
SUPPORT = ROOT / "tests" / "support"
