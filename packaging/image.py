"""Lint the Dockerfile, and prove its commands without Docker: run each in a temporary directory, then start what they made.

A copy of the Python at hand stands for the base image, and what the Dockerfile names by absolute paths is put under a directory of
its own. It needs no Docker, so it runs wherever the tests do; where Docker works, `docker build .` proves more.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from descriptions import REGISTRY_NAME, ROOT, project
from phone_number_mcp import __version__

DOCKERFILE = ROOT / "Dockerfile"
PLACES = ("/source", "/opt/phone-number-mcp", "/state", "/usr/local")
"""Directories of the image that its commands name."""


def main() -> None:
    """Lint, build, start, look."""
    _run("hadolint", "--no-color", "--failure-threshold", "style", DOCKERFILE)
    with tempfile.TemporaryDirectory() as name:
        root = Path(name).resolve()
        root.chmod(0o755)  # the user of the image has to get in
        image = _Image(root)
        for instruction, argument in instructions(DOCKERFILE.read_text(encoding="utf-8")):
            image.follow(instruction, argument)
        image.check()
    print("Dockerfile: linted, its commands ran, and the server they installed started as the user of the image")


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Return the instructions of a Dockerfile, each with its argument on one line."""
    lines = (line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#"))
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        instruction, _, argument = line.partition(" ")
        yield instruction, argument.strip()


class _Image:
    """What a Dockerfile's instructions come to, under `root` instead of /."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._stages = 0
        self._environ: dict[str, str] = {}
        self._work = root
        self._user = (0, 0)
        self._entry: list[str] = []
        self._labels: dict[str, str] = {}

    def follow(self, instruction: str, argument: str) -> None:
        """Do what an instruction says. One that is not known here is a fault: it would go unproven."""
        known: dict[str, Callable[[str], None]] = {
            "ARG": lambda _argument: None,
            "FROM": self._from,
            "ENV": lambda argument: self._environ.update(self._pairs(argument)),
            "LABEL": lambda argument: self._labels.update(self._pairs(argument)),
            "WORKDIR": self._workdir,
            "COPY": self._copy,
            "RUN": self._command,
            "VOLUME": self._expect_directory,
            "USER": self._become,
            "ENTRYPOINT": lambda argument: self._entry.extend(json.loads(argument)),
        }
        known[instruction](argument)

    def check(self) -> None:
        """See that the image has what it should, and that its server starts as its user."""
        environment = self._root / "opt/phone-number-mcp"
        assert self._stages == 2, "one stage builds, the other is the image"
        assert min(self._user) > 0, "the server must not run as root"
        assert self._labels["io.modelcontextprotocol.server.name"] == REGISTRY_NAME
        assert self._labels["org.opencontainers.image.source"] == project()["urls"]["Homepage"]
        installed = {path.name for path in environment.glob("lib/python*/site-packages/*")}
        assert f"phone_number_mcp-{__version__}.dist-info" in installed
        assert not installed & {"pip", "hatchling", "setuptools", "pytest"}, "a tool for building got into the image"
        sources = [*environment.rglob("*.py")]
        compiled = [*environment.rglob("*.pyc")]
        assert len(compiled) >= len(sources) * 0.99, f"{len(compiled)} of {len(sources)} modules are compiled"
        assert [*self._root.glob("usr/local/lib/python3.*/__pycache__/argparse.*.pyc")], (
            "the standard library is not compiled"
        )
        before = {path: path.stat().st_mtime_ns for path in environment.rglob("*")}
        self._check_that_it_starts()
        after = {path: path.stat().st_mtime_ns for path in environment.rglob("*")}
        assert before == after, "the server wrote into its own installation"

    def _check_that_it_starts(self) -> None:
        asked = (
            {"method": "initialize", "id": 1, "params": {"protocolVersion": "2025-11-25", "capabilities": {},
             "clientInfo": {"name": "image", "version": "0"}}},
            {"method": "notifications/initialized"},
            {"method": "tools/call", "id": 2, "params": {"name": "create_phone_number",
             "arguments": {"phone_number": "+14155550123"}}},
        )  # fmt: skip
        lines = "".join(json.dumps({"jsonrpc": "2.0"} | message) + "\n" for message in asked)
        answers = self._as_user([*self._entry, "--sandbox"], lines).splitlines()
        created = json.loads(answers[-1])["result"]
        assert created["isError"] is False, created
        # Real writes are on the volume: here one that cannot be sent, since nothing listens on the discard port.
        self._environ |= {"ZUDU_API_KEY": "k", "ZUDU_API_SECRET": "s", "ZUDU_BASE_URL": "http://127.0.0.1:9"}
        failed = json.loads(self._as_user(self._entry, lines).splitlines()[-1])["result"]["structuredContent"]["error"]
        assert failed["code"] == "unreachable", failed
        journal = [path for path in (self._root / "state").rglob("*") if path.is_file()]
        assert journal, "the journal is not on the volume"
        if os.geteuid() == 0:
            assert {(path.stat().st_uid, path.stat().st_gid) for path in journal} == {self._user}

    def _as_user(self, command: list[str], lines: str) -> str:
        program = shutil.which(command[0], path=self._environ["PATH"])
        assert program is not None, f"{command[0]} is not on the image's PATH"
        user, group = self._user
        privileged = os.geteuid() == 0
        done = subprocess.run(
            [program, *command[1:]],
            input=lines,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=self._environ,
            cwd=self._root,
            user=user if privileged else None,
            group=group if privileged else None,
            extra_groups=[] if privileged else None,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _from(self, _argument: str) -> None:
        self._stages += 1
        self._work = self._root
        self._environ = {
            "PATH": f"{self._root}/usr/local/bin:/usr/bin:/bin",
            "LD_LIBRARY_PATH": f"{self._root}/usr/local/lib",
        } | {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
        # Stages share their Python here. A further one has it as it came: what the first added to it is not in the image.
        if self._stages == 1:
            self._install_python()
        for compiled in [*self._root.glob("usr/local/lib/python3.*/**/__pycache__")]:
            shutil.rmtree(compiled)

    def _install_python(self) -> None:
        """Put the Python at hand where the image has its own: with pip, uncompiled, and open to every user."""
        there = self._root / "usr/local"
        (there / "bin").mkdir(parents=True)
        shutil.copy(Path(sys.executable).resolve(), there / "bin/python")
        ignored = shutil.ignore_patterns(
            "__pycache__", "site-packages", "config-*", "idlelib", "lib2to3", "test", "tests"
        )
        version = f"python3.{sys.version_info.minor}"
        shutil.copytree(sysconfig.get_path("stdlib"), there / "lib" / version, ignore=ignored)
        shared = Path(sysconfig.get_config_var("LIBDIR")) / str(sysconfig.get_config_var("INSTSONAME"))
        if shared.suffix != ".a":
            shutil.copy(shared, there / "lib" / shared.name)
        _run(there / "bin/python", "-m", "ensurepip", env=self._environ)

    def _here(self, text: str) -> str:
        if os.geteuid() != 0:  # who is not root can be nobody else
            text = text.replace("-o 10001 -g 10001", "")
        return re.sub(rf"(?<![\w./-])(?=(?:{'|'.join(PLACES)})(?![\w-]))", str(self._root), text)

    def _pairs(self, argument: str) -> dict[str, str]:
        pairs = (word.split("=", 1) for word in shlex.split(argument))
        return {name: self._here(value).replace("$PATH", self._environ["PATH"]) for name, value in pairs}

    def _workdir(self, argument: str) -> None:
        self._work = Path(self._here(argument))
        self._work.mkdir(parents=True, exist_ok=True)

    def _copy(self, argument: str) -> None:
        *sources, target = argument.split()
        if sources[0].startswith("--from="):  # between stages, which share their root here
            assert [*map(self._here, sources[1:])] == [self._here(target)]
            assert Path(self._here(target)).exists()
            return
        for source in sources:
            assert _is_sent(source), f".dockerignore keeps {source} from the build"
            if (ROOT / source).is_dir():
                ignored = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, self._work / target, ignore=ignored)
            else:
                shutil.copy(ROOT / source, self._work / target)

    def _command(self, argument: str) -> None:
        _run("/bin/sh", "-c", self._here(argument), cwd=self._work, env=self._environ)

    def _expect_directory(self, argument: str) -> None:
        assert Path(self._here(argument)).is_dir(), f"{argument} is a volume that nobody made"

    def _become(self, argument: str) -> None:
        user, group = map(int, argument.split(":"))  # by number: orchestrators see that it is not root
        self._user = (user, group)


def _is_sent(name: str) -> bool:
    """Return whether .dockerignore lets a file of the top level into the build."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if fnmatch.fnmatch(name, line.removeprefix("!")):
            sent = line.startswith("!")
    return sent


def _run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    program, *arguments = command
    beside = Path(sys.executable).parent / program
    done = subprocess.run(
        [beside if beside.exists() else program, *arguments],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
