"""What counts as the same, when reading back compares what was asked for with what the platform holds."""

from __future__ import annotations

from typing import Any

import pytest

from phone_number_mcp.writes.compare import as_asked, not_shown

AGENT, OTHER = {"agent_id": "agent_a", "weight": 0.5}, {"agent_id": "agent_b", "weight": 0.5}


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        (None, ""),
        ([], None),
        ("", []),
        ([AGENT, OTHER], [OTHER, AGENT]),
        (AGENT, AGENT | {"agent_version": 3}),
        (0.1, 0.1 + 1e-9),
        (3, "3"),
        ("Front desk", " Front\n desk "),
        (0, 0.0),
    ],
)
def test_what_is_the_same_is_as_asked(asked: Any, held: Any) -> None:
    assert as_asked({"field": asked}, {"field": held})


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        (None, "webhook"),
        ("webhook", None),
        (0, None),
        (None, 0),
        (False, None),
        (None, False),
        ([AGENT], [AGENT, OTHER]),
        ([AGENT, OTHER], [AGENT]),
        ([AGENT, AGENT], [AGENT, OTHER]),
        ([AGENT], [AGENT | {"agent_id": "agent_c"}]),
        ([AGENT], [AGENT | {"agent_id": "AGENT-A"}]),
        ([AGENT], None),
        (None, [AGENT]),
        ([AGENT], "agent_a"),
        ("agent_a", [AGENT]),
        (AGENT, "agent_a"),
        ("agent_a", AGENT),
        (AGENT | {"agent_version": 3}, AGENT),
        (0.5, 0.50001),
        (4, "3"),
        ("Front_desk", "front-desk"),
    ],
)
def test_what_differs_is_not_as_asked(asked: Any, held: Any) -> None:
    assert not as_asked({"field": asked}, {"field": held})


def test_only_what_the_platform_shows_is_compared() -> None:
    assert as_asked({"nickname": "Front desk", "area_code": 415}, {"nickname": "Front desk"})
    assert not as_asked({"nickname": "Front desk", "area_code": 415}, {"nickname": "Back", "country": "US"})
    assert not_shown(["nickname", "token"], {"nickname": "Front desk"}, {"token": "…"}) == ["nickname", "token"]
    assert not_shown(["nickname"], {"nickname": "Front desk"}, {"nickname": None}) == []


@pytest.mark.parametrize(("loosely", "same"), [({"transport"}, True), ({"nickname"}, False), (set(), False)])
def test_case_hyphens_and_underscores_are_ignored_only_where_the_platform_changes_them(
    loosely: set[str], same: bool
) -> None:
    assert as_asked({"transport": "TLS_1"}, {"transport": "tls-1"}, loosely_spelled=loosely) is same
