"""The MCP clients: where the file of each is, the form of an entry, and how credentials get to the server.

A client is data: a row of `CLIENTS`, with the address that each fact is from. Nothing here reads or writes a file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from phone_number_mcp.commands.errors import InstallError

if TYPE_CHECKING:
    from phone_number_mcp.platforms import Platform

System = Literal["linux", "macos", "windows"]


@dataclass(frozen=True)
class Wiring:
    """How the credentials get to the server.

    Args:
        entry: The members of the entry that do it.
        inputs: What the client is to ask the person for; stored beside the servers (VS Code only).
        todo: What the person still has to do.
    """

    entry: Mapping[str, Any]
    todo: str
    inputs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Client:
    """An MCP client.

    Args:
        title: The product's name.
        places: By system, the possible paths of its file for the user. The first one whose directory exists is used, else the first without `*`.
        project: The path of its file in a project, relative to the project's root; None if it has none.
        key: The key under which the file lists the servers.
        format: `json` without extensions, `jsonc` with comments and trailing commas, or `toml`.
        wire: Returns how a platform's credentials get to the server without being written into the file.
        sources: The vendor's documentation of these facts, or an issue where it has none.
        restart: How to make the client read its file again.
        fixed: Members that every entry has, besides the command.
        note: Further information for the person.
    """

    title: str
    places: Mapping[System, tuple[str, ...]]
    project: str | None
    key: str
    format: Literal["json", "jsonc", "toml"]
    wire: Callable[[Platform], Wiring]
    sources: tuple[str, ...]
    restart: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None


# --- how credentials get to the server --------------------------------------------------------------------------------


def _references(form: str, client: str) -> Callable[[Platform], Wiring]:
    """Return the wiring of a client that replaces references to variables of its own environment."""

    def wire(platform: Platform) -> Wiring:
        env = {name: form.format(name) for name in platform.credentials}
        return Wiring(
            {"env": env}, f"Set {' and '.join(platform.credentials)} in the environment that {client} is started from."
        )

    return wire


def _passed_on(client: str) -> Callable[[Platform], Wiring]:
    """Return the wiring of a client that passes on the variables that the entry names."""

    def wire(platform: Platform) -> Wiring:
        names = list(platform.credentials)
        return Wiring(
            {"env_vars": names}, f"Set {' and '.join(names)} in the environment that {client} is started from."
        )

    return wire


def _asked_for(client: str) -> Callable[[Platform], Wiring]:
    """Return the wiring of a client that asks the person once, and keeps the answers in its secret store."""

    def wire(platform: Platform) -> Wiring:
        ids = {name: name.lower().replace("_", "-") for name in platform.credentials}
        inputs = [
            {"type": "promptString", "id": ids[name], "description": name, "password": True}
            for name in platform.credentials
        ]
        env = {name: f"${{input:{ids[name]}}}" for name in platform.credentials}
        return Wiring(
            {"env": env}, f"{client} asks for {' and '.join(ids)} at the first start, and stores them.", inputs
        )

    return wire


def _written_by_hand(client: str) -> Callable[[Platform], Wiring]:
    """Return the wiring of a client that supports none of these: the values have to be in the file."""

    def wire(platform: Platform) -> Wiring:
        env = {name: f"<your {name}>" for name in platform.credentials}  # counts as not set: see settings.py
        names = " and ".join(platform.credentials)
        return Wiring(
            {"env": env},
            f"{client} reads no environment variables: put the values of {names} into the file instead of the placeholders, "
            "or run again with --write --with-secrets to copy them from this environment.",
        )

    return wire


# --- the clients ------------------------------------------------------------------------------------------------------

_STDIO = {"type": "stdio"}

CLIENTS: dict[str, Client] = {
    "claude-desktop": Client(
        title="Claude Desktop",
        places={
            "linux": ("$XDG_CONFIG_HOME/Claude/claude_desktop_config.json",),
            "macos": ("~/Library/Application Support/Claude/claude_desktop_config.json",),
            # The documentation names %APPDATA% alone. The installers of 2026 are MSIX packages, which do not see it.
            "windows": (
                "%LOCALAPPDATA%/Claude-Data/claude*/claude_desktop_config.json",
                "%LOCALAPPDATA%/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
                "%APPDATA%/Claude/claude_desktop_config.json",
            ),
        },
        project=None,
        key="mcpServers",
        format="json",
        wire=_written_by_hand("Claude Desktop"),
        sources=(
            "https://modelcontextprotocol.io/docs/develop/connect-local-servers",
            "https://github.com/anthropics/claude-code/issues/26073",
            "https://github.com/anthropics/claude-code/issues/93152",
        ),
        restart="Quit Claude Desktop before the file is changed (it writes it itself), and start it again.",
    ),
    "claude-code": Client(
        title="Claude Code",
        places={
            "linux": ("$CLAUDE_CONFIG_DIR/.claude.json",),
            "macos": ("$CLAUDE_CONFIG_DIR/.claude.json",),
            "windows": ("$CLAUDE_CONFIG_DIR/.claude.json",),
        },
        project=".mcp.json",
        key="mcpServers",
        format="json",
        # The page promises it of .mcp.json; of ~/.claude.json it was seen with version 2.1.197.
        wire=_references("${{{}}}", "Claude Code"),
        sources=("https://code.claude.com/docs/en/mcp",),
        restart="Quit Claude Code before the file is changed (it writes it itself), and start it again; /mcp shows the server.",
        fixed=_STDIO,
    ),
    "cursor": Client(
        title="Cursor",
        places={
            "linux": ("~/.cursor/mcp.json",),
            "macos": ("~/.cursor/mcp.json",),
            "windows": ("~/.cursor/mcp.json",),
        },
        project=".cursor/mcp.json",
        key="mcpServers",
        format="jsonc",
        wire=_references("${{env:{}}}", "Cursor"),
        sources=("https://cursor.com/docs/mcp",),
        restart="Restart Cursor; its settings list the server among the MCP servers.",
        fixed=_STDIO,
    ),
    "vscode": Client(
        title="VS Code",
        places={
            "linux": ("$XDG_CONFIG_HOME/Code/User/mcp.json",),
            "macos": ("~/Library/Application Support/Code/User/mcp.json",),
            "windows": ("%APPDATA%/Code/User/mcp.json",),
        },
        project=".vscode/mcp.json",
        key="servers",
        format="jsonc",
        wire=_asked_for("VS Code"),
        sources=(
            "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
            "https://github.com/microsoft/vscode/blob/main/src/vs/platform/environment/node/userDataPath.ts",
        ),
        restart="Run MCP: List Servers in VS Code, and start the server.",
        fixed=_STDIO,
    ),
    "windsurf": Client(
        title="Windsurf",
        places={
            "linux": ("~/.config/devin/mcp_config.json", "~/.codeium/windsurf/mcp_config.json"),
            "macos": ("~/.config/devin/mcp_config.json", "~/.codeium/windsurf/mcp_config.json"),
            "windows": ("%APPDATA%/devin/mcp_config.json", "~/.codeium/windsurf/mcp_config.json"),
        },
        project=".devin/mcp_config.json",
        key="mcpServers",
        format="jsonc",
        wire=_references("${{env:{}}}", "Windsurf"),
        sources=(
            "https://docs.windsurf.com/windsurf/cascade/mcp",
            "https://docs.devin.ai/desktop/cascade/mcp",
            "https://docs.devin.ai/cli/extensibility/mcp/configuration",
        ),
        restart="Refresh the MCP servers in Windsurf's settings, or restart it.",
        # Interpolation is documented for Cascade; the pages of the newer agent do not say.
        note=(
            "Windsurf is called Devin Desktop since 2026. Its older agent, Cascade, reads ~/.codeium/windsurf/mcp_config.json: "
            "name that with --path if you use it. If the newer one says not_configured although the variables are set, it did "
            "not resolve them: put the values into the file."
        ),
    ),
    "codex": Client(
        title="Codex",
        places={
            "linux": ("$CODEX_HOME/config.toml",),
            "macos": ("$CODEX_HOME/config.toml",),
            "windows": ("$CODEX_HOME/config.toml",),
        },
        project=".codex/config.toml",
        key="mcp_servers",
        format="toml",
        wire=_passed_on("Codex"),
        sources=("https://developers.openai.com/codex/mcp", "https://developers.openai.com/codex/config-reference"),
        restart="Restart Codex; /mcp shows the server. A project's file counts only where Codex trusts the project.",
    ),
}
"""The clients by name on the command line."""

_ROOTS = {
    "~": (None, ""),
    "%APPDATA%": ("APPDATA", "AppData/Roaming"),
    "%LOCALAPPDATA%": ("LOCALAPPDATA", "AppData/Local"),
    "$XDG_CONFIG_HOME": ("XDG_CONFIG_HOME", ".config"),
    "$CODEX_HOME": ("CODEX_HOME", ".codex"),
    "$CLAUDE_CONFIG_DIR": ("CLAUDE_CONFIG_DIR", ""),
}
"""What a path may begin with: the variable that holds the directory, and the default relative to the home directory."""


def system() -> System:
    """Return the operating system of this process."""
    return "windows" if sys.platform == "win32" else "macos" if sys.platform == "darwin" else "linux"


def place(client: Client, on: System, environ: Mapping[str, str]) -> Path:
    """Return the path of a client's file for the user, whether it exists or not.

    Raises:
        InstallError: Several paths are possible.
    """
    patterns = client.places[on]
    for pattern in patterns:
        root, rest = _root(pattern, on, environ)
        directory, _, name = rest.rpartition("/")
        found = sorted(root.glob(directory)) if "*" in directory else [root / directory]
        found = [path for path in found if path.is_dir()]
        if len(found) > 1:  # of several packages, the one that already has a configuration
            found = [path for path in found if (path / name).exists()] or found
        if len(found) > 1:
            raise InstallError(f"{client.title} has several places for its file under {root}: name one with --path")
        if found:
            return found[0] / name
    root, rest = _root(next(pattern for pattern in patterns if "*" not in pattern), on, environ)
    return root / rest


def _root(pattern: str, on: System, environ: Mapping[str, str]) -> tuple[Path, str]:
    first, _, rest = pattern.partition("/")
    variable, default = _ROOTS[first]
    given = environ.get(variable) if variable else None
    if given and Path(given).is_absolute():
        return Path(given), rest
    home = environ.get("USERPROFILE" if on == "windows" else "HOME")
    return Path(home or Path.home()) / default, rest
