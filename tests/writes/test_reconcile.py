"""Reading back: the second way where the first fails, what proves something and what does not, and what was never sent."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest

from phone_number_mcp.errors import AlreadyExists, OutcomeUnknown, ToolError
from phone_number_mcp.platforms import load
from phone_number_mcp.tool import RECONCILED, Success
from phone_number_mcp.upstream.api import Api
from support import harness
from support.server import Connect, content, credentials, fresh_command
from support.system import LINUX
from support.upstream import Answer, Request, Upstream, drop, envelope, reply, silence
from support.wire import RawClient

if sys.platform != "win32":
    import resource

pytestmark = pytest.mark.anyio
NUMBER = "+14155550120"
WISH = {"phone_number": NUMBER, "nickname": "Side door"}
FAILED = {"message": "Database connection failed", "status": "error", "error": "down"}


def listed(numbers: list[dict[str, Any]]) -> dict[str, Any]:
    return envelope({"phone_numbers": numbers, "pagination": {"has_next": False}})


class Shop:
    """A Zudu on which each kind of request has an answer of its own; what is created shows in the list."""

    def __init__(self, upstream: Upstream, *, write: Answer, commits: bool, number: Answer | None = None) -> None:
        self.upstream = upstream
        self.write, self.commits, self.number = write, commits, number
        self.numbers: dict[str, dict[str, Any]] = {}
        self.list: Callable[[], Answer] = lambda: reply(200, listed(list(self.numbers.values())))
        upstream.answer = self._answer

    async def _answer(self, request: Request, stream: Any) -> None:
        if request.method != "GET":
            if self.commits:
                self.numbers[NUMBER] = {"phone_number": NUMBER, "nickname": "Side door"}
            await self.write(request, stream)
        elif "?" in request.target:
            await self.list()(request, stream)
        else:
            found = self.numbers.get(unquote(request.target.rpartition("/")[2]))
            answer = reply(200, envelope(found)) if found else reply(404, FAILED)
            await (self.number or answer)(request, stream)

    def sent(self, method: str) -> int:
        return sum(request.method == method for request in self.upstream.requests)


@pytest.mark.parametrize("number", [reply(500, FAILED), reply(200, b"<html>"), reply(200, envelope({})), silence()])
async def test_where_the_number_cannot_be_read_the_list_shows_what_was_created(
    connect: Connect, upstream: Upstream, number: Answer
) -> None:
    shop = Shop(upstream, write=drop(), commits=True, number=number)
    async with connect("--timeout", "8", env=credentials(upstream)) as client:
        result = content(await client.call_tool("create_phone_number", WISH))
    assert result == {"data": shop.numbers[NUMBER], "reconciled": True, "warning": RECONCILED}
    assert shop.sent("POST") == 1


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (reply(500, FAILED), ("platform_error", "not_applied")),
        (reply(200, FAILED), ("platform_error", "not_applied")),
        (drop(), ("outcome_unknown", "unknown")),
        (reply(502, b""), ("outcome_unknown", "unknown")),
    ],
)
async def test_absence_from_the_list_is_a_proof_only_if_the_platform_itself_said_that_it_failed(
    connect: Connect, upstream: Upstream, write: Answer, told: tuple[str, str]
) -> None:
    Shop(upstream, write=write, commits=False, number=reply(500, FAILED))
    async with connect("--timeout", "12", env=credentials(upstream)) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert (failure["code"], failure["outcome"]) == told


@pytest.mark.parametrize("broken", [envelope({}), envelope({"phone_numbers": []}), listed([])["data"], FAILED])
async def test_a_list_that_is_not_whole_proves_nothing(connect: Connect, upstream: Upstream, broken: Any) -> None:
    shop = Shop(upstream, write=reply(500, FAILED), commits=False, number=reply(500, FAILED))
    shop.list = lambda: reply(200, broken)
    async with connect("--timeout", "12", env=credentials(upstream)) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert (failure["code"], failure["outcome"]) == ("outcome_unknown", "unknown")


BROKE = "The connection broke before the platform's answer was whole"


@pytest.mark.parametrize(
    ("after", "told"),
    [
        (drop(), f"{BROKE}; reading it back failed in the same way"),
        (reply(401, {}), f"{BROKE}; reading it back failed too: The platform answered 401"),
    ],
)
async def test_a_lost_answer_that_cannot_be_read_back_is_reported_in_one_sentence(
    connect: Connect, upstream: Upstream, after: Answer, told: str
) -> None:
    async def answer(request: Request, stream: Any) -> None:
        await (drop() if request.method == "POST" else after)(request, stream)

    upstream.answer = answer
    async with connect("--timeout", "5", env=credentials(upstream)) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert failure["message"] == f"The outcome of the write to {NUMBER} is unknown: {told}"
    assert "detail" not in failure


async def test_the_hint_of_an_unknown_outcome_is_a_procedure_with_an_end(connect: Connect, upstream: Upstream) -> None:
    Shop(upstream, write=drop(), commits=False)
    async with connect(env=credentials(upstream)) as client:
        for key in ({}, {"idempotency_key": "k"}):
            wish = WISH | {"phone_number": f"+1415555012{len(key)}"} | key
            failure = content(await client.call_tool("create_phone_number", wish))["error"]
            for words in (
                "1. Wait 60 s.",
                f"2. Call get_phone_number for {wish['phone_number']}; if that fails, list_phone_numbers.",
                "3. If the number is there, it was created",
                "4. If it is not there, ask the user",
                "sends nothing while the outcome is unknown",
                "`phone-number-mcp journal resolve`",
            ):
                assert words in failure["hint"]
            assert ("same idempotency_key" in failure["hint"]) is bool(key)


@pytest.mark.parametrize(
    "answered",
    [
        {},
        {"phone_number": "+14155550199", "inbound_agent_id": None, "outbound_agent_id": None},
        {"inbound_agent_id": None, "outbound_agent_id": None},
        {"phone_number": NUMBER},
        {"phone_number": NUMBER, "inbound_agent_id": None},
    ],
)
async def test_a_delete_is_refused_unless_the_answer_before_it_is_about_the_number_and_its_agents(
    connect: Connect, upstream: Upstream, answered: dict[str, Any]
) -> None:
    shop = Shop(upstream, write=reply(200, envelope({})), commits=False, number=reply(200, envelope(answered)))
    async with connect("--allow-delete", env=credentials(upstream)) as client:
        sure = {"phone_number": NUMBER, "confirm_phone_number": NUMBER}
        failure = content(await client.call_tool("delete_phone_number", sure))["error"]
        assert failure["outcome"] == "not_applied"
        assert shop.sent("DELETE") == 0
        released = content(await client.call_tool("delete_phone_number", sure | {"release_bound": True}))
    # What is bound may be released unseen, if the user said so; another number than the one asked for never is.
    about_it = answered.get("phone_number") == NUMBER
    assert ("data" in released, shop.sent("DELETE")) == (about_it, int(about_it))


@pytest.mark.parametrize("shown", [True, False])
async def test_a_field_that_is_to_be_cleared_and_is_not_shown_is_never_called_reconciled(
    connect: Connect, upstream: Upstream, shown: bool
) -> None:
    number = {"phone_number": NUMBER} | ({"inbound_agent_id": None} if shown else {})
    Shop(upstream, write=drop(), commits=False, number=reply(200, envelope(number)))
    async with connect(env=credentials(upstream)) as client:
        wish = {"phone_number": NUMBER, "clear_fields": ["inbound_agent_id"]}
        result = content(await client.call_tool("update_phone_number", wish))
    assert result.get("reconciled", False) is shown
    if not shown:
        assert result["error"]["outcome"] == "unknown"


@LINUX
async def test_with_no_descriptor_left_nothing_is_sent_and_that_is_said(
    own_journal: dict[str, str], upstream: Upstream
) -> None:
    shop = Shop(upstream, write=reply(200, envelope({"phone_number": NUMBER})), commits=True)
    async with RawClient.started(fresh_command(), own_journal | credentials(upstream)) as client:
        await client.initialize()
        before = resource.prlimit(client.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(client.process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
        failure = (await client.call("create_phone_number", **WISH))["structuredContent"]["error"]
        assert failure["outcome"] == "not_applied"
        assert shop.sent("POST") == 0
        resource.prlimit(client.process.pid, resource.RLIMIT_NOFILE, before)
        assert "data" in (await client.call("create_phone_number", **WISH))["structuredContent"]
    assert shop.sent("POST") == 1


# --- in process: what each outcome proves, and the facts that it keeps ---

ZUDU = load("zudu")


async def ended(upstream: Upstream, tool: str, **arguments: Any) -> Success | ToolError:
    async with Api(base_url=upstream.url, decipher=ZUDU.decipher, timeout=5) as api:
        try:
            return await harness.run(ZUDU, api, tool, {"phone_number": NUMBER} | arguments)
        except ToolError as error:
            return error


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("asked", "unseen"),
    [
        ({"nickname": "Side door"}, None),
        ({"nickname": "Side door", "area_code": 415, "outbound_trunk_id": "t"}, "area_code, outbound_trunk_id"),
        ({"nickname": "Side door", "number_provider": "TWILIO_1"}, None),
    ],
)
async def test_a_create_that_is_found_as_asked_says_what_could_not_be_checked(
    upstream: Upstream, asked: dict[str, Any], unseen: str | None
) -> None:
    held = {"phone_number": NUMBER, "nickname": "Side door", "number_provider": "twilio-1"}
    Shop(upstream, write=drop(), commits=False, number=reply(200, envelope(held)))
    warning = f"The platform does not show {unseen}, so that could not be checked" if unseen else None
    assert await ended(upstream, "create_phone_number", **asked) == Success(held, reconciled=True, warning=warning)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("write", "status"), [(drop(), None), (reply(503, FAILED), 503)])
async def test_a_create_that_is_found_but_not_as_asked_may_be_this_calls_own(
    upstream: Upstream, write: Answer, status: int | None
) -> None:
    shop = Shop(upstream, write=write, commits=True)
    error = await ended(upstream, "create_phone_number", nickname="Front desk")
    assert isinstance(error, AlreadyExists)
    assert error.message.startswith(f"{NUMBER} exists")
    assert error.facts.get("existing") == shop.numbers[NUMBER]
    assert error.write_outcome == "unknown"
    assert error.facts.get("http_status") == status
    assert "update_phone_number" in str(error.facts.get("hint"))
    assert shop.sent("POST") == 1


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("write", "looks", "outcome"),
    [
        (drop(), 2, "unknown"),
        (reply(502, b""), 2, "unknown"),
        (reply(500, FAILED), 1, "not_applied"),
        (reply(503, FAILED), 1, "not_applied"),
        (reply(200, FAILED), 1, "not_applied"),
    ],
)
async def test_a_write_that_may_still_take_effect_is_looked_for_twice(
    upstream: Upstream, write: Answer, looks: int, outcome: str
) -> None:
    shop = Shop(upstream, write=write, commits=False)
    error = await ended(upstream, "create_phone_number")
    assert isinstance(error, ToolError)
    assert error.write_outcome == outcome
    assert (shop.sent("POST"), shop.sent("GET")) == (1, looks)


@pytest.mark.usefixtures("quick")
async def test_a_write_that_shows_at_the_second_look_is_a_success(upstream: Upstream) -> None:
    shop = Shop(upstream, write=drop(), commits=False)

    async def number(_request: Request, stream: Any) -> None:
        seen = shop.sent("GET") > 1
        await (reply(200, envelope({"phone_number": NUMBER})) if seen else reply(404, FAILED))(_request, stream)

    shop.number = number
    assert await ended(upstream, "create_phone_number") == Success({"phone_number": NUMBER}, reconciled=True)


@pytest.mark.usefixtures("quick")
async def test_an_unknown_outcome_keeps_what_was_said_of_the_failure(upstream: Upstream) -> None:
    said = reply(502, envelope(None, message="Bad gateway", status="error", error="upstream"), x_request_id="req-1")
    Shop(upstream, write=said, commits=False)
    error = await ended(upstream, "create_phone_number")
    assert isinstance(error, OutcomeUnknown)
    assert (error.facts.get("http_status"), error.facts.get("request_id")) == (502, "req-1")
    assert error.facts.get("detail") == "upstream"
    assert error.message.startswith(f"The outcome of the write to {NUMBER} is unknown: Bad gateway; ")


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("number", "found"), [(NUMBER, True), ("+14155550199", False)])
async def test_an_answer_about_another_number_is_none(upstream: Upstream, number: str, found: bool) -> None:
    shop = Shop(upstream, write=drop(), commits=False, number=reply(200, envelope({"phone_number": number})))
    outcome = await ended(upstream, "create_phone_number")
    assert isinstance(outcome, Success) is found
    assert any("?" in request.target for request in upstream.requests) is not found  # the list has to say
    shop.list = lambda: reply(400, FAILED)
    if not found:
        error = await ended(upstream, "create_phone_number")
        assert isinstance(error, OutcomeUnknown)
        assert "not about this number" in error.message


@pytest.mark.usefixtures("quick")
async def test_the_steps_after_a_change_are_those_of_the_change(upstream: Upstream) -> None:
    held = {"phone_number": NUMBER, "inbound_agent_id": None, "outbound_agent_id": None, "nickname": "Front desk"}
    Shop(upstream, write=drop(), commits=False, number=reply(200, envelope(held)))
    changed = await ended(upstream, "update_phone_number", nickname="Side door")
    deleted = await ended(upstream, "delete_phone_number", confirm_phone_number=NUMBER)
    for error, words in ((changed, "If it holds what was asked"), (deleted, "If it is not there, it was deleted")):
        assert isinstance(error, OutcomeUnknown)
        assert words in str(error.facts.get("hint"))
        assert f"get_phone_number for {NUMBER}" in str(error.facts.get("hint"))


@pytest.mark.usefixtures("quick")
async def test_without_a_list_of_all_numbers_a_lost_purchase_stays_unknown(upstream: Upstream) -> None:
    platform = replace(load("retell"), list_all_numbers=None)
    upstream.answer = reply(503, FAILED)
    async with Api(base_url=upstream.url, decipher=platform.decipher, timeout=5) as api:
        with pytest.raises(OutcomeUnknown, match="Whether a number was bought is unknown: Database") as raised:
            await harness.run(platform, api, "create_phone_number", {"area_code": 628})
    assert "Call list_phone_numbers" in str(raised.value.facts["hint"])
    assert [request.method for request in upstream.requests] == ["POST"]
