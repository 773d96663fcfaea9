"""Validate the plugin for Claude Code, its marketplace and its skill with skillsaw, which knows their published formats."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from descriptions import ROOT


def main() -> None:
    """Lint a copy of them, away from what else the linter would look at."""
    with tempfile.TemporaryDirectory() as name:
        for part in ("plugin", ".claude-plugin"):
            shutil.copytree(ROOT / part, Path(name) / part)
        program = [str(Path(sys.executable).with_name("skillsaw")), "lint", "--strict", "--no-plugins"]
        done = subprocess.run(
            [*program, "--no-custom-rules", "--no-progress", name], capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    print("plugin/: valid")


if __name__ == "__main__":
    main()
