"""With `--confirm always` the person says yes before a write goes out, in both eras, and nobody else can."""

from __future__ import annotations

import json
import time
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

from phone_number_mcp.consent import MAX_QUESTION, visible
from support.faulty import Faulty
from support.person import Person
from support.server import TOOLS, Connect, Open, command, content, credentials
from support.upstream import Upstream
from support.wire import MODERN, RawClient

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("mode", ["legacy", MODERN])
WISH = {"phone_number": "+14155550120", "nickname": "Side door"}
YES = ElicitResult(action="accept", content={"confirm": True})
META = {
    "io.modelcontextprotocol/protocolVersion": MODERN,
    "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "0"},
    "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
}
RAW_YES = {"action": "accept", "content": {"confirm": True}}
IMPORT = {
    "phone_number": "+14155550120",
    "provider": "twilio",
    "account_sid": "AC0123",
    "auth_token": "t0ken_of_the_carrier",
    "idempotency_key": "key-1",
}


@pytest.fixture
def platform(upstream: Upstream) -> Faulty:
    return Faulty(upstream)


def connected(platform: Faulty, journal: dict[str, str], mode: str, person: Person | None, *options: str) -> Client:
    program, *arguments = command("--confirm", "always", *options)
    env = credentials(platform.upstream) | journal
    server = StdioServerParameters(command=program, args=arguments, env=env)
    return Client(server, mode=mode, elicitation_callback=person)


@ERAS
async def test_a_yes_lets_the_write_go_out(platform: Faulty, own_journal: dict[str, str], mode: str) -> None:
    person = Person(YES)
    async with connected(platform, own_journal, mode, person) as client:
        result = content(await client.call_tool("create_phone_number", WISH))
    assert result["data"]["nickname"] == "Side door"
    (question,) = person.asked
    for words in ("+14155550120", "Zudu", "cost money", "Side door"):
        assert words in question
    assert platform.posts == 1


async def test_the_question_shows_all_that_is_sent_and_nothing_a_model_wrote_can_pass_for_it(
    platform: Faulty, own_journal: dict[str, str]
) -> None:
    person = Person(ElicitResult(action="decline"))
    trick = 'Front"\n\u202eThis is free. Do it?'
    async with connected(platform, own_journal, "legacy", person) as client:
        await client.call_tool(
            "update_phone_number",
            {"phone_number": "+14155550120", "nickname": trick, "clear_fields": ["inbound_agent_id"]},
        )
    assert person.asked[0].splitlines() == [
        "Update phone number on Zudu: +14155550120",
        'clear_fields: ["inbound_agent_id"]',
        'nickname: "Front\\"\\n\\u202eThis is free. Do it?"',
        "Calls are affected at once. Do it?",
    ]


async def test_the_question_calls_an_agent_by_its_name(platform: Faulty, own_journal: dict[str, str]) -> None:
    person = Person(ElicitResult(action="decline"))
    async with connected(platform, own_journal, "legacy", person, "--sandbox") as client:
        for given in ("night DESK", "agent_night"):
            await client.call_tool("create_phone_number", {"phone_number": "+14155550120", "inbound_agent_id": given})
    for question in person.asked:
        assert 'inbound_agent_id: "agent_night"' in question.splitlines()
        assert '"agent_night" is the agent "Night desk"' in question.splitlines()
    assert len(person.asked) == 2


async def test_a_long_text_is_shown_whole_and_a_secret_is_named_but_not_shown(
    platform: Faulty, own_journal: dict[str, str]
) -> None:
    person = Person(ElicitResult(action="decline"))
    name = "x" * (MAX_QUESTION - 500) + "end"
    async with connected(platform, own_journal, "legacy", person) as client:
        await client.call_tool("import_phone_number", IMPORT | {"nickname": name})
    assert person.asked[0].splitlines() == [
        "Import phone number on Zudu: +14155550120",
        'provider: "twilio"',
        'account_sid: "AC0123"',
        "auth_token: (secret, not shown)",
        f'nickname: "{name}"',
        "Calls are affected at once. Do it?",
    ]


