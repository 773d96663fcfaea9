"""Agents by name: no wrong agent is ever bound, and whatever is not exactly one agent's is refused with candidates."""

from __future__ import annotations

import random
from typing import Any

import pytest

from phone_number_mcp.errors import InvalidArguments
from phone_number_mcp.platforms import Platform, load
from phone_number_mcp.platforms.agents import MAX_CANDIDATES, Agent, folded, read_agents, resolve
from phone_number_mcp.upstream.api import Api
from support import harness
from support.server import Connect, content, credentials
from support.upstream import Request, Upstream, envelope, having_agents, reply

pytestmark = pytest.mark.anyio
NUMBER = "+14155550133"
WORDS = ("Reception", "Night desk", "Sales", "Support", "Billing", "Front", "Clinic", "Zoë", "東京", "Café")
LOOK_ALIKE = str.maketrans("aeopcxABEHKMOPCTX", "аеорсхАВЕНКМОРСТХ")
"""Latin letters → Cyrillic ones that look the same."""


def _agents(chance: random.Random, count: int) -> list[dict[str, Any]]:
    names = [f"{chance.choice(WORDS)} {chance.choice(WORDS)} {chance.randrange(count)}" for _ in range(count)]
    return [{"agent_id": f"agent_{place:04}", "agent_name": name} for place, name in enumerate(names)]


def _misspelt(chance: random.Random, name: str) -> str:
    match chance.randrange(7):
        case 0:
            return name.upper()
        case 1:
            return "  ".join(name.split())
        case 2:
            return f"\u200b{name}\u00a0"
        case 3:
            place = chance.randrange(len(name))
            return name[:place] + name[place + 1 :]
        case 4:
            return name.translate(LOOK_ALIKE)
        case 5:
            return name + chance.choice(("x", " 2", "s"))
        case _:
            return name


