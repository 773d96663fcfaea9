"""`install` and `uninstall` as processes, and what clients' files say."""

from __future__ import annotations

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from phone_number_mcp.commands import jsonc
from phone_number_mcp.commands.clients import CLIENTS, System
from phone_number_mcp.commands.editors import merge
from phone_number_mcp.commands.entries import Entry
from support.server import KEY, SECRET, command, fresh_command

CREDENTIALS = {"ZUDU_API_KEY": KEY, "ZUDU_API_SECRET": SECRET}
ENTRY = {"command": "/opt/bin/phone-number-mcp", "args": []}
PLACES: dict[tuple[str, System], str] = {
    ("claude-desktop", "linux"): ".config/Claude/claude_desktop_config.json",
    ("claude-desktop", "macos"): "Library/Application Support/Claude/claude_desktop_config.json",
    ("claude-desktop", "windows"): "AppData/Roaming/Claude/claude_desktop_config.json",
    ("claude-code", "linux"): ".claude.json",
    ("claude-code", "macos"): ".claude.json",
    ("claude-code", "windows"): ".claude.json",
    ("cursor", "linux"): ".cursor/mcp.json",
    ("cursor", "macos"): ".cursor/mcp.json",
    ("cursor", "windows"): ".cursor/mcp.json",
    ("vscode", "linux"): ".config/Code/User/mcp.json",
    ("vscode", "macos"): "Library/Application Support/Code/User/mcp.json",
    ("vscode", "windows"): "AppData/Roaming/Code/User/mcp.json",
    ("windsurf", "linux"): ".config/devin/mcp_config.json",
    ("windsurf", "macos"): ".config/devin/mcp_config.json",
    ("windsurf", "windows"): "AppData/Roaming/devin/mcp_config.json",
    ("codex", "linux"): ".codex/config.toml",
    ("codex", "macos"): ".codex/config.toml",
    ("codex", "windows"): ".codex/config.toml",
}
VSCODE = """\
{
\t// What the team uses.
\t"inputs": [
\t\t{ "type": "promptString", "id": "other", "description": "Other", "password": true }, // kept
\t],
\t"servers": {
\t\t/* the other one */
\t\t"other": { "type": "stdio", "command": "other", "args": ["-y"], },
\t},
\t"sandbox": {},
}
"""
CURSOR = '{\n    "mcpServers": {\n        "other": {"command": "other", "env": {"A": "é \\u00e9"}}\n    },\n    "more": 1.50\n}'
CLAUDE = (
    '{"numStartups":7,"mcpServers":{},"projects":{"/home/me/a":{"mcpServers":{"phone-number":{"command":"mine"}}}}}\n'
)
CODEX = """\
# My settings
model = "gpt-5"   # the good one
notify = ["a",  'b']

[mcp_servers.other]   # kept
command = "other"

[profiles.x]
model = "o3"

[mcp_servers.docs]
url = "https://example.com/mcp"
"""


def run(
    home: Path,
    *options: str,
    env: dict[str, str] | None = None,
    before: Callable[[], None] | None = None,
    name: str = "install",
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (fresh_command if before else command)(name, *options),
        capture_output=True,
        encoding="utf-8",
        env={"HOME": str(home)} | (env or {}),
        cwd=home,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        preexec_fn=before,
    )


def content(text: str) -> dict[str, Any]:
    """Return what a configuration says, in whichever format it is."""
    if text.lstrip("\ufeff").startswith(("{", "/")):
        value = jsonc.parse(text, comments=True)
        assert value is not None
        assert isinstance(value.value, dict)
        return value.value
    return tomllib.loads(text.removeprefix("\ufeff"))


def merged(client: str, before: str | bytes, *, name: str = "phone-number", force: bool = False) -> str:
    entry = Entry(CLIENTS[client].key, name, ENTRY)
    content = before if isinstance(before, bytes) else before.encode()
    after = merge(content, entry, CLIENTS[client], force=force)
    assert after is not None
    return after.decode()


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}
