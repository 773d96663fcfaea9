"""Short lists, at an organisation of 2,000 numbers: each number once, whatever the limit, and `next` leads on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from mcp import Client

from evals.organisation import ORGANISATIONS
from evals.served import Served, served
from phone_number_mcp.platforms import PLATFORMS, load
from support.server import Connect, content, credentials
from support.upstream import Request, Upstream, envelope, reply

pytestmark = pytest.mark.anyio
LARGE = ORGANISATIONS["large"]()


@pytest.fixture(params=PLATFORMS)
async def opened(request: pytest.FixtureRequest, connect: Connect) -> AsyncIterator[tuple[Client, Served]]:
    with served(request.param, LARGE) as there:
        about = load(request.param)
        env = {variable: f"{begin}lists" for variable, begin in about.credentials.items()}
        async with connect("--platform", request.param, env=env | {about.base_url_variable: there.url}) as client:
            yield client, there


async def _walk(client: Client, **arguments: Any) -> list[str]:
    """All numbers, page after page."""
    found: list[str] = []
    following: dict[str, Any] = {}
    while True:
        data = content(await client.call_tool("list_phone_numbers", arguments | following))["data"]
        assert data["returned_count"] == len(data["phone_numbers"]) <= arguments["limit"]
        found += [line["phone_number"] for line in data["phone_numbers"]]
        if "next" not in data:
            return found
        following = {"next": data["next"]}


@pytest.mark.parametrize("limit", [40, 100, 333, 500])
async def test_every_number_is_listed_once_whatever_the_limit(opened: tuple[Client, Served], limit: int) -> None:
    client, there = opened
    assert sorted(await _walk(client, limit=limit)) == sorted(there.numbers)


async def test_a_filter_lists_what_fits_and_all_of_it(opened: tuple[Client, Served]) -> None:
    client, there = opened
    wanted = sorted(number for number in there.numbers if number.startswith("+1305"))
    assert wanted
    assert sorted(await _walk(client, limit=7, area_code=305)) == wanted
    unanswered = sorted(
        number
        for number, held in there.numbers.items()
        if not held.get("inbound_agent_id") and not held.get("inbound_agents")
    )
    assert sorted(await _walk(client, limit=50, unanswered=True)) == unanswered


async def test_next_belongs_to_one_list(opened: tuple[Client, Served]) -> None:
    client, _there = opened
    data = content(await client.call_tool("list_phone_numbers", {"limit": 5, "unanswered": True}))["data"]
    full = {"next": data["next"], "unanswered": True, "detail": "full"}  # a page of its own, from its start
    for arguments in ({"next": data["next"]}, full, {"next": "none of ours"}, {"next": "0.0.000000."}):
        error = content(await client.call_tool("list_phone_numbers", {"limit": 5} | arguments))["error"]
        assert error["code"] == "invalid_arguments"
        assert [problem["field"] for problem in error["fields"]] == ["next"]


async def test_a_list_that_breaks_off_says_so_and_how_to_go_on(connect: Connect, upstream: Upstream) -> None:
    numbers = [{"phone_number": f"+1415555{place:04}", "nickname": None} for place in range(100, 200)]

    async def answer(request: Request, stream: Any) -> None:
        first = "page=0" in request.target
        data = {"phone_numbers": numbers, "pagination": {"has_next": True, "total_count": 300}}
        await (reply(200, envelope(data)) if first else reply(403, envelope(status="error", error="No")))(
            request, stream
        )

    upstream.answer = answer
    async with connect(env=credentials(upstream)) as client:
        result = content(await client.call_tool("list_phone_numbers", {"limit": 300}))
    assert result["data"]["returned_count"] == 100
    assert result["data"]["total_count"] == 300  # as the platform says
    assert result["data"]["next"].endswith(".1")
    assert "Only 100 numbers were read, then forbidden" in result["warning"]
