"""Where files of the repository are."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = ROOT / "README.md"
GOLDENS = ROOT / "tests" / "goldens"
SUPPORT = ROOT / "tests" / "support"
