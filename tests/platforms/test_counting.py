"""How many numbers there are, and which have a webhook that is not https, at an organisation of 2,000."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from mcp import Client

from evals.organisation import ORGANISATIONS
from evals.served import Served, served
from phone_number_mcp.platforms import PLATFORMS, load
from support.server import Connect, content

pytestmark = pytest.mark.anyio
LARGE = ORGANISATIONS["large"]()


@pytest.fixture(params=PLATFORMS)
def platform(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def opened(platform: str, connect: Connect) -> AsyncIterator[tuple[Client, Served]]:
    with served(platform, LARGE) as there:
        about = load(platform)
        env = {variable: f"{begin}counting" for variable, begin in about.credentials.items()}
        async with connect("--platform", platform, env=env | {about.base_url_variable: there.url}) as client:
            yield client, there


async def test_numbers_are_counted_without_being_listed(opened: tuple[Client, Served]) -> None:
    client, _there = opened
    for arguments, count in (
        ({}, 2_000),
        ({"area_code": 305}, 90),
        ({"unanswered": True}, 153),
        ({"webhook": "http:"}, 100),
        ({"nickname": "nobody's"}, 0),
        ({"detail": "full"}, 2_000),
    ):
        result = content(await client.call_tool("list_phone_numbers", {"limit": 0} | arguments))
        assert result == {"data": {"phone_numbers": [], "returned_count": 0, "total_count": count}}, arguments


async def test_a_count_that_is_not_whole_says_so(opened: tuple[Client, Served], platform: str) -> None:
    client, there = opened
    (one, *_others) = there.numbers.values()
    there.numbers.update(
        {f"+190755501{last:02}": one | {"phone_number": f"+190755501{last:02}"} for last in range(100)}
    )
    result = content(await client.call_tool("list_phone_numbers", {"limit": 0, "webhook": ""}))
    if platform == "zudu":  # it says itself how many there are
        assert result["data"]["total_count"] == 2_100
    result = content(await client.call_tool("list_phone_numbers", {"limit": 0, "webhook": "http:"}))
    assert "total_count" not in result["data"]
    assert "next" in result["data"]
    assert result["warning"].startswith("2,000 numbers were read, of which ")


async def test_numbers_are_found_by_their_webhook(opened: tuple[Client, Served]) -> None:
    client, _there = opened
    result = content(await client.call_tool("list_phone_numbers", {"area_code": 602, "webhook": "HTTP:"}))
    lines = result["data"]["phone_numbers"]
    assert lines
    assert {line["webhook"] for line in lines} == {"http://example.com/calls"}
    assert result["data"]["total_count"] == len(lines)