class _Listed:
    """A list of agents that a platform could return, in pages of 100."""

    def __init__(self, agents: list[dict[str, Any]]) -> None:
        self.agents = agents

    async def __call__(self, request: Request, stream: Any) -> None:
        page = int(request.target.rpartition("page=")[2] or 0)
        data = {
            "agents": self.agents[page * 100 : page * 100 + 100],
            "pagination": {"total_pages": -(-len(self.agents) // 100)},
        }
        await reply(200, envelope(data))(request, stream)


@pytest.mark.parametrize("count", [3, 60, 2000])
async def test_no_wrong_agent_is_ever_bound(upstream: Upstream, count: int) -> None:
    chance = random.Random(count)  # noqa: S311
    agents = _agents(chance, count)
    agents += [dict(agent, agent_id=f"{agent['agent_id']}_again") for agent in agents[:: max(1, count // 20)]]
    upstream.answer = _Listed(agents)
    platform = load("zudu")
    assert platform.agents
    (tool,) = [tool for tool in platform.tools if tool.name == "create_phone_number"]
    async with Api(base_url=upstream.url, decipher=platform.decipher, timeout=20) as api:
        for _ in range(100):
            wanted = _misspelt(chance, chance.choice(agents)["agent_name"])
            fits = [agent["agent_id"] for agent in agents if folded(agent["agent_name"]) == folded(wanted)]
            arguments = tool.read({"phone_number": NUMBER, "inbound_agent_id": wanted})
            call = api.call(harness.account(platform))
            if len(fits) == 1:
                bound, resolution = await resolve(call, platform.agents, arguments)
                assert bound.inbound_agent_id == fits[0]
                assert resolution.names == {wanted.strip(): fits[0]}
                continue
            with pytest.raises(InvalidArguments) as refused:
                await resolve(call, platform.agents, arguments)
            candidates = refused.value.facts.get("candidates") or []
            assert len(candidates) <= MAX_CANDIDATES
            if len(fits) > 1:
                assert {each.agent_id for each in candidates} <= {*fits}
                assert len(candidates) == min(len(fits), MAX_CANDIDATES)
    assert {request.method for request in upstream.requests} == {"GET"}


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Night desk", "  NIGHT\tDESK ", True),
        ("Night desk", "Nightdesk", True),
        ("Reception", "Rece\u200bption", True),
        ("Straße", "STRASSE", True),
        ("Ｒeception", "Reception", True),
        ("Reception", "Rесерtiоn", False),
        ("Reception", "Receptions", False),
        ("Café", "Cafe", False),
    ],
)
async def test_case_spacing_and_what_is_not_shown_do_not_matter(one: str, other: str, same: bool) -> None:
    assert (folded(one) == folded(other)) is same


async def _call(upstream: Upstream, connect: Connect, *calls: dict[str, Any]) -> list[dict[str, Any]]:
    async with connect(env=credentials(upstream)) as client:
        return [
            content(await client.call_tool("create_phone_number", {"phone_number": NUMBER} | call)) for call in calls
        ]


async def test_the_agents_are_read_once_and_again_for_a_name_that_is_new(connect: Connect, upstream: Upstream) -> None:
    created = reply(200, envelope({"phone_number": NUMBER}))
    upstream.answer = having_agents(created, "Reception", "Sales")
    async with connect(env=credentials(upstream)) as client:
        for name in ("reception", "Sales"):
            wish = {"phone_number": NUMBER, "inbound_agent_id": name}
            assert "data" in content(await client.call_tool("create_phone_number", wish))
        upstream.answer = having_agents(created, "Reception", "Sales", "New one")
        last: dict[str, Any] = {"phone_number": "+14155550134", "inbound_agent_id": "New one", "dry_run": True}
        result = content(await client.call_tool("create_phone_number", last))
    assert result["data"]["would_send"]["body"]["inbound_agent_id"] == "New one"
    reads = [request for request in upstream.requests if request.target.startswith("/api/agents")]
    assert len(reads) == 2


async def test_a_name_that_nobody_has_costs_one_look_at_the_agents(connect: Connect, upstream: Upstream) -> None:
    upstream.answer = having_agents(reply(500), "Reception")
    (result,) = await _call(upstream, connect, {"inbound_agent_id": "Nobody"})
    assert result["error"]["code"] == "invalid_arguments"
    assert [request.target for request in upstream.requests] == ["/api/agents?limit=100&page=0"]


@pytest.mark.parametrize("name", ["zudu", "retell"])
async def test_entries_that_are_no_agents_are_passed_over(upstream: Upstream, name: str) -> None:
    entries = [
        "no agent", None, 7, {}, {"agent_id": 7}, {"agent_id": ""},
        {"agent_id": "agent_a", "agent_name": ["odd"], "channel": ["voice"], "is_suspended": "no"},
    ]  # fmt: skip
    body = {"items": entries, "has_more": False} if name == "retell" else {
        "data": {"agents": entries, "pagination": {"total_pages": 1}}, "status": "success"
    }  # fmt: skip
    upstream.answer = reply(200, body)
    platform = load(name)
    assert platform.agents
    async with Api(base_url=upstream.url, decipher=platform.decipher, timeout=5) as api:
        agents = await read_agents(api.call(harness.account(platform)), platform.agents)
    assert agents.known == (Agent("agent_a", "odd"),)


async def test_where_the_agents_cannot_be_read_the_value_is_sent_as_it_is_with_a_warning(
    connect: Connect, upstream: Upstream
) -> None:
    created = reply(200, envelope({"phone_number": NUMBER}))

    async def answer(request: Request, stream: Any) -> None:
        listed = request.target.startswith("/api/agents")
        await (reply(403, envelope(status="error", error="No")) if listed else created)(request, stream)

    upstream.answer = answer
    (result,) = await _call(upstream, connect, {"inbound_agent_id": "Reception"})
    assert upstream.requests[-1].json["inbound_agent_id"] == "Reception"
    assert "The agents could not be read (forbidden" in result["warning"]
    assert "inbound_agent_id 'Reception'" in result["warning"]
    assert "resolved" not in result


async def test_refused_credentials_end_the_call_before_anything_is_sent(connect: Connect, upstream: Upstream) -> None:
    upstream.answer = reply(401, envelope(status="error", error="Missing or invalid API key/secret"))
    (result,) = await _call(upstream, connect, {"inbound_agent_id": "Reception"})
    assert (result["error"]["code"], result["error"]["outcome"]) == ("unauthorized", "not_applied")
    assert [request.method for request in upstream.requests] == ["GET"]


@pytest.mark.parametrize("name", ["zudu", "retell"])
async def test_every_argument_that_takes_an_agent_takes_a_name(connect: Connect, name: str) -> None:
    platform: Platform = load(name)
    assert platform.answered_by
    change = platform.answered_by("NIGHT desk")
    async with connect("--sandbox", "--platform", name) as client:
        result = content(await client.call_tool("update_phone_number", {"phone_number": "+14155550102"} | change))
        listed = content(await client.call_tool("list_phone_numbers", {"agent": "night Desk"}))
    assert result["resolved"] == {"NIGHT desk": "agent_night"}
    assert platform.answered_by("agent_night").items() <= result["data"].items()
    assert {line["phone_number"] for line in listed["data"]["phone_numbers"]} == {"+14155550101", "+14155550102"}
