"""Completion of numbers and agents: quick, bounded, and silent about whatever goes wrong."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client, MCPError
from mcp_types import PromptReference, ResourceTemplateReference

from phone_number_mcp.platforms import PLATFORMS
from support.server import KEY, Connect, credentials
from support.upstream import Answer, Upstream, drop, envelope, reply, silence
from support.wire import MODERN

pytestmark = pytest.mark.anyio
NUMBER = ResourceTemplateReference(uri="phone-number://{phone_number}")
PROVISION = PromptReference(name="provision_phone_number")
EVERY_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)


async def completed(client: Client, ref: Any, name: str, typed: str) -> list[str]:
    completion = (await client.complete(ref, {"name": name, "value": typed})).completion
    assert completion.total in {None, len(completion.values)} or completion.has_more
    return completion.values


@EVERY_PLATFORM
@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_numbers_are_completed_by_their_digits(connect: Connect, platform: str, mode: str) -> None:
    async with connect("--platform", platform, "--sandbox", mode=mode) as client:
        every = await completed(client, NUMBER, "phone_number", "")
        assert "+14155550100" in every
        for typed in ("+1415555010", "1415555010", "+1 (415) 555-010", "%2B1415555010"):
            assert await completed(client, NUMBER, "phone_number", typed) == [
                number for number in every if number.startswith("+1415555010")
            ]
        assert await completed(client, NUMBER, "phone_number", "+49") == []


@EVERY_PLATFORM
async def test_agents_are_completed_by_any_part_of_their_name(connect: Connect, platform: str) -> None:
    async with connect("--platform", platform, "--sandbox") as client:
        every = await completed(client, PROVISION, "agent", "")
        assert {"Reception", "Night desk", "Callback"} <= {*every}
        assert await completed(client, PROVISION, "agent", "recep") == ["Reception"]
        assert "Night desk" in await completed(client, PROVISION, "agent", " DESK ")
        assert await completed(client, PROVISION, "purpose", "") == []


@pytest.mark.parametrize(
    ("ref", "name"),
    [
        (NUMBER, "agent"),
        (ResourceTemplateReference(uri="file:///{phone_number}"), "phone_number"),
        (PROVISION, "phone_number"),
        (PromptReference(name="review_phone_numbers"), "agent"),
        (PromptReference(name="nothing"), "agent"),
    ],
)
async def test_what_cannot_be_completed_is_malformed(connect: Connect, ref: Any, name: str) -> None:
    async with connect("--sandbox") as client:
        with pytest.raises(MCPError, match="Unknown prompt, resource template or argument") as raised:
            await client.complete(ref, {"name": name, "value": ""})
    assert raised.value.code == -32602


@pytest.mark.parametrize(
    ("options", "declared"),
    [
        ((), True),
        (("--read-only",), True),
        (("--tools", "get_phone_number,list_phone_numbers"), True),
        (("--tools", "get_phone_number,list_agents"), False),
        (("--tools", "list_phone_numbers"), False),
    ],
)
async def test_completion_is_declared_where_there_is_something_to_complete(
    connect: Connect, options: tuple[str, ...], declared: bool
) -> None:
    async with connect("--sandbox", *options) as client:
        assert (client.server_capabilities.completions is not None) == declared


async def test_what_the_client_may_not_list_is_not_completed(connect: Connect) -> None:
    async with connect("--sandbox", "--tools", "get_phone_number,create_phone_number,list_agents") as client:
        assert await completed(client, NUMBER, "phone_number", "") == []
        assert "Reception" in await completed(client, PROVISION, "agent", "")


def listing(*numbers: Any) -> Answer:
    page = {"phone_numbers": list(numbers), "pagination": {"has_next": True, "total_count": 9_999}}
    return reply(200, envelope(page))


def listing_agents(*names: str) -> Answer:
    agents = [{"agent_name": name, "agent_id": f"agent_{place}"} for place, name in enumerate(names)]
    return reply(200, envelope({"agents": [*agents, None], "pagination": {"total_pages": 9}}))


async def test_one_page_is_read_and_kept(connect: Connect, upstream: Upstream) -> None:
    upstream.answer = listing(*({"phone_number": f"+1{area}5550100"} for area in range(300, 420)))
    async with connect(env=credentials(upstream)) as client:
        result = await client.complete(NUMBER, {"name": "phone_number", "value": "1"})
        assert (len(result.completion.values), result.completion.has_more) == (100, True)
        assert await completed(client, NUMBER, "phone_number", "+1415") == ["+14155550100"]
    (request,) = upstream.requests
    assert request.method == "GET"
    assert "limit=100" in request.target


async def test_what_is_not_safe_to_show_is_left_out(connect: Connect, upstream: Upstream) -> None:
    odd = [
        {"phone_number": value} for value in (7, None, "+1415\u202e", "see https://x", KEY, "x" * 500, "+14155550100")
    ]
    upstream.answer = listing(*odd, "text", None)
    async with connect(env=credentials(upstream)) as client:
        assert await completed(client, NUMBER, "phone_number", "") == ["+14155550100"]
        upstream.answer = listing_agents("", "Night\u202edesk", KEY, "x" * 500, "Reception")
        assert await completed(client, PROVISION, "agent", "") == ["Reception"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(401, envelope(status="error", message="no")), id="401"),
        pytest.param(reply(200, b"<html>"), id="no JSON"),
        pytest.param(reply(200, envelope({"agents": [{"name": "without the fields that agents have"}]})), id="odd"),
        pytest.param(drop(), id="dropped"),
        pytest.param(silence(), id="no answer"),
    ],
)
async def test_a_failure_completes_nothing_and_is_not_kept(
    connect: Connect, upstream: Upstream, answer: Answer
) -> None:
    upstream.answer = answer
    async with connect(env=credentials(upstream)) as client:
        assert await completed(client, PROVISION, "agent", "") == []
        upstream.answer = listing_agents("Reception")
        assert await completed(client, PROVISION, "agent", "") == ["Reception"]


async def test_without_credentials_nothing_is_completed(connect: Connect) -> None:
    async with connect() as client:
        assert await completed(client, NUMBER, "phone_number", "+1") == []
