"""The evals: the organisations that they have, and the loop in which a model solves their tasks."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pytest
from anyio.abc import SocketStream

from evals.model import Model
from evals.organisation import ORGANISATIONS
from evals.served import Changes, served
from evals.solve import Outcome, attempt, replay
from evals.task import Call, Task, load, organisation
from support.upstream import Answer, Request, Upstream, http

pytestmark = pytest.mark.anyio


def task(name: str) -> Task:
    return next(each for each in load() if (each.name, each.platform) == (name, "zudu"))


def reply(message: dict[str, Any]) -> bytes:
    choices = [{"message": {"role": "assistant", **message}}]
    return http(200, json.dumps({"choices": choices, "usage": {"total_tokens": 7}}).encode())


def playing(calls: Sequence[Call], answer: str) -> Answer:
    """A service whose model makes these calls, one a turn, and then answers."""

    async def answered(request: Request, stream: SocketStream) -> None:
        assert request.target == "/v1/chat/completions"
        assert request.headers["authorization"] == "Bearer a-key"
        assert {tool["function"]["name"] for tool in request.json["tools"]} >= {
            "get_phone_number",
            "create_phone_number",
        }
        results = [message["content"] for message in request.json["messages"] if message["role"] == "tool"]
        if len(results) < len(calls):
            call = calls[len(results)]
            arguments = call.filled([json.loads(result) for result in results])
            function = {"name": call.tool, "arguments": json.dumps(arguments)}
            await stream.send(
                reply({"content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}]})
            )
        else:
            await stream.send(reply({"content": answer}))

    return answered


async def outcome(upstream: Upstream, tried: Task, calls: Sequence[Call], answer: str) -> Outcome:
    """What comes of a task if a model makes these calls and gives this answer."""
    upstream.answer = playing(calls, answer)
    found: list[Outcome] = []
    await attempt([tried], Model("played", f"{upstream.url}/v1", "a-key").solve, found.append)
    return found[0]


async def test_a_model_that_does_as_recorded_solves_the_task(upstream: Upstream) -> None:
    tried = task("a create that fails once")
    found = await outcome(upstream, tried, tried.calls, tried.answer)
    assert found.problems == []
    assert (found.calls, found.model_tokens) == (2, 21)
    assert found.tokens > 0
    assert upstream.requests[0].json["messages"][1] == {"role": "user", "content": tried.user}


async def test_an_untrue_answer_and_a_state_that_is_not_as_asked_are_found(upstream: Upstream) -> None:
    found = await outcome(
        upstream, task("a create that fails for good"), [], "+12065550163 has been created; nothing failed."
    )
    assert len(found.untruths) == 1
    found = await outcome(upstream, task("a create whose answer is lost"), [], "I created +12065550161.")
    assert found.problems == ["created: expected {'+12065550161': {}}, found nothing"]


async def test_a_call_that_cannot_be_made_is_reported_to_the_model(upstream: Upstream) -> None:
    tried = task("a wish too vague to buy")
    unknown = Call(tool="buy_everything")
    seen: list[str] = []

    async def answered(request: Request, stream: SocketStream) -> None:
        results = [message["content"] for message in request.json["messages"] if message["role"] == "tool"]
        seen[:] = results
        texts = [json.dumps(unknown.arguments), "no JSON", "[]"]
        if len(results) == len(texts):
            await stream.send(reply({"content": tried.answer}))
            return
        function = {"name": unknown.tool, "arguments": texts[len(results)]}
        await stream.send(
            reply({"content": None, "tool_calls": [{"id": "a", "type": "function", "function": function}]})
        )

    upstream.answer = answered
    found: list[Outcome] = []
    await attempt([tried], Model("played", f"{upstream.url}/v1", "").solve, found.append)
    assert found[0].problems == []
    assert [text[:24] for text in seen] == [
        "Unknown tool: buy_everyt",
        "The arguments are not JS",
        "The arguments are not a ",
    ]


async def test_a_recorded_call_that_goes_otherwise_than_recorded_fails_the_task() -> None:
    recorded = task("a create that comes too soon")
    wrong = recorded.model_copy(update={"calls": recorded.calls[:1] * 2})
    found: list[Outcome] = []
    await attempt([wrong], replay, found.append)
    assert found[0].problems[0].startswith("call 2, create_phone_number: expected rate_limited, got")


@pytest.mark.parametrize(("name", "numbers", "agents"), [("small", 130, 64), ("large", 2_000, 184)])
def test_an_organisation_is_always_the_same_and_has_reserved_numbers_only(name: str, numbers: int, agents: int) -> None:
    made = ORGANISATIONS[name]()
    assert made == ORGANISATIONS[name]()
    assert (len(made.lines), len(made.agents)) == (numbers, agents)
    assert all(re.fullmatch(r"\+1[0-9]{3}55501[0-9]{2}|\+442079460[0-9]{3}", line.phone_number) for line in made.lines)


@pytest.mark.parametrize("platform", ["zudu", "retell"])
def test_what_became_of_the_numbers_is_reported_under_names_of_no_platform(platform: str) -> None:
    with served(platform, organisation("small")) as platform_served:
        numbers = platform_served.numbers
        assert not platform_served.changes()
        del numbers["+12065550109"]
        numbers["+12065550108"]["nickname"] = "Renamed"
        numbers["+12065550199"] = dict(numbers["+12065550110"])
        agent = organisation("small").agents["seattle-reception"].agent_id
        assert platform_served.changes() == Changes(
            created={"+12065550199": {"nickname": "Seattle careers", "inbound": agent}},
            changed={"+12065550108": {"nickname": "Renamed"}},
            deleted=["+12065550109"],
        )
        platform_served.start_over([])
        assert not platform_served.changes()
