"""The real server as a subprocess, spoken to by the official client and in raw JSON lines."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import pytest
from mcp import MCPError

from phone_number_mcp import __version__
from phone_number_mcp.writes.maintenance import entries
from support.documented import DOCUMENTED_AGENTS, DOCUMENTED_CREATE, DOCUMENTED_CREATED, DOCUMENTED_GET
from support.server import KEY, SECRET, TOOLS, Connect, Open, content, credentials
from support.upstream import Answer, Request, Upstream, drop, envelope, having_agents, reply, silence
from support.wire import HANDSHAKE, MODERN

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("mode", ["legacy", MODERN, "auto"])


@ERAS
async def test_an_agent_looks_a_number_up_and_creates_one(connect: Connect, upstream: Upstream, mode: str) -> None:
    async with connect(mode=mode, env=credentials(upstream)) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        upstream.answer = reply(200, envelope(DOCUMENTED_GET))
        got = await client.call_tool("get_phone_number", {"phone_number": "+14155551234"})
        upstream.answer = having_agents(reply(200, envelope(DOCUMENTED_CREATED)), *DOCUMENTED_AGENTS)
        created = await client.call_tool("create_phone_number", dict(DOCUMENTED_CREATE))
    assert (got.is_error, content(got)) == (False, {"data": DOCUMENTED_GET})
    assert (created.is_error, content(created)) == (False, {"data": DOCUMENTED_CREATED})
    assert [request.method for request in upstream.requests] == ["GET", "GET", "POST"]
    assert upstream.requests[2].json == DOCUMENTED_CREATE
    for request in upstream.requests:
        assert (request.headers["x-api-key"], request.headers["x-api-secret"]) == (KEY, SECRET)


FAILURES = [
    pytest.param(
        reply(401, envelope(status="error", error="Missing or invalid API key/secret")), "unauthorized", id="401"
    ),
    pytest.param(reply(402, envelope(status="error", error="Trial ended")), "payment_required", id="402"),
    pytest.param(reply(403, envelope(status="error", error="No")), "forbidden", id="403"),
    pytest.param(
        reply(404, envelope(status="error", message="Phone number not found", error="It does not exist")),
        "not_found",
        id="404",
    ),
    pytest.param(reply(409, envelope(status="error", error="Exists")), "already_exists", id="409"),
    pytest.param(reply(422, envelope(status="error", error="Bad")), "rejected", id="422"),
    pytest.param(reply(429, envelope(status="error", error="Slow"), retry_after="60"), "rate_limited", id="429"),
    pytest.param(
        reply(500, envelope(status="error", message="Failed", error="Database connection failed")),
        "platform_error",
        id="500",
    ),
    pytest.param(reply(200, envelope(status="error", error="Carrier down")), "platform_error", id="200-error"),
    pytest.param(reply(502, b"<html>Bad gateway</html>", content_type="text/html"), "platform_error", id="502-html"),
    pytest.param(reply(302, b"", location="https://example.com/"), "invalid_reply", id="redirect"),
    pytest.param(reply(200, b'{"message": "Pho'), "invalid_reply", id="cut"),
    pytest.param(reply(200, b'{"data": {"a": NaN}}'), "invalid_reply", id="nan"),
    pytest.param(drop(), "unreachable", id="drop"),
    pytest.param(silence(), "timeout", id="silence"),
]


@pytest.mark.parametrize(("answer", "code"), FAILURES)
async def test_every_failure_of_a_read_has_its_code_and_the_official_client_takes_it(
    connect: Connect, upstream: Upstream, answer: Answer, code: str
) -> None:
    upstream.answer = answer
    timeout = "0.3" if code == "timeout" else "10"
    async with connect("--timeout", timeout, env=credentials(upstream)) as client:
        result = await client.call_tool("get_phone_number", {"phone_number": "+14155550100"})
    error = content(result)["error"]
    assert result.is_error
    assert error["code"] == code
    assert error["message"]
    assert error["hint"]
    assert error["platform"] == "zudu"
    assert error["operation"] == "get_phone_number"
    assert "outcome" not in error
    again = code == "unreachable" or error.get("http_status") in {500, 502}
    assert len(upstream.requests) == (3 if again else 1)


async def test_hidden_text_of_the_platform_reaches_no_client_and_ends_no_process(raw: Open, upstream: Upstream) -> None:
    upstream.answer = reply(400, b'{"status": "error", "message": "\\u001b[31mbad\\u202e \\ud800"}')
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        result = await client.call("get_phone_number", phone_number="+14155550100")
        assert result["structuredContent"]["error"]["message"] == "bad \ufffd"
        assert (await client.ask("ping"))["result"] == {}


@ERAS
async def test_without_credentials_the_tools_are_listed_and_a_call_names_what_is_missing(
    connect: Connect, mode: str
) -> None:
    async with connect(mode=mode) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == TOOLS
        result = await client.call_tool("create_phone_number", {"phone_number": "+14155550120"})
    error = content(result)["error"]
    assert error["code"] == "not_configured"
    assert "ZUDU_API_KEY and ZUDU_API_SECRET are not set" in error["message"]
    assert error["outcome"] == "not_applied"


async def test_with_a_placeholder_for_a_credential_a_call_says_so(connect: Connect) -> None:
    async with connect(env={"ZUDU_API_KEY": "<your ZUDU_API_KEY>", "ZUDU_API_SECRET": "${ZUDU_API_SECRET}"}) as client:
        result = await client.call_tool("get_phone_number", {"phone_number": "+14155550120"})
    error = content(result)["error"]
    assert error["code"] == "not_configured"
    assert error["message"].startswith("ZUDU_API_KEY and ZUDU_API_SECRET hold placeholders, not values")


@ERAS
async def test_an_unknown_tool_is_a_protocol_error_that_names_the_tools(connect: Connect, mode: str) -> None:
    async with connect("--sandbox", mode=mode) as client:
        with pytest.raises(MCPError, match="The tools are get_phone_number, create_phone_number, ") as raised:
            await client.call_tool("delete_everything", {})
    assert raised.value.code == -32602


@pytest.mark.parametrize(
    ("options", "hidden", "why"),
    [
        ([], "delete_phone_number", "--allow-delete, which is not given"),
        (["--read-only"], "create_phone_number", "--read-only"),
        (["--read-only", "--allow-delete"], "delete_phone_number", "--read-only"),
        (["--read-only", "--tools", "update_phone_number,list_agents"], "update_phone_number", "--read-only"),
        (["--tools", "get_phone_number"], "create_phone_number", "--tools"),
        (["--read-only", "--tools", "delete_phone_number,list_agents"], "delete_phone_number", "--read-only"),
    ],
)
async def test_a_hidden_tool_is_not_listed_and_cannot_be_called(
    connect: Connect, options: list[str], hidden: str, why: str
) -> None:
    async with connect("--sandbox", *options) as client:
        assert hidden not in [tool.name for tool in (await client.list_tools()).tools]
        with pytest.raises(MCPError, match=f"{hidden} is not offered by this server because of {why}") as raised:
            await client.call_tool(hidden, {"phone_number": "+14155550100"})
        assert raised.value.code == -32602


async def test_read_only_leaves_just_what_changes_nothing(connect: Connect) -> None:
    async with connect("--sandbox", "--read-only", "--allow-delete") as client:
        tools = (await client.list_tools()).tools
    assert tools
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in tools)


async def test_the_handshake_says_who_the_server_is_and_how_to_work_with_it(raw: Open) -> None:
    async with raw("--sandbox") as client:
        result = (await client.initialize())["result"]
        assert result["protocolVersion"] == HANDSHAKE
        assert result["serverInfo"]["name"] == "phone-number-mcp"
        assert result["serverInfo"]["title"] == "Phone numbers"
        assert result["serverInfo"]["version"] == __version__
        assert result["serverInfo"]["websiteUrl"].startswith("https://")
        assert "E.164" in result["instructions"]
        assert "simulated" in result["instructions"]
        assert result["capabilities"] == {
            "tools": {"listChanged": False},
            "resources": {"subscribe": False, "listChanged": False},
            "prompts": {"listChanged": False},
            "completions": {},
        }


async def test_the_stateless_era_needs_no_handshake_and_its_lists_say_how_long_they_hold(raw: Open) -> None:
    async with raw("--sandbox") as client:
        discovered = (await client.ask_modern("server/discover"))["result"]
        assert MODERN in discovered["supportedVersions"]
        assert "E.164" in discovered["instructions"]
        listed = (await client.ask_modern("tools/list"))["result"]
        assert (listed["ttlMs"], listed["cacheScope"]) == (300_000, "public")
        called = await client.ask_modern(
            "tools/call", {"name": "get_phone_number", "arguments": {"phone_number": "+14155550100"}}
        )
        assert called["result"]["structuredContent"]["data"]["nickname"] == "Front desk"


async def test_what_the_protocol_does_not_allow_is_a_protocol_error(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        assert (await client.ask("tools/explode"))["error"]["code"] == -32601
        assert (await client.ask("tools/call", {"arguments": {}}))["error"]["code"] == -32602
        assert (await client.ask("tools/call", {"name": "get_phone_number", "arguments": [1]}))["error"][
            "code"
        ] == -32602
        assert (await client.ask("tools/list", {"cursor": "page 2"}))["error"]["code"] == -32602


async def test_a_call_without_arguments_names_what_is_required(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        response = await client.ask("tools/call", {"name": "get_phone_number"})
        assert response["result"]["structuredContent"]["error"]["fields"] == [
            {"field": "phone_number", "problem": "is required"}
        ]


async def test_stdin_that_closes_ends_the_server_quietly(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        assert await client.end() == 0
    assert client.stderr == b""


@pytest.mark.parametrize(("answer", "code"), FAILURES)
async def test_no_key_or_secret_is_in_anything_the_process_writes_even_at_debug(
    raw: Open, upstream: Upstream, answer: Answer, code: str
) -> None:
    upstream.answer = answer
    timeout = "0.3" if code == "timeout" else "10"
    async with raw("--log-level", "debug", "--timeout", timeout, env=credentials(upstream)) as client:
        await client.initialize()
        await client.call("get_phone_number", phone_number="+14155550100")
        await client.call("create_phone_number", phone_number="+14155550120", nickname=KEY)
        await client.call("get_phone_number", phone_number=SECRET)
        await client.call("get_phone_number", phone_number="+14155550100", **{KEY: SECRET})
        await client.ask("tools/call", {"name": KEY})
    assert b"phone_number_mcp" in client.stderr  # it did log
    for secret in (KEY.encode(), SECRET.encode()):
        assert secret not in client.received
        assert secret not in client.stderr


async def test_a_platform_that_sends_the_secrets_back_does_not_leak_them(raw: Open, upstream: Upstream) -> None:
    upstream.answer = reply(401, envelope(status="error", message=f"Bad key {KEY}", error=f"or secret {SECRET}"))
    async with raw("--log-level", "debug", env=credentials(upstream)) as client:
        await client.initialize()
        error = (await client.call("get_phone_number", phone_number="+14155550100"))["structuredContent"]["error"]
        upstream.answer = reply(200, envelope({"phone_number": "+14155550100", KEY: SECRET}))
        await client.call("get_phone_number", phone_number="+14155550100")
    assert (error["message"], error["detail"]) == ("Bad key [secret]", "or secret [secret]")
    assert KEY.encode() not in client.received + client.stderr
    assert SECRET.encode() not in client.received + client.stderr


TOKEN = "tok/12&34 hush"


def importing(auth_token: str) -> dict[str, str]:
    return {"phone_number": "+14155550120", "provider": "twilio", "account_sid": "AC1", "auth_token": auth_token}


async def test_a_secret_among_the_arguments_is_hidden_as_the_credentials_are(raw: Open, upstream: Upstream) -> None:
    data = {
        "phone_number": "+14155550120",
        "said": f"{TOKEN} and {KEY}",
        "at": "https://example.com/tok%2f12%2634%20hush",
    }
    async with raw("--log-level", "debug", env=credentials(upstream)) as client:
        await client.initialize()
        upstream.answer = reply(200, envelope(data | {TOKEN: 1, "kept": [{"for": TOKEN}]}))
        result = await client.call("import_phone_number", **importing(TOKEN))
        upstream.answer = reply(400, envelope(status="error", message=f"Bad token {TOKEN}", error=f"or {SECRET}"))
        error = (await client.call("import_phone_number", **importing(TOKEN)))["structuredContent"]["error"]
    assert result["structuredContent"]["data"] == data | {
        "said": "[secret] and [secret]",
        "at": "https://example.com/[secret]",
        "kept": [{"for": "[secret]"}],
    }
    assert (error["message"], error["detail"]) == ("Bad token [secret]", "or [secret]")
    assert TOKEN.encode() not in client.received + client.stderr


@pytest.mark.parametrize("secret", ["nickname", "data", "error", "phone_number"])
async def test_a_secret_that_is_the_name_of_a_field_renames_nothing(raw: Open, upstream: Upstream, secret: str) -> None:
    number = {"phone_number": "+14155550120", "nickname": "Front desk", "inbound_agent_id": None}

    async def answer(request: Request, stream: Any) -> None:
        body = (
            envelope(number | {f"old_{secret}": 1}) if request.method == "GET" else envelope(status="error", error="no")
        )
        await reply(200 if request.method == "GET" else 409, body)(request, stream)

    upstream.answer = answer
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        result = (await client.call("import_phone_number", **importing(secret)))["structuredContent"]
    assert (result["error"]["code"], result["error"]["existing"]) == ("already_exists", number)


@pytest.mark.parametrize("secret", ["already", "already_exists", "zudu", "unknown"])
async def test_a_reply_is_judged_on_what_arrived_and_shown_cleaned(raw: Open, upstream: Upstream, secret: str) -> None:
    said = "The number already exists"
    upstream.answer = reply(400, envelope(status="error", message=f"{said}\u202e"))
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        error = (await client.call("import_phone_number", **importing(secret)))["structuredContent"]["error"]
    assert error["message"] == said.replace(secret, "[secret]")
    assert (error["code"], error["platform"], error["outcome"]) == ("already_exists", "zudu", "not_applied")


async def test_texts_of_data_and_of_errors_keep_to_their_caps(raw: Open, upstream: Upstream) -> None:
    text = f"{KEY} " + "x" * 20_000
    upstream.answer = reply(200, envelope({"phone_number": "+14155550100", "note": text, "y" * 20_000: 1}))
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        data = (await client.call("get_phone_number", phone_number="+14155550100"))["structuredContent"]["data"]
        upstream.answer = reply(404, envelope(status="error", message=text, error=text), x_request_id="r" * 5_000)
        error = (await client.call("get_phone_number", phone_number="+14155550100"))["structuredContent"]["error"]
    assert data == {"phone_number": "+14155550100", "note": "[secret] " + "x" * (10_000 - 10) + "…"}
    assert (len(error["message"]), len(error["detail"]), len(error["request_id"])) == (1_000, 1_000, 1_000)


@pytest.mark.parametrize(
    "junk",
    [
        pytest.param({"a": [[]] * 240_000}, id="parts"),
        pytest.param({f"k{n}": n for n in range(45_000)}, id="keys"),
        pytest.param({"a": ["\\" * 5_000] * 90}, id="backslashes"),
        pytest.param({"a": "x" * 1_000_000}, id="one text"),
    ],
)
async def test_a_create_is_judged_by_a_huge_reply_and_shown_in_part(
    raw: Open, upstream: Upstream, own_journal: dict[str, str], junk: dict[str, Any]
) -> None:
    number = DOCUMENTED_CREATE["phone_number"]
    upstream.answer = having_agents(reply(200, envelope({**junk, **DOCUMENTED_CREATED})), *DOCUMENTED_AGENTS)
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        shown = (await client.call("create_phone_number", **DOCUMENTED_CREATE))["structuredContent"]
    assert shown["data"]["phone_number"] == number
    assert "too large to be shown whole" in shown["warning"]
    assert len(json.dumps(shown)) < 1_000_000
    assert [asked.method for asked in upstream.requests] == ["GET", "POST"]
    (entry,) = entries(own_journal["PHONE_NUMBER_MCP_JOURNAL"])
    assert (entry.outcome, entry.phone_number) == ("applied", number)


async def test_words_that_are_no_text_are_shown_as_text_and_cleaned(raw: Open, upstream: Upstream) -> None:
    said = {"reason": f"bad\u202e {KEY[:9]}\u200b{KEY[9:]}", "codes": [7, None, "\ud800"]}
    upstream.answer = reply(400, {"status": "error", "message": said, "error": [said]})
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        error = (await client.call("get_phone_number", phone_number="+14155550100"))["structuredContent"]["error"]
    assert error["message"] == error["detail"] == "reason: bad [secret], codes: 7, , \ufffd"


async def test_a_resource_is_cleaned_as_a_result_is(raw: Open, upstream: Upstream) -> None:
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        upstream.answer = reply(200, envelope({"nickname": f"a\u202e {KEY}", KEY: "hidden", "n": "\ud800"}))
        read = await client.ask("resources/read", {"uri": "phone-number://+14155550100"})
        upstream.answer = reply(404, envelope(status="error", message=f"No {KEY}\u202e"))
        refused = await client.ask("resources/read", {"uri": "phone-number://+14155550100"})
    (contents,) = read["result"]["contents"]
    assert json.loads(contents["text"]) == {"nickname": "a [secret]", "n": "\ufffd"}
    assert refused["error"]["message"] == refused["error"]["data"]["error"]["message"] == "No [secret]"


@pytest.mark.parametrize(
    ("options", "tool", "hint"),
    [
        ([], "get_phone_number", "Call list_phone_numbers with that name as nickname to find the phone number"),
        (["--platform", "retell"], "get_phone_number", "Call list_phone_numbers with that name as nickname"),
        (["--tools", "get_phone_number"], "get_phone_number", "Ask the user for the phone number"),
        ([], "create_phone_number", "Fix the listed fields"),  # which number to create, no list can say
    ],
)
async def test_a_name_in_place_of_a_number_is_answered_with_the_way_to_find_it(
    connect: Connect, options: list[str], tool: str, hint: str
) -> None:
    async with connect("--sandbox", *options) as client:
        error = content(await client.call_tool(tool, {"phone_number": "Front desk"}))["error"]
    assert error["code"] == "invalid_arguments"
    assert error["fields"][0]["problem"] == "has letters in it: it looks like a name, not a phone number"
    assert hint in error["hint"]


async def test_a_request_before_the_handshake_is_told_what_comes_first(raw: Open) -> None:
    async with raw("--sandbox") as client:
        error = (await client.ask("tools/list"))["error"]
        assert error["code"] == -32602
        for word in ("initialize", MODERN, "io.modelcontextprotocol/protocolVersion"):
            assert word in error["message"]
        await client.initialize()  # and then it goes on
        assert "result" in await client.ask("tools/list")


async def test_malformed_parameters_are_named_and_not_repeated(raw: Open) -> None:
    async with raw("--sandbox") as client:
        hello = (await client.ask("initialize", {"protocolVersion": HANDSHAKE, "capabilities": {}}))["error"]
        assert (hello["code"], hello["message"]) == (
            -32602,
            "Invalid request parameters: params.clientInfo: Field required",
        )
        await client.initialize()
        call = (await client.ask("tools/call", {"name": ["s3cr3t"], "arguments": {}}))["error"]
        assert call["code"] == -32602
        assert "name: Input should be a valid string" in call["message"]
        assert "s3cr3t" not in call["message"]


async def test_a_version_that_nobody_speaks_is_told_which_are_supported(raw: Open) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2099-01-01",
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    async with raw("--sandbox") as client:
        error = (await client.ask("tools/list", {"_meta": meta}))["error"]
    assert (error["code"], error["data"]["supported"]) == (-32022, [MODERN])


async def test_the_icon_is_given_once_and_not_with_every_result(raw: Open) -> None:
    async with raw("--sandbox") as client:
        info = (await client.initialize())["result"]["serverInfo"]
    async with raw("--sandbox") as client:
        discovered = (await client.ask_modern("server/discover"))["result"]["_meta"]
        listed = (await client.ask_modern("tools/list"))["result"]["_meta"]
    assert discovered["io.modelcontextprotocol/serverInfo"]["icons"] == info["icons"]
    (icon,) = info["icons"]
    assert icon["mimeType"] == "image/svg+xml"
    kind, _, drawing = icon["src"].partition(",")
    assert kind == "data:image/svg+xml"
    assert unquote(drawing).startswith("<svg xmlns='http://www.w3.org/2000/svg'")
    assert len(icon["src"]) < 300
    assert "icons" not in listed["io.modelcontextprotocol/serverInfo"]


async def test_a_client_of_a_version_without_icons_is_given_none(raw: Open) -> None:
    async with raw("--sandbox") as client:
        hello = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}}
        result = (await client.ask("initialize", hello))["result"]
    assert (result["protocolVersion"], "icons" in result["serverInfo"]) == ("2025-06-18", False)
