"""The table of clients in docs/ is that of the programs that `make test-clients` runs; what it says of each is held there."""

from __future__ import annotations

import json
import re

import pytest

from clients.cases import CASES
from clients.matrix import PAGE, fill, rows
from clients.programs import HERE, LEGACY, MODERN, PROGRAMS, Program
from phone_number_mcp.platforms import PLATFORMS, load

EACH = [pytest.param(program, id=program.label) for program in PROGRAMS]


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_client_program_is_run() -> None:
    sources = {*HERE.glob("python/with_*.py"), *HERE.glob("*/client.mjs")}
    assert sources == {program.source for program in PROGRAMS}


def test_every_client_has_its_row_with_the_version_that_is_pinned() -> None:
    held = [row[:3] for row in rows(page())]
    assert held == [(program.title, f"`{program.pinned()[0]}`", program.pinned()[1]) for program in PROGRAMS]


def test_the_row_of_a_program_says_the_era_that_it_asks_for_and_what_is_particular_to_it() -> None:
    for program, row in zip(PROGRAMS, rows(page()), strict=True):
        assert row[3] == {LEGACY: "2025-11-25", MODERN: MODERN}.get(program.mode or "", row[3])
        assert row[-1] == program.note


def test_both_tables_are_as_the_programs_and_the_cases_have_them() -> None:
    assert fill(page(), rows(page())) == page()


@pytest.mark.parametrize("program", EACH)
def test_what_a_client_is_tested_with_is_pinned_and_comes_from_the_usual_place(program: Program) -> None:
    text = program.requirements.read_text(encoding="utf-8")
    if program.node:
        package = json.loads(text)
        assert package.keys() == {"private", "type", "dependencies"}
        assert all(re.fullmatch(r"\d+(\.\d+)+", version) for version in package["dependencies"].values())
    else:
        lines = text.splitlines()
        assert lines
        assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines)


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_cases_use_tools_that_the_platform_has_and_ask_for_a_create_to_be_sent_once(platform: str) -> None:
    names = {tool.name for tool in load(platform).tools}
    assert {case.tool for case in CASES} <= {None, *names}
    assert len({case.name for case in CASES}) == len(CASES)
    assert all(case.posts <= 1 and (case.posts == 0 or not case.down) for case in CASES)
