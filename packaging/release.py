"""Check that a tag can be released, and print what CHANGELOG.md says of its version: the text of the GitHub release.

Usage: release.py TAG. Needs Python alone, so that a wrong tag fails before anything is installed or built.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(tag: str, root: Path = ROOT) -> str:
    """Return the notes of the version that a tag names.

    Args:
        tag: `v` and the version, as in `v0.1.0`.
        root: The repository.

    Raises:
        SystemExit: The tag is not the version in the code or in server.json, or the changelog is not ready for it.
    """
    code = (root / "server" / "phone_number_mcp" / "__init__.py").read_text(encoding="utf-8")
    version = code.partition('__version__ = "')[2].partition('"')[0]
    registered = json.loads((root / "server.json").read_text(encoding="utf-8"))["version"]
    sections = _sections((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    faults = []
    if tag != f"v{version}":
        faults.append(f"The tag is {tag}, but the version in the code is {version}.")
    if registered != version:
        faults.append(f"server.json has the version {registered}, the code {version}. Run `make goldens`.")
    if not sections.get(version):
        faults.append(f"CHANGELOG.md has no section {version} with entries.")
    if sections.get("Unreleased"):
        faults.append(f"CHANGELOG.md has entries under Unreleased. Move them to {version}.")
    if faults:
        sys.exit("\n".join(faults))
    return sections[version]


def _sections(changelog: str) -> dict[str, str]:
    """Return what is under each heading of the second level; a heading may have a date after the version."""
    _, *parts = re.split(r"^## \[?([^\]\s]+).*$", changelog, flags=re.MULTILINE)
    return {name: text.strip() for name, text in zip(parts[::2], parts[1::2], strict=True)}


if __name__ == "__main__":
    (argument,) = sys.argv[1:]
    print(notes(argument))
