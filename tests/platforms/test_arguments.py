"""What every platform's arguments have in common: contradictions are refused, and what is only doubtful is warned about."""

from __future__ import annotations

from typing import Any

import pytest

from phone_number_mcp.platforms import load
from support.server import Connect, content
from support.upstream import Answer, Request, Upstream, envelope, reply

NUMBER = "+14155550133"
pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("platform", "arguments", "field", "problem"),
    [
        ("zudu", {"phone_number": NUMBER, "area_code": 628}, "area_code", "is not the area code of +14155550133"),
        ("zudu", {"phone_number": "+442079460000", "area_code": 207}, "area_code", "is not the area code"),
        ("retell", {"phone_number": NUMBER, "area_code": 628}, "area_code", "is not the area code of +14155550133"),
        ("retell", {"area_code": 415, "toll_free": True}, "toll_free", "cannot be given together with area_code"),
        ("retell", {"nickname": "Front desk"}, "arguments", "do not say which number to buy"),
        ("retell", {"toll_free": False}, "arguments", "do not say which number to buy"),
    ],
)
async def test_a_contradiction_is_refused_before_anything_is_sent(
    connect: Connect, platform: str, arguments: dict[str, Any], field: str, problem: str
) -> None:
    async with connect("--sandbox", "--platform", platform) as client:
        error = content(await client.call_tool("create_phone_number", arguments))["error"]
    assert (error["code"], error["outcome"]) == ("invalid_arguments", "not_applied")
    (found,) = error["fields"]
    assert found["field"] == field
    assert found["problem"].startswith(problem)


@pytest.mark.parametrize(
    ("platform", "arguments"),
    [
        ("zudu", {"phone_number": NUMBER, "area_code": 415}),
        ("retell", {"phone_number": NUMBER, "area_code": "415"}),
        ("retell", {"toll_free": True}),
        ("retell", {"country_code": "ca"}),
        ("retell", {"area_code": 415, "toll_free": False}),
    ],
)
async def test_what_agrees_is_taken(platform: str, arguments: dict[str, Any]) -> None:
    (tool,) = [tool for tool in load(platform).tools if tool.name == "create_phone_number"]
    assert tool.read(arguments).body().keys() == arguments.keys()


@pytest.mark.parametrize("platform", ["zudu", "retell"])
async def test_a_null_that_changes_nothing_and_a_webhook_that_is_not_https_are_warned_about(
    connect: Connect, platform: str
) -> None:
    change = {"phone_number": "+14155550100", "nickname": None, "inbound_webhook_url": "http://example.com/calls"}
    async with connect("--sandbox", "--platform", platform) as client:
        changed = content(await client.call_tool("update_phone_number", change))
        sound = {"phone_number": "+14155550100", "nickname": "Front desk"}
        plain = content(await client.call_tool("update_phone_number", sound))
    assert changed["data"]["nickname"] == "Front desk"
    assert (
        "nickname was null or blank, which changes nothing: to empty it, name it in clear_fields" in changed["warning"]
    )
    assert "inbound_webhook_url is not https" in changed["warning"]
    assert "warning" not in plain


@pytest.mark.parametrize(
    ("then", "warning"),
    [
        (reply(200, envelope({"phone_number": NUMBER, "nickname": None})), None),
        (reply(200, envelope({"phone_number": NUMBER, "nickname": "Old"})), "still holds nickname"),
        (reply(403, envelope(status="error", error="No")), "could not be read back (forbidden)"),
    ],
)
async def test_a_null_that_zudu_does_not_document_is_sent_and_read_back(
    connect: Connect, upstream: Upstream, then: Answer, warning: str | None
) -> None:
    done = reply(200, envelope({"phone_number": NUMBER}))

    async def answer(request: Request, stream: Any) -> None:
        await (done if request.method == "PATCH" else then)(request, stream)

    upstream.answer = answer
    env = {"ZUDU_API_KEY": "sk_clear", "ZUDU_API_SECRET": "s3cr3t_clear", "ZUDU_BASE_URL": upstream.url}
    async with connect(env=env) as client:
        change = {"phone_number": NUMBER, "clear_fields": ["nickname"]}
        result = content(await client.call_tool("update_phone_number", change))
    assert [(request.method, request.body) for request in upstream.requests] == [
        ("PATCH", b'{"nickname":null}'),
        ("GET", b""),
    ]
    assert (warning or "") in result.get("warning", "")
    assert ("warning" in result) == (warning is not None)
