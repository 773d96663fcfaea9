"""Build the sdist and the wheel into dist/, and see that they carry what they should and nothing else.

They are built from a copy of what git knows, in which things lie about that must not get in: what a working clone has beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from importlib import resources
from pathlib import Path

from descriptions import REGISTRY_NAME, ROOT, SCHEMA, project
from phone_number_mcp import __version__

STRAYS = (
    ".venv/lib/stray.py",
    ".env",
    ".mypy_cache/stray.json",
    "benchmarks/.envs/ours/stray.py",
    "build/stray.py",
    "dist/stray.whl",
    "docs/.DS_Store",
    "packaging/mcpb/node_modules/stray/index.js",
    "server/phone_number_mcp/__pycache__/cli.cpython-311.pyc",
    "stray.sqlite3",
    "tests/__pycache__/conftest.cpython-311.pyc",
    "tests/clients/node_modules/stray/index.js",
)
NOT_IN_THE_SDIST = (".ci/",)
NAME = "phone_number_mcp"


def main() -> None:
    """Build, check, and leave both in dist/."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        tracked = _tracked()
        _check_server_json(place)
        first, second = (_built(_copy(tracked, place / side / "tree"), place / side) for side in ("one", "other"))
        for one, other in zip(first, second, strict=True):
            assert one.read_bytes() == other.read_bytes(), f"{one.name}: built twice, it has not the same bytes"
        sdist, wheel = first
        _check_files_of_sdist(sdist, tracked)
        _check_files_of_wheel(wheel, tracked)
        unpacked = _unpack(sdist, place)
        (again,) = _build(unpacked, place / "again", "--wheel")
        assert again.read_bytes() == wheel.read_bytes(), "the wheel made from the sdist is not the one from the tree"
        _check_metadata(wheel, sdist)
        _check_that_the_sdist_tests_itself(unpacked)
        dist = ROOT / "dist"
        dist.mkdir(exist_ok=True)
        for stale in dist.glob(f"{NAME}-*"):
            stale.unlink()
        for built in first:
            shutil.copy(built, dist / built.name)
            print(f"dist/{built.name}: {built.stat().st_size // 1024} KiB, {len(_names(built))} files")


def _check_server_json(place: Path) -> None:
    """Validate server.json by its schema and the registry's further rules; both come with skillsaw, and none is fetched."""
    import jsonschema  # only this needs it

    schema = resources.files("skillsaw.schemas") / f"mcp_registry/v{SCHEMA.replace('-', '_')}/server.schema.json"
    entry = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft7Validator(json.loads(schema.read_text(encoding="utf-8")))
    assert not (faults := [error.message for error in validator.iter_errors(entry)]), f"server.json: {faults}"
    alone = place / "registry"  # away from what else the linter would look at
    alone.mkdir()
    shutil.copy(ROOT / "server.json", alone)
    _run("skillsaw", "lint", "--strict", "--no-plugins", "--no-custom-rules", "--type", "mcp-registry", alone)


def _tracked() -> list[str]:
    """Return what git knows, or would if it were added."""
    listed = _run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", cwd=ROOT)
    return sorted({name for name in listed.split("\0") if name and (ROOT / name).is_file()})


def _copy(names: list[str], place: Path) -> Path:
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, place / name)
    for name in STRAYS:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("stray", encoding="utf-8")
    return place


def _built(tree: Path, place: Path) -> tuple[Path, Path]:
    (sdist,) = _build(tree, place / "out", "--sdist")
    (wheel,) = _build(tree, place / "wheel", "--wheel")
    return sdist, wheel


def _build(tree: Path, out: Path, kind: str) -> list[Path]:
    # The build backend comes from the same environment, at the version that constraints.txt says.
    _run(sys.executable, "-m", "build", "--no-isolation", kind, "--outdir", out, tree)
    return [*out.iterdir()]


def _names(built: Path) -> list[str]:
    if built.suffix == ".whl":
        with zipfile.ZipFile(built) as wheel:
            return sorted(wheel.namelist())
    with tarfile.open(built) as sdist:
        return sorted(member.name for member in sdist.getmembers() if not member.isdir())


def _check_files_of_sdist(sdist: Path, tracked: list[str]) -> None:
    root = f"{NAME}-{__version__}/"
    found = {name.removeprefix(root) for name in _names(sdist)}
    expected = {name for name in tracked if not name.startswith(NOT_IN_THE_SDIST)} | {"PKG-INFO"}
    assert found == expected, f"{sdist.name} has {found - expected}, lacks {expected - found}"


def _check_files_of_wheel(wheel: Path, tracked: list[str]) -> None:
    info = f"{NAME}-{__version__}.dist-info/"
    code = {name.removeprefix("server/") for name in tracked if name.startswith(f"server/{NAME}/")}
    about = {info + name for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")}
    found = {*_names(wheel)}
    assert found == code | about, f"{wheel.name} has {found - code - about}, lacks {(code | about) - found}"
    assert f"{NAME}/py.typed" in found


def _unpack(sdist: Path, place: Path) -> Path:
    with tarfile.open(sdist) as archive:
        archive.extractall(place / "unpacked", filter="data")
    return place / "unpacked" / f"{NAME}-{__version__}"


def _check_metadata(wheel: Path, sdist: Path) -> None:
    _run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)
    with zipfile.ZipFile(wheel) as archive:
        metadata = archive.read(f"{NAME}-{__version__}.dist-info/METADATA").decode()
    # Where the MCP registry looks for it: in the description that PyPI shows.
    assert f"mcp-name: {REGISTRY_NAME}" in metadata
    for requirement in project()["dependencies"]:
        assert f"Requires-Dist: {requirement.split('>')[0]}" in metadata, requirement


def _check_that_the_sdist_tests_itself(unpacked: Path) -> None:
    """Run those of its tests that read its other files, and collect all of them, with its own code."""
    environ = os.environ | {"PYTHONPATH": str(unpacked / "server"), "PYTHONDONTWRITEBYTECODE": "1"}
    pytest = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")
    _run(*pytest, "tests/test_goldens.py", "tests/test_packages.py", cwd=unpacked, env=environ)
    _run(*pytest, "--collect-only", cwd=unpacked, env=environ)


def _run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    beside = Path(sys.executable).parent / command[0]
    command = (beside if beside.exists() else command[0], *command[1:])
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
