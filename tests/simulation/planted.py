"""Plants each bug of `bugs/` into a copy of the server, and checks that the simulation catches it."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

_TESTS = Path(__file__).parent.parent
_SERVER = _TESTS.parent / "server"
_GIT = shutil.which("git") or "git"
_BUGS = Path(__file__).parent / "bugs"


class Verdict(NamedTuple):
    """Whether a bug was caught, and how."""

    name: str
    caught: bool
    how: str


def _try(patch: Path, seeds: int) -> Verdict:
    with tempfile.TemporaryDirectory(prefix="planted-") as folder:
        shutil.copytree(_SERVER, Path(folder) / "server", ignore=shutil.ignore_patterns("__pycache__"))
        applied = subprocess.run(
            [_GIT, "apply", "--unsafe-paths", f"--directory={folder}", str(patch)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if applied.returncode:
            return Verdict(patch.stem, caught=False, how=f"the patch does not apply: {applied.stderr.strip()}")
        environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(folder) / "server"), str(_TESTS)])}
        run = subprocess.run(
            [sys.executable, "-m", "simulation", "--seeds", str(seeds), "--jobs", "1"],
            env=environment,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
    found = re.match(r"seed (\d+): (.*)", run.stdout)
    if found is None:
        return Verdict(patch.stem, caught=False, how=(run.stdout + run.stderr).strip()[-500:])
    return Verdict(patch.stem, caught=True, how=f"after {int(found[1]) + 1:>4} seeds: {found[2].split(';')[0]}")


def main() -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(prog="simulation.planted", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5_000, help="within which each must be caught")
    parser.add_argument("--only", default="", help="a part of the names")
    options = parser.parse_args()
    started = time.monotonic()
    patches = sorted(path for path in _BUGS.glob("*.patch") if options.only in path.name)
    missed = []
    with ThreadPoolExecutor(2) as pool:
        for verdict in pool.map(lambda patch: _try(patch, options.seeds), patches):
            print(f"{'caught' if verdict.caught else 'MISSED'}  {verdict.name:<32} {verdict.how}", flush=True)
            if not verdict.caught:
                missed.append(verdict.name)
    print(f"{len(patches) - len(missed)} of {len(patches)} planted bugs caught, in {time.monotonic() - started:.0f} s")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