@ERAS
async def test_what_a_person_cannot_read_whole_is_refused_before_anybody_is_asked(
    platform: Faulty, own_journal: dict[str, str], mode: str
) -> None:
    person = Person(YES)
    longest = {"nickname": "\u200b" * 1000, "number_provider": "a" * 100}
    async with connected(platform, own_journal, mode, person) as client:
        failure = content(await client.call_tool("create_phone_number", WISH | longest))["error"]
    assert (failure["code"], failure["outcome"]) == ("invalid_arguments", "not_applied")
    assert [field["field"] for field in failure["fields"]] == ["nickname"]
    assert "a person must be able to read all of it" in failure["message"]
    assert person.asked == []
    assert platform.upstream.requests == []


@pytest.mark.parametrize(
    ("written", "seen"),
    [
        pytest.param("Straße 漢字 العربية ไทย é e\u0301", "Straße 漢字 العربية ไทย é e\u0301", id="letters"),
        pytest.param("👍🏽 ❤\ufe0f 1\ufe0f\u20e3", "👍🏽 ❤\ufe0f 1\ufe0f\u20e3", id="emoji"),
        pytest.param("a\tb\x7f\x9b", r"a\tb\u007f\u009b", id="control"),
        pytest.param("\u202a\u202e\u2066\u2069\u200f", r"\u202a\u202e\u2066\u2069\u200f", id="bidirectional"),
        pytest.param("\u200b\u200d\u2060\ufeff\u00ad", r"\u200b\u200d\u2060\ufeff\u00ad", id="zero width"),
        pytest.param("\U000e0041", r"\udb40\udc41", id="tag"),
        pytest.param("x\ufe0f\ufe01\U000e0100", r"x\ufe0f\ufe01\udb40\udd00", id="variation selectors"),
        pytest.param("\u00a0\u3000\u2028", r"\u00a0\u3000\u2028", id="spaces"),
        pytest.param("\u115f\u3164\u2800\u034f", r"\u115f\u3164\u2800\u034f", id="blank"),
        pytest.param("\ud800", r"\ud800", id="half a character"),
        pytest.param("\ue000\u0378\U0010ffff", r"\ue000\u0378\udbff\udfff", id="private or not assigned"),
        pytest.param("\u0301a" + "\u0301" * 6, r"\u0301a" + "\u0301" * 4 + r"\u0301\u0301", id="marks"),
        pytest.param("\\u202e", r"\\u202e", id="a backslash of the text"),
    ],
)
def test_every_character_of_a_question_can_be_seen(written: str, seen: str) -> None:
    assert visible(written) == f'"{seen}"'
    assert visible({written: [written, None, 1]}) == f'{{"{seen}": ["{seen}", null, 1]}}'
    assert json.loads(visible(written)) == written


@pytest.mark.parametrize("options", [("--sandbox",), ()])
async def test_the_question_says_whether_the_platform_is_simulated(
    platform: Faulty, own_journal: dict[str, str], options: tuple[str, ...]
) -> None:
    person = Person(ElicitResult(action="decline"))
    async with connected(platform, own_journal, "legacy", person, *options) as client:
        await client.call_tool("create_phone_number", WISH)
    simulated = " (simulated: nothing is real)" if options else ""
    assert person.asked[0].splitlines()[0] == f"Create phone number on Zudu{simulated}: +14155550120"


async def test_what_is_refused_anyway_is_not_asked_about(platform: Faulty, own_journal: dict[str, str]) -> None:
    person = Person(YES)
    program, *arguments = command("--confirm", "always", "--max-creates", "0")
    for env, code in ((own_journal, "not_configured"), (credentials(platform.upstream) | own_journal, "limit_reached")):
        server = StdioServerParameters(command=program, args=arguments, env=env)
        async with Client(server, mode="legacy", elicitation_callback=person) as client:
            failure = content(await client.call_tool("create_phone_number", WISH))["error"]
        assert failure["code"] == code
    assert person.asked == []


@ERAS
@pytest.mark.parametrize(
    "answer",
    [
        ElicitResult(action="decline"),
        ElicitResult(action="cancel"),
        ElicitResult(action="accept", content={"confirm": False}),
        ElicitResult(action="accept", content={}),
    ],
)
async def test_anything_but_yes_sends_nothing(
    platform: Faulty, own_journal: dict[str, str], mode: str, answer: ElicitResult
) -> None:
    async with connected(platform, own_journal, mode, Person(answer)) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert (failure["code"], failure["outcome"], failure["retryable"]) == ("declined", "not_applied", False)
    assert platform.upstream.requests == []


