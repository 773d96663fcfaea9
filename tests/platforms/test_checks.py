"""check_phone_number: every seeded fault is named, nothing is said of a sound number, and a check makes at most four reads."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
from anyio.abc import SocketStream
from hypothesis import given, settings
from hypothesis import strategies as st

from phone_number_mcp.errors import InvalidReply, NotFound, PlatformError, ToolError, refusal
from phone_number_mcp.platforms import load, retell, zudu
from phone_number_mcp.platforms.checks import MAX_READS, Report
from phone_number_mcp.upstream.api import Api
from support import harness
from support.server import Connect, content, credentials
from support.upstream import Answer, Request, Upstream, drop, envelope, reply, silence

pytestmark = pytest.mark.usefixtures("quick")
NUMBER, OTHER = "+14155550100", "+14155550101"
SOUND = settings(max_examples=200, deadline=None, derandomize=True)
NOT_SHOWN: Any = ...
"""The platform leaves the field out."""
RECEPTION = {"agent_id": "agent_a", "name": "Reception"}
SALES = {"agent_id": "agent_b", "name": "Sales"}


@dataclass(frozen=True)
class Fault:
    """A number with one fault, and what must be said of it.

    Args:
        what: What is wrong.
        number: The fields in which it differs from a sound number.
        finding: Severity, field, and words of the problem.
        inbound: The verdict.
        outbound: The verdict.
        agents: What the agents' list shows, or how it is refused. Zudu: one of these for each page.
        pages: Zudu: how many pages there are.
        cut: Retell: there are more agents.
        versions: Retell: agent → version → published, or how it is refused.
        cut_versions: Retell: there are more versions.
    """

    what: str
    number: dict[str, Any]
    finding: tuple[str, str, str]
    inbound: str = "yes"
    outbound: str = "yes"
    agents: Any = None
    pages: Any = 1
    cut: bool = False
    versions: Mapping[str, Any] = field(default_factory=dict)
    cut_versions: bool = False


def shown(number: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in number.items() if value is not NOT_SHOWN}


def refused(status: int) -> ToolError:
    return (NotFound if status == 422 else refusal(status))("no")


# --- Zudu -------------------------------------------------------------------------------------------------------------

ZUDU_NUMBER: dict[str, Any] = {
    "phone_number": NUMBER,
    "nickname": "Front desk",
    "organization_id": "org_1",
    "area_code": 415,
    "phone_number_type": "ZUDU_TWILIO",
    "number_provider": "twilio",
    "inbound_agent_id": "agent_a",
    "outbound_agent_id": "agent_b",
    "inbound_agent_version": 1,
    "outbound_agent_version": 1,
    "inbound_webhook_url": "https://example.com/calls",
    "inbound_trunk_id": "ST_1",
    "outbound_trunk_id": "TK_1",
    "dispatch_rule_id": "dispatch_1",
    "created_at": "2026-01-15T10:30:00Z",
    "updated_at": "2026-01-15T10:30:00Z",
}
ZUDU_AGENTS = [
    {"agent_id": "agent_a", "agent_name": "Reception", "language": "en"},
    {"agent_id": "agent_b", "agent_name": "Sales", "language": "en"},
]
OTHERS = [{"agent_id": f"agent_{place}", "agent_name": f"Agent {place}"} for place in range(100)]
FLAWED = "Agent Reception (agent_a) is "


def flawed(**more: Any) -> list[list[dict[str, Any]]]:
    return [[ZUDU_AGENTS[0] | more, ZUDU_AGENTS[1]]]


ZUDU_FAULTS = [
    Fault("no inbound agent", {"inbound_agent_id": None, "inbound_webhook_url": None},
          ("error", "inbound_agent_id", "No agent answers"), "no"),
    Fault("a blank inbound agent", {"inbound_agent_id": "", "inbound_webhook_url": None},
          ("error", "inbound_agent_id", "No agent answers"), "no"),
    Fault("no inbound agent, and a webhook that may answer", {"inbound_agent_id": None},
          ("warning", "inbound_agent_id", "whether the webhook does cannot be seen"), "unknown"),
    Fault("no outbound agent", {"outbound_agent_id": None},
          ("info", "outbound_agent_id", "No agent is bound to call"), outbound="no"),
    Fault("an inbound agent that is not there", {"inbound_agent_id": "agent_x"},
          ("error", "inbound_agent_id", "agent_x is not among"), "no"),
    Fault("an outbound agent that is not there", {"outbound_agent_id": "agent_x"},
          ("error", "outbound_agent_id", "agent_x is not among"), outbound="no"),
    Fault("an agent that is not on any of several pages", {"inbound_agent_id": "agent_x"},
          ("error", "inbound_agent_id", "agent_x is not among"), "no", agents=[OTHERS, ZUDU_AGENTS], pages=2),
    Fault("an organization without agents", {}, ("error", "inbound_agent_id", "agent_a is not among"), "no", "no",
          agents=[[]]),
    Fault("a suspended agent, where the platform tells", {}, ("error", "inbound_agent_id", FLAWED + "suspended"), "no",
          agents=flawed(is_suspended=True)),
    Fault("an unpublished agent, where the platform tells", {},
          ("warning", "inbound_agent_id", FLAWED + "not published"), agents=flawed(is_published=False)),
    Fault("a chat agent, where the platform tells", {}, ("error", "inbound_agent_id", FLAWED + "a chat agent"), "no",
          agents=flawed(channel="chat")),
    Fault("a version below 0", {"inbound_agent_version": -1},
          ("error", "inbound_agent_version", "-1 is no version"), "no"),
    Fault("a version that is no number", {"outbound_agent_version": "newest"},
          ("error", "outbound_agent_version", "newest is no version"), outbound="no"),
    Fault("no inbound trunk", {"inbound_trunk_id": None}, ("error", "inbound_trunk_id", "no inbound trunk"), "no"),
    Fault("no dispatch rule", {"dispatch_rule_id": None}, ("error", "dispatch_rule_id", "no dispatch rule"), "no"),
    Fault("a blank dispatch rule", {"dispatch_rule_id": ""}, ("error", "dispatch_rule_id", "no dispatch rule"), "no"),
    Fault("no outbound trunk", {"outbound_trunk_id": None},
          ("error", "outbound_trunk_id", "no outbound trunk"), outbound="no"),
    Fault("a webhook that is not https", {"inbound_webhook_url": "http://example.com/calls"},
          ("warning", "inbound_webhook_url", "not an https address")),
    Fault("a webhook that is no address", {"inbound_webhook_url": "example"},
          ("warning", "inbound_webhook_url", "not an https address")),
    Fault("an inbound agent that is not shown", {"inbound_agent_id": NOT_SHOWN, "inbound_webhook_url": None},
          ("info", "inbound_agent_id", "does not show which agent"), "unknown"),
    Fault("an agent that is no text", {"outbound_agent_id": {"id": "agent_b"}},
          ("info", "outbound_agent_id", "does not show which agent"), outbound="unknown"),
    Fault("a trunk that is not shown", {"inbound_trunk_id": NOT_SHOWN},
          ("info", "inbound_trunk_id", "does not show the inbound trunk"), "unknown"),
    Fault("an agent beyond what a check reads", {"inbound_agent_id": "agent_x"},
          ("info", "inbound_agent_id", "agent_x was not seen, because the list of agents was cut"), "unknown",
          agents=[ZUDU_AGENTS, OTHERS, OTHERS, [{"agent_id": "agent_x"}]], pages=4),
    Fault("a list that does not say whether it is whole", {"inbound_agent_id": "agent_x"},
          ("info", "inbound_agent_id", "the list of agents was cut"), "unknown", pages=None,
          agents=[ZUDU_AGENTS, []]),
    Fault("a list with an entry that cannot be read", {"inbound_agent_id": "agent_x"},
          ("info", "inbound_agent_id", "the list of agents was cut"), "unknown", agents=[[*ZUDU_AGENTS, {"agent": 1}], []]),
    Fault("agents that may not be read", {}, ("info", "inbound_agent_id", "reading failed (forbidden)"),
          "unknown", "unknown", agents=[403]),
    Fault("agents that cannot be read", {}, ("info", "outbound_agent_id", "reading failed (platform_error)"),
          "unknown", "unknown", agents=[503]),
    Fault("a second page that cannot be read", {"inbound_agent_id": "agent_x"},
          ("info", "inbound_agent_id", "reading failed (rate_limited)"), "unknown", agents=[ZUDU_AGENTS, 429], pages=2),
    Fault("a list of another shape", {}, ("info", "inbound_agent_id", "the list of agents cannot be read"),
          "unknown", "unknown", agents=[{"a": 1}]),
]  # fmt: skip


class ZuduWorld:
    """A platform that holds one number."""

    def __init__(self, fault: Fault) -> None:
        self.number = shown(ZUDU_NUMBER | fault.number)
        self._pages = fault.agents if fault.agents is not None else [ZUDU_AGENTS]
        self._total = fault.pages

    def _page(self, page: int) -> Any:
        entries = self._pages[page]
        if isinstance(entries, int):
            return entries
        return {"agents": entries, "pagination": {"page": page, "limit": 100, "total_pages": self._total}}

    async def answer(self, request: Request, stream: SocketStream) -> None:
        path, _, query = request.target.partition("?")
        if path == "/api/agents":
            page = self._page(int(parse_qs(query)["page"][0]))
            failed = isinstance(page, int)
            answer = reply(page, {"status": "error", "error": "no"}) if failed else reply(200, envelope(page))
        else:
            assert unquote(path) == f"/api/phone-numbers/{NUMBER}"
            answer = reply(200, envelope(self.number))
        await answer(request, stream)

    def judge(self) -> Report:
        pages = [self._page(page) for page in range(min(len(self._pages), MAX_READS - 1))]
        return zudu.judge_phone_number(
            self.number, [refused(page) if isinstance(page, int) else page for page in pages]
        )


# --- Retell -----------------------------------------------------------------------------------------------------------


def one(agent_id: str = "agent_a", version: Any = None, weight: Any = 1) -> dict[str, Any]:
    return {"agent_id": agent_id, "weight": weight} | ({} if version is None else {"agent_version": version})


def listed(agent_id: str, name: str, **more: Any) -> dict[str, Any]:
    return {"agent_id": agent_id, "agent_name": name, "channel": "voice", "is_suspended": False, "tags": {}} | more


TAGS = {"prod": {"version": 3}, "draft": {"version": 4}, "free": {}, "gone": {"version": 9}, "odd": {"version": "x"}}
RETELL_NUMBER: dict[str, Any] = {
    "phone_number": NUMBER,
    "phone_number_type": "retell-twilio",
    "last_modification_timestamp": 1768473000000,
    "nickname": "Front desk",
    "inbound_agents": [one()],
    "outbound_agents": [one("agent_b")],
}
RETELL_AGENTS = [
    listed("agent_a", "Reception", tags=TAGS),
    listed("agent_b", "Sales"),
    listed("agent_chat", "Website chat", channel="chat"),
]
CHAT = [one("agent_chat")]
IN, OUT = "inbound_agents", "outbound_agents"
RETELL_VERSIONS: dict[str, Any] = {
    "agent_a": {0: True, 3: True}, "agent_b": {0: True}, "agent_chat": {0: True},
}  # fmt: skip
CUSTOM = {"phone_number_type": "custom", "sip_outbound_trunk_config": {"termination_uri": "x.example.com"}}


def with_reception(**more: Any) -> list[dict[str, Any]]:
    return [RETELL_AGENTS[0] | more, *RETELL_AGENTS[1:]]


NOBODY = {IN: None, OUT: None}
RETELL_FAULTS = [
    Fault("no agent", NOBODY, ("error", IN, "No agent answers"), "no", "no"),
    Fault("no inbound agent", {IN: []}, ("error", IN, "No agent answers"), "no"),
    Fault("no outbound agent", {OUT: None}, ("info", OUT, "No agent is bound to call"), outbound="no"),
    Fault("an inbound agent that is not there", {IN: [one("agent_x")]}, ("error", IN, "agent_x is not among"), "no"),
    Fault("an outbound agent that is not there", {OUT: [one("agent_x")]}, ("error", OUT, "agent_x is not among"),
          outbound="no"),
    Fault("the only agent is not there", {IN: [one("agent_x")], OUT: None}, ("error", IN, "agent_x is not among"),
          "no", "no", agents=[]),
    Fault("a suspended agent", {}, ("error", IN, FLAWED + "suspended"), "no", agents=with_reception(is_suspended=True)),
    Fault("one of two agents is suspended", {IN: [one(weight=0.25), one("agent_b", weight=0.75)]},
          ("error", IN, "suspended: 25% of calls to it fail"), agents=with_reception(is_suspended=True)),
    Fault("a suspended agent behind a webhook", {"inbound_webhook_url": "https://example.com/calls"},
          ("error", IN, FLAWED + "suspended"), "unknown", agents=with_reception(is_suspended=True)),
    Fault("a chat agent for calls", {IN: CHAT}, ("error", IN, "Website chat (agent_chat) is a chat agent"), "no"),
    Fault("a chat agent that calls", {OUT: CHAT}, ("error", OUT, "is a chat agent"), outbound="no"),
    Fault("a voice agent for SMS", {"inbound_sms_agents": [one()]},
          ("error", "inbound_sms_agents", "is a voice agent, not a chat agent: SMS to it fail")),
    Fault("an SMS agent that is not there", {"outbound_sms_agents": [one("agent_x")]},
          ("error", "outbound_sms_agents", "agent_x is not among")),
    Fault("a suspended SMS agent", {"inbound_sms_agents": CHAT}, ("error", "inbound_sms_agents", "is suspended"),
          agents=[*RETELL_AGENTS[:2], RETELL_AGENTS[2] | {"is_suspended": True}]),
    Fault("a version that does not exist", {IN: [one(version=2)]}, ("error", IN, "agent_a has no version 2"), "no"),
    Fault("a version in words that does not exist", {OUT: [one("agent_b", "7")]},
          ("error", OUT, "agent_b has no version 7"), outbound="no"),
    Fault("a tag that does not exist", {IN: [one(version="staging")]}, ("error", IN, 'no version tag "staging"'), "no"),
    Fault("a tag of a version that does not exist", {IN: [one(version="gone")]}, ("error", IN, "no version 9"), "no"),
    Fault("the latest published one, and none is", {IN: [one(version="latest_published")]},
          ("error", IN, "no version latest_published"), "no", versions={"agent_a": {0: False}}),
    Fault("a version that is a draft", {IN: [one(version=4)]},
          ("warning", IN, "Version 4 of agent agent_a is not published"), versions={"agent_a": {3: True, 4: False}}),
    Fault("a tag of a draft", {IN: [one(version="draft")]},
          ("warning", IN, "Version 4 of agent agent_a is not published"), versions={"agent_a": {3: True, 4: False}}),
    Fault("a tag without a version, and the latest is a draft", {IN: [one(version="free")]},
          ("warning", IN, "Version 4 of agent agent_a is not published"), versions={"agent_a": {3: True, 4: False}}),
    Fault("the latest, which is a draft", {IN: [one(version="latest")]},
          ("warning", IN, "Version 4 of agent agent_a is not published"), versions={"agent_a": {3: True, 4: False}}),
    Fault("an agent that was never published", {}, ("warning", IN, "Version 0 of agent agent_a is not published"),
          versions={"agent_a": {0: False}}),
    Fault("no version is named, and there is a draft", {}, ("info", IN, "has a draft, 4"),
          versions={"agent_a": {3: True, 4: False}}),
    Fault("weights below 1", {IN: [one(weight=0.33), one("agent_b", weight=0.33)]}, ("warning", IN, "sum to 0.66")),
    Fault("weights above 1", {OUT: [one(weight=0.8), one("agent_b", weight=0.8)]}, ("warning", OUT, "sum to 1.6")),
    Fault("a weight of 0", {IN: [one(weight=0), one("agent_b")]}, ("warning", IN, "A weight is not above 0")),
    Fault("no weight", {IN: [one(weight=None)]}, ("warning", IN, "A weight is not above 0"), "unknown"),
    Fault("a webhook without an agent", {IN: None, "inbound_webhook_url": "https://example.com/calls"},
          ("warning", "inbound_webhook_url", "no agent to fall back on"), "unknown"),
    Fault("a webhook that is not https", {"inbound_webhook_url": "http://example.com/calls"},
          ("warning", "inbound_webhook_url", "not an https address")),
    Fault("an SMS webhook that is not https", {"inbound_sms_webhook_url": "http://example.com/sms"},
          ("warning", "inbound_sms_webhook_url", "not an https address")),
    Fault("a webhook that may choose another agent", {"inbound_webhook_url": "https://example.com/calls"},
          ("info", "inbound_webhook_url", "may choose another agent")),
    Fault("inbound countries that do not exist", {"allowed_inbound_country_list": ["XX", "Europe"]},
          ("error", "allowed_inbound_country_list", "None of XX, Europe is a country code"), "no"),
    Fault("outbound countries that do not exist", {"allowed_outbound_country_list": ["UK"]},
          ("error", "allowed_outbound_country_list", "None of UK is a country code"), outbound="no"),
    Fault("one country that does not exist", {"allowed_inbound_country_list": ["US", "UK"]},
          ("warning", "allowed_inbound_country_list", "UK is no country code")),
    Fault("the number's own country is not let in", {"allowed_inbound_country_list": ["DE", "FR"]},
          ("warning", "allowed_inbound_country_list", "such as US, are not let in")),
    Fault("countries that are no list", {"allowed_outbound_country_list": "US"},
          ("info", "allowed_outbound_country_list", "cannot be read"), outbound="unknown"),
    Fault("a fallback to itself", {"fallback_number": NUMBER},
          ("warning", "fallback_number", "The fallback number is the number itself")),
    Fault("a fallback to itself, written otherwise", {"fallback_number": "+1 (415) 555-0100"},
          ("warning", "fallback_number", "The fallback number is the number itself")),
    Fault("the retired inbound field alone", {IN: None, "inbound_agent_id": "agent_a"},
          ("warning", "inbound_agent_id", "retired"), "unknown"),
    Fault("the retired outbound field alone", {OUT: None, "outbound_agent_id": "agent_b"},
          ("warning", "outbound_agent_id", "retired"), outbound="unknown"),
    Fault("the retired field beside the list", {"inbound_agent_id": "agent_a"},
          ("info", "inbound_agent_id", "retired")),
    Fault("a custom number without a trunk", {"phone_number_type": "custom", "sip_outbound_trunk_config": {}},
          ("error", "sip_outbound_trunk_config", "no termination_uri"), outbound="no"),
    Fault("a custom number whose trunk is not shown", {"phone_number_type": "custom"},
          ("info", "sip_outbound_trunk_config", "does not show the SIP trunk"), outbound="unknown"),
    Fault("a custom number", CUSTOM, ("info", "phone_number_type", "Whether the carrier sends")),
    Fault("agents that are no list", {IN: "agent_a"}, ("info", IN, "cannot be read"), "unknown"),
    Fault("an entry without an agent", {IN: [{"weight": 1}]}, ("info", IN, "cannot be read"), "unknown"),
    Fault("a version that cannot be read", {IN: [one(version=[3])]}, ("info", IN, "cannot be read"), "unknown"),
    Fault("a tag whose version cannot be read", {IN: [one(version="odd")]}, ("error", IN, "no version x"), "no"),
    Fault("whether an agent is suspended is not shown", {}, ("info", IN, "does not show whether agent Reception"),
          "unknown", agents=[{"agent_id": "agent_a", "agent_name": "Reception"}, *RETELL_AGENTS[1:]]),
    Fault("more agents than a list shows", {IN: [one("agent_x", 1)]},
          ("info", IN, "Whether agent agent_x is suspended is unknown, because the list of agents was cut"), "unknown",
          cut=True, versions={"agent_x": {1: True}}),
    Fault("more agents than a list shows, and this one does not exist", {IN: [one("agent_x", 1)]},
          ("error", IN, "agent_x is not among"), "no", cut=True),
    Fault("more versions than a list shows", {IN: [one(version=1)]},
          ("info", IN, "Whether version 1 of agent agent_a exists is unknown, because the list of its versions was cut"),
          "unknown", cut_versions=True),
    Fault("more agents than a check reads versions of", {OUT: [one("agent_b", 0)], "inbound_sms_agents": [one("agent_chat", 0)],
                                                       IN: [one(version=3)]},
          ("info", "inbound_sms_agents", "Whether version 0 of agent agent_chat exists is unknown, because a check makes")),
    Fault("agents that may not be read", {}, ("info", IN, "reading failed (forbidden)"), "unknown", "unknown", agents=403),
    Fault("agents that cannot be read", {}, ("info", OUT, "reading failed (platform_error)"), "unknown", "unknown",
          agents=503),
    Fault("agents that cannot be read, and a tag", {IN: [one(version="prod")]}, ("info", IN, 'the tag "prod" is unknown'),
          "unknown", "unknown", agents=500),
    Fault("agents that cannot be read, and one does not exist", {IN: [one("agent_x", 1)]},
          ("error", IN, "agent_x is not among"), "no", "unknown", agents=500),
    Fault("a list of agents of another shape", {}, ("info", IN, "the list of agents cannot be read"), "unknown", "unknown",
          agents={"a": 1}),
    Fault("versions that cannot be read", {IN: [one(version=3)]},
          ("info", IN, "Whether version 3 of agent agent_a exists is unknown, because reading failed (rate_limited)"),
          "unknown", versions={"agent_a": 429}),
    Fault("versions that cannot be read, and none is pinned", {},
          ("info", IN, "Whether agent agent_a is published is unknown, because reading failed (forbidden)"),
          versions={"agent_a": 403}),
    Fault("versions of another shape", {IN: [one(version=3)]}, ("info", IN, "reading failed (invalid_reply)"), "unknown",
          versions={"agent_a": "odd"}),
]  # fmt: skip


class RetellWorld:
    """A platform that holds one number."""

    def __init__(self, fault: Fault) -> None:
        self.number = shown(RETELL_NUMBER | fault.number)
        self._fault = fault
        self._versions = RETELL_VERSIONS | dict(fault.versions)

    def _agents(self, query: str = "") -> Any:
        agents = self._fault.agents if self._fault.agents is not None else RETELL_AGENTS
        if not isinstance(agents, list):
            return agents if isinstance(agents, int) else {"items": None} | agents
        return {"items": [agent for agent in agents if query in agent["agent_id"]], "has_more": self._fault.cut}

    def _versions_of(self, agent_id: str) -> Any:
        published = self._versions.get(agent_id, 422)
        if not isinstance(published, dict):
            return {"versions": []} if published == "odd" else published
        items = [{"version": version, "is_published": each} for version, each in published.items()]
        return {"items": items, "has_more": self._fault.cut_versions}

    async def answer(self, request: Request, stream: SocketStream) -> None:
        operation, _, rest = request.target.partition("?")[0].removeprefix("/").partition("/")
        found: Any
        if operation == "get-phone-number":
            assert unquote(rest) == NUMBER
            found = self.number
        elif operation == "list-agent-versions":
            found = self._versions_of(unquote(rest))
        else:
            assert (request.method, request.target) == ("POST", "/v2/list-agents?limit=1000")
            found = self._agents(request.json.get("filter_criteria", {}).get("query", ""))
        words = "Cannot find requested asset under given api key."
        failed = isinstance(found, int)
        answer = reply(found, {"status": "error", "message": words}) if failed else reply(200, found)
        await answer(request, stream)

    def judge(self) -> Report:
        bound = retell.bound_agents(self.number)
        agents, *rest = [self._agents(), *map(self._versions_of, bound)][: MAX_READS - 1]
        replies = [refused(each) if isinstance(each, int) else each for each in rest]
        return retell.judge_phone_number(
            self.number,
            refused(agents) if isinstance(agents, int) else agents,
            dict(zip(bound, [*replies, *[None] * len(bound)], strict=False)),
        )


# --- every fault is named ---------------------------------------------------------------------------------------------

WORLDS: dict[str, Any] = {"zudu": ZuduWorld, "retell": RetellWorld}
FAULTS: list[tuple[str, Fault]] = [
    *(("zudu", fault) for fault in ZUDU_FAULTS),
    *(("retell", fault) for fault in RETELL_FAULTS),
]
EVERY_FAULT = pytest.mark.parametrize(
    ("platform", "fault"), FAULTS, ids=[f"{platform}: {fault.what}" for platform, fault in FAULTS]
)
EVERY_PLATFORM = pytest.mark.parametrize("platform", WORLDS)


def names(data: Mapping[str, Any], fault: Fault) -> None:
    """Assert that a result names a fault, once, and that its verdicts are right."""
    severity, where, words = fault.finding
    found = [each for each in data["findings"] if each["field"] == where and words in each["problem"]]
    assert [each["severity"] for each in found] == [severity], data["findings"]
    assert (data["inbound"], data["outbound"]) == (fault.inbound, fault.outbound)


@EVERY_FAULT
def test_the_judgement_names_every_fault(platform: str, fault: Fault) -> None:
    names(WORLDS[platform](fault).judge().success().data, fault)


@EVERY_FAULT
def test_a_fix_names_what_there_is(platform: str, fault: Fault) -> None:
    tools = {tool.name: tool.arguments.model_fields for tool in load(platform).tools}
    for finding in WORLDS[platform](fault).judge().findings:
        assert finding.problem.endswith(".")
        assert finding.fix.endswith(".")
        for tool, argument in re.findall(r"\b([a-z]+_phone_number|list_agents)(?: with (\w+))?", finding.fix):
            assert tool in tools
            assert not argument or argument in tools[tool]


def test_there_are_enough_faults() -> None:
    assert min(len(ZUDU_FAULTS), len(RETELL_FAULTS)) >= 20
    assert len({fault.what for fault in ZUDU_FAULTS}) == len(ZUDU_FAULTS)


async def check(platform: str, api: Api, phone_number: str = NUMBER) -> dict[str, Any]:
    return (await harness.run(load(platform), api, "check_phone_number", {"phone_number": phone_number})).data


@pytest.fixture
async def apis(upstream: Upstream) -> AsyncIterator[dict[str, Api]]:
    deciphers = {name: load(name).decipher for name in WORLDS}
    opened = {name: Api(base_url=upstream.url, decipher=each, timeout=5) for name, each in deciphers.items()}
    async with opened["zudu"], opened["retell"]:
        yield opened


@pytest.mark.anyio
@EVERY_FAULT
async def test_a_check_names_every_fault_in_at_most_four_requests(
    apis: dict[str, Api], upstream: Upstream, platform: str, fault: Fault
) -> None:
    world = WORLDS[platform](fault)
    upstream.answer = world.answer
    data = await check(platform, apis[platform])
    names(data, fault)
    assert list(data) == ["phone_number", "inbound", "outbound", "answered_by", "findings"]
    assert data["phone_number"] == NUMBER
    assert 1 <= len(upstream.requests) <= MAX_READS


# --- a sound number ---------------------------------------------------------------------------------------------------


def alarms(report: Report) -> list[Any]:
    return [finding for finding in report.findings if finding.severity != "info"]


@SOUND
@given(
    st.fixed_dictionaries(
        {
            "nickname": st.none() | st.text(),
            "phone_number_type": st.sampled_from(["ZUDU_TWILIO", "CUSTOM", "zudu-twilio"]),
            "inbound_agent_id": st.sampled_from(["agent_a", "agent_b", "agent_7"]),
            "outbound_agent_id": st.sampled_from([None, "agent_a", "agent_b", "agent_99"]),
            "inbound_agent_version": st.none() | st.integers(0, 50),
            "outbound_agent_version": st.none() | st.integers(0, 50),
            "inbound_webhook_url": st.sampled_from([None, "https://example.com/calls?x=1", "HTTPS://example.com"]),
            "inbound_trunk_id": st.sampled_from(["trunk_1", "ST_1", "TK1"]),
            "dispatch_rule_id": st.sampled_from(["dispatch_1", "SDR_1"]),
        }
    ),
    st.booleans(),
    st.booleans(),
)
def test_nothing_is_wrong_with_a_sound_number_on_zudu(number: dict[str, Any], split: bool, tells: bool) -> None:
    more = {"is_suspended": False, "is_published": True, "channel": "voice"} if tells else {}
    agents = [agent | more for agent in (*OTHERS, *ZUDU_AGENTS)]
    pages = [agents[:60], agents[60:]] if split else [agents]
    report = ZuduWorld(Fault("", number, ("", "", ""), agents=pages, pages=len(pages))).judge()
    assert alarms(report) == []
    assert report.inbound == "yes"
    assert report.outbound == ("yes" if number["outbound_agent_id"] else "no")
    assert list(report.answered_by) == [number["inbound_agent_id"]]


VERSIONS = st.sampled_from([None, 0, 3, "3", "prod", "latest", "latest_published"])
SHARES: st.SearchStrategy[list[float]] = st.sampled_from([[1], [0.5, 0.5], [0.75, 0.25], [1.0]])


@st.composite
def bound(draw: st.DrawFn) -> list[dict[str, Any]]:
    shares = draw(SHARES)
    first = draw(st.sampled_from(["agent_a", "agent_c"]))
    other = "agent_c" if first == "agent_a" else "agent_a"
    return [one(agent, draw(VERSIONS), share) for agent, share in zip((first, other), shares, strict=False)]


@SOUND
@given(
    st.fixed_dictionaries(
        {
            "nickname": st.none() | st.text(),
            "inbound_agents": bound(),
            "outbound_agents": st.none() | st.just([]) | bound(),
            "inbound_webhook_url": st.sampled_from([None, "https://example.com/calls"]),
            "inbound_sms_webhook_url": st.sampled_from([None, "https://example.com/sms"]),
            "allowed_inbound_country_list": st.sampled_from([None, [], ["US"], ["CA", "US", "DE"], ["us"]]),
            "allowed_outbound_country_list": st.sampled_from([None, [], ["DE"], ["AQ", "GB"]]),
            "fallback_number": st.sampled_from([None, OTHER]),
        }
    ),
    st.sampled_from([{}, {"phone_number_type": "retell-telnyx"}, CUSTOM]),
    st.sampled_from([{}, {"inbound_sms_agents": CHAT}]),
)
def test_nothing_is_wrong_with_a_sound_number_on_retell(
    number: dict[str, Any], kind: dict[str, Any], sms: dict[str, Any]
) -> None:
    agents = [*RETELL_AGENTS, listed("agent_c", "Night", tags={"prod": {"version": 0}})]
    versions = {"agent_a": {0: True, 3: True}, "agent_c": {0: True, 1: True, 3: True}}
    report = RetellWorld(Fault("", number | kind | sms, ("", "", ""), agents=agents, versions=versions)).judge()
    assert alarms(report) == []
    assert report.inbound == "yes"
    assert report.outbound == ("yes" if number["outbound_agents"] else "no")
    assert list(report.answered_by) == [entry["agent_id"] for entry in number["inbound_agents"]]


# --- reads that fail --------------------------------------------------------------------------------------------------


def failing(world: Any, failure: Answer, *, after: int = 1) -> Answer:
    """Answer as a world does, and after so many requests fail."""
    count = 0

    async def answer(request: Request, stream: SocketStream) -> None:
        nonlocal count
        count += 1
        await (world.answer if count <= after else failure)(request, stream)

    return answer


FAILURES = {
    "403": reply(403, {"status": "error", "message": "no", "error": "no"}),
    "500": reply(500, {"status": "error", "message": "no", "error": "no"}),
    "503": reply(503, b"<html>"),
    "dropped": drop(),
    "no JSON": reply(200, b"<html>"),
    "no object": reply(200, [1]),
    "redirect": reply(302, b"", location="https://example.com"),
}


@pytest.mark.anyio
@EVERY_PLATFORM
@pytest.mark.parametrize("failure", FAILURES)
async def test_a_check_answers_although_nothing_but_the_number_can_be_read(
    apis: dict[str, Api], upstream: Upstream, platform: str, failure: str
) -> None:
    upstream.answer = failing(WORLDS[platform](Fault("", {}, ("", "", ""))), FAILURES[failure])
    data = await check(platform, apis[platform])
    assert (data["inbound"], data["outbound"]) == ("unknown", "unknown")
    assert data["answered_by"] == [{"agent_id": "agent_a", "name": None}]
    assert {finding["severity"] for finding in data["findings"]} == {"info"}
    assert "reading failed" in data["findings"][0]["problem"]
    assert len(upstream.requests) <= MAX_READS


@pytest.mark.anyio
@EVERY_PLATFORM
async def test_a_check_answers_in_time_although_the_agents_do_not(upstream: Upstream, platform: str) -> None:
    upstream.answer = failing(WORLDS[platform](Fault("", {}, ("", "", ""))), silence())
    async with Api(base_url=upstream.url, decipher=load(platform).decipher, timeout=2) as api:
        data = await check(platform, api)
    assert (data["inbound"], data["outbound"]) == ("unknown", "unknown")
    assert "reading failed (timeout)" in data["findings"][0]["problem"]


@pytest.mark.anyio
@EVERY_PLATFORM
async def test_repeated_reads_of_the_number_count(apis: dict[str, Api], upstream: Upstream, platform: str) -> None:
    world = WORLDS[platform](Fault("", {}, ("", "", "")))
    refusals = 2

    async def answer(request: Request, stream: SocketStream) -> None:
        fails = len(upstream.requests) <= refusals
        await (FAILURES["503"] if fails else world.answer)(request, stream)

    upstream.answer = answer
    data = await check(platform, apis[platform])
    assert data["inbound"] == "yes"
    assert len(upstream.requests) == MAX_READS


@pytest.mark.anyio
@EVERY_PLATFORM
async def test_only_the_number_itself_fails_a_check(apis: dict[str, Api], upstream: Upstream, platform: str) -> None:
    upstream.answer = FAILURES["500"]
    with pytest.raises(PlatformError):
        await check(platform, apis[platform])
    assert len(upstream.requests) == 3
    world = WORLDS[platform](Fault("", {"phone_number": OTHER}, ("", "", "")))
    upstream.answer = world.answer
    with pytest.raises(InvalidReply, match="did not answer about it"):
        await check(platform, apis[platform])


@pytest.mark.anyio
async def test_an_agents_id_with_odd_characters_stays_in_its_place(apis: dict[str, Api], upstream: Upstream) -> None:
    number = {IN: [one("../get-agent/\ud800?x", 1)], OUT: [one("..")]}
    upstream.answer = failing(RetellWorld(Fault("", number, ("", "", ""))), FAILURES["403"])
    await check("retell", apis["retell"])
    paths = {request.target.partition("?")[0] for request in upstream.requests[1:]}
    assert paths == {"/v2/list-agents", "/list-agent-versions/..%2Fget-agent%2F%3F%3Fx"}


@pytest.mark.anyio
async def test_one_agent_is_asked_for_by_its_id(apis: dict[str, Api], upstream: Upstream) -> None:
    upstream.answer = RetellWorld(Fault("", {OUT: None}, ("", "", ""))).answer
    await check("retell", apis["retell"])
    (question,) = [request for request in upstream.requests if request.method == "POST"]
    assert question.json == {"filter_criteria": {"query": "agent_a"}}


@pytest.mark.anyio
async def test_zudus_pages_are_read_until_the_agents_were_seen(apis: dict[str, Api], upstream: Upstream) -> None:
    upstream.answer = ZuduWorld(Fault("", {}, ("", "", ""), agents=[OTHERS, ZUDU_AGENTS, OTHERS], pages=3)).answer
    data = await check("zudu", apis["zudu"])
    assert data["answered_by"] == [RECEPTION]
    assert [request.target for request in upstream.requests[1:]] == [
        f"/api/agents?limit=100&page={page}" for page in (0, 1)
    ]


# --- over stdio -------------------------------------------------------------------------------------------------------

ON_THE_SANDBOX: Sequence[tuple[str, dict[str, Any], tuple[str, str, str], str, str]] = [
    ("zudu", {"inbound_webhook_url": "http://example.com"}, ("warning", "inbound_webhook_url", "https"), "unknown", "no"),
    ("retell", {IN: [one("agent_paused")]}, ("error", IN, "Old menu (agent_paused) is suspended"), "no", "no"),
    ("retell", {IN: [one("agent_chat")]}, ("error", IN, "is a chat agent"), "no", "no"),
    ("retell", {IN: [one("agent_draft")]}, ("warning", IN, "Version 0 of agent agent_draft is not"), "yes", "no"),
    ("retell", {OUT: [one("agent_reception", 9)]}, ("error", OUT, "has no version 9"), "no", "no"),
    ("retell", {IN: [one("agent_reception", "staging")]}, ("error", IN, 'no version tag "staging"'), "no", "no"),
    ("retell", {"fallback_number": "+14155550120"}, ("warning", "fallback_number", "itself"), "no", "no"),
]  # fmt: skip


@pytest.mark.anyio
@EVERY_PLATFORM
async def test_the_real_server_names_faults_on_the_simulated_platform(connect: Connect, platform: str) -> None:
    phone_number = "+14155550120"
    for mine, fields, finding, inbound, outbound in ON_THE_SANDBOX:
        if mine != platform:
            continue
        async with connect("--sandbox", "--platform", platform) as client:
            created = content(await client.call_tool("create_phone_number", {"phone_number": phone_number} | fields))
            assert "data" in created
            data = content(await client.call_tool("check_phone_number", {"phone_number": phone_number}))["data"]
        names(data, Fault("", {}, finding, inbound, outbound))


@pytest.mark.anyio
async def test_the_real_server_cleans_what_it_repeats(connect: Connect, upstream: Upstream) -> None:
    agents = [[ZUDU_AGENTS[0] | {"agent_name": "Recep\u202etion\x1b[2J", "is_suspended": True}, ZUDU_AGENTS[1]]]
    upstream.answer = ZuduWorld(Fault("", {}, ("", "", ""), agents=agents)).answer
    async with connect(env=credentials(upstream)) as client:
        data = content(await client.call_tool("check_phone_number", {"phone_number": NUMBER}))["data"]
    names(data, Fault("", {}, ("error", "inbound_agent_id", "Reception"), "no", "yes"))
    assert "\u202e" not in str(data)


@pytest.mark.anyio
@EVERY_PLATFORM
async def test_the_declaration_is_short(connect: Connect, platform: str) -> None:
    async with connect("--platform", platform) as client:
        tools = (await client.list_tools()).tools
    (tool,) = [tool for tool in tools if tool.name == "check_phone_number"]
    assert tool.annotations
    assert tool.annotations.read_only_hint
    declared = tool.model_dump(by_alias=True, exclude_none=True)
    assert len(json.dumps(declared, separators=(",", ":"), ensure_ascii=False).encode()) <= 1_200
