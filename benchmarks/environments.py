"""The subjects, and an environment of its own for each, under `.envs/`: made when needed, and made anew when its recipe changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ENVS = HERE / ".envs"
SUBJECTS_DIR = HERE / "subjects"
CONSTRAINTS = ROOT / "constraints.txt"
INSTALL_SECONDS = 600


class UnavailableError(Exception):
    """A subject cannot be installed here: the tables say so and go on without it."""


@dataclass(frozen=True)
class Subject:
    """A server to be measured.

    Args:
        name: On the command line and in the results.
        title: In the tables.
        packages: What to install: requirements for pip, or `name@version` for npm; none if there is a package.json.
        program: What is started: a console script, a file in `subjects/`, or for npm a file beside its package.json;
            None for what the npm package itself says.
        node: Whether it runs on Node.
        calls: Whether it has our two tools; the published servers call platforms that are not here.
        many_calls: Whether its memory is measured over many calls, which takes minutes.
        http: The arguments with which it serves Streamable HTTP at a port, which is appended; None if that is not measured.
        environ: What it reads besides the settings that all are given.
    """

    name: str
    title: str
    packages: tuple[str, ...] = ()
    program: str | None = None
    node: bool = False
    calls: bool = True
    many_calls: bool = False
    http: tuple[str, ...] | None = None
    environ: tuple[tuple[str, str], ...] = ()

    @property
    def place(self) -> Path:
        """Return where its environment is."""
        return ENVS / self.name

    def command(self) -> list[str]:
        """Return what starts it, without any wrapper that would be measured as well."""
        if not self.node:
            binaries, program = self.place / "bin", self.program or self.name
            if program.endswith(".py"):
                return [str(binaries / "python"), str(SUBJECTS_DIR / program)]
            return [str(binaries / program)]
        node = shutil.which("node") or "node"
        if self.program is not None:
            return [node, str(self.place / self.program)]
        package = self.place / "node_modules" / self.packages[0].rpartition("@")[0]
        scripts = json.loads((package / "package.json").read_text("utf-8"))["bin"]
        script = scripts if isinstance(scripts, str) else next(iter(scripts.values()))
        return [node, str(package / script)]


SUBJECTS = (
    Subject(
        "ours",
        "phone-number-mcp",
        (f"{ROOT}[http]",),
        "phone-number-mcp",
        many_calls=True,
        http=("http", "--port"),
    ),
    Subject(
        "stock",
        "stock Python SDK: mcp, httpx",
        ("mcp>=2.3,<3", "httpx", "pydantic"),
        "stock.py",
        many_calls=True,
        http=(),
    ),
    Subject("fastmcp", "FastMCP, httpx", ("fastmcp>=4,<5", "httpx"), "fastmcp_server.py"),
    Subject("typescript", "TypeScript SDK, fetch", program="server.mjs", node=True, many_calls=True),
    Subject(
        "retell",
        "Retell's community server",
        ("@abhaybabbar/retellai-mcp-server@1.0.2",),
        node=True,
        calls=False,
        environ=(("RETELL_API_KEY", "key_benchmark"),),
    ),
    Subject(
        "vapi",
        "Vapi's server",
        ("@vapi-ai/mcp-server@0.0.11",),
        node=True,
        calls=False,
        environ=(("VAPI_TOKEN", "benchmark"),),
    ),
)
_SHOWN = (
    "phone-number-mcp",
    "mcp",
    "fastmcp",
    "httpx",
    "httpx2",
    "httpcore",
    "h11",
    "uvicorn",
    "httptools",
    "pydantic",
    "anyio",
    "sniffio",
)
"""The packages whose versions are reported, where they are installed."""


def prepare(subject: Subject) -> dict[str, str]:
    """Make a subject's environment unless it is there as its recipe says; return the versions that it holds.

    Raises:
        UnavailableError: It cannot be installed here.
    """
    stamp = subject.place / ".stamp"
    recipe = _fingerprint(subject)
    if not stamp.is_file() or stamp.read_text("utf-8") != recipe:
        shutil.rmtree(subject.place, ignore_errors=True)
        subject.place.mkdir(parents=True)
        (_install_node if subject.node else _install_python)(subject)
        stamp.write_text(recipe, "utf-8")
    return dict(_node_versions(subject) if subject.node else _python_versions(subject))


def _fingerprint(subject: Subject) -> str:
    digest = hashlib.sha256(repr((subject, sys.version)).encode())
    files: Iterable[Path] = [CONSTRAINTS] if not subject.node else sorted((SUBJECTS_DIR / subject.name).glob("*"))
    if subject.name == "ours":
        files = [*files, ROOT / "pyproject.toml", *sorted((ROOT / "server").rglob("*.py"))]
    for file in files:
        digest.update(str(file).encode() + file.read_bytes())
    return digest.hexdigest()


def _install_python(subject: Subject) -> None:
    python = subject.place / "bin" / "python"
    _run([sys.executable, "-m", "venv", str(subject.place)])
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--compile"]
    _run([*install, "--constraint", str(CONSTRAINTS), *subject.packages])


def _install_node(subject: Subject) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise UnavailableError("Node and npm are not here")
    if subject.packages:
        dependencies = {name: version for name, _, version in (each.rpartition("@") for each in subject.packages)}
        package = json.dumps({"private": True, "dependencies": dependencies})
        (subject.place / "package.json").write_text(package, "utf-8")
    else:
        shutil.copytree(SUBJECTS_DIR / subject.name, subject.place, dirs_exist_ok=True)
    _run(["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"], subject.place)


def _run(command: list[str], cwd: Path = ROOT) -> None:
    try:
        subprocess.run(
            command, cwd=cwd, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=INSTALL_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"not installed within {INSTALL_SECONDS} s") from None
    except subprocess.CalledProcessError as error:
        sys.stderr.write(error.stderr.decode("utf-8", "replace"))
        raise UnavailableError("the install failed") from None


def _python_versions(subject: Subject) -> Iterator[tuple[str, str]]:
    command = [str(subject.place / "bin" / "python"), "-m", "pip", "list", "--format=json"]
    command.append("--disable-pip-version-check")
    listed = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60).stdout
    installed = {each["name"]: each["version"] for each in json.loads(listed)}
    return ((name, installed[name]) for name in _SHOWN if name in installed)


def _node_versions(subject: Subject) -> Iterator[tuple[str, str]]:
    wanted = json.loads((subject.place / "package.json").read_text("utf-8"))["dependencies"]
    return ((name, str(version)) for name, version in wanted.items())  # exact ones, so they are what is installed