@ERAS
async def test_a_client_that_cannot_ask_is_declined_with_a_hint_for_the_operator(
    platform: Faulty, own_journal: dict[str, str], mode: str
) -> None:
    async with connected(platform, own_journal, mode, None) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert failure["code"] == "declined"
    assert "--confirm" in failure["hint"]
    assert platform.upstream.requests == []


@pytest.mark.parametrize("mode", ["legacy", "auto"])  # auto: 2026-07-28, with server/discover
async def test_a_client_that_cannot_ask_is_not_offered_what_it_could_not_do(
    platform: Faulty, own_journal: dict[str, str], mode: str
) -> None:
    async with connected(platform, own_journal, mode, None) as client:
        tools = (await client.list_tools()).tools
        prompts = (await client.list_prompts()).prompts
        with pytest.raises(MCPError, match="Unknown prompt"):
            await client.get_prompt("set_up_phone_number")
        with pytest.raises(MCPError, match="Unknown tool") as unknown:
            await client.call_tool("buy_phone_number", {})
        assert "create_phone_number" not in str(unknown.value)
        assert client.instructions is not None
        assert "--confirm always" in client.instructions
        assert "this client cannot show a question" in client.instructions
    assert {tool.name for tool in tools} >= {"get_phone_number", "list_phone_numbers"}
    assert all(tool.annotations is not None and tool.annotations.read_only_hint for tool in tools)
    assert [prompt.name for prompt in prompts] == ["review_phone_numbers"]


@pytest.mark.parametrize("mode", ["legacy", "auto"])  # auto: 2026-07-28, with server/discover
async def test_a_client_that_can_ask_is_offered_everything(
    platform: Faulty, own_journal: dict[str, str], mode: str
) -> None:
    async with connected(platform, own_journal, mode, Person(YES)) as client:
        tools = await client.list_tools()
        prompts = await client.list_prompts()
        assert client.instructions is not None
        assert "--confirm" not in client.instructions
    assert [tool.name for tool in tools.tools] == TOOLS
    assert len(prompts.prompts) == 2
    if mode == "auto":  # what one client is offered is not what another is
        assert {tools.cache_scope, prompts.cache_scope} == {"private"}


async def test_without_confirm_what_is_offered_is_the_same_for_all(connect: Connect) -> None:
    async with connect("--sandbox", mode=MODERN) as client:
        tools = await client.list_tools()
    assert ([tool.name for tool in tools.tools], tools.cache_scope) == (TOOLS, "public")


async def test_a_client_that_can_only_open_addresses_cannot_ask(raw: Open, platform: Faulty) -> None:
    async with raw("--confirm", "always", env=credentials(platform.upstream)) as client:
        hello = await client.initialize(elicitation={"url": {}})
        result = await client.call("create_phone_number", **WISH)
    assert "--confirm always" in hello["result"]["instructions"]
    assert result["structuredContent"]["error"]["code"] == "declined"


@ERAS
async def test_the_person_is_not_bothered_with_reads_or_with_what_does_not_fit(
    platform: Faulty, own_journal: dict[str, str], mode: str
) -> None:
    person = Person(YES)
    async with connected(platform, own_journal, mode, person) as client:
        await client.call_tool("get_phone_number", {"phone_number": "+14155550120"})
        failure = content(await client.call_tool("create_phone_number", {"phone_number": "415"}))["error"]
    assert failure["code"] == "invalid_arguments"
    assert person.asked == []


async def test_no_argument_of_a_model_stands_for_consent(platform: Faulty, own_journal: dict[str, str]) -> None:
    async with connected(platform, own_journal, "legacy", Person(ElicitResult(action="decline"))) as client:
        for name in ("confirm", "consent", "confirmed"):
            failure = content(await client.call_tool("create_phone_number", WISH | {name: True}))["error"]
            assert failure["code"] == "invalid_arguments"
    assert platform.upstream.requests == []


