"""What the packages say of the server is what it is; building them is checked by `make packages`."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import pairwise
from typing import Any, get_args

import pytest

from descriptions import REGISTRY_NAME, ROOT, bundle_project, manifest, plugin_files, server_json
from phone_number_mcp import __version__
from phone_number_mcp.errors import Failure, ToolError
from phone_number_mcp.options import Options
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.settings import read, variable
from phone_number_mcp.tool import Success, field_names
from support.places import README
from support.server import Open
from tables import hold

BY_DEFAULT = {tool.name for tool in load("zudu").tools if not tool.deletes}
CREDENTIALS = [name for platform in PLATFORMS for name in load(platform).credentials]


def entered(key: str) -> str:
    return f"${{user_config.{key}}}"


def environment() -> dict[str, str]:
    variables: dict[str, str] = manifest()["server"]["mcp_config"]["env"]
    return variables


def test_the_entry_for_the_mcp_registry_is_that_of_the_code(request: pytest.FixtureRequest) -> None:
    written = json.dumps(server_json(), indent=2, ensure_ascii=False) + "\n"
    hold(ROOT / "server.json", written, update=bool(request.config.getoption("--update-goldens")))


def test_the_entry_for_the_mcp_registry_names_every_setting_once_and_marks_the_secrets() -> None:
    entry = json.loads((ROOT / "server.json").read_text(encoding="utf-8"))
    (package,) = entry["packages"]
    assert entry["version"] == package["version"] == __version__
    variables = {each["name"]: each for each in package["environmentVariables"]}
    arguments = [each["name"] for each in package["packageArguments"]]
    assert len(variables) == len(package["environmentVariables"])
    assert arguments == ["--platform"]
    settings = {variable(name) for name in Options.model_fields if name != "platform"}
    addresses = {load(platform).base_url_variable for platform in PLATFORMS}
    assert variables.keys() == settings | addresses | {*CREDENTIALS}
    assert {name for name, each in variables.items() if each["isSecret"]} == {*CREDENTIALS}
    defaults = {name: each["default"] for name, each in variables.items() if "default" in each}
    fields = {variable(name): name for name in Options.model_fields}
    given = Options.model_validate({fields[name]: value for name, value in defaults.items()})
    assert given == Options()  # a client that passes each default on changes nothing
    assert len(entry["description"]) <= 100


def test_the_registrys_name_is_the_same_wherever_it_looks_for_it_and_belongs_to_the_repository() -> None:
    assert f"<!-- mcp-name: {REGISTRY_NAME} -->" in README.read_text(encoding="utf-8")
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert f'io.modelcontextprotocol.server.name="{REGISTRY_NAME}"' in dockerfile
    owner, name = REGISTRY_NAME.removeprefix("io.github.").split("/")
    assert server_json()["repository"]["url"] == f"https://github.com/{owner}/{name}"


def test_a_bundle_asks_for_every_credential_and_setting_and_passes_each_on() -> None:
    # The journal's place is the one setting that nobody has to know: by default it is where the user's own state is.
    keys = {variable(name): name for name in Options.model_fields if name != "journal"}
    keys |= {name: name.lower() for name in CREDENTIALS}
    assert environment() == {name: entered(key) for name, key in keys.items()}
    assert manifest()["user_config"].keys() == {*keys.values()}


@pytest.mark.parametrize("name", [name for name in Options.model_fields if name != "journal"])
def test_a_bundle_asks_for_a_setting_with_its_type_its_default_and_its_bounds(name: str) -> None:
    asked = manifest()["user_config"][name]
    field = Options.model_fields[name]
    kinds = {field.annotation, *get_args(field.annotation)}
    assert asked["type"] == ("boolean" if bool in kinds else "number" if kinds & {int, float} else "string")
    assert asked.get("default") == field.default
    bounds = {type(bound).__name__: bound for bound in field.metadata if type(bound).__name__ in {"Ge", "Le"}}
    assert asked.get("min") == (bounds["Ge"].ge if "Ge" in bounds else None)
    assert asked.get("max") == (bounds["Le"].le if "Le" in bounds else None)
    for choice in [word for word in get_args(field.annotation) if isinstance(word, str)]:
        assert choice in asked["description"]


def test_a_bundle_keeps_credentials_as_secrets_and_requires_none() -> None:
    asked = manifest()["user_config"]
    assert {key for key, each in asked.items() if each.get("sensitive")} == {name.lower() for name in CREDENTIALS}
    assert not any(each["required"] for each in asked.values())  # the sandbox needs nothing


def test_a_bundle_lists_tools_that_every_platform_offers() -> None:
    listed = {tool["name"] for tool in manifest()["tools"]}
    assert {"get_phone_number", "create_phone_number"} <= listed
    for platform in PLATFORMS:
        assert listed <= {tool.name for tool in load(platform).tools if not tool.deletes}


def test_a_bundle_installs_what_the_project_depends_on_at_the_versions_that_were_tested() -> None:
    bundled = tomllib.loads(bundle_project())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert bundled["project"]["dependencies"] == project["dependencies"]
    assert bundled["project"]["version"] == __version__
    pinned = {pin.split("==")[0].lower() for pin in bundled["tool"]["uv"]["constraint-dependencies"]}
    names = {re.match(r"[\w-]+", requirement) for requirement in project["dependencies"]}
    assert {name[0] for name in names if name} <= pinned


@pytest.mark.anyio
@pytest.mark.parametrize("empty", ["${user_config.…}", "", " ", "null", "undefined", "NaN", None])
async def test_the_server_starts_however_a_client_passes_a_setting_that_nobody_entered(
    raw: Open, empty: str | None
) -> None:
    env = {name: written if empty == "${user_config.…}" else empty for name, written in environment().items()}
    async with raw(env={name: value for name, value in env.items() if value is not None}) as client:
        await client.initialize()
        listed: dict[str, Any] = await client.ask("tools/list")
    assert {tool["name"] for tool in listed["result"]["tools"]} == BY_DEFAULT


def test_an_image_is_made_of_what_is_sent_for_it_and_runs_as_nobody_in_particular() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line[:1] == "!"}
    copied = [
        line.split()[1:-1] for line in dockerfile.splitlines() if line.startswith("COPY ") and "--from" not in line
    ]
    assert {name for names in copied for name in names} == sent
    assert re.search(r"^USER [1-9]\d*:[1-9]\d*$", dockerfile, re.MULTILINE)
    assert dockerfile.rstrip().endswith('ENTRYPOINT ["phone-number-mcp"]')


def test_the_documentations_container_keeps_its_journal_on_the_images_volume_and_passes_the_credentials_on() -> None:
    page = (ROOT / "docs" / "docker.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("docker run ")]
    (volume,) = re.findall(r"^VOLUME (\S+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    words = line.split()
    assert words[:4] == ["docker", "run", "-i", "--rm"]
    assert words[words.index("-v") + 1].endswith(f":{volume}")
    passed = {word for before, word in pairwise(words) if before == "-e"}
    assert passed == {*load("zudu").credentials}


# --- the plugin for Claude Code, and its skill ------------------------------------------------------------------------

SKILL = ROOT / "plugin" / "skills" / "provision-phone-number" / "SKILL.md"


@pytest.mark.parametrize("path", plugin_files())
def test_the_files_of_the_plugin_are_those_of_the_code(path: str, request: pytest.FixtureRequest) -> None:
    written = json.dumps(plugin_files()[path], indent=2, ensure_ascii=False) + "\n"
    hold(ROOT / path, written, update=bool(request.config.getoption("--update-goldens")))


def test_the_plugin_starts_this_version_and_holds_no_credential() -> None:
    (marketed,) = json.loads((ROOT / ".claude-plugin" / "marketplace.json").read_text(encoding="utf-8"))["plugins"]
    assert (ROOT / marketed["source"] / ".claude-plugin" / "plugin.json").is_file()
    entry = json.loads((ROOT / "plugin" / ".mcp.json").read_text(encoding="utf-8"))["mcpServers"]["phone-number"]
    assert [entry["command"], *entry["args"]] == ["uvx", f"phone-number-mcp@{__version__}"]
    assert entry["env"] == {name: f"${{{name}:-}}" for name in ("PHONE_NUMBER_MCP_PLATFORM", *CREDENTIALS)}
    for unset in (entry["env"], dict.fromkeys(entry["env"], "")):  # not replaced, or replaced by nothing
        settings = read({}, unset)
        assert (settings.options, settings.configured) == (Options(), False)


def _codes(error: type[ToolError] = ToolError) -> set[str]:
    return {getattr(error, "code", "")}.union(*map(_codes, error.__subclasses__()))


def test_what_the_skill_names_exists() -> None:
    tools = [tool for platform in PLATFORMS for tool in load(platform).tools]
    arguments = set[str]().union(*(field_names(tool.arguments) for tool in tools))
    answers = {*Success.__dataclass_fields__, "error", *field_names(Failure), *_codes()}
    outcomes = {"applied", "not_applied", "unknown"}
    named = set(re.findall(r"`([a-z_]+)`", SKILL.read_text(encoding="utf-8")))
    assert named - {tool.name for tool in tools} - arguments - answers - outcomes == set()
    assert {"create_phone_number", "get_phone_number", "list_agents", "idempotency_key", "reconciled"} <= named


def test_the_skill_is_one_that_agents_find_and_can_read_at_once() -> None:
    text = SKILL.read_text(encoding="utf-8")
    head, _, body = text.removeprefix("---\n").partition("\n---\n")
    assert f"name: {SKILL.parent.name}\n" in head
    assert "Use when" in head
    assert body.count("\n") <= 100
