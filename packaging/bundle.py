"""Build dist/phone-number-mcp-VERSION.mcpb, and start the server in it as a client would.

The server's type is `uv`: what it depends on is not in the bundle, but installed by uv for the machine at hand. The type `python` would
have to carry pydantic_core, compiled, for every system, processor and Python; `binary` the same in larger. The bundle has only
our own sources, and a pyproject.toml with the versions that were tested. Needs Node 20 for the published packer.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from descriptions import ROOT, bundle_project, manifest
from phone_number_mcp import __version__
from phone_number_mcp.platforms import PLATFORMS, load

HERE = ROOT / "packaging" / "mcpb"
PACKAGE = ROOT / "server" / "phone_number_mcp"
KEY = "sk_Rk7Zp2Qw9Lx4Vb6Nm1Ts8Jd3Hf5Gc0"
SECRET = "s3cr3t_Yt6Ue1Oi8Pa3Sd5Fg7Hj2Kl9Zx"
NOTHING: tuple[dict[str, Any], ...] = (
    {},  # what has no default stays as written: ${user_config.…}
    dict.fromkeys(manifest()["user_config"], ""),
    dict.fromkeys(manifest()["user_config"]),  # null
    dict.fromkeys(manifest()["user_config"], "(undefined)"),
)
"""What a client may hold for values that nobody entered: each is written into the environment differently."""


def main() -> None:
    """Build, check, and leave it in dist/."""
    _install_the_packer()
    bundle = ROOT / "dist" / f"phone-number-mcp-{__version__}.mcpb"
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        stage = _staged(place / "stage")
        _mcpb("validate", stage / "manifest.json")
        _mcpb("pack", stage, bundle)
        _check_files(bundle)
        _mcpb("unpack", bundle, place / "installed")
        _check_that_it_starts(place / "installed")
    print(f"dist/{bundle.name}: {bundle.stat().st_size // 1024} KiB; the server in it started and listed its tools")


def _install_the_packer() -> None:
    installed = HERE / "node_modules" / ".installed"
    if not installed.exists() or installed.stat().st_mtime < (HERE / "package.json").stat().st_mtime:
        _run("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent", cwd=HERE)
        installed.touch()


def _mcpb(*arguments: str | Path) -> None:
    _run(HERE / "node_modules" / ".bin" / "mcpb", *arguments)


def _staged(place: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")
    shutil.copytree(PACKAGE, place / "server" / PACKAGE.name, ignore=ignored)
    shutil.copy(HERE / "main.py", place / "server" / "main.py")
    shutil.copy(ROOT / "LICENSE", place)
    (place / "pyproject.toml").write_text(bundle_project(), encoding="utf-8")
    (place / "manifest.json").write_text(json.dumps(manifest(), indent=2, ensure_ascii=False), encoding="utf-8")
    return place


def _check_files(bundle: Path) -> None:
    tracked = _run("git", "ls-files", "--cached", "--others", "--exclude-standard", "server", cwd=ROOT).split()
    expected = {*tracked, "server/main.py", "LICENSE", "manifest.json", "pyproject.toml"}
    with zipfile.ZipFile(bundle) as archive:
        found = {name for name in archive.namelist() if not name.endswith("/")}
    assert found == expected, f"{bundle.name} has {found - expected}, lacks {expected - found}"


def _check_that_it_starts(directory: Path) -> None:
    """Start it by the manifest's command: with nothing entered, in each way; with everything; and without effects."""
    real = {"zudu_api_key": KEY, "zudu_api_secret": SECRET, "max_creates": 3, "timeout": 12.5, "confirm": "always"}
    configurations = [
        *NOTHING,
        real,
        {"platform": "retell", "retell_api_key": KEY, "allow_delete": True},
        {"sandbox": True, "read_only": True, "tools": "get_phone_number"},
    ]
    asked = {
        "manifest": json.loads((directory / "manifest.json").read_text(encoding="utf-8")),
        "directory": str(directory),
        "configurations": configurations,
    }
    commands = json.loads(_run("node", HERE / "substitute.mjs", text=json.dumps(asked)))
    offered = [_tools(command) for command in commands]
    zudu, retell = ({tool.name for tool in load(name).tools} for name in PLATFORMS)
    listed = {tool["name"] for tool in asked["manifest"]["tools"]}
    for nothing in offered[: len(NOTHING)]:
        assert nothing == zudu - {"delete_phone_number"}
    # This client cannot ask a person: with `confirm` it is offered what only reads.
    reads = {tool.name for tool in load("zudu").tools if tool.read_only}
    assert offered[len(NOTHING) :] == [reads, retell, {"get_phone_number"}]
    assert listed <= offered[0]
    assert listed <= retell


def _tools(command: dict[str, Any]) -> set[str]:
    """Return the names of the tools that the server lists, started by a command, and see that it ends well."""
    environ = {
        name: value for name, value in os.environ.items() if not name.startswith(("PHONE_NUMBER_MCP_", "VIRTUAL_"))
    }
    # uv and Python are those at hand: a client brings the one, and lets it fetch the other.
    path = f"{Path(sys.executable).parent}{os.pathsep}{environ['PATH']}"
    ours = {"PATH": path, "UV_PYTHON": sys.executable, "UV_PYTHON_DOWNLOADS": "never"}
    asked = (
        {"method": "initialize", "id": 1, "params": {"protocolVersion": "2025-11-25", "capabilities": {},
         "clientInfo": {"name": "bundle", "version": "0"}}},
        {"method": "notifications/initialized"},
        {"method": "tools/list", "id": 2},
    )  # fmt: skip
    lines = "".join(json.dumps({"jsonrpc": "2.0"} | message) + "\n" for message in asked)
    answers = _run(command["command"], *command["args"], text=lines, env=environ | ours | command["env"])
    _initialized, listed = map(json.loads, answers.splitlines())
    return {tool["name"] for tool in listed["result"]["tools"]}


def _run(*command: str | Path, cwd: Path | None = None, text: str = "", env: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=env, input=text, capture_output=True, text=True, timeout=300, check=False
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
