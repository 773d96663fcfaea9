"""Each tool of each platform, over stdio, against the simulated platform on a real socket: what is sent, what comes back.

The requests are those of the vendors' pages and published clients, field by field.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from phone_number_mcp.platforms import PLATFORMS, load
from support.recorded import Platform, recorded
from support.server import Connect, content

pytestmark = pytest.mark.anyio

CREDENTIALS = {
    "zudu": {"ZUDU_API_KEY": "sk_lifecycle", "ZUDU_API_SECRET": "s3cr3t_lifecycle"},
    "retell": {"RETELL_API_KEY": "key_lifecycle"},
}
REFUSED = {
    "zudu": {"ZUDU_API_KEY": "sk_invalid", "ZUDU_API_SECRET": "s3cr3t_lifecycle"},
    "retell": {"RETELL_API_KEY": "key_invalid"},
}
HEADERS = {
    "zudu": {"x-api-key": "sk_lifecycle", "x-api-secret": "s3cr3t_lifecycle"},
    "retell": {"authorization": "Bearer key_lifecycle"},
}
HELD, BOUND, FREE, MISSING = "+14155550102", "+14155550100", "+14155550120", "+14155550199"
AGENTS = [{"agent_id": "agent_night", "weight": 0.75}, {"agent_id": "agent_reception", "weight": 0.25}]
NIGHT = {"agent_id": "agent_night", "name": "Night desk"}
RECEPTION = {"agent_id": "agent_reception", "name": "Reception"}
CONFIRMED = {"phone_number": HELD, "confirm_phone_number": HELD}


@dataclass(frozen=True)
class Case:
    """A call that succeeds, what it sends, and how the same tool fails."""

    platform: str
    tool: str
    arguments: dict[str, Any]
    sent: list[tuple[str, str, str, Any]]
    """Method, path, query and body of each request."""
    returned: dict[str, Any] = field(default_factory=dict)
    """A part of the data."""
    refused: tuple[dict[str, Any], str] | None = None
    """Arguments that the platform or the server refuses, and the code."""
    missing: dict[str, Any] | None = None
    """Arguments with a number that is not there."""
    at_once: bool = False
    """All requests but the first are sent at the same time."""


ZUDU, RETELL = "zudu", "retell"
NUMBERS = "/api/phone-numbers"
CASES = [
    Case(
        ZUDU, "get_phone_number", {"phone_number": HELD},
        sent=[("GET", f"{NUMBERS}/%2B14155550102", "", None)],
        returned={"phone_number": HELD, "phone_number_type": "CUSTOM"},
        refused=({"phone_number": "available"}, "invalid_arguments"),
        missing={"phone_number": MISSING},
    ),
    Case(
        ZUDU, "create_phone_number", {"phone_number": FREE, "nickname": "Side door", "area_code": "415"},
        sent=[("POST", f"{NUMBERS}/create", "", {"phone_number": FREE, "nickname": "Side door", "area_code": 415})],
        returned={"phone_number": FREE, "phone_number_pretty": "+1 (415) 555-0120"},
        refused=({"phone_number": HELD}, "already_exists"),
    ),
    Case(
        ZUDU, "list_phone_numbers",
        {"limit": 2, "detail": "full", "sort_by": "phone_number", "sort_order": "ascending", "area_code": 415},
        sent=[("GET", NUMBERS, "limit=2&page=0&sort_by=phone_number&sort_order=ascending&area_code=415", None)],
        returned={"returned_count": 2, "organization_id": "org_sandbox"},
        refused=({"limit": 501}, "invalid_arguments"),
    ),
    Case(
        ZUDU, "list_phone_numbers", {"nickname": "desk", "agent": "CALLBACK"},
        sent=[
            ("GET", "/api/agents", "limit=100&page=0", None),
            ("GET", NUMBERS, "limit=100&page=0&nickname=desk&agent_id=agent_callback", None),
        ],
        returned={"returned_count": 1, "total_count": 1},
        refused=({"agent_id": "agent_callback"}, "invalid_arguments"),
    ),
    Case(
        ZUDU, "list_available_phone_numbers", {},
        sent=[("GET", f"{NUMBERS}/available", "", None)],
        returned={"available_count": 1},
        refused=({"limit": 5}, "invalid_arguments"),
    ),
    Case(
        ZUDU, "check_phone_number", {"phone_number": BOUND},
        sent=[
            ("GET", f"{NUMBERS}/%2B14155550100", "", None), ("GET", "/api/agents", "limit=100&page=0", None)
        ],
        returned={"phone_number": BOUND, "inbound": "yes", "outbound": "yes"},
        refused=({"phone_number": "available"}, "invalid_arguments"),
        missing={"phone_number": MISSING},
    ),
    Case(
        ZUDU, "import_phone_number",
        {"phone_number": FREE, "provider": "Twilio", "account_sid": "AC1", "auth_token": "hush", "nickname": "Old line"},
        sent=[
            ("POST", f"{NUMBERS}/import", "",
             {"phone_number": FREE, "provider": "twilio", "account_sid": "AC1", "auth_token": "hush", "nickname": "Old line"})
        ],
        refused=(
            {"phone_number": HELD, "provider": "plivo", "account_sid": "AC1", "auth_token": "hush"}, "already_exists"
        ),
    ),
    Case(
        ZUDU, "update_phone_number",
        {"phone_number": BOUND, "nickname": "Reception", "clear_fields": ["outbound_agent_id"]},
        sent=[("PATCH", f"{NUMBERS}/%2B14155550100", "", {"nickname": "Reception", "outbound_agent_id": None})],
        returned={"nickname": "Reception", "outbound_agent_id": None, "inbound_agent_id": "agent_reception"},
        refused=({"phone_number": BOUND}, "invalid_arguments"),
        missing={"phone_number": MISSING, "nickname": "x"},
    ),
    Case(
        ZUDU, "delete_phone_number", CONFIRMED,
        sent=[
            ("GET", f"{NUMBERS}/%2B14155550102", "", None), ("DELETE", f"{NUMBERS}/%2B14155550102", "", None)
        ],
        returned={"phone_number": HELD},
        refused=({"phone_number": BOUND, "confirm_phone_number": BOUND}, "invalid_arguments"),
        missing={"phone_number": MISSING, "confirm_phone_number": MISSING},
    ),
    Case(
        ZUDU, "list_agents", {"name": "e", "limit": 2},
        sent=[("GET", "/api/agents", "limit=100&page=0", None)],
        returned={"returned_count": 2},
        refused=({"next": "up"}, "invalid_arguments"),
    ),
    Case(
        RETELL, "get_phone_number", {"phone_number": HELD},
        sent=[("GET", "/get-phone-number/%2B14155550102", "", None)],
        returned={"phone_number": HELD, "phone_number_type": "custom"},
        refused=({"phone_number": "../x"}, "invalid_arguments"),
        missing={"phone_number": MISSING},
    ),
    Case(
        RETELL, "create_phone_number",
        {"phone_number": FREE, "inbound_agents": AGENTS, "allowed_inbound_country_list": ["us", "CA"], "transport": "tls"},
        sent=[
            ("POST", "/v2/list-agents", "limit=100", {}),
            ("POST", "/create-phone-number", "",
             {"phone_number": FREE, "inbound_agents": AGENTS, "allowed_inbound_country_list": ["US", "CA"],
              "transport": "TLS"})
        ],
        returned={"phone_number": FREE, "inbound_agents": AGENTS},
        refused=({"phone_number": HELD}, "already_exists"),
    ),
    Case(
        RETELL, "create_phone_number", {"area_code": "628", "country_code": "US", "toll_free": False},
        sent=[
            ("GET", "/v2/list-phone-numbers", "limit=100", None),  # what there is before, should the answer be lost
            ("POST", "/create-phone-number", "", {"area_code": 628, "country_code": "US", "toll_free": False}),
        ],
        returned={"phone_number": "+16285550160", "area_code": 628},
        refused=({"inbound_agents": [{"agent_id": "a", "weight": 0.33}] * 3}, "invalid_arguments"),
    ),
    Case(
        RETELL, "list_phone_numbers", {"limit": 2, "detail": "full", "sort_order": "ascending"},
        sent=[("GET", "/v2/list-phone-numbers", "limit=2&sort_order=ascending", None)],
        returned={"has_more": True, "pagination_key": "+14155550101"},
        refused=({"next": "nothing"}, "invalid_arguments"),
    ),
    Case(
        RETELL, "list_phone_numbers", {"unanswered": "true"},
        sent=[("GET", "/v2/list-phone-numbers", "limit=100", None)],
        returned={"returned_count": 1, "total_count": 1},
    ),
    Case(
        RETELL, "check_phone_number", {"phone_number": "+14155550101"},
        sent=[
            ("GET", "/get-phone-number/%2B14155550101", "", None),
            ("POST", "/v2/list-agents", "limit=1000", {}),
            ("GET", "/list-agent-versions/agent_night", "limit=100&sort_order=descending", None),
            ("GET", "/list-agent-versions/agent_reception", "limit=100&sort_order=descending", None),
        ],
        returned={"phone_number": "+14155550101", "inbound": "yes", "outbound": "no"},
        refused=({"phone_number": "../x"}, "invalid_arguments"),
        missing={"phone_number": MISSING},
        at_once=True,
    ),
    Case(
        RETELL, "import_phone_number",
        {"phone_number": "1001", "termination_uri": "x.pstn.twilio.com", "sip_trunk_auth_username": "sip",
         "sip_trunk_auth_password": "hush"},
        sent=[
            ("POST", "/import-phone-number", "",
             {"phone_number": "1001", "termination_uri": "x.pstn.twilio.com", "sip_trunk_auth_username": "sip",
              "sip_trunk_auth_password": "hush"})
        ],
        returned={"phone_number": "1001", "phone_number_type": "custom"},
        refused=({"phone_number": HELD, "termination_uri": "x.pstn.twilio.com"}, "already_exists"),
    ),
    Case(
        RETELL, "update_phone_number",
        {"phone_number": BOUND, "inbound_agents": '[{"agent_id": "agent_night", "weight": "1", "agent_version": "4"}]',
         "inbound_sms_agents": [{"agent_id": "agent_night", "weight": 1, "agent_version": "prod"}],
         "clear_fields": ["outbound_agents"]},
        sent=[
            ("POST", "/v2/list-agents", "limit=100", {}),
            ("PATCH", "/update-phone-number/%2B14155550100", "",
             {"inbound_agents": [{"agent_id": "agent_night", "weight": 1.0, "agent_version": 4}],
              "inbound_sms_agents": [{"agent_id": "agent_night", "weight": 1.0, "agent_version": "prod"}],
              "outbound_agents": None})
        ],
        returned={"outbound_agents": None},
        refused=({"phone_number": BOUND, "nickname": "x", "clear_fields": ["nickname"]}, "invalid_arguments"),
        missing={"phone_number": MISSING, "nickname": "x"},
    ),
    Case(
        RETELL, "delete_phone_number", CONFIRMED,
        sent=[
            ("GET", "/get-phone-number/%2B14155550102", "", None),
            ("DELETE", "/delete-phone-number/%2B14155550102", "", None),
        ],
        returned={"phone_number": HELD},
        refused=({"phone_number": BOUND, "confirm_phone_number": BOUND}, "invalid_arguments"),
        missing={"phone_number": "1001", "confirm_phone_number": "1001"},
    ),
    Case(
        RETELL, "list_agents", {"limit": 1},
        sent=[("POST", "/v2/list-agents", "limit=100", {})],
        returned={"returned_count": 1, "next": "1"},
        refused=({"limit": 1000}, "invalid_arguments"),
    ),
]  # fmt: skip
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.platform}-{case.tool}")


def _parts(query: str) -> list[str]:
    return sorted(query.split("&"))


@pytest.fixture
def platform(case: Case) -> Iterator[Platform]:
    with recorded(case.platform) as served:
        yield served


def configured(case: Case, platform: Platform, credentials: dict[str, dict[str, str]] | None = None) -> dict[str, str]:
    address = {f"{case.platform.upper()}_BASE_URL": platform.url}
    return (credentials or CREDENTIALS)[case.platform] | address


async def answer(case: Case, connect: Connect, env: dict[str, str], arguments: dict[str, Any]) -> dict[str, Any]:
    async with connect("--platform", case.platform, "--allow-delete", env=env) as client:
        return content(await client.call_tool(case.tool, arguments))


@EVERY_CASE
async def test_a_call_sends_what_is_documented_and_returns_what_comes_back(
    case: Case, platform: Platform, connect: Connect
) -> None:
    result = await answer(case, connect, configured(case, platform), case.arguments)
    assert case.returned.items() <= result["data"].items()
    sent = [(request.method, request.path, _parts(request.query), request.body) for request in platform.requests]
    expected = [(method, path, _parts(query), body) for method, path, query, body in case.sent]
    if case.at_once:
        sent, expected = ([first, *sorted(rest, key=str)] for first, *rest in (sent, expected))
    assert sent == expected
    for request in platform.requests:
        assert HEADERS[case.platform].items() <= request.headers.items()
        assert ("content-type" in request.headers) == (request.body is not None)
    assert "hush" not in str(result)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.refused], ids=lambda case: f"{case.platform}-{case.tool}"
)
async def test_what_is_refused_changes_nothing(case: Case, platform: Platform, connect: Connect) -> None:
    assert case.refused
    arguments, code = case.refused
    result = await answer(case, connect, configured(case, platform), arguments)
    assert result["error"]["code"] == code
    assert result["error"].get("outcome") in {None, "not_applied"}
    if code == "already_exists":
        assert result["error"]["existing"]["phone_number"] == HELD
    if code == "invalid_arguments":
        assert {request.method for request in platform.requests} <= {"GET"}
    assert "hush" not in str(result)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.missing], ids=lambda case: f"{case.platform}-{case.tool}"
)
async def test_a_number_that_is_not_there_is_not_found(case: Case, platform: Platform, connect: Connect) -> None:
    assert case.missing
    result = await answer(case, connect, configured(case, platform), case.missing)
    assert result["error"]["code"] == "not_found"
    assert "DELETE" not in {request.method for request in platform.requests}


@EVERY_CASE
async def test_credentials_that_are_not_accepted_are_unauthorized(
    case: Case, platform: Platform, connect: Connect
) -> None:
    result = await answer(case, connect, configured(case, platform, REFUSED), case.arguments)
    assert result["error"]["code"] == "unauthorized"
    assert result["error"]["http_status"] == 401
    assert len(platform.requests) == 1


def test_every_tool_of_every_platform_is_among_the_cases() -> None:
    tools = {(name, tool.name) for name in PLATFORMS for tool in load(name).tools}
    assert tools == {(case.platform, case.tool) for case in CASES}


WHOLE_LIFE: dict[str, list[tuple[str, dict[str, Any], dict[str, Any]]]] = {
    ZUDU: [
        ("list_agents", {}, {"returned_count": 3}),
        ("create_phone_number", {"phone_number": FREE, "inbound_agent_id": "agent_night"}, {"phone_number": FREE}),
        ("get_phone_number", {"phone_number": FREE}, {"inbound_agent_id": "agent_night"}),
        ("check_phone_number", {"phone_number": FREE}, {"inbound": "yes", "answered_by": [NIGHT]}),
        (
            "update_phone_number",
            {"phone_number": FREE, "clear_fields": ["inbound_agent_id"]},
            {"inbound_agent_id": None},
        ),
        ("check_phone_number", {"phone_number": FREE}, {"inbound": "no", "answered_by": []}),
        ("list_available_phone_numbers", {}, {"available_count": 2}),
        ("delete_phone_number", {"phone_number": FREE, "confirm_phone_number": FREE}, {"phone_number": FREE}),
        ("list_phone_numbers", {}, {"returned_count": 3}),
    ],
    RETELL: [
        ("list_agents", {}, {"returned_count": 6}),
        ("create_phone_number", {"phone_number": FREE, "inbound_agents": AGENTS}, {"phone_number": FREE}),
        ("get_phone_number", {"phone_number": FREE}, {"inbound_agents": AGENTS}),
        ("check_phone_number", {"phone_number": FREE}, {"inbound": "yes", "answered_by": [NIGHT, RECEPTION]}),
        ("update_phone_number", {"phone_number": FREE, "clear_fields": ["inbound_agents"]}, {"inbound_agents": None}),
        ("check_phone_number", {"phone_number": FREE}, {"inbound": "no", "answered_by": []}),
        ("delete_phone_number", {"phone_number": FREE, "confirm_phone_number": FREE}, {"phone_number": FREE}),
        ("list_phone_numbers", {}, {"returned_count": 3}),
    ],
}


@pytest.mark.parametrize("platform_name", PLATFORMS)
async def test_the_whole_life_of_a_number(platform_name: str, connect: Connect) -> None:
    async with connect("--platform", platform_name, "--sandbox", "--allow-delete") as client:
        for tool, arguments, returned in WHOLE_LIFE[platform_name]:
            result = content(await client.call_tool(tool, arguments))
            assert returned.items() <= result["data"].items(), tool
        gone = content(await client.call_tool("get_phone_number", {"phone_number": FREE}))
        assert gone["error"]["code"] == "not_found"