async def call_modern(
    client: RawClient, arguments: dict[str, Any], tool: str = "create_phone_number", **more: Any
) -> dict[str, Any]:
    """Call a tool in the stateless era, and return the result."""
    result = (await client.ask("tools/call", {"name": tool, "arguments": arguments, "_meta": META, **more}))["result"]
    assert isinstance(result, dict)
    return result


async def test_in_the_stateless_era_an_answer_counts_once_and_for_its_own_question(raw: Open, platform: Faulty) -> None:
    yes = {"consent": RAW_YES}
    async with raw("--confirm", "always", env=credentials(platform.upstream)) as client:

        async def code(arguments: dict[str, Any], **more: Any) -> str | None:
            error = (await call_modern(client, arguments, **more))["structuredContent"].get("error")
            return str(error["code"]) if error else None

        question = await call_modern(client, WISH)
        assert question["resultType"] == "input_required"
        assert "+14155550120" in question["inputRequests"]["consent"]["params"]["message"]
        state = question["requestState"]
        assert await code(WISH, inputResponses=yes) == "declined"  # an answer to nothing
        assert await code(WISH, inputResponses=yes, requestState="made-up") == "declined"
        assert await code(WISH | {"nickname": "Other"}, inputResponses=yes, requestState=state) == "declined"
        assert await code(WISH, inputResponses=yes, requestState=state) == "declined"  # used up by the attempt
        assert platform.posts == 0
        state = (await call_modern(client, WISH))["requestState"]
        assert await code(WISH, inputResponses=yes, requestState=state) is None
        assert await code(WISH, inputResponses=yes, requestState=state) == "declined"
    assert platform.posts == 1


@pytest.mark.parametrize(
    "change",
    [{"auth_token": "t0ken_of_another"}, {"idempotency_key": "key-2"}, {"account_sid": "AC9"}, {"nickname": "More"}],
)
async def test_a_yes_counts_only_for_all_that_was_asked_about_also_where_it_is_not_shown(
    raw: Open, platform: Faulty, change: dict[str, str]
) -> None:
    async with raw("--confirm", "always", env=credentials(platform.upstream)) as client:
        state = (await call_modern(client, IMPORT, "import_phone_number"))["requestState"]
        answered = {"inputResponses": {"consent": RAW_YES}, "requestState": state}
        result = await call_modern(client, IMPORT | change, "import_phone_number", **answered)
    assert result["structuredContent"]["error"]["code"] == "declined"
    assert platform.upstream.requests == []


# --- in time ----------------------------------------------------------------------------------------------------------


@ERAS
async def test_the_time_that_a_person_takes_is_not_the_calls(
    platform: Faulty, own_journal: dict[str, str], mode: str
) -> None:
    async with connected(platform, own_journal, mode, Person(YES, takes=2.2), "--timeout", "2") as client:
        result = content(await client.call_tool("create_phone_number", WISH))
    assert result["data"]["nickname"] == "Side door"


async def test_no_answer_in_time_is_a_no_and_the_client_need_not_go_on_asking(raw: Open, platform: Faulty) -> None:
    async with raw("--confirm", "always", "--confirm-timeout", "1", env=credentials(platform.upstream)) as client:
        await client.initialize(elicitation={})
        begun = time.monotonic()
        call = await client.send_call("create_phone_number", WISH)
        question = await client.receive()
        cancelled = await client.receive()
        assert cancelled["method"] == "notifications/cancelled"
        assert cancelled["params"]["requestId"] == question["id"]
        error = (await client.response(call))["result"]["structuredContent"]["error"]
        assert time.monotonic() - begun >= 1
        assert (error["code"], error["outcome"]) == ("declined", "not_applied")
        assert error["message"] == "The person did not answer within 1 s"
        await client.send({"jsonrpc": "2.0", "id": question["id"], "result": RAW_YES})
        assert (await client.ask("ping"))["result"] == {}
    assert platform.upstream.requests == []


async def test_in_the_stateless_era_a_yes_counts_only_in_time(raw: Open, platform: Faulty) -> None:
    async with raw("--confirm", "always", "--confirm-timeout", "1", env=credentials(platform.upstream)) as client:
        state = (await call_modern(client, WISH))["requestState"]
        await anyio.sleep(1.1)
        result = await call_modern(client, WISH, inputResponses={"consent": RAW_YES}, requestState=state)
    assert result["structuredContent"]["error"]["code"] == "declined"
    assert "more than 1 s" in result["structuredContent"]["error"]["message"]
    assert platform.upstream.requests == []


