"""Updates and deletes: what the caller must say before anything is changed or released."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from phone_number_mcp.errors import InvalidArguments, ToolError
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.sandbox import create_app
from phone_number_mcp.tool import Success
from phone_number_mcp.upstream.api import Api
from support import harness, odd
from support.upstream import Request, Upstream, drop, envelope, reply

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]
BOUND, UNBOUND = "+14155550100", "+14155550102"


@pytest.fixture(params=[*map(load, PLATFORMS), odd.PLATFORM], ids=lambda platform: platform.name)
def platform(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
async def api(platform: Any) -> AsyncIterator[Api]:
    async with Api(
        base_url="http://sandbox.test",
        decipher=platform.decipher,
        timeout=5,
        encode=platform.encode,
        app=create_app(platform.sandbox()),
    ) as opened:
        yield opened


async def run(platform: Any, api: Api, tool: str, **arguments: Any) -> Success:
    return await harness.run(platform, api, tool, arguments)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "nothing to change"),
        ({"nickname": ""}, "nothing to change"),
        ({"clear_fields": []}, "nothing to change"),
        ({"clear_fields": ["phone_number"]}, "clear_fields.0 must be"),
    ],
)
async def test_an_update_must_change_something(platform: Any, api: Api, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArguments, match=words):
        await run(platform, api, "update_phone_number", phone_number=BOUND, **arguments)


async def test_the_confirmation_of_a_delete_must_be_the_same_number(platform: Any, api: Api) -> None:
    for confirmation in ("+14155550101", None, "yes", True):
        with pytest.raises(InvalidArguments, match="confirm_phone_number"):
            await run(platform, api, "delete_phone_number", phone_number=UNBOUND, confirm_phone_number=confirmation)
    held = await run(platform, api, "get_phone_number", phone_number=UNBOUND)
    assert platform.number_in(held.data) == UNBOUND


async def test_the_confirmation_may_be_spelled_otherwise(platform: Any, api: Api) -> None:
    spelled = "+1 (415) 555-0102"
    await run(platform, api, "delete_phone_number", phone_number=UNBOUND, confirm_phone_number=spelled)


@pytest.mark.parametrize("platform", [load(name) for name in PLATFORMS], ids=PLATFORMS)  # those that have agents
async def test_a_number_in_use_is_not_deleted_unless_the_caller_says_so(platform: Any, api: Api) -> None:
    sure = {"phone_number": BOUND, "confirm_phone_number": BOUND}
    with pytest.raises(InvalidArguments) as raised:
        await run(platform, api, "delete_phone_number", **sure)
    assert "agent_reception" in raised.value.message
    assert "agent_callback" in raised.value.message
    assert [problem.field for problem in raised.value.facts["fields"] or []] == ["release_bound"]
    assert "Nothing was deleted" in str(raised.value.facts["hint"])
    with pytest.raises(InvalidArguments):
        await run(platform, api, "delete_phone_number", **sure, release_bound=False)
    await run(platform, api, "delete_phone_number", **sure, release_bound="true")
    with pytest.raises(ToolError, match=r"not found|Cannot find"):
        await run(platform, api, "get_phone_number", phone_number=BOUND)


async def test_a_delete_that_cannot_look_first_does_not_delete(platform: Any, upstream: Upstream) -> None:
    upstream.answer = reply(500, {"status": "error", "message": "Down"})
    async with Api(base_url=upstream.url, decipher=platform.decipher, timeout=5) as api:
        with pytest.raises(ToolError) as raised:
            await run(platform, api, "delete_phone_number", phone_number=BOUND, confirm_phone_number=BOUND)
    failure = raised.value.failure(platform=platform.name, operation="delete_phone_number", write=True)
    assert (failure.code, failure.outcome, failure.retryable) == ("platform_error", "not_applied", True)
    assert {request.method for request in upstream.requests} == {"GET"}


@pytest.mark.parametrize(
    ("held", "cleaned", "left"),
    [
        (
            {"dispatch_rule_id": "d", "inbound_trunk_id": "i"},
            {"dispatch_rule": False, "inbound_trunk": True},
            "dispatch_rule",
        ),
        ({"dispatch_rule_id": None}, {"dispatch_rule": False, "inbound_trunk": True}, None),
        ({}, {"dispatch_rule": False, "outbound_trunk": False}, "dispatch_rule, outbound_trunk"),
        ({"dispatch_rule_id": "d"}, {"dispatch_rule": True}, None),
        ({"dispatch_rule_id": "d"}, None, None),
    ],
)
async def test_a_clean_up_that_failed_is_said_and_one_that_was_not_due_is_not(
    upstream: Upstream, held: dict[str, Any], cleaned: Any, left: str | None
) -> None:
    async def answer(request: Request, stream: Any) -> None:
        number = {"phone_number": UNBOUND, "inbound_agent_id": None, "outbound_agent_id": None}
        data = number | (held if request.method == "GET" else {"cleanup_results": cleaned})
        await reply(200, envelope(data))(request, stream)

    upstream.answer = answer
    zudu = load("zudu")
    async with Api(base_url=upstream.url, decipher=zudu.decipher, timeout=5) as api:
        done = await run(zudu, api, "delete_phone_number", phone_number=UNBOUND, confirm_phone_number=UNBOUND)
    expected = left and f"The number is gone, but the platform left behind: {left}. Tell the user"
    assert done.warning == expected


async def test_a_delete_whose_answer_was_lost_says_which_number_is_gone_and_what_may_be_left(
    upstream: Upstream,
) -> None:
    async def answer(request: Request, stream: Any) -> None:
        deleted = any(each.method == "DELETE" for each in upstream.requests)
        number = {"phone_number": UNBOUND, "inbound_agent_id": None, "outbound_agent_id": None}
        held = reply(404, {}) if deleted else reply(200, envelope(number))
        await (drop() if request.method == "DELETE" else held)(request, stream)

    upstream.answer = answer
    zudu = load("zudu")
    async with Api(base_url=upstream.url, decipher=zudu.decipher, timeout=5) as api:
        done = await run(zudu, api, "delete_phone_number", phone_number=UNBOUND, confirm_phone_number=UNBOUND)
    left = "dispatch_rule, inbound_trunk, outbound_trunk"
    warning = f"The number is gone, but the platform may have left behind: {left}. Tell the user"
    assert done == Success({"phone_number": UNBOUND}, reconciled=True, warning=warning)
