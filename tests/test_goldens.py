"""What a client is shown, held to files: a changed schema or table is seen in review."""

from __future__ import annotations

import json
import re
import shlex
import statistics
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from platformdirs.api import PlatformDirsABC
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from examples import EXAMPLES, page
from phone_number_mcp import __version__, consent, errors
from phone_number_mcp.app import HOMEPAGE
from phone_number_mcp.command_line import parser
from phone_number_mcp.commands.clients import CLIENTS
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.transports import admission, codec
from phone_number_mcp.upstream import connections, reply
from phone_number_mcp.writes import journal
from phone_number_mcp.writes.database import default_place
from support.places import DOCUMENTS, GOLDENS, ROOT
from support.server import Connect, command
from tables import FOR_THE_USER, TABLES, fill, hold


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-goldens"))


@pytest.mark.anyio
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_the_list_of_tools_is_the_golden_one(connect: Connect, platform: str, update: bool) -> None:
    async with connect("--platform", platform, "--allow-delete") as client:
        listed = await client.list_tools()
    tools = [tool.model_dump(by_alias=True, exclude_none=True) for tool in listed.tools]
    hold(GOLDENS / f"tools-{platform}.json", json.dumps(tools, indent=2, ensure_ascii=False) + "\n", update=update)
    size = len(json.dumps(tools, separators=(",", ":"), ensure_ascii=False).encode())
    assert size / len(tools) / 4 <= 400  # tokens, at four bytes each
    first_two = json.dumps(tools[:2], separators=(",", ":"), ensure_ascii=False).encode()
    assert len(first_two) <= 6_000


def test_the_tables_of_the_documentation_are_those_of_the_code(update: bool) -> None:
    texts = {document: document.read_text(encoding="utf-8") for document in DOCUMENTS}
    assert set(re.findall(r"<!-- table: (\w+) -->", "".join(texts.values()))) == TABLES.keys()
    for document, text in texts.items():
        hold(document, fill(text), update=update)


@pytest.mark.anyio
async def test_the_examples_are_what_the_server_answers(connect: Connect, update: bool) -> None:
    async with (
        connect("--sandbox", "--allow-delete") as zudu,
        connect("--sandbox", "--allow-delete", "--platform", "retell") as retell,
    ):
        hold(ROOT / "docs" / "tools.md", await page({"zudu": zudu, "retell": retell}), update=update)


def test_the_table_of_tools_says_of_each_what_it_does_for_the_user() -> None:
    tools = [tool for platform in PLATFORMS for tool in load(platform).tools]
    assert FOR_THE_USER.keys() == {tool.name for tool in tools}
    for tool in tools:
        assert tool.title.lower() not in FOR_THE_USER[tool.name].lower()


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_tool_has_an_example(platform: str) -> None:
    assert {tool for _, tool, _ in EXAMPLES[platform]} == {tool.name for tool in load(platform).tools}


def test_what_the_documentation_points_to_is_there() -> None:
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name} points to {target}"
        for file, test in re.findall(r"`(tests/[\w/.]+\.\w+)(?:::(\w+))?`", text):
            assert (ROOT / file).exists(), f"{path.name} names {file}"
            assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8") or not test, f"{path.name} names {test}"
        for module in re.findall(r"`(\w+\.py)`", text):
            assert list((ROOT / "server").rglob(module)), f"{path.name} names {module}"


def _blocks(language: str, text: str | None = None) -> list[str]:
    """Return the blocks of a language: of a text, or of the README and all of docs/."""
    text = text if text is not None else "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def _entries(configuration: dict[str, Any]) -> dict[str, dict[str, Any]]:
    (servers,) = configuration.values()
    assert isinstance(servers, dict)
    return servers


def _starts(entry: dict[str, Any]) -> None:
    """Assert that a client's entry is one that this server takes."""
    if entry["command"] == "docker":
        page = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
        assert shlex.join(["docker", *entry["args"]]) in page.splitlines()
    else:
        assert entry["command"] == "phone-number-mcp"
        parser().parse_args(entry.get("args", []))
    assert {*entry.get("env", {}), *entry.get("env_vars", [])} <= {"ZUDU_API_KEY", "ZUDU_API_SECRET", "RETELL_API_KEY"}


def test_every_client_configuration_of_the_documentation_is_valid_and_starts_the_server() -> None:
    configurations = [json.loads(block) for block in _blocks("json")] + [
        tomllib.loads(block) for block in _blocks("toml")
    ]
    clients = [each for each in configurations if each.keys() & {client.key for client in CLIENTS.values()}]
    assert clients
    for configuration in clients:
        for entry in _entries({key: value for key, value in configuration.items() if key != "inputs"}).values():
            _starts(entry)