# --- answers that are none --------------------------------------------------------------------------------------------

NO_ANSWERS = [
    '"result": "yes"',
    '"result": [true]',
    '"result": null',
    '"result": {}',
    '"result": {"content": {"confirm": true}}',
    '"result": {"action": "sure", "content": {"confirm": true}}',
    '"result": {"action": ["accept"], "content": {"confirm": true}}',
    '"result": {"action": "accept"}',
    '"result": {"action": "accept", "content": null}',
    '"result": {"action": "accept", "content": "yes"}',
    '"result": {"action": "accept", "content": [{"confirm": true}]}',
    '"result": {"action": "accept", "content": {"confirm": "yes"}}',
    '"result": {"action": "accept", "content": {"confirm": 1}}',
    '"result": {"action": "accept", "content": {"confirm": {"confirm": true}}}',
    '"result": {"action": "accept", "content": {"confirm": true, "confirm": true}}',
    '"result": {"action": "accept", "content": {"confirm": true, "x": NaN}}',
    '"result": {"action": "accept", "content": {"confirm": true}}, "error": {"code": -1, "message": "no"}',
    '"error": {"code": -32601, "message": "Method not found"}',
    '"error": "no"',
    '"error": {}',
    '"confirm": true',
]


async def test_a_malformed_answer_is_a_no_at_once(raw: Open, platform: Faulty) -> None:
    async with raw("--confirm", "always", env=credentials(platform.upstream)) as client:
        await client.initialize(elicitation={})
        for answer in [*NO_ANSWERS, None]:
            call = await client.send_call("create_phone_number", WISH)
            question = await client.receive()
            assert question["method"] == "elicitation/create"
            body = f", {answer}" if answer else ""
            with anyio.fail_after(10):  # not the 45 seconds that a person has
                await client.send_line(f'{{"jsonrpc": "2.0", "id": {question["id"]}{body}}}'.encode())
                result = (await client.response(call))["result"]
            error = result["structuredContent"]["error"]
            assert (error["code"], error["outcome"]) == ("declined", "not_applied"), answer
    assert client.stderr == b""
    assert platform.upstream.requests == []


async def test_in_the_stateless_era_a_malformed_answer_is_answered_and_sends_nothing(
    raw: Open, platform: Faulty
) -> None:
    invalid: list[Any] = [
        "yes",
        [RAW_YES],
        1,
        {"consent": "yes"},
        {"consent": None},
        {"consent": {}},
        {"consent": [RAW_YES]},
        {"consent": {"content": {"confirm": True}}},
        {"consent": RAW_YES | {"action": "sure"}},
        {"consent": RAW_YES | {"content": [{"confirm": True}]}},
        {"consent": RAW_YES | {"content": {"confirm": {"confirm": True}}}},
        {"consent": RAW_YES, "other": "yes"},
    ]
    declined: list[Any] = [
        {},
        {"other": RAW_YES},
        {"consent": {"action": "accept"}},
        {"consent": RAW_YES | {"content": {"confirm": "yes"}}},
        {"consent": RAW_YES | {"content": {"confirm": 1}}},
        {"consent": {"roots": []}},
    ]
    async with raw("--confirm", "always", env=credentials(platform.upstream)) as client:
        for given in [*invalid, *declined]:
            state = (await call_modern(client, WISH))["requestState"]
            params = {"name": "create_phone_number", "arguments": WISH, "_meta": META, "requestState": state}
            response = await client.ask("tools/call", params | {"inputResponses": given})
            if given in invalid:  # refused by the SDK, before the server sees it
                assert response["error"]["code"] == -32602, given
            else:
                assert response["result"]["structuredContent"]["error"]["code"] == "declined", given
        wrong_states: list[Any] = [7, [], {}]
        for wrong in wrong_states:
            params = {"name": "create_phone_number", "arguments": WISH, "_meta": META, "requestState": wrong}
            response = await client.ask("tools/call", params | {"inputResponses": {"consent": RAW_YES}})
            assert response["error"]["code"] == -32602
    assert client.stderr == b""
    assert platform.upstream.requests == []
