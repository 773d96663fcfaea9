"""Zudu, against a real server on a socket: what is sent, what comes back, and what each answer means."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from phone_number_mcp.errors import (
    AlreadyExists,
    InvalidArguments,
    InvalidReply,
    NotFound,
    OutcomeUnknown,
    PlatformError,
    RateLimited,
    Rejected,
    ToolError,
    Unauthorized,
)
from phone_number_mcp.platforms import load
from phone_number_mcp.upstream.api import Api
from support.documented import DOCUMENTED_CREATE, DOCUMENTED_CREATED, DOCUMENTED_GET
from support.harness import account, run
from support.upstream import Request, Upstream, drop, envelope, reply, silence

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]
ZUDU = load("zudu")
NUMBER = "+14155550100"

# The examples of https://docs.zudu.ai/api-reference/phone-numbers/get and …/post-phone-numbers-create.


@pytest.fixture
async def api(upstream: Upstream) -> AsyncIterator[Api]:
    async with Api(
        base_url=upstream.url,
        decipher=ZUDU.decipher,
        timeout=5,
    ) as opened:
        yield opened


async def get(api: Api, phone_number: Any = NUMBER) -> dict[str, Any]:
    return (await run(ZUDU, api, "get_phone_number", {"phone_number": phone_number})).data


async def create(api: Api, **arguments: Any) -> dict[str, Any]:
    return (await run(ZUDU, api, "create_phone_number", {"phone_number": NUMBER} | arguments)).data


async def test_the_documented_get_comes_back_field_for_field(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, envelope(DOCUMENTED_GET, message="Phone number retrieved successfully"))
    assert await get(api, "+14155551234") == DOCUMENTED_GET
    (request,) = upstream.requests
    assert (request.method, request.target, request.body) == ("GET", "/api/phone-numbers/%2B14155551234", b"")


async def test_nulls_and_fields_that_are_not_documented_are_kept(api: Api, upstream: Upstream) -> None:
    data = dict.fromkeys(DOCUMENTED_GET, None) | {"phone_number": NUMBER, "sms_enabled": True, "labels": [{"a": None}]}
    upstream.answer = reply(200, envelope(data))
    assert await get(api) == data


async def test_the_documented_create_is_sent_and_comes_back_field_for_field(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, envelope(DOCUMENTED_CREATED, message="Phone number created successfully"))
    assert await create(api, **DOCUMENTED_CREATE) == DOCUMENTED_CREATED
    (request,) = upstream.requests
    assert (request.method, request.target) == ("POST", "/api/phone-numbers/create")
    assert request.json == DOCUMENTED_CREATE


async def test_only_what_the_caller_gave_is_sent(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, envelope({"phone_number": NUMBER}))
    await create(api, nickname="", inbound_agent_id=None, outbound_agent_id="null", area_code="415")
    assert upstream.requests[0].json == {"phone_number": NUMBER, "area_code": 415}


@pytest.mark.parametrize(
    ("status", "body", "expected", "message", "detail"),
    [
        (
            401,
            {"message": "Unauthorized", "status": "error", "error": "Missing or invalid API key/secret"},
            Unauthorized,
            "Unauthorized",
            "Missing or invalid API key/secret",
        ),
        (
            404,
            {
                "message": "Phone number not found",
                "status": "error",
                "error": f"Phone number '{NUMBER}' does not exist",
            },
            NotFound,
            "Phone number not found",
            f"Phone number '{NUMBER}' does not exist",
        ),
        (
            500,
            {"message": "Failed to retrieve phone number", "status": "error", "error": "Database connection failed"},
            PlatformError,
            "Failed to retrieve phone number",
            "Database connection failed",
        ),
        # A documented 400 says "success": the HTTP status speaks first, and the reason is in `error`.
        (400, {"message": "Done", "status": "success", "error": "Bad nickname"}, Rejected, "Bad nickname", None),
        (
            200,
            {"message": "No luck", "status": "error", "error": "Carrier down"},
            PlatformError,
            "No luck",
            "Carrier down",
        ),
        (200, {"message": "Phone number not found", "status": "error"}, NotFound, "Phone number not found", None),
        (200, {"status": "ERROR", "error": "Number already exists"}, AlreadyExists, "Number already exists", None),
        (200, {"status": "fail", "message": "No"}, PlatformError, "No", None),
        (
            400,
            {"status": "error", "message": "Trunk ST_1 is already in use"},
            Rejected,
            "Trunk ST_1 is already in use",
            None,
        ),
        (422, {"message": "Number already exists", "status": "error"}, AlreadyExists, "Number already exists", None),
        (429, {"message": "Slow down", "status": "error"}, RateLimited, "Slow down", None),
        (418, {}, Rejected, "The platform answered 418", None),
        (502, b"<html>", PlatformError, "The platform answered 502, and its text cannot be read: it is not JSON", None),
        (401, b"", Unauthorized, "The platform answered 401", None),
        (200, b"<html>", InvalidReply, "The platform's answer cannot be read: it is not JSON", None),
        (200, b"", InvalidReply, "The platform's answer cannot be read: it is not the documented JSON object", None),
        (200, [1], InvalidReply, "The platform's answer cannot be read: it is not the documented JSON object", None),
        (200, {"status": "success"}, InvalidReply, "The platform's answer cannot be read: it has no data in it", None),
        (200, envelope(["a"]), InvalidReply, "The platform's answer cannot be read: it has no data in it", None),
        (302, b"", InvalidReply, "The platform answered with a redirect (302), which is never followed", None),
    ],
)
async def test_each_answer_means_what_the_contract_says(
    api: Api, upstream: Upstream, status: int, body: Any, expected: type[ToolError], message: str, detail: str | None
) -> None:
    upstream.answer = reply(status, body)
    with pytest.raises(ToolError) as raised:
        await get(api)
    assert type(raised.value) is expected
    assert raised.value.message == message
    assert raised.value.facts.get("detail") == detail


async def test_a_429_says_when_to_try_again(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(429, {"message": "Slow down", "status": "error"}, retry_after="3")
    with pytest.raises(RateLimited) as raised:
        await create(api)
    failure = raised.value.failure(platform="zudu", operation="create_phone_number", write=True)
    assert (failure.retryable, failure.retry_after_seconds, failure.outcome) == (True, 3.0, "not_applied")


async def test_already_exists_shows_what_the_platform_holds(api: Api, upstream: Upstream) -> None:
    async def answer(request: Request, stream: Any) -> None:
        taken = {"message": "Phone number already exists", "status": "error", "error": "taken"}
        await (reply(409, taken) if request.method == "POST" else reply(200, envelope(held)))(request, stream)

    held = DOCUMENTED_GET | {"phone_number": NUMBER}
    upstream.answer = answer
    with pytest.raises(AlreadyExists) as raised:
        await create(api)
    assert raised.value.facts["existing"] == held
    held["phone_number"] = "+14155550199"  # an answer about another number shows nothing
    with pytest.raises(AlreadyExists) as raised:
        await create(api)
    assert "existing" not in raised.value.facts
    assert [request.method for request in upstream.requests].count("POST") == 2


async def test_a_number_that_exists_but_is_not_shown_may_be_somebody_elses(api: Api, upstream: Upstream) -> None:
    async def answer(request: Request, stream: Any) -> None:
        await reply(409 if request.method == "POST" else 404, {"message": "no", "status": "error"})(request, stream)

    upstream.answer = answer
    with pytest.raises(AlreadyExists) as raised:
        await create(api)
    assert "another organization" in str(raised.value.facts["hint"])


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, {"message": "Failed", "status": "error"}),
        reply(503, b""),
        reply(200, b"<html>"),
        reply(200, envelope(None)),
        reply(200, {"message": "No luck", "status": "error"}),
        drop(),
    ],
)
async def test_a_create_whose_answer_is_lost_goes_out_once_and_is_called_unknown(
    api: Api, upstream: Upstream, answer: Any
) -> None:
    upstream.answer = answer
    with pytest.raises(OutcomeUnknown) as raised:
        await create(api)
    failure = raised.value.failure(platform="zudu", operation="create_phone_number", write=True)
    assert (failure.outcome, failure.retryable) == ("unknown", False)
    assert NUMBER in str(failure.hint)
    assert [request.method for request in upstream.requests].count("POST") == 1


async def test_a_create_that_times_out_goes_out_once_and_is_called_unknown(upstream: Upstream) -> None:
    upstream.answer = silence()
    async with Api(base_url=upstream.url, decipher=ZUDU.decipher, timeout=0.2) as impatient:
        with pytest.raises(OutcomeUnknown):
            await create(impatient)
    assert [request.method for request in upstream.requests].count("POST") == 1


async def test_all_the_exchanges_of_one_call_share_its_time(upstream: Upstream) -> None:
    async def answer(request: Request, stream: Any) -> None:
        taken = reply(409, {"message": "Phone number already exists", "status": "error"})
        await (taken if request.method == "POST" else silence())(request, stream)

    upstream.answer = answer
    async with Api(base_url=upstream.url, decipher=ZUDU.decipher, timeout=1) as impatient:
        with anyio.fail_after(5), pytest.raises(AlreadyExists) as raised:
            await create(impatient)
    assert "existing" not in raised.value.facts


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({"phone_number": "4155550100"}, "phone_number", '"+14155550100"'),
        ({"phone_number": 14155550100}, "phone_number", "must be a string"),
        ({"phone_number": None}, "phone_number", "must be a string"),
        ({"area_code": 911}, "area_code", "3-digit area code"),
        ({"area_code": 99}, "area_code", "greater than or equal to 200"),
        ({"area_code": "four"}, "area_code", "valid integer"),
        ({"area_code": True}, "area_code", "must not be true or false"),
        ({"area_code": 415.5}, "area_code", "valid integer"),
        ({"inbound_agent_version": -1}, "inbound_agent_version", "greater than or equal to 0"),
        ({"inbound_webhook_url": "javascript:alert(1)"}, "inbound_webhook_url", "web address"),
        ({"inbound_webhook_url": "https://user:pw@example.com"}, "inbound_webhook_url", "web address"),
        ({"nickname": ["a"]}, "nickname", "valid string"),
        ({"nick_name": "a"}, "nick_name", "did you mean nickname?"),
        ({"phonenumber": "+14155550100"}, "phonenumber", "did you mean phone_number?"),
        ({"number": "+14155550100"}, "number", "the arguments are phone_number, area_code"),
        ({"zzz": 1}, "zzz", "the arguments are phone_number, area_code"),
    ],
)
async def test_arguments_that_do_not_fit_are_named_and_nothing_is_sent(
    api: Api, upstream: Upstream, arguments: dict[str, Any], field: str, words: str
) -> None:
    with pytest.raises(InvalidArguments) as raised:
        await create(api, **arguments)
    (problem,) = raised.value.facts["fields"] or []
    assert problem.field == field
    assert words in problem.problem
    assert upstream.requests == []


async def test_every_problem_is_named_at_once(api: Api) -> None:
    with pytest.raises(InvalidArguments) as raised:
        await run(ZUDU, api, "create_phone_number", {"area_code": 1, "fone": "x"})
    assert [problem.field for problem in raised.value.facts["fields"] or []] == ["phone_number", "area_code", "fone"]


@pytest.mark.parametrize(
    "name", ["create", "list", "available", "import", "../agents", "%2e%2e", "+1415555010/../x", ""]
)
async def test_what_is_no_number_never_reaches_a_path(api: Api, upstream: Upstream, name: str) -> None:
    with pytest.raises(InvalidArguments):
        await get(api, name)
    assert upstream.requests == []


# --- the list, when a number is read back from it ---


def page(*numbers: str, more: bool) -> dict[str, Any]:
    listed = [{"phone_number": number} for number in numbers]
    return envelope({"phone_numbers": listed, "pagination": {"has_next": more}})


@pytest.mark.parametrize(
    ("phone_number", "found", "asked"),
    [
        ("+14155550101", True, ["limit=100&page=0&area_code=415", "limit=100&page=1&area_code=415"]),
        (
            "+14155550102",
            True,
            [
                "limit=100&page=0&area_code=415",
                "limit=100&page=1&area_code=415",
                "limit=100&page=0",
                "limit=100&page=1",
                "limit=100&page=2",
            ],
        ),
        ("+442079460000", False, ["limit=100&page=0", "limit=100&page=1", "limit=100&page=2"]),
    ],
)
async def test_a_number_is_looked_for_by_its_area_code_and_then_on_every_page(
    api: Api, upstream: Upstream, phone_number: str, found: bool, asked: list[str]
) -> None:
    by_area_code = [page(NUMBER, more=True), page("+14155550101", more=False)]
    whole = [page(NUMBER, more=True), page("+14155550101", more=True), page("+14155550102", more=False)]

    async def answer(request: Request, stream: Any) -> None:
        query = request.target.partition("?")[2]
        pages = by_area_code if "area_code" in query else whole
        await reply(200, pages[int(query.split("page=")[1][0])])(request, stream)

    upstream.answer = answer
    number = await ZUDU.find_number(api.call(account(ZUDU)), phone_number)
    assert number == ({"phone_number": phone_number} if found else None)
    assert [request.target for request in upstream.requests] == [f"/api/phone-numbers?{query}" for query in asked]


@pytest.mark.parametrize(
    "data",
    [
        {"phone_numbers": [], "pagination": {}},
        {"phone_numbers": [], "pagination": None},
        {"phone_numbers": None, "pagination": {"has_next": False}},
        {"phone_numbers": [], "pagination": {"has_next": True}},  # it would go on for ever
    ],
)
async def test_a_list_that_is_not_whole_proves_no_absence(api: Api, upstream: Upstream, data: dict[str, Any]) -> None:
    upstream.answer = reply(200, envelope(data))
    with pytest.raises(InvalidReply):
        await ZUDU.find_number(api.call(account(ZUDU)), "+442079460000")
    assert len(upstream.requests) == 1


# --- keys ---


async def test_an_idempotency_key_has_at_most_200_characters(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, envelope({"phone_number": NUMBER}))
    await create(api, idempotency_key="k" * 200)
    with pytest.raises(InvalidArguments, match="idempotency_key must have at most 200 characters"):
        await create(api, idempotency_key="k" * 201)
    assert len(upstream.requests) == 1


# --- updates and deletes ---


async def test_an_update_sends_what_changes_and_null_for_what_is_cleared(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(200, envelope({"phone_number": NUMBER, "nickname": "Front desk"}))
    wish = {"phone_number": NUMBER, "nickname": "Front desk", "clear_fields": ["inbound_agent_id"]}
    updated = await run(ZUDU, api, "update_phone_number", wish)
    assert updated.data == {"phone_number": NUMBER, "nickname": "Front desk"}
    (request,) = upstream.requests
    assert (request.method, request.target) == ("PATCH", "/api/phone-numbers/%2B14155550100")
    assert request.json == {"nickname": "Front desk", "inbound_agent_id": None}


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"nickname": "x"}, False), ({"nickname": "x", "inbound_agent_id": "agent_a"}, True)],
)
async def test_what_is_not_found_on_an_update_may_be_an_agent_if_one_was_named(
    api: Api, upstream: Upstream, changes: dict[str, Any], named: bool
) -> None:
    upstream.answer = reply(404, {"message": "Not found", "status": "error"})
    with pytest.raises(NotFound) as raised:
        await run(ZUDU, api, "update_phone_number", {"phone_number": NUMBER} | changes)
    assert ("Nothing was changed. Either the number or an agent" in str(raised.value.facts.get("hint"))) is named


async def test_a_delete_looks_first_and_then_deletes_that_number(api: Api, upstream: Upstream) -> None:
    upstream.answer = reply(
        200, envelope({"phone_number": NUMBER, "inbound_agent_id": None, "outbound_agent_id": None})
    )
    await run(ZUDU, api, "delete_phone_number", {"phone_number": NUMBER, "confirm_phone_number": NUMBER})
    path = "/api/phone-numbers/%2B14155550100"
    assert [(request.method, request.target) for request in upstream.requests] == [("GET", path), ("DELETE", path)]


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({}, "inbound_agent_id, outbound_agent_id is not shown"),
        ({"inbound_agent_id": None}, "outbound_agent_id is not shown"),
        ({"inbound_agent_id": "agent_a", "outbound_agent_id": None}, "still in use: inbound_agent_id agent_a"),
    ],
)
async def test_a_number_is_not_deleted_while_it_may_be_in_use(
    api: Api, upstream: Upstream, held: dict[str, Any], words: str
) -> None:
    upstream.answer = reply(200, envelope({"phone_number": NUMBER} | held))
    with pytest.raises(InvalidArguments, match=words):
        await run(ZUDU, api, "delete_phone_number", {"phone_number": NUMBER, "confirm_phone_number": NUMBER})
    assert [request.method for request in upstream.requests] == ["GET"]


@pytest.mark.parametrize(
    ("answered", "number"),
    [
        ({"phone_number": NUMBER}, NUMBER),
        ({"phone_number": {"phone_number": NUMBER, "nickname": None}}, NUMBER),  # as an import is answered
        ({"phone_number": {}}, None),
        ({"phone_number": ""}, None),
        ({"phone_number": 14155550100}, None),
        ({}, None),
    ],
)
def test_the_number_that_an_answer_is_about(answered: dict[str, Any], number: str | None) -> None:
    assert ZUDU.number_in(answered) == number
