"""Where each client's file is on each system."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from phone_number_mcp.commands.clients import CLIENTS, System, place
from phone_number_mcp.commands.errors import InstallError
from support.installing import PLACES

if sys.platform == "win32":
    pytest.skip("homes, links and modes are those of a POSIX system", allow_module_level=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory that is nobody's."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def at_home(home: Path, on: System) -> dict[str, str]:
    return {"USERPROFILE" if on == "windows" else "HOME": str(home)}


def test_every_client_has_its_place_on_every_system() -> None:
    assert PLACES.keys() == {(client, on) for client in CLIENTS for on in ("linux", "macos", "windows")}


@pytest.mark.parametrize(("client", "on"), PLACES)
def test_the_file_is_where_the_client_looks_for_it(client: str, on: System, home: Path) -> None:
    assert place(CLIENTS[client], on, at_home(home, on)) == home / PLACES[client, on]


@pytest.mark.parametrize(
    ("client", "on", "variable", "rest"),
    [
        ("claude-desktop", "linux", "XDG_CONFIG_HOME", "Claude/claude_desktop_config.json"),
        ("claude-desktop", "windows", "APPDATA", "Claude/claude_desktop_config.json"),
        ("claude-code", "macos", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("vscode", "linux", "XDG_CONFIG_HOME", "Code/User/mcp.json"),
        ("vscode", "windows", "APPDATA", "Code/User/mcp.json"),
        ("windsurf", "windows", "APPDATA", "devin/mcp_config.json"),
        ("codex", "linux", "CODEX_HOME", "config.toml"),
    ],
)
def test_a_variable_that_moves_the_clients_directory_is_followed(
    client: str, on: System, variable: str, rest: str, home: Path
) -> None:
    elsewhere = home / "elsewhere"
    assert place(CLIENTS[client], on, at_home(home, on) | {variable: str(elsewhere)}) == elsewhere / rest
    assert place(CLIENTS[client], on, at_home(home, on) | {variable: "not/absolute"}) == home / PLACES[client, on]


def test_on_windows_the_place_of_the_installed_package_of_claude_desktop_comes_first(home: Path) -> None:
    def found() -> Path:
        return place(CLIENTS["claude-desktop"], "windows", {"USERPROFILE": str(home)})

    packaged = home / "AppData/Local/Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude"
    packaged.mkdir(parents=True)
    assert found() == packaged / "claude_desktop_config.json"
    newer = home / "AppData/Local/Claude-Data/claude_one"
    newer.mkdir(parents=True)
    assert found() == newer / "claude_desktop_config.json"
    other = newer.with_name("claude_two")
    other.mkdir()
    with pytest.raises(InstallError, match="--path"):
        found()
    (other / "claude_desktop_config.json").write_text("{}")
    assert found() == other / "claude_desktop_config.json"


def test_a_windsurf_of_before_the_new_name_keeps_its_file(home: Path) -> None:
    old = home / ".codeium/windsurf"
    old.mkdir(parents=True)
    assert place(CLIENTS["windsurf"], "linux", {"HOME": str(home)}) == old / "mcp_config.json"
    (home / ".config/devin").mkdir(parents=True)
    assert place(CLIENTS["windsurf"], "linux", {"HOME": str(home)}) == home / ".config/devin/mcp_config.json"


def test_every_client_says_where_its_facts_are_from() -> None:
    for client in CLIENTS.values():
        assert client.sources
        assert all(source.startswith("https://") for source in client.sources)
