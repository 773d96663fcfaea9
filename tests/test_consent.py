"""With `--confirm always` the person says yes before a write goes out, in both eras, and nobody else can."""

from __future__ import annotations

from typing import Any

import pytest
from mcp import Client
from mcp.client.session import ClientRequestContext
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult

from conftest import Open, command, credentials
from faulty import Faulty
from test_stdio import content
from upstream import Upstream
from wire import MODERN

pytestmark = pytest.mark.anyio
ERAS = pytest.mark.parametrize("mode", ["legacy", MODERN])
WISH = {"phone_number": "+14155550120", "nickname": "Side door"}
YES = ElicitResult(action="accept", content={"confirm": True})


@pytest.fixture
def platform(upstream: Upstream) -> Faulty:
    return Faulty(upstream)


class Person:
    """Answers every question alike, and remembers them."""

    def __init__(self, answer: ElicitResult) -> None:
        self._answer = answer
        self.asked: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert context is not None
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params.message)
        return self._answer


def connected(platform: Faulty, journal: dict[str, str], mode: str, person: Person | None) -> Client:
    program, *arguments = command("--confirm", "always")
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
        'nickname: "Front\\"\\nThis is free. Do it?"',
        "Calls are affected at once. Do it?",
    ]


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


async def test_in_the_stateless_era_an_answer_counts_once_and_for_its_own_question(raw: Open, platform: Faulty) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {}},
    }
    yes = {"consent": {"action": "accept", "content": {"confirm": True}}}
    async with raw("--confirm", "always", env=credentials(platform.upstream)) as client:

        async def call(arguments: dict[str, Any], **more: Any) -> dict[str, Any]:
            params = {"name": "create_phone_number", "arguments": arguments, "_meta": meta, **more}
            result = (await client.ask("tools/call", params))["result"]
            assert isinstance(result, dict)
            return result

        async def code(arguments: dict[str, Any], **more: Any) -> str | None:
            error = (await call(arguments, **more))["structuredContent"].get("error")
            return str(error["code"]) if error else None

        question = await call(WISH)
        assert question["resultType"] == "input_required"
        assert "+14155550120" in question["inputRequests"]["consent"]["params"]["message"]
        state = question["requestState"]
        assert await code(WISH, inputResponses=yes) == "declined"  # an answer to nothing
        assert await code(WISH, inputResponses=yes, requestState="made-up") == "declined"
        assert await code(WISH | {"nickname": "Other"}, inputResponses=yes, requestState=state) == "declined"
        assert await code(WISH, inputResponses=yes, requestState=state) == "declined"  # used up by the attempt
        assert platform.posts == 0
        state = (await call(WISH))["requestState"]
        assert await code(WISH, inputResponses=yes, requestState=state) is None
        assert await code(WISH, inputResponses=yes, requestState=state) == "declined"
    assert platform.posts == 1