@pytest.mark.parametrize("name", CLIENTS)
def test_the_entry_to_write_by_hand_is_the_one_that_install_writes(name: str) -> None:
    text = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {CLIENTS[name].title}\n")[2].partition("\n## ")[0]
    language, read = ("toml", tomllib.loads) if CLIENTS[name].format == "toml" else ("json", json.loads)
    (by_hand,) = map(read, _blocks(language, section))
    printed = subprocess.run(
        command("install", name), capture_output=True, text=True, timeout=60, check=True, env={"HOME": str(ROOT)}
    )
    written = read(printed.stdout)
    written[CLIENTS[name].key]["phone-number"]["command"] = "phone-number-mcp"
    assert by_hand == written


def test_every_command_line_of_the_documentation_is_one_that_the_server_takes() -> None:
    lines = [line for block in _blocks("sh") for line in block.splitlines() if "phone-number-mcp" in line]
    ours = [line[line.rindex("phone-number-mcp ") :] for line in lines if "phone-number-mcp " in line]
    assert ours
    for line in ours:
        if "--version" not in line:  # which ends the process, and has a test of its own
            parser().parse_args(shlex.split(line, comments=True)[1:])


def test_every_make_target_of_the_documentation_is_there() -> None:
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = re.findall(r"^make ([a-z-]+)", "\n".join(_blocks("sh") + _blocks("sh", contributing)), re.MULTILINE)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert {"demo", "test", "check"} <= set(named) <= set(targets)


def test_the_example_configuration_has_one_entry_to_try_and_one_for_real_use() -> None:
    sandbox, real = _entries(json.loads((ROOT / "mcp.json.example").read_text(encoding="utf-8"))).values()
    _starts(sandbox)
    _starts(real)
    assert "--sandbox" in sandbox["args"]
    assert real["env"].keys() == {"ZUDU_API_KEY", "ZUDU_API_SECRET"}


def test_the_project_says_the_same_of_itself_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Homepage"] == HOMEPAGE
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_option_that_the_documentation_names_is_there() -> None:
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    named = {option for text in texts for option in re.findall(r"`(--[a-z-]+)(?: [^`]*)?`", text)}
    commands = (ROOT / "server" / "phone_number_mcp" / "command_line.py").read_text(encoding="utf-8")
    ours = {*re.findall(r'"(--[a-z-]+)"', commands)}
    assert named
    assert named <= ours | {"--strict"}  # which the Inspector has


def test_what_the_page_on_troubleshooting_quotes_is_said_by_the_code() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "server").rglob("*.py"))
    quoted = re.findall(r'"([a-z ]+)"', text)
    assert quoted
    for words in quoted:
        assert words in code
    codes = {each.code for each in vars(errors).values() if isinstance(each, type) and hasattr(each, "code")}
    assert codes >= {*re.findall(r"^\| `([a-z_]+)`", text, re.MULTILINE)} - {"doctor", "install"}


def test_the_limits_that_the_documentation_names_are_those_of_the_code() -> None:
    text = " ".join((ROOT / "docs" / "process.md").read_text(encoding="utf-8").split())
    for promise in (
        f"{admission.MAX_RUNNING} requests are worked on at once",
        f"at most {connections.MAX_CONNECTIONS} connections",
        f"a line above {codec.MAX_LINE_BYTES // 2**20} MiB or {codec.MAX_PARTS:,} parts",
        f"reply may take {reply.MAX_REPLY_BYTES // 2**20} MiB",
    ):
        assert promise in text
    text = " ".join((ROOT / "docs" / "money.md").read_text(encoding="utf-8").split())
    assert f"exceed {consent.MAX_QUESTION:,} characters" in text
    assert f"For {journal.KEY_DAYS} days, the same key" in text


@pytest.mark.parametrize("system", [Unix, MacOS], ids=["Linux", "macOS"])
def test_the_place_of_the_journal_in_the_documentation_is_that_of_the_code(
    system: type[PlatformDirsABC], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr("platformdirs.PlatformDirs", system)
    shown = Path(default_place()).relative_to(Path.home()).as_posix()
    assert f"`~/{shown}`" in (ROOT / "docs" / "upgrade.md").read_text(encoding="utf-8")


def test_what_the_changelog_says_of_speed_was_measured() -> None:
    measured = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))["subjects"]

    def ratio(key: str) -> float:
        pairs = zip(measured["ours"]["samples"][key], measured["stock"]["samples"][key], strict=True)
        return float(statistics.median(ours / stock for ours, stock in pairs))

    assert "four fifths of the time and memory" in (text := (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert "more than three times its calls a second" in text
    assert ratio("start_ms") <= 0.8
    assert ratio("start_rss") <= 0.8
    assert ratio("rate_64") > 3
    assert "not met" not in (ROOT / "benchmarks" / "RESULTS.md").read_text(encoding="utf-8")


def test_the_documentations_agent_in_python_runs_as_printed(tmp_path: Path) -> None:
    (program,) = _blocks("python")
    script = tmp_path / "agent.py"
    script.write_text(program, encoding="utf-8")
    path = {"PATH": f"{sys.exec_prefix}/bin", "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60, check=False, env=path)
    assert done.stderr == ""
    assert "Front desk" in done.stdout
