"""The client programs, and an environment of its own for each: made once, and made anew when what it holds changes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PYTHON = HERE / "python"
ENVIRONMENTS = HERE / ".envs"
INSTALL_SECONDS = 400
LEGACY, MODERN = "legacy", "2026-07-28"


class InstallError(Exception):
    """An environment could not be made; its text is what the installer said."""


@dataclass(frozen=True)
class Program:
    """A client program.

    Args:
        title: Of the client, in the table.
        name: For Python, that of `python/with_NAME.py` and of the `python/NAME.txt` with the pinned packages, the client's own
            first; for Node, that of the directory with `client.mjs` and `package.json`, the client's own package first.
        variant: For Python, of the pinned packages: those in `python/NAME-VARIANT.txt` instead.
        mode: The protocol era that the program asks for, where the client lets its user choose.
        note: What is checked beyond the common cases, or particular to this client; for the table.
        cold: Whether the server's start without any compiled bytecode is tried as well.
    """

    title: str
    name: str
    mode: str | None = None
    note: str = ""
    variant: str = ""
    cold: bool = False

    @property
    def label(self) -> str:
        """Return what it is called in messages and on the command line."""
        return f"{self.environment}@{self.mode}" if self.mode else self.environment

    @property
    def environment(self) -> str:
        """Return the name of its environment, which programs may share."""
        return f"{self.name}-{self.variant}" if self.variant else self.name

    @property
    def node(self) -> bool:
        """Tell whether it runs on Node."""
        return self.source.suffix != ".py"

    @property
    def source(self) -> Path:
        """Return the program's file."""
        python = PYTHON / f"with_{self.name}.py"
        return python if python.exists() else HERE / self.name / "client.mjs"

    @property
    def requirements(self) -> Path:
        """Return the file that pins what it is tested with."""
        return HERE / self.name / "package.json" if self.node else PYTHON / f"{self.environment}.txt"

    def pinned(self) -> tuple[str, str]:
        """Return the client's own package and its version."""
        text = self.requirements.read_text("utf-8")
        if self.node:
            package, version = next(iter(json.loads(text)["dependencies"].items()))
            return package, version
        package, _, version = text.splitlines()[0].partition("==")
        return package, version

    def command(self) -> list[str]:
        """Return what starts it."""
        if not self.node:
            return [str(ENVIRONMENTS / self.environment / "bin" / "python"), str(self.source)]
        return [shutil.which("node", path=self.path()) or "node", str(self.source)]

    def path(self) -> str:
        """Return the PATH that it runs with: a Node of its own, if it needs another than is installed, comes first."""
        path = os.environ.get("PATH", os.defpath)
        return f"{HERE / self.name / 'node_modules' / '.bin'}{os.pathsep}{path}" if self.node else path


_OPENAI = (
    "its five seconds of patience do, also with a server that was never compiled; "
    "a model reads the text, `custom_data_extractor` gets the structured content"
)
_PYDANTIC = (
    'with `FunctionModel` and `tool_error_behavior="failed"`: two errors in a row do not end the run; '
    "a model reads the JSON of the structured content"
)
PROGRAMS = (
    Program("Inspector, command line", "inspector", LEGACY, "a process a call; `--strict` finds no error in a schema"),
    Program(
        "LangChain MCP adapters",
        "langchain_mcp_adapters",
        note="a server process a call, as `get_tools` has it; structured content is the `ToolMessage`'s artifact",
    ),
    Program("OpenAI Agents SDK, on mcp 1.x", "openai_agents", note=_OPENAI, variant="mcp_1", cold=True),
    Program("OpenAI Agents SDK", "openai_agents", note=_OPENAI, cold=True),
    Program("Pydantic AI", "pydantic_ai", note=_PYDANTIC),
    Program("FastMCP", "fastmcp", note="its `ToolError` has the whole text"),
    Program("official Python client", "mcp", LEGACY),
    Program("official Python client", "mcp", MODERN),
    Program("TypeScript SDK 1.x", "typescript-1", note="12 more replies, each valid for its schema validator"),
    Program("TypeScript SDK 2.x", "typescript-2", LEGACY),
    Program("TypeScript SDK 2.x", "typescript-2", MODERN),
)
"""The slowest first, so that none is left over at the end."""


def prepare(program: Program) -> bool:
    """Make a program's environment unless it is there as its requirements say; return whether it had to be made.

    Raises:
        InstallError: It could not be made.
    """
    place = HERE / program.name / "node_modules" if program.node else ENVIRONMENTS / program.environment
    stamp = place / ".made-from"
    recipe = hashlib.sha256(program.requirements.read_bytes() + sys.version.encode()).hexdigest()
    if stamp.is_file() and stamp.read_text("utf-8") == recipe:
        return False
    shutil.rmtree(place, ignore_errors=True)
    if program.node:
        install = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
        _run(install, program.requirements.parent)
    else:
        _run([sys.executable, "-m", "venv", "--without-pip", str(place)])
        install = [sys.executable, "-m", "pip", "--python", str(place / "bin" / "python"), "install", "--quiet"]
        _run([*install, "--disable-pip-version-check", "--requirement", str(program.requirements)])
    stamp.write_text(recipe, "utf-8")
    return True


def _run(command: list[str], cwd: Path = HERE) -> None:
    if shutil.which(command[0]) is None:
        raise InstallError(f"{command[0]} is not here")
    try:
        subprocess.run(
            command,
            cwd=cwd,
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=INSTALL_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"not installed within {INSTALL_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stdout.splitlines() if not re.match("WARNING: Location", line)]
        raise InstallError("\n".join(lines[-20:])) from None
