"""What the repository says of itself: decisions, the security policy, the workflows and the release."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from phone_number_mcp import __version__
from phone_number_mcp.app import HOMEPAGE
from release import notes
from support.places import DOCUMENTS, README, ROOT

DECISIONS = ROOT / "docs" / "decisions"
WORKFLOWS = ROOT / ".github" / "workflows"
FORMS = sorted({*(ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")} - {ROOT / ".github/ISSUE_TEMPLATE/config.yml"})
PAGES = [ROOT / "SECURITY.md", *sorted(DECISIONS.glob("*.md"))]
HEADINGS = ["Context", "Decision", "Consequences", "What would reopen it"]


def yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file's content; `on` stays a text, as GitHub reads it."""
    content: dict[str, Any] = YAML(typ="safe").load(path)
    return content


def jobs(workflow: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml(WORKFLOWS / workflow)["jobs"]
    return found


def commands(workflow: str) -> Iterator[str]:
    for job in jobs(workflow).values():
        for step in job.get("steps", []):
            yield from step.get("run", "").splitlines()


def anchors(page: Path) -> set[str]:
    """Return what GitHub makes of a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# --- pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    assert links or page.parent == DECISIONS
    for link in links:
        if urlsplit(link).scheme:
            assert link.startswith(f"{HOMEPAGE}/"), link
            continue
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_is_short_and_begins_with_a_picture_under_one_paragraph() -> None:
    text = README.read_text(encoding="utf-8")
    assert len(text.split()) <= 1_500
    heading, mark, first, picture, *_ = text.split("\n\n")
    assert heading.startswith("# ")
    assert mark.startswith("<!-- ")
    assert first.startswith("An [MCP]")
    assert re.fullmatch(r"!\[.+\]\(docs/demo\.svg\)", picture)


def test_the_readme_installs_in_three_lines_the_sandbox_first() -> None:
    install = README.read_text(encoding="utf-8").partition("\n## Install\n")[2]
    block = re.search(r"```sh\n(.*?)```", install, re.DOTALL)
    assert block
    package, simulated, real = (line.partition("#")[0].strip() for line in block[1].splitlines())
    assert package == "pipx install ."
    assert simulated == "phone-number-mcp install cursor --sandbox --write"
    assert real == "phone-number-mcp install cursor --write"


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_anchor_that_the_documentation_names_exists(page: Path) -> None:
    for name, anchor in re.findall(r"\]\(([^)\s:#]*)#([^)\s]+)\)", page.read_text(encoding="utf-8")):
        assert anchor in anchors(page.parent / name if name else page), f"{name}#{anchor}"


@pytest.mark.parametrize("index", ["README.md", "docs/README.md"])
def test_both_indexes_name_every_page_of_the_documentation(index: str) -> None:
    path = ROOT / index
    links = re.findall(r"\]\(([^)\s:#]+)\)", path.read_text(encoding="utf-8"))
    named = {(path.parent / link).resolve() for link in links}
    assert {page for page in DOCUMENTS if page.name != "README.md"} <= named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_and_make_target_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:server|tests|docs|scripts|packaging)/[^`]*)`", text):
        assert (ROOT / name).exists(), name
    assert {*re.findall(r"`make ([a-z-]+)", text)} <= targets()


def test_every_decision_is_in_the_index_with_its_title_and_date() -> None:
    index = (DECISIONS / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[([^\]]+)\]\(([^)]+)\) \| (\d{4}-\d\d-\d\d) \|", index, flags=re.MULTILINE)
    decisions = sorted({*DECISIONS.glob("*.md")} - {DECISIONS / "README.md"})
    assert [name for _, name, _ in listed] == [decision.name for decision in decisions]
    for (title, _, date), decision in zip(listed, decisions, strict=True):
        text = decision.read_text(encoding="utf-8")
        assert text.startswith(f"# {title}\n\n{date}. ")
        assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == HEADINGS
        assert int(decision.name[:4]) == int(title.partition(".")[0])


# --- issues -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_every_form_asks_for_doctor_and_warns_of_keys_and_numbers(form: Path) -> None:
    first, *rest = yaml(form)["body"]
    assert "Do not paste keys, secrets or real phone numbers" in first["attributes"]["value"]
    assert "phone-number-mcp doctor --json" in json.dumps(rest)


def test_a_vulnerability_is_reported_privately() -> None:
    (contact,) = yaml(ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml")["contact_links"]
    assert contact["url"] == f"{HOMEPAGE}/security/advisories/new"
    assert contact["url"] in (ROOT / "SECURITY.md").read_text(encoding="utf-8")


# --- workflows --------------------------------------------------------------------------------------------------------


def targets() -> set[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return {*re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE)}


def test_ci_runs_on_every_python_that_the_package_names() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [each.rpartition(" ")[2] for each in project["classifiers"] if " :: Python :: 3." in each]
    assert jobs("ci.yml")["linux"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"
    for system in ("macos", "windows"):
        assert jobs("ci.yml")[system]["strategy"]["matrix"]["python"] == [named[0], named[-1]]


@pytest.mark.parametrize("workflow", ["ci.yml", "release.yml"])
def test_what_a_workflow_runs_exists(workflow: str) -> None:
    called = [command.removeprefix("make ") for command in commands(workflow) if command.startswith("make ")]
    assert called
    assert {*called} <= targets()
    for command in commands(workflow):
        for name in re.findall(r"(?:packaging|tests)/\S+", command):
            assert (ROOT / name).is_file(), command


def test_a_release_is_published_only_after_all_checks_and_the_wheel_was_tried() -> None:
    release = jobs("release.yml")

    def before(name: str) -> set[str]:
        needs = release[name].get("needs", [])
        direct = {needs} if isinstance(needs, str) else {*needs}
        return direct.union(*map(before, direct))

    publishing = {name for name, job in release.items() if "write" in job.get("permissions", {}).values()}
    assert publishing == {"pypi", "github", "registry"}
    for name in publishing:
        assert before(name) >= {"version", "ci", "build", "wheel"}, name
    assert release["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert "make check" in [*commands("ci.yml")]


@pytest.mark.parametrize("workflow", ["ci.yml", "release.yml"])
def test_a_workflow_may_only_read_and_holds_no_secret(workflow: str) -> None:
    assert yaml(WORKFLOWS / workflow)["permissions"] == {"contents": "read"}
    assert "secrets." not in (WORKFLOWS / workflow).read_text(encoding="utf-8")
    writing = {
        (name, scope)
        for name, job in jobs(workflow).items()
        for scope, access in job.get("permissions", {}).items()
        if access == "write"
    }
    allowed = {("pypi", "id-token"), ("github", "contents"), ("registry", "id-token")}
    assert writing == (allowed if workflow == "release.yml" else set())


def test_dependabot_looks_at_every_package_json() -> None:
    (npm,) = [
        each for each in yaml(ROOT / ".github" / "dependabot.yml")["updates"] if each["package-ecosystem"] == "npm"
    ]
    ours = ("benchmarks", "packaging", "tests")
    found = {
        f"/{path.parent.relative_to(ROOT).as_posix()}"
        for place in ours
        for path in (ROOT / place).rglob("package.json")
        if not {"node_modules", ".envs"} & {*path.parts}
    }
    assert {*npm["directories"]} == found


# --- release ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What a release is checked by, with a changelog that is ready."""
    code = tmp_path / "server" / "phone_number_mcp" / "__init__.py"
    code.parent.mkdir(parents=True)
    shutil.copy(ROOT / "server" / "phone_number_mcp" / "__init__.py", code)
    shutil.copy(ROOT / "server.json", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text(
        f"# Changelog\n\n## Unreleased\n\n## {__version__}\n\n- New.\n\n## 0.0.9\n\n- Old.\n", encoding="utf-8"
    )
    return tmp_path


def test_the_notes_of_a_release_are_its_section_of_the_changelog(tree: Path) -> None:
    assert notes(f"v{__version__}", tree) == "- New."


@pytest.mark.parametrize(
    ("file", "old", "new", "fault"),
    [
        ("server/phone_number_mcp/__init__.py", __version__, "9.9.9", f"The tag is v{__version__}, but"),
        ("server.json", __version__, "9.9.9", "server.json has the version 9.9.9"),
        ("CHANGELOG.md", f"## {__version__}", "## 9.9.9", f"CHANGELOG.md has no section {__version__}"),
        ("CHANGELOG.md", "## Unreleased", "## Unreleased\n\n- Later.", "CHANGELOG.md has entries under Unreleased"),
    ],
)
def test_what_is_not_ready_is_not_released(tree: Path, file: str, old: str, new: str, fault: str) -> None:
    text = (tree / file).read_text(encoding="utf-8")
    (tree / file).write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(SystemExit, match=re.escape(fault)):
        notes(f"v{__version__}", tree)
