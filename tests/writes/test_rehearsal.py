"""`dry_run`: the request that would be sent, and what would be said to it; nothing is sent, counted or written down."""

from __future__ import annotations

from typing import Any

import pytest

from phone_number_mcp.writes.maintenance import entries
from support.server import Connect, content, credentials
from support.upstream import Request, Upstream, envelope, reply

pytestmark = pytest.mark.anyio
NUMBER = "+14155550133"
SURE = {"phone_number": "+14155550102", "confirm_phone_number": "+14155550102"}
IMPORTS: dict[str, dict[str, Any]] = {
    "zudu": {"phone_number": NUMBER, "provider": "twilio", "account_sid": "AC1", "auth_token": "hush-hush-hush"},
    "retell": {"phone_number": NUMBER, "termination_uri": "x.example.com", "sip_trunk_auth_password": "hush-hush-hush"},
}


@pytest.mark.parametrize("platform", ["zudu", "retell"])
async def test_every_write_shows_its_request_and_sends_nothing(
    connect: Connect, own_journal: dict[str, str], platform: str
) -> None:
    writes: list[tuple[str, dict[str, Any], str]] = [
        ("create_phone_number", {"phone_number": NUMBER, "nickname": "Side door"}, "POST"),
        ("import_phone_number", IMPORTS[platform], "POST"),
        ("update_phone_number", {"phone_number": "+14155550100", "nickname": "Side door"}, "PATCH"),
        ("delete_phone_number", SURE, "DELETE"),
    ]
    async with connect("--sandbox", "--platform", platform, "--allow-delete", "--max-creates", "3") as client:
        before = content(await client.call_tool("list_phone_numbers", {}))
        for tool, arguments, method in writes:
            result = content(await client.call_tool(tool, arguments | {"dry_run": True}))
            assert (result["dry_run"], result["data"]["allowed"]) == (True, True), tool
            assert result["data"]["would_send"]["method"] == method
            sent = {"phone_number", "confirm_phone_number"} if method in {"PATCH", "DELETE"} else set()
            body = result["data"]["would_send"].get("body", {})
            assert body.keys() == arguments.keys() - sent
            assert "hush" not in str(result)
        assert content(await client.call_tool("list_phone_numbers", {})) == before
    assert entries(own_journal["PHONE_NUMBER_MCP_JOURNAL"]) == []


async def test_what_would_be_refused_is_not_allowed_and_the_reasons_are_given(connect: Connect) -> None:
    wish = {"phone_number": NUMBER, "idempotency_key": "front desk"}
    async with connect("--sandbox", "--max-creates", "1") as client:
        free = content(await client.call_tool("create_phone_number", wish | {"dry_run": True}))["data"]
        content(await client.call_tool("create_phone_number", wish))
        again = content(await client.call_tool("create_phone_number", wish | {"dry_run": True}))["data"]
        other = {"phone_number": "+14155550134", "idempotency_key": "front desk", "dry_run": True}
        reused = content(await client.call_tool("create_phone_number", other))["data"]
    assert (free["allowed"], free["checks"]) == (True, ["0 of at most 1 numbers were created today (--max-creates)"])
    assert (again["allowed"], reused["allowed"]) == (False, False)
    limit, earlier, held = again["checks"]
    assert limit.endswith(": this call would be refused")
    assert "took effect: this call would return its outcome, and send nothing" in earlier
    assert "already holds this number" in held
    assert any(check.startswith("idempotency_key was used for other arguments") for check in reused["checks"])


async def test_only_reads_reach_the_platform(connect: Connect, upstream: Upstream) -> None:
    missing = reply(404, envelope(status="error", message="Phone number not found"))
    upstream.answer = missing
    async with connect(env=credentials(upstream)) as client:
        wish = {"phone_number": NUMBER, "nickname": "Front desk", "dry_run": True}
        result = content(await client.call_tool("create_phone_number", wish))
    assert result["data"] == {
        "would_send": {
            "method": "POST",
            "path": "/api/phone-numbers/create",
            "body": {"phone_number": NUMBER, "nickname": "Front desk"},
        },
        "allowed": True,
        "checks": [],
    }
    requests: list[Request] = upstream.requests
    assert [request.method for request in requests] == ["GET"]
