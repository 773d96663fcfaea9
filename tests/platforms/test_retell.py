"""Retell: its own rules, and its published client as the judge of our sandbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import anyio
import pytest
import retell
from retell import Retell

from phone_number_mcp.errors import (
    AlreadyExists,
    InvalidArguments,
    InvalidReply,
    NotFound,
    OutcomeUnknown,
    PaymentRequired,
    PlatformError,
    Rejected,
    ToolError,
    Unauthorized,
)
from phone_number_mcp.platforms import load
from phone_number_mcp.platforms.retell import PhoneNumber
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.writes.journal import Intent
from phone_number_mcp.writes.sqlite import SqliteJournal
from support import harness
from support.recorded import recorded
from support.upstream import Answer, Request, Upstream, drop, reply

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]
RETELL = load("retell")
NUMBER = "+14155550100"
ONE = {"agent_id": "agent_a", "weight": 1}


@pytest.fixture
async def api(upstream: Upstream) -> AsyncIterator[Api]:
    async with Api(
        base_url=upstream.url,
        decipher=RETELL.decipher,
        timeout=5,
    ) as opened:
        yield opened


async def run(api: Api, tool: str, **arguments: Any) -> dict[str, Any]:
    return (await harness.run(RETELL, api, tool, arguments)).data


async def refusal(api: Api, tool: str, **arguments: Any) -> InvalidArguments:
    with pytest.raises(InvalidArguments) as raised:
        await run(api, tool, **arguments)
    return raised.value


# --- answers ---


@pytest.mark.parametrize(
    ("status", "body", "expected", "message"),
    [
        (401, {"status": "error", "message": "Bad key"}, Unauthorized, "Bad key"),
        (402, {"status": "error", "message": "Trial has ended"}, PaymentRequired, "Trial has ended"),
        (404, {}, NotFound, "The platform answered 404"),
        (422, {"message": "Cannot find requested asset under given api key."}, NotFound,
         "Cannot find requested asset under given api key."),
        (422, {"status": "error", "message": "Weights are off"}, Rejected, "Weights are off"),
        (500, {"status": "error"}, PlatformError, "The platform answered 500"),
        (200, {"status": "error", "message": "No luck"}, PlatformError, "No luck"),
        (200, b"", InvalidReply, "The platform's answer cannot be read: it is not the documented JSON object"),
        (200, [], InvalidReply, "The platform's answer cannot be read: it is not the documented JSON object"),
    ],
)  # fmt: skip
async def test_each_answer_means_what_the_contract_says(
    api: Api, upstream: Upstream, status: int, body: Any, expected: type[ToolError], message: str
) -> None:
    upstream.answer = reply(status, body)
    with pytest.raises(ToolError) as raised:
        await run(api, "get_phone_number", phone_number=NUMBER)
    assert type(raised.value) is expected
    assert raised.value.message == message


async def test_what_cannot_be_found_on_create_is_not_the_number(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(422, {"message": "Cannot find requested asset under given api key."})
    with pytest.raises(Rejected) as raised:
        await run(api, "create_phone_number", phone_number=NUMBER, inbound_agents=[ONE])
    assert type(raised.value) is Rejected


@pytest.mark.parametrize(
    ("tool", "arguments", "path"),
    [
        ("create_phone_number", {}, "/create-phone-number"),
        ("import_phone_number", {"termination_uri": "x.pstn.twilio.com"}, "/import-phone-number"),
    ],
)
async def test_a_number_that_exists_already_is_shown(
    api: Api, upstream: Upstream, tool: str, arguments: dict[str, Any], path: str
) -> None:
    async def answer(request: Request, stream: Any) -> None:
        taken = reply(400, {"status": "error", "message": f"Phone number {NUMBER} already exists"})
        await (taken if request.method == "POST" else reply(200, {"phone_number": NUMBER}))(request, stream)

    upstream.answer = answer
    with pytest.raises(AlreadyExists) as raised:
        await run(api, tool, phone_number=NUMBER, **arguments)
    assert raised.value.facts["existing"] == {"phone_number": NUMBER}
    assert [(request.method, request.target) for request in upstream.requests] == [
        ("POST", path), ("GET", "/get-phone-number/%2B14155550100"),
    ]  # fmt: skip
    assert upstream.requests[0].json == {"phone_number": NUMBER, **arguments}


async def test_fields_that_the_platform_retired_are_shown_where_a_reply_still_has_them(
    api: Api, upstream: Upstream
) -> None:
    data = {"phone_number": NUMBER, "inbound_agent_id": "agent_a", "inbound_agent_version": 2, "new_field": [1]}
    upstream.answer = reply(200, data)
    assert await run(api, "get_phone_number", phone_number=NUMBER) == data


def test_every_field_that_the_get_page_names_is_in_the_output_model() -> None:
    named = {
        "phone_number", "phone_number_type", "last_modification_timestamp", "phone_number_pretty", "area_code", "nickname",
        "inbound_agents", "outbound_agents", "inbound_sms_agents", "outbound_sms_agents", "inbound_agent_id",
        "outbound_agent_id", "inbound_agent_version", "outbound_agent_version", "inbound_webhook_url",
        "inbound_sms_webhook_url", "allowed_inbound_country_list", "allowed_outbound_country_list", "fallback_number",
        "sip_outbound_trunk_config",
    }  # fmt: skip
    assert PhoneNumber.model_fields.keys() == named


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("create_phone_number", {"phone_number": NUMBER}),
        ("import_phone_number", {"phone_number": NUMBER, "termination_uri": "x.pstn.twilio.com"}),
        ("update_phone_number", {"phone_number": NUMBER, "nickname": "x"}),
    ],
)
async def test_a_write_whose_answer_is_lost_goes_out_once_and_is_called_unknown(
    api: Api, upstream: Upstream, tool: str, arguments: dict[str, Any]
) -> None:
    upstream.answer = drop()
    with pytest.raises(OutcomeUnknown) as raised:
        await run(api, tool, **arguments)
    assert "get_phone_number" in str(raised.value.facts["hint"])
    assert len([request for request in upstream.requests if request.method != "GET"]) == 1


# --- a purchase without a number: there is no key to read back by ---


class Shop:
    """Sells any number, and answers as it is told to."""

    def __init__(self, upstream: Upstream, answer: Answer, *, sells: bool) -> None:
        self.numbers = [{"phone_number": "+14155550100"}]
        self.lists_fail = False
        self._upstream, self._bad_answer, self._sells = upstream, answer, sells
        upstream.answer = self._answer

    async def _answer(self, request: Request, stream: Any) -> None:
        if request.method == "POST":
            if self._sells:
                self.numbers.append({"phone_number": "+16285550160"})
            await self._bad_answer(request, stream)
        elif self.lists_fail:
            await reply(400, {"status": "error", "message": "No list today"})(request, stream)
        elif request.target.startswith("/get-phone-number/"):
            await reply(200, self.numbers[-1])(request, stream)
        else:  # one number a page
            after = dict(part.split("=") for part in request.target.partition("?")[2].split("&")).get("pagination_key")
            place = int(after or 0)
            more = (
                {"has_more": True, "pagination_key": str(place + 1)}
                if place + 1 < len(self.numbers)
                else {"has_more": False}
            )
            await reply(200, {"items": self.numbers[place : place + 1]} | more)(request, stream)

    @property
    def posts(self) -> int:
        return [request.method for request in self._upstream.requests].count("POST")


@pytest.mark.parametrize("answer", [drop(), reply(500, {"status": "error"}), reply(201, b"<html>")])
async def test_what_was_bought_is_named_as_a_candidate(api: Api, upstream: Upstream, answer: Answer) -> None:
    shop = Shop(upstream, answer, sells=True)
    with pytest.raises(OutcomeUnknown) as raised:
        await run(api, "create_phone_number", area_code=628)
    assert "New since: +16285550160" in raised.value.message
    assert "get_phone_number for +16285550160" in str(raised.value.facts["hint"])
    assert raised.value.facts["detail"] == "candidates: +16285550160"
    assert shop.posts == 1


async def test_all_that_is_new_is_named(api: Api, upstream: Upstream) -> None:
    shop = Shop(upstream, reply(502, b""), sells=True)

    async def another(request: Request, stream: Any) -> None:
        shop.numbers.append({"phone_number": "+16285550159"})  # bought by somebody else meanwhile
        await reply(502, b"")(request, stream)

    shop._bad_answer = another
    with pytest.raises(OutcomeUnknown, match=r"New since: \+16285550159, \+16285550160") as raised:
        await run(api, "create_phone_number", area_code=628)
    assert raised.value.facts["http_status"] == 502


async def test_a_purchase_after_which_the_list_fails_is_unknown_with_the_steps_to_find_it(
    api: Api, upstream: Upstream
) -> None:
    shop = Shop(upstream, drop(), sells=True)

    async def fails(request: Request, stream: Any) -> None:
        shop.lists_fail = True
        await drop()(request, stream)

    shop._bad_answer = fails
    with pytest.raises(OutcomeUnknown, match="listing the numbers failed too: No list today") as raised:
        await run(api, "create_phone_number", area_code=628)
    assert "Call list_phone_numbers" in str(raised.value.facts["hint"])
    assert shop.posts == 1


async def test_nothing_new_after_the_platforms_own_no_means_that_nothing_was_bought(
    api: Api, upstream: Upstream
) -> None:
    shop = Shop(upstream, reply(503, {"status": "error", "message": "No luck"}), sells=False)
    with pytest.raises(PlatformError) as raised:
        await run(api, "create_phone_number", area_code=628)
    assert raised.value.write_outcome == "not_applied"
    assert shop.posts == 1


async def test_nothing_new_after_a_lost_answer_may_still_be_on_its_way(api: Api, upstream: Upstream) -> None:
    for answer, status in ((drop(), None), (reply(502, b""), 502)):
        shop = Shop(upstream, answer, sells=False)
        with pytest.raises(OutcomeUnknown, match="No new number is there yet") as raised:
            await run(api, "create_phone_number", area_code=628)
        assert "Call list_phone_numbers" in str(raised.value.facts["hint"])
        assert raised.value.facts["http_status"] == status
    assert shop.posts == 2


async def test_purchases_without_a_number_go_one_by_one_and_the_same_one_is_shared(
    api: Api, upstream: Upstream
) -> None:
    shop = Shop(upstream, reply(201, {"phone_number": "+16285550160"}), sells=True)
    (tool,) = [tool for tool in RETELL.tools if tool.name == "create_phone_number"]
    wishes: list[dict[str, Any]] = [{"area_code": 628}] * 4 + [{"area_code": 415}]
    async with harness.writes(RETELL, api) as writes, anyio.create_task_group() as tasks:
        for wish in wishes:
            tasks.start_soon(writes.run, tool, tool.read(wish), harness.account(RETELL))
    assert shop.posts == 2
    assert [request.method for request in upstream.requests if "pagination" not in request.target] == [
        "GET", "POST", "GET", "POST",
    ]  # fmt: skip


async def test_nothing_is_bought_while_there_is_no_list_to_compare_with(api: Api, upstream: Upstream) -> None:
    shop = Shop(upstream, reply(201, {}), sells=True)
    shop.lists_fail = True
    with pytest.raises(Rejected) as raised:
        await run(api, "create_phone_number", area_code=628)
    assert raised.value.write_outcome == "not_applied"
    assert shop.posts == 0


async def test_a_purchase_that_was_cut_off_is_reported_once_before_the_next(
    api: Api, upstream: Upstream, tmp_path: Path
) -> None:
    place = str(tmp_path / "journal")
    before = SqliteJournal(place)
    credentials = harness.account(RETELL).credentials
    await before.claim(
        Intent("retell", harness.ADDRESS, credentials, "create_phone_number", None, "fingerprint", 25, creates=True),
        anyio.current_time() + 5,
    )
    await before.close()  # as if the server was killed: the claim is open, and its owner gone
    upstream.answer = reply(201, {"phone_number": "+16285550160"})
    (tool,) = [tool for tool in RETELL.tools if tool.name == "create_phone_number"]
    account = harness.account(RETELL)
    async with harness.writes(RETELL, api, place) as writes:
        with pytest.raises(OutcomeUnknown, match=r"An earlier create_phone_number, started .* outcome unknown"):
            await writes.run(tool, tool.read({"area_code": 628}), account)
        assert upstream.requests == []
        upstream.answer = Shop(upstream, reply(201, {"phone_number": "+16285550160"}), sells=True)._answer
        bought = await writes.run(tool, tool.read({"country_code": "US", "idempotency_key": "k"}), account)
        again = await writes.run(
            tool, tool.read({"country_code": "US", "idempotency_key": "k", "area_code": None}), account
        )
    assert bought.data == {"phone_number": "+16285550160"}
    assert again.warning
    assert [request.method for request in upstream.requests].count("POST") == 1


# --- the list ---


def page(*numbers: Any, **more: Any) -> Answer:
    return reply(200, {"items": [{"phone_number": number} for number in numbers]} | more)


async def test_every_page_of_the_list_is_read(api: Api, upstream: Upstream) -> None:
    pages = {
        "": page("+14155550101", has_more=True, pagination_key="b"),
        "b": page("+14155550102", has_more=True, pagination_key="c"),
        "c": page("+14155550103", has_more=False),
    }

    async def answer(request: Request, stream: Any) -> None:
        await pages[request.target.partition("&pagination_key=")[2]](request, stream)

    upstream.answer = answer
    call = api.call(harness.account(RETELL))
    assert RETELL.list_all_numbers is not None
    assert await RETELL.list_all_numbers(call) == {"+14155550101", "+14155550102", "+14155550103"}
    assert {request.target.split("&")[0] for request in upstream.requests} == {"/v2/list-phone-numbers?limit=100"}
    assert await RETELL.find_number(call, "+14155550103") == {"phone_number": "+14155550103"}
    assert await RETELL.find_number(call, "+14155550104") is None


@pytest.mark.parametrize(
    ("answer", "requests"),
    [
        (reply(200, {"has_more": False}), 1),
        (reply(200, {"items": []}), 1),
        (page(has_more=True), 1),
        (page(has_more=True, pagination_key=2), 1),
        (page(NUMBER, has_more=True, pagination_key="same"), 2),  # it would go on for ever
        (page(None, has_more=False), 1),
        (page("", has_more=False), 1),
        (reply(200, {"items": [NUMBER], "has_more": False}), 1),
    ],
)
async def test_a_list_that_is_not_whole_is_nothing_to_compare_with(
    api: Api, upstream: Upstream, answer: Answer, requests: int
) -> None:
    upstream.answer = answer
    assert RETELL.list_all_numbers is not None
    with pytest.raises(InvalidReply):
        await RETELL.list_all_numbers(api.call(harness.account(RETELL)))
    assert len(upstream.requests) == requests


# --- updates and deletes whose answer is lost ---


@pytest.mark.parametrize(
    ("answer", "held", "expected"),
    [
        (drop(), {"nickname": "x"}, "reconciled"),
        (reply(500, {}), {"nickname": "x"}, "reconciled"),
        (reply(500, {}), {"nickname": "old"}, "unknown"),  # it may have taken effect in part
        (reply(500, {}), {}, "unknown"),  # what is not shown cannot be compared
        (drop(), {"nickname": "old"}, "unknown"),
    ],
)
async def test_an_update_is_reconciled_by_what_the_number_is_now(
    api: Api, upstream: Upstream, answer: Answer, held: dict[str, Any], expected: str
) -> None:
    async def answered(request: Request, stream: Any) -> None:
        await (answer if request.method == "PATCH" else reply(200, {"phone_number": NUMBER} | held))(request, stream)

    upstream.answer = answered
    assert await outcome(api, "update_phone_number", phone_number=NUMBER, nickname="x") == expected
    secret = await outcome(api, "update_phone_number", phone_number=NUMBER, auth_password="hush-hush")
    assert secret == "unknown"  # a secret is never shown


@pytest.mark.parametrize(
    ("answer", "gone", "expected"),
    [(drop(), True, "reconciled"), (reply(502, b""), True, "reconciled"), (reply(500, {}), False, "not_applied"),
     (drop(), False, "unknown")],
)  # fmt: skip
async def test_a_delete_is_reconciled_by_whether_the_number_is_there(
    api: Api, upstream: Upstream, answer: Answer, gone: bool, expected: str
) -> None:
    async def answered(request: Request, stream: Any) -> None:
        deleted = any(each.method == "DELETE" for each in upstream.requests)
        whole = {"phone_number": NUMBER, "phone_number_type": "custom", "last_modification_timestamp": 1}
        there = reply(200, whole) if not (gone and deleted) else reply(404, {})
        await (answer if request.method == "DELETE" else there)(request, stream)

    upstream.answer = answered
    told = await outcome(api, "delete_phone_number", phone_number=NUMBER, confirm_phone_number=NUMBER)
    assert told == expected
    assert [request.method for request in upstream.requests].count("DELETE") == 1


async def outcome(api: Api, tool: str, **arguments: Any) -> str:
    try:
        done = await harness.run(RETELL, api, tool, arguments)
    except ToolError as error:
        return error.write_outcome
    return "reconciled" if done.reconciled else "applied"


# --- arguments ---


@pytest.mark.parametrize("weights", [[0.6, 0.3, 0.1], [1], [0.1] * 10, [1 / 3] * 3, [0.5, 0.5000009]])
async def test_weights_that_sum_to_one_are_taken_however_they_add_up(
    api: Api, upstream: Upstream, weights: list[float]
) -> None:
    upstream.answer = reply(201, {"phone_number": NUMBER})
    agents = [{"agent_id": f"agent_{place}", "weight": weight} for place, weight in enumerate(weights)]
    await run(api, "create_phone_number", phone_number=NUMBER, inbound_agents=agents)
    assert upstream.requests[0].json["inbound_agents"] == agents


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([0.33, 0.33, 0.33], "sum to 0.99; they must sum to 1"),
        ([0.5], "sum to 0.5"),
        ([0.5, 0.6], "sum to 1.1"),
        ([0, 1], "above 0"),
        ([1.5], "above 0 and at most 1"),
        (["lots"], "valid number"),
    ],
)
async def test_weights_that_do_not_are_refused_before_anything_is_sent(
    api: Api, upstream: Upstream, weights: list[Any], words: str
) -> None:
    agents = [{"agent_id": "agent_a", "weight": weight} for weight in weights]
    error = await refusal(api, "update_phone_number", phone_number=NUMBER, outbound_agents=agents)
    assert words in error.message
    assert upstream.requests == []


async def test_an_empty_list_of_agents_unbinds_all(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, {"phone_number": NUMBER})
    await run(api, "update_phone_number", phone_number=NUMBER, inbound_agents=[])
    assert upstream.requests[0].json == {"inbound_agents": []}


@pytest.mark.parametrize("tool", ["create_phone_number", "import_phone_number", "update_phone_number"])
@pytest.mark.parametrize("name", ["inbound_agent_id", "outbound_agent_id", "inbound_agent_version"])
async def test_a_retired_argument_is_answered_with_the_weighted_form(
    api: Api, upstream: Upstream, tool: str, name: str
) -> None:
    error = await refusal(
        api, tool, **({"phone_number": NUMBER} | ({"termination_uri": "x"} if tool[0] == "i" else {}) | {name: "a"})
    )
    (problem,) = [each for each in error.facts["fields"] or [] if each.field == name]
    assert f'{name.split("_", maxsplit=1)[0]}_agents: [{{"agent_id": "…", "weight": 1' in problem.problem
    assert upstream.requests == []


@pytest.mark.parametrize("version", [-1, True, "Prod", "a" * 21, "1.5"])
async def test_an_agent_version_is_a_number_or_a_tag(api: Api, version: Any) -> None:
    agents = [ONE | {"agent_version": version}]
    error = await refusal(api, "create_phone_number", inbound_agents=agents)
    assert (error.facts["fields"] or [])[0].field == "inbound_agents.0.agent_version"


@pytest.mark.parametrize(
    ("written", "path"),
    [("1001", "1001"), (1001, "1001"), ("desk-7", "desk-7"), ("+1 415 555 0100", "%2B14155550100"), (" 1001 ", "1001")],
)
async def test_what_an_imported_number_is_called_passes(api: Api, upstream: Upstream, written: Any, path: str) -> None:
    whole = {"phone_number_type": "custom", "last_modification_timestamp": 1}
    upstream.answer = reply(200, {"phone_number": unquote(path)} | whole)
    await run(api, "get_phone_number", phone_number=written)
    await run(api, "update_phone_number", phone_number=written, nickname="x")
    await run(api, "delete_phone_number", phone_number=written, confirm_phone_number=written)
    assert {request.target.rpartition("/")[2] for request in upstream.requests} == {path}


@pytest.mark.parametrize(
    "written",
    [14155550100, "4155550100", "00442079460000", "..", "../x", "a/b", "", "(415) 555-0100", "a" * 65, None, True],
)
async def test_what_is_neither_a_number_nor_a_name_is_refused(api: Api, upstream: Upstream, written: Any) -> None:
    await refusal(api, "get_phone_number", phone_number=written)
    assert upstream.requests == []


# --- the published client ---


@pytest.fixture
def client() -> Iterator[Retell]:
    with recorded("retell") as platform:
        # Strict: an answer of another shape than the client documents is an error.
        client = Retell(api_key="key_sdk", base_url=platform.url, max_retries=0, _strict_response_validation=True)
        with client:
            yield client


def test_the_published_client_can_do_all_its_phone_number_calls_on_our_sandbox(client: Retell) -> None:
    numbers = client.phone_number
    bought = numbers.create(
        phone_number="+14155550120",
        nickname="Front",
        inbound_agents=[{"agent_id": "agent_night", "weight": 0.5}, {"agent_id": "agent_reception", "weight": 0.5}],
        allowed_inbound_country_list=["US"],
    )
    assert (bought.phone_number, bought.phone_number_type, bought.area_code) == ("+14155550120", "retell-twilio", 415)
    assert [agent.weight for agent in bought.inbound_agents or []] == [0.5, 0.5]
    assert numbers.create(area_code=628).phone_number == "+16285550160"
    assert numbers.retrieve("+14155550120") == bought

    imported = numbers.import_(
        phone_number="1001",
        termination_uri="x.pstn.twilio.com",
        sip_trunk_auth_username="sip",
        sip_trunk_auth_password="hush",
    )
    assert imported.sip_outbound_trunk_config
    assert imported.sip_outbound_trunk_config.auth_username == "sip"

    changed = numbers.update("1001", nickname="Desk", inbound_sms_agents=[{"agent_id": "agent_night", "weight": 1}])
    assert (changed.nickname, (changed.inbound_sms_agents or [])[0].agent_id) == ("Desk", "agent_night")
    assert numbers.update("1001", nickname=None).nickname is None

    first = numbers.list(limit=4, sort_order="ascending")
    assert (first.has_more, len(first.items)) == (True, 4)
    assert first.pagination_key
    rest = numbers.list(limit=4, sort_order="ascending", pagination_key=first.pagination_key)
    assert (rest.has_more, len(rest.items)) == (False, 2)

    numbers.delete("1001")
    with pytest.raises(retell.UnprocessableEntityError, match="Cannot find requested asset"):
        numbers.retrieve("1001")
    assert [agent.agent_id for agent in client.agent.list().items][-1] == "agent_callback"
    (found,) = client.agent.list(filter_criteria={"query": "agent_paused"}).items
    assert (found.agent_name, found.channel, found.is_suspended) == ("Old menu", "voice", True)
    versions = client.agent.list_versions("agent_reception", limit=3, sort_order="descending")
    assert ([each.version for each in versions.items], versions.has_more) == ([3, 2, 1], True)
    with pytest.raises(retell.UnprocessableEntityError, match="Cannot find requested asset"):
        client.agent.list_versions("agent_unknown")


def test_the_published_client_is_refused_as_the_platform_refuses(client: Retell) -> None:
    with pytest.raises(retell.BadRequestError):
        client.phone_number.create(inbound_agents=[{"agent_id": "agent_reception", "weight": 0.3}])
    with pytest.raises(retell.UnprocessableEntityError):
        client.phone_number.create(inbound_agents=[{"agent_id": "agent_unknown", "weight": 1}])
    with pytest.raises(retell.AuthenticationError):
        client.copy(api_key="key_invalid").phone_number.list()


async def test_an_update_sends_what_changes_and_null_for_what_is_cleared(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, {"phone_number": NUMBER})
    await run(api, "update_phone_number", phone_number=NUMBER, nickname="x", clear_fields=["inbound_webhook_url"])
    (request,) = upstream.requests
    assert (request.method, request.target) == ("PATCH", "/update-phone-number/%2B14155550100")
    assert request.json == {"nickname": "x", "inbound_webhook_url": None}


@pytest.mark.parametrize(("written", "sent"), [(0, 0), ("0", 0), ("2", 2), ("prod", "prod"), ("a" * 20, "a" * 20)])
async def test_an_agent_version_is_sent_as_the_platform_takes_it(
    api: Api, upstream: Upstream, written: Any, sent: Any
) -> None:
    upstream.answer = reply(200, {"phone_number": NUMBER})
    agents = [{"agent_id": "agent_a", "agent_version": written, "weight": 1}]
    await run(api, "update_phone_number", phone_number=NUMBER, inbound_agents=agents)
    assert upstream.requests[0].json["inbound_agents"][0]["agent_version"] == sent


async def test_a_delete_says_which_number_is_gone_although_the_platform_says_nothing(
    api: Api, upstream: Upstream
) -> None:
    whole = {"phone_number": NUMBER, "phone_number_type": "custom", "last_modification_timestamp": 1}

    async def answer(request: Request, stream: Any) -> None:
        await (reply(204) if request.method == "DELETE" else reply(200, whole))(request, stream)

    upstream.answer = answer
    gone = await run(api, "delete_phone_number", phone_number=NUMBER, confirm_phone_number=NUMBER)
    assert gone == {"phone_number": NUMBER}
    assert [(request.method, request.target) for request in upstream.requests] == [
        ("GET", "/get-phone-number/%2B14155550100"), ("DELETE", "/delete-phone-number/%2B14155550100"),
    ]  # fmt: skip


async def test_every_agent_that_is_bound_is_named_before_a_delete(api: Api, upstream: Upstream) -> None:
    agents = [{"agent_id": "agent_a", "weight": 0.5}, {"agent_id": "agent_b", "weight": 0.5}]
    whole = {"phone_number": NUMBER, "phone_number_type": "custom", "last_modification_timestamp": 1}
    upstream.answer = reply(200, whole | {"inbound_agents": agents})
    error = await refusal(api, "delete_phone_number", phone_number=NUMBER, confirm_phone_number=NUMBER)
    assert "inbound_agents agent_a and agent_b" in error.message
    assert [request.method for request in upstream.requests] == ["GET"]


async def test_what_an_imported_number_is_called_may_be_0(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, {"phone_number": "0"})
    await run(api, "get_phone_number", phone_number=0)
    assert upstream.requests[0].target == "/get-phone-number/0"
