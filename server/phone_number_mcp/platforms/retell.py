"""Retell (https://docs.retellai.com/api-references): its models, its endpoints, its tools, and how its errors read.

Paths and fields are those of the published client, retell-sdk 6.2.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self
from urllib.parse import quote

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema

from phone_number_mcp.e164 import E164, parse
from phone_number_mcp.errors import AlreadyExists, InvalidReply, NotFound, PlatformError, ToolError, refusal
from phone_number_mcp.platforms import Platform
from phone_number_mcp.platforms.agents import Agent, AgentList, ListAgents, ListedAgents, list_agents
from phone_number_mcp.platforms.checks import (
    Binding,
    PhoneNumberCheck,
    Report,
    SeenAgents,
    Verdict,
    all_of,
    any_of,
    called_by,
    clause,
    judge_agent,
    judge_webhook,
    read_all,
    refuse_other,
    remedy,
)
from phone_number_mcp.platforms.lists import Brief, ListArguments, ListedNumbers, NumberList, list_numbers
from phone_number_mcp.platforms.numbers import (
    NAMED_IN_CREATE,
    AreaCode,
    CreateArguments,
    DeleteArguments,
    DryRun,
    IdempotencyKey,
    SortOrder,
    UpdateArguments,
    WebAddress,
    as_text,
    creating,
    find,
    lower,
    provision,
    review,
    says_it_exists,
    updating,
    upper,
)
from phone_number_mcp.platforms.pages import Page, Query, pages
from phone_number_mcp.tool import TAKES_AGENT, Arguments, Data, Secret, Success, Tool

if TYPE_CHECKING:
    from starlette.routing import Route

    from phone_number_mcp.upstream.call import Call
    from phone_number_mcp.upstream.reply import Reply

# --- arguments --------------------------------------------------------------------------------------------------------

_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TAG = re.compile(r"[a-z0-9_-]{1,20}")
_WEIGHT_TOLERANCE = 1e-6
_LOST_PLUS = re.compile(r"00[0-9]+|[0-9]{10,}")  # a phone number without its `+`; shorter is an extension, such as 1001


def _identifier(value: Any) -> str:
    """Read E.164 as everywhere, and take what else numbers are called: Retell imports "1001" as it stands."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = str(value)
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value.strip()) and not _LOST_PLUS.fullmatch(value.strip()):
        return value.strip()
    return parse(value)


def _agent_version(value: Any) -> int | str:
    # A number such as 3, or a tag such as "prod": https://docs.retellai.com, "Agent version reference".
    if isinstance(value, str) and value.strip().isdecimal() and value.isascii():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if isinstance(value, str) and _TAG.fullmatch(value):
        return value
    raise ValueError("must be a version number, or a tag of 1 to 20 characters out of a-z, 0-9, _ and -")


def _country(value: str) -> str:
    if not re.fullmatch("[A-Z]{2}", value):
        raise ValueError("must be a country code of two letters (ISO 3166-1), such as US")
    return value


def _share(value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError("must be above 0 and at most 1")
    return value


class WeightedAgent(Arguments):
    """One of the agents among which calls are shared out."""

    agent_id: Annotated[str, TAKES_AGENT, Field(description="Name or id")]
    weight: Annotated[float, AfterValidator(_share)]
    agent_version: Annotated[int | str | None, BeforeValidator(_agent_version), WithJsonSchema({"type": "string"})] = (
        None
    )


def _shares_add_up(agents: list[WeightedAgent]) -> list[WeightedAgent]:
    total = math.fsum(agent.weight for agent in agents)
    if agents and abs(total - 1) > _WEIGHT_TOLERANCE:  # [0.6, 0.3, 0.1] comes to 0.9999999999999999
        raise ValueError(f"the weights sum to {total:.6g}; they must sum to 1")
    return agents


Identifier = Annotated[str, BeforeValidator(_identifier), Field(description="E.164, or an imported one such as 1001")]
Agents = Annotated[list[WeightedAgent], AfterValidator(_shares_add_up)]
Country = Annotated[str, BeforeValidator(upper), AfterValidator(_country)]
Transport = Annotated[Literal["TLS", "TCP", "UDP"], BeforeValidator(upper), WithJsonSchema({"type": "string"})]

_SAME = {"type": "object", "properties": {"agent_id": {}}}
MoreAgents = Annotated[
    Agents,
    WithJsonSchema({"type": "array", "items": _SAME}),  # inbound_agents has the types; four times would not pay
]
InboundAgents = Annotated[Agents | None, Field(description="Who answers; weights sum to 1")]
OutboundAgents = Annotated[MoreAgents | None, Field(description="Who calls from it, as inbound_agents")]
InboundCountries = Annotated[list[Country] | None, Field(description="May call it, such as US; none: all")]
OutboundCountries = Annotated[list[Country] | None, Field(description="It may call; none: all")]
Webhook = Annotated[WebAddress | None, Field(description="For inbound calls; https")]
Nickname = Annotated[str | None, Field(description="What people call it")]
Fallback = Annotated[str | None, BeforeValidator(parse), Field(description="Takes calls when all lines are busy")]
Codecs = Annotated[list[str] | None, Field(description="SIP codecs of an imported number, best first")]
SipTransport = Annotated[Transport | None, Field(description="Outbound SIP: TLS, TCP or UDP")]

_WEIGHTED = 'was retired by Retell; write {}_agents: [{{"agent_id": "…", "weight": 1}}]'
_VERSIONED = 'was retired by Retell; write it inside {}_agents: [{{"agent_id": "…", "weight": 1, "agent_version": …}}]'
_RETIRED = {
    "inbound_agent_id": _WEIGHTED.format("inbound"),
    "outbound_agent_id": _WEIGHTED.format("outbound"),
    "inbound_agent_version": _VERSIONED.format("inbound"),
    "outbound_agent_version": _VERSIONED.format("outbound"),
}
"""Retired after 2026-03-31 in favour of the weighted lists; models have learnt the old names."""


class GetPhoneNumber(Arguments):
    """The path parameter of GET /get-phone-number/{phone_number}."""

    phone_number: Identifier


class CreatePhoneNumber(CreateArguments):
    """The body of POST /create-phone-number."""

    retired: ClassVar[Mapping[str, str]] = _RETIRED

    phone_number: Annotated[E164 | None, Field(description="This very number; else any is bought")] = None
    area_code: Annotated[AreaCode | None, Field(description="3 digits, US")] = None
    country_code: Annotated[Literal["US", "CA"] | None, BeforeValidator(upper), Field(description="Default: US")] = None
    toll_free: Annotated[bool | None, Field(description="Costs more")] = None
    number_provider: Annotated[
        Literal["twilio", "telnyx"] | None, BeforeValidator(lower), Field(description="Default: twilio")
    ] = None
    nickname: Nickname = None
    inbound_agents: InboundAgents = None
    outbound_agents: OutboundAgents = None
    inbound_webhook_url: Webhook = None
    allowed_inbound_country_list: InboundCountries = None
    allowed_outbound_country_list: OutboundCountries = None
    fallback_number: Fallback = None
    transport: SipTransport = None
    idempotency_key: IdempotencyKey = None
    dry_run: DryRun = None

    @field_validator("toll_free")
    @classmethod
    def _has_no_area_code(cls, value: Any, info: ValidationInfo) -> Any:
        if value and info.data.get("area_code") is not None:
            raise ValueError("cannot be given together with area_code: a toll-free number has none of a place")
        return value

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        if self.phone_number is None and self.area_code is None and self.country_code is None and not self.toll_free:
            raise ValueError(
                "do not say which number to buy: give phone_number, area_code, country_code or toll_free, after asking "
                "the user"
            )
        return self


class ListPhoneNumbers(ListArguments):
    """The query of GET /v2/list-phone-numbers."""

    retired: ClassVar[Mapping[str, str]] = {"pagination_key": "is not needed: pass on next"}

    sort_order: Annotated[SortOrder | None, Field(description="Direction")] = None


class ImportPhoneNumber(CreateArguments):
    """The body of POST /import-phone-number."""

    retired: ClassVar[Mapping[str, str]] = _RETIRED

    phone_number: Identifier
    termination_uri: Annotated[str, Field(description="Of the SIP trunk, such as x.pstn.twilio.com")]
    sip_trunk_auth_username: Annotated[str | None, Field(description="Of the SIP trunk")] = None
    sip_trunk_auth_password: Annotated[Secret | None, Field(description="The secret, or secret:NAME")] = None
    ignore_e164_validation: Annotated[bool | None, Field(description="Default: true")] = None
    nickname: Nickname = None
    inbound_agents: Annotated[MoreAgents | None, Field(description="As in create_phone_number")] = None
    outbound_agents: OutboundAgents = None
    inbound_webhook_url: Webhook = None
    allowed_inbound_country_list: InboundCountries = None
    allowed_outbound_country_list: OutboundCountries = None
    transport: SipTransport = None
    codecs: Codecs = None
    idempotency_key: Annotated[IdempotencyKey, Field(description="As in create_phone_number")] = None
    dry_run: DryRun = None


# What the published client types as optional, that is: what takes null.
_CLEARABLE = (
    "nickname",
    "inbound_agents",
    "outbound_agents",
    "inbound_sms_agents",
    "outbound_sms_agents",
    "inbound_webhook_url",
    "inbound_sms_webhook_url",
    "allowed_inbound_country_list",
    "allowed_outbound_country_list",
    "fallback_number",
)


def _clearable(name: str) -> str:
    if name not in _CLEARABLE:
        raise ValueError(f"must be one of {', '.join(_CLEARABLE)}")
    return name


class UpdatePhoneNumber(UpdateArguments):
    """The body of PATCH /update-phone-number/{phone_number}."""

    retired: ClassVar[Mapping[str, str]] = _RETIRED
    clearable: ClassVar[tuple[str, ...]] = _CLEARABLE

    phone_number: Identifier
    nickname: Nickname = None
    inbound_agents: Annotated[MoreAgents | None, Field(description="As in create_phone_number")] = None
    outbound_agents: OutboundAgents = None
    inbound_sms_agents: Annotated[MoreAgents | None, Field(description="As inbound_agents, for SMS to it")] = None
    outbound_sms_agents: Annotated[MoreAgents | None, Field(description="As inbound_agents, for SMS from it")] = None
    inbound_webhook_url: Webhook = None
    inbound_sms_webhook_url: Annotated[WebAddress | None, Field(description="For inbound SMS")] = None
    allowed_inbound_country_list: InboundCountries = None
    allowed_outbound_country_list: OutboundCountries = None
    fallback_number: Fallback = None
    termination_uri: Annotated[str | None, Field(description="Of the SIP trunk")] = None
    auth_username: Annotated[str | None, Field(description="Of the SIP trunk")] = None
    auth_password: Annotated[Secret | None, Field(description="The secret, or secret:NAME")] = None
    transport: SipTransport = None
    codecs: Codecs = None
    clear_fields: Annotated[
        list[Annotated[str, AfterValidator(_clearable)]] | None,
        Field(description="Fields to clear: nickname, fallback_number, and those named agents, url or list"),
    ] = None
    dry_run: DryRun = None


class DeletePhoneNumber(DeleteArguments):
    """The path parameter of DELETE /delete-phone-number/{phone_number}, and what the caller must say with it."""

    bindings: ClassVar[tuple[str, ...]] = (
        "inbound_agents",
        "outbound_agents",
        "inbound_sms_agents",
        "outbound_sms_agents",
        "inbound_agent_id",
        "outbound_agent_id",
    )
    # Lists without agents are left out; these two are in every answer about a number.
    shown: ClassVar[tuple[str, ...]] = ("phone_number_type", "last_modification_timestamp")

    phone_number: Identifier
    confirm_phone_number: Annotated[str, BeforeValidator(_identifier), Field(description="The same again")]
    release_bound: Annotated[bool | None, Field(description="Although agents are bound; ask the user")] = None
    dry_run: DryRun = None


# --- what comes back --------------------------------------------------------------------------------------------------


class PhoneNumber(Data):
    """A number, as every endpoint returns it. The agent ids and versions are in replies that still have them."""

    phone_number: str | None = None
    phone_number_type: str | None = None
    last_modification_timestamp: Annotated[int | None, Field(description="ms since 1970")] = None
    phone_number_pretty: str | None = None
    area_code: int | None = None
    nickname: str | None = None
    inbound_agents: list[Any] | None = None
    outbound_agents: list[Any] | None = None
    inbound_sms_agents: list[Any] | None = None
    outbound_sms_agents: list[Any] | None = None
    inbound_agent_id: Annotated[str | None, SkipJsonSchema()] = None
    outbound_agent_id: Annotated[str | None, SkipJsonSchema()] = None
    inbound_agent_version: Annotated[int | None, SkipJsonSchema()] = None
    outbound_agent_version: Annotated[int | None, SkipJsonSchema()] = None
    inbound_webhook_url: str | None = None
    inbound_sms_webhook_url: str | None = None
    allowed_inbound_country_list: list[str] | None = None
    allowed_outbound_country_list: list[str] | None = None
    fallback_number: str | None = None
    sip_outbound_trunk_config: dict[str, Any] | None = None


class TheNumber(Data):
    """A number again."""

    summary: ClassVar[str | None] = "As get_phone_number returns it"


class DeletedPhoneNumber(Data):
    """The number that is gone. Retell's own answer is an empty 204."""

    phone_number: str | None = None


# --- endpoints --------------------------------------------------------------------------------------------------------


async def get_phone_number(call: Call, arguments: GetPhoneNumber) -> Success:
    """GET /get-phone-number/{phone_number}."""
    return Success(await fetch_number(call, arguments.phone_number))


async def create_phone_number(call: Call, arguments: CreatePhoneNumber) -> Success:
    """POST /create-phone-number. Without a number it buys any, and a repeat would buy another."""
    number = arguments.phone_number
    write = call.write("POST", "/create-phone-number", arguments.body())
    return Success(
        await (write if number is None else creating(write, number, lambda: fetch_number(call, number), number_in))
    )


async def import_phone_number(call: Call, arguments: ImportPhoneNumber) -> Success:
    """POST /import-phone-number."""
    write = call.write("POST", "/import-phone-number", arguments.body())
    return Success(
        await creating(write, arguments.phone_number, lambda: fetch_number(call, arguments.phone_number), number_in)
    )


async def update_phone_number(call: Call, arguments: UpdatePhoneNumber) -> Success:
    """PATCH /update-phone-number/{phone_number}."""
    path, sent = f"/update-phone-number/{quote(arguments.phone_number, safe='')}", arguments.body()
    return Success(await updating(call.write("PATCH", path, sent), sent))


async def delete_phone_number(call: Call, arguments: DeletePhoneNumber) -> Success:
    """DELETE /delete-phone-number/{phone_number}, after a look at what is bound to it."""
    arguments.refuse_if_bound(await fetch_number(call, arguments.phone_number), number_in)
    path = f"/delete-phone-number/{quote(arguments.phone_number, safe='')}"
    return Success({"phone_number": arguments.phone_number} | await call.write("DELETE", path))


async def list_phone_numbers(call: Call, arguments: ListPhoneNumbers) -> Success:
    """GET /v2/list-phone-numbers, page after page."""
    return await list_numbers(call, NUMBERS, arguments)


async def list_all_agents(call: Call, arguments: ListAgents) -> Success:
    """POST /v2/list-agents, page after page."""
    return await list_agents(call, AGENTS, arguments)


async def fetch_number(call: Call, phone_number: str) -> dict[str, Any]:
    """Return what the platform holds."""
    data: dict[str, Any] = await call.read(f"/get-phone-number/{quote(phone_number, safe='')}")
    return data


async def find_number(call: Call, phone_number: str) -> dict[str, Any] | None:
    """Return a number from the list, which cannot be filtered."""
    return await find(pages(_number_page, call), phone_number, number_in)


async def list_all_numbers(call: Call) -> set[str]:
    """Return all the numbers there are.

    Raises:
        InvalidReply: An entry has no number: the list proves nothing.
    """
    numbers: set[str] = set()
    async for page in pages(_number_page, call):
        for entry in page.entries:
            number = number_in(entry) if isinstance(entry, dict) else None
            if number is None:
                raise InvalidReply("The platform's list of numbers has an entry without a number")
            numbers.add(number)
    return numbers


async def _number_page(call: Call, query: Query, size: int, cursor: str | None) -> Page:
    """GET /v2/list-phone-numbers."""
    data = await call.read("/v2/list-phone-numbers", _page_query(query, size, cursor))
    return _page(data, "numbers")


def _page_query(query: Query, size: int, cursor: str | None) -> dict[str, str | int]:
    return {"limit": size, **query} | ({"pagination_key": cursor} if cursor else {})


def _page(data: Mapping[str, Any], what: str) -> Page:
    items = data.get("items")
    if not isinstance(items, list) or "has_more" not in data:
        raise InvalidReply(f"The platform's answer is not the documented list of {what}")
    key = data.get("pagination_key")
    if not data["has_more"]:
        key = None
    elif not isinstance(key, str) or not key:
        raise InvalidReply(f"The platform's list of {what} says that there is more, and not how to get it")
    return Page(items, key, None, data)


async def _agent_page(call: Call, query: Query, size: int, cursor: str | None) -> Page:
    """POST /v2/list-agents: a question, although a POST."""
    return _page(await call.read("/v2/list-agents", _page_query(query, size, cursor), post=True), "agents")


def _agent(entry: Mapping[str, Any]) -> Agent | None:
    id_, channel, suspended = entry.get("agent_id"), entry.get("channel"), entry.get("is_suspended")
    if not isinstance(id_, str) or not id_:
        return None
    return Agent(
        id_,
        as_text(entry.get("agent_name")),
        channel=channel if channel in ("voice", "chat") else None,
        suspended=suspended if isinstance(suspended, bool) else None,
    )


def _brief(number: Mapping[str, Any]) -> Brief | None:
    phone_number = number_in(number)
    if phone_number is None:
        return None
    return Brief(
        phone_number,
        nickname=as_text(number.get("nickname")),
        inbound=_bound(number, "inbound_agents", "inbound_agent_id"),
        outbound=_bound(number, "outbound_agents", "outbound_agent_id"),
        webhook=as_text(number.get("inbound_webhook_url")),
        more={
            "sms_inbound": _bound(number, "inbound_sms_agents"),
            "sms_outbound": _bound(number, "outbound_sms_agents"),
        },
    )


def _bound(number: Mapping[str, Any], field: str, retired: str = "") -> Sequence[str | Mapping[str, Any]]:
    """Return the agents of one field: ids, with weight and version only where they say more than that it is this one."""
    agents = number.get(field)
    if not isinstance(agents, list) or not agents:
        return [as_text(number[retired])] if number.get(retired) else ()
    listed = [agent for agent in agents if isinstance(agent, dict) and isinstance(agent.get("agent_id"), str)]
    alone = len(listed) == 1 and listed[0].keys() <= {"agent_id", "weight"} and listed[0].get("weight", 1) == 1
    return [listed[0]["agent_id"]] if alone else listed


AGENTS = AgentList(_agent_page, _agent)
NUMBERS = NumberList(_number_page, "items", _brief, filters={"sort_order": "sort_order"}, agents=AGENTS)


def number_in(data: Mapping[str, Any]) -> str | None:
    """Return the number that a reply is about."""
    number = data.get("phone_number")
    return number if isinstance(number, str) and number else None


# --- check_phone_number: what it reads, and what that means -----------------------------------------------------------

_JUDGED: Mapping[str, tuple[str, Literal["voice", "chat"]]] = {
    "inbound_agents": ("calls to it", "voice"),
    "outbound_agents": ("calls from it", "voice"),
    "inbound_sms_agents": ("SMS to it", "chat"),
    "outbound_sms_agents": ("SMS from it", "chat"),
}
"""The lists of agents → what they get, and the channel they must have."""
_AGENTS_PAGE = 1000  # https://docs.retellai.com/api-references/list-agents: limit, at most 1000
_VERSIONS_PAGE = 100
_NEWEST = frozenset({"latest", "latest_published"})
_WITHOUT_PHONES = frozenset({"AQ", "BV", "GS", "HM", "PN", "TF", "UM"})
"""Countries of ISO 3166-1 that phonenumbers does not know, because they have no numbers of their own."""


class Versions(NamedTuple):
    """What was seen of an agent's versions.

    Args:
        published: Version → whether it is published.
        whole: Nothing is missing: a version that was not seen does not exist.
        unread: Why nothing was seen; None if the check had no read left for it.
    """

    published: Mapping[int, bool] = {}
    whole: bool = False
    unread: ToolError | None = None

    @property
    def problem(self) -> str:
        """Why a version may not have been seen, as a clause."""
        return "the list of its versions was cut" if self.published else clause(self.unread)

    def has(self, reference: Any) -> bool | None:
        """Return whether there is such a version; None if that is not known."""
        if reference in (None, "latest") and self.published:
            return True
        if reference == "latest_published" and any(self.published.values()):
            return True
        if reference in self.published:
            return True
        return False if self.whole and self.published else None


class Seen(NamedTuple):
    """What was read beside a number: the agents, the version tags of each, and the versions of some."""

    agents: SeenAgents
    tags: Mapping[str, Mapping[str, Any]]
    versions: Mapping[str, Versions]

    def versions_of(self, agent_id: str) -> Versions:
        """Return what was seen of an agent's versions, if only that nothing was."""
        return self.versions.get(agent_id, Versions())


async def check_phone_number(call: Call, arguments: GetPhoneNumber) -> Success:
    """GET /get-phone-number, POST /v2/list-agents, and GET /list-agent-versions of two agents."""
    number = await fetch_number(call, arguments.phone_number)
    refuse_other(number_in(number), arguments.phone_number)
    bound = bound_agents(number)
    if not bound:
        return judge_phone_number(number, None, {}).success()
    # Of one agent the platform can be asked by its id, however many there are.
    question = {"filter_criteria": {"query": _encodable(bound[0])}} if len(bound) == 1 else {}

    def listed(call: Call) -> Awaitable[Any]:
        return call.read("/v2/list-agents", {"limit": _AGENTS_PAGE}, post=question, repeat=False)

    def versions(agent_id: str, call: Call) -> Awaitable[Any]:
        path = f"/list-agent-versions/{quote(_encodable(agent_id), safe='')}"
        return call.read(path, {"limit": _VERSIONS_PAGE, "sort_order": "descending"}, repeat=False)

    agents, *rest = await read_all(call, [listed, *(partial(versions, agent_id) for agent_id in bound)])
    return judge_phone_number(number, agents, dict(zip(bound, rest, strict=True))).success()


def bound_agents(number: Mapping[str, Any]) -> list[str]:
    """Return the ids of the agents that a number names, those first whose versions say most."""
    entries = [entry for name in _JUDGED for entry in _entries(number.get(name)) or ()]
    # A version that is pinned must exist; that of the others can at most be a draft.
    pinned = [entry for entry in entries if not _is_loose(entry.get("agent_version"))]
    return list(dict.fromkeys(entry["agent_id"] for entry in (*pinned, *entries)))


def _is_loose(reference: Any) -> bool:
    return reference in (None, "latest") or (isinstance(reference, str) and reference != "latest_published")


def _encodable(text: str) -> str:
    """Return a text of a reply as it can be sent: it may hold a lone surrogate."""
    return text.encode(errors="replace").decode()


def _entries(value: Any) -> list[dict[str, Any]] | None:
    """Return the entries of a list of agents; None if it cannot be read."""
    if not value:
        return []
    if not isinstance(value, list) or not all(
        isinstance(entry, dict) and isinstance(entry.get("agent_id"), str) and entry["agent_id"].strip(".")
        for entry in value
    ):
        return None
    return value


def judge_phone_number(
    number: Mapping[str, Any], agents: Any | ToolError | None, versions: Mapping[str, Any | ToolError | None]
) -> Report:
    """Return what is right and wrong with a number, as far as the platform shows it.

    Args:
        number: As the platform holds it.
        agents: The reply of /v2/list-agents, or why there is none; None if it was not asked for.
        versions: Agent → the reply of /list-agent-versions, or why there is none; None if it was not asked for.
    """
    report = Report(number_in(number) or "")
    listed, tags = _read_agents(agents)
    seen = Seen(listed, tags, {agent_id: _read_versions(reply) for agent_id, reply in versions.items()})
    verdicts = {name: _judge_list(report, name, number.get(name), seen) for name in _JUDGED}
    inbound = _judge_inbound(report, number, verdicts["inbound_agents"])
    outbound = _judge_outbound(report, number, verdicts["outbound_agents"])
    report.inbound = all_of(inbound, _judge_countries(report, number, "allowed_inbound_country_list", "call it"))
    report.outbound = all_of(outbound, _judge_countries(report, number, "allowed_outbound_country_list", "be called"))
    for name in ("inbound_webhook_url", "inbound_sms_webhook_url"):
        judge_webhook(report, name, number.get(name))
    if _is_same_number(number.get("fallback_number"), number.get("phone_number")):
        fix = "update_phone_number with fallback_number: another number, or clear_fields: fallback_number."
        problem = "The fallback number is the number itself: calls fail when all lines are busy."
        report.warning("fallback_number", problem, fix)
    if number.get("phone_number_type") == "custom" and report.inbound != "no":
        problem = "Whether the carrier sends this number's calls to Retell cannot be seen."
        report.info("phone_number_type", problem, "If it does not ring, ask the user to check the SIP trunk there.")
    return report


def _read_agents(reply: Any) -> tuple[SeenAgents, Mapping[str, Mapping[str, Any]]]:
    """Return what a list of agents shows, and the version tags of each."""
    if isinstance(reply, ToolError) or reply is None:
        return SeenAgents({}, whole=False, problem=clause(reply), fix=remedy(reply)), {}
    items = reply.get("items")
    entries = [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
    named = {item["agent_id"]: item for item in entries if isinstance(item.get("agent_id"), str)}
    whole = isinstance(items, list) and len(named) == len(items) and reply.get("has_more") is False
    seen = {agent_id: agent for agent_id, item in named.items() if (agent := _agent(item)) is not None}
    tags = {agent_id: item["tags"] for agent_id, item in named.items() if isinstance(item.get("tags"), dict)}
    problem = "the list of agents was cut" if isinstance(items, list) else "the list of agents cannot be read"
    return SeenAgents(seen, whole, None if whole else problem), tags


def _read_versions(reply: Any) -> Versions:
    if isinstance(reply, ToolError) or reply is None:
        return Versions(unread=reply)
    items = reply.get("items")
    if not isinstance(items, list):
        return Versions(unread=InvalidReply("The platform's answer is not the documented list of versions"))
    published = {
        item["version"]: item["is_published"]
        for item in items
        if isinstance(item, dict) and type(item.get("version")) is int and isinstance(item.get("is_published"), bool)
    }
    return Versions(published, whole=len(published) == len(items) and reply.get("has_more") is False)


def _judge_list(report: Report, name: str, value: Any, seen: Seen) -> Verdict | None:
    """Return whether any of a list's agents can do its work; None if the list is empty."""
    entries = _entries(value)
    if entries is None:
        problem = "The platform's list of agents cannot be read: who is bound is unknown."
        report.info(name, problem, f"update_phone_number with {name}: the agents that the user wants.")
        return "unknown"
    if not entries:
        return None
    what, channel = _JUDGED[name]
    verdicts: list[Verdict] = []
    for entry, share in zip(entries, _judge_weights(report, name, entries), strict=True):
        binding = Binding(name, entry["agent_id"], what if len(entries) == 1 else f"{share:.0%} of {what}", channel)
        verdict = _judge_presence(report, binding, seen)
        if verdict != "no":
            verdict = all_of(verdict, _judge_version(report, binding, entry.get("agent_version"), seen))
        if share:
            verdicts.append(verdict)
            if name == "inbound_agents" and verdict != "no":
                agent = seen.agents.seen.get(binding.agent_id)
                report.answered_by[binding.agent_id] = agent.name if agent else None
    return any_of(verdicts) if verdicts else "unknown"


def _judge_weights(report: Report, name: str, entries: Sequence[Mapping[str, Any]]) -> list[float]:
    """Return the share of each entry; 0 for one whose weight is none."""
    weights = [entry.get("weight") for entry in entries]
    shares = [float(each) if isinstance(each, int | float) and 0 < each <= 1 else 0.0 for each in weights]
    fix = f"update_phone_number with {name}: weights above 0 that sum to 1."
    if 0.0 in shares:
        report.warning(name, "A weight is not above 0 and at most 1: that agent gets nothing.", fix)
    elif abs(math.fsum(shares) - 1) > _WEIGHT_TOLERANCE:
        report.warning(
            name, f"The weights sum to {math.fsum(shares):.6g}, not to 1: shares may be other than meant.", fix
        )
    return shares


def _judge_presence(report: Report, binding: Binding, seen: Seen) -> Verdict:
    """Return what the list of agents shows of one, and what its versions prove: that it exists, or does not."""
    agents, versions = seen.agents, seen.versions_of(binding.agent_id)
    agent = agents.seen.get(binding.agent_id)
    if agent is None and versions.published:
        why = agents.problem or "the list of agents lacks it"
        problem = f"Whether agent {binding.agent_id} is suspended is unknown, because {why}."
        report.info(binding.field, problem, agents.fix)
        return "unknown"
    if agent is None and isinstance(versions.unread, NotFound):
        agents = SeenAgents(agents.seen, whole=True)
    verdict = judge_agent(report, binding, agents)
    if agent is not None and verdict == "yes" and (agent.suspended is None or agent.channel is None):
        problem = f"The platform does not show whether agent {called_by(agent)} is suspended, or its channel."
        report.info(binding.field, problem, "Ask the user to look at the agent on the platform.")
        return "unknown"
    return verdict


def _judge_version(report: Report, binding: Binding, reference: Any, seen: Seen) -> Verdict:
    """Return whether the version that a number names exists; report a draft.

    https://docs.retellai.com, "Agent version reference": a number, a tag, "latest" (the highest number, drafts too) or
    "latest_published". A tag without a version is "latest".
    """
    agent_id, fix = (
        binding.agent_id,
        f"update_phone_number with {binding.field}: an agent_version that exists, or none.",
    )
    if isinstance(reference, str) and reference.isascii() and reference.isdecimal():
        reference = int(reference)
    elif isinstance(reference, str) and reference not in _NEWEST:
        tags = seen.tags.get(agent_id)
        if tags is None:
            problem = f'Whether agent {agent_id} has a version with the tag "{reference}" is unknown.'
            report.info(binding.field, problem, "Call list_agents and look at its tags.")
            return "unknown"
        if reference not in tags:
            report.error(
                binding.field, f'Agent {agent_id} has no version tag "{reference}": {binding.share} fail.', fix
            )
            return "no"
        assigned = tags[reference].get("version") if isinstance(tags[reference], dict) else None
        reference = "latest" if assigned is None else assigned
    if reference is not None and type(reference) not in {int, str}:
        report.info(
            binding.field, f"The agent_version of agent {agent_id} cannot be read: which it is is unknown.", fix
        )
        return "unknown"
    versions = seen.versions_of(agent_id)
    found = versions.has(reference)
    if found is False:
        report.error(binding.field, f"Agent {agent_id} has no version {reference}: {binding.share} fail.", fix)
        return "no"
    if found is None and reference not in (None, "latest"):
        problem = f"Whether version {reference} of agent {agent_id} exists is unknown, because {versions.problem}."
        report.info(binding.field, problem, remedy(versions.unread))
        return "unknown"
    _judge_publication(report, binding, reference, versions)
    return "yes"


def _judge_publication(report: Report, binding: Binding, reference: Any, versions: Versions) -> None:
    """Report a version that is a draft: it answers, and an edit to it takes effect at once."""
    agent_id, published = binding.agent_id, versions.published
    fix = f'Ask the user to publish it, or update_phone_number with {binding.field}: agent_version "latest_published".'
    if not published:
        problem = f"Whether agent {agent_id} is published is unknown, because {versions.problem}."
        report.info(binding.field, problem, remedy(versions.unread))
        return
    newest = max(published)
    if reference is None and any(published.values()):
        if not published[newest]:
            problem = (
                f"Agent {agent_id} has a draft, {newest}, and no agent_version is given: which one answers is unknown."
            )
            report.info(binding.field, problem, fix)
        return
    number = newest if reference in (None, "latest") else reference
    if published.get(number) is False:
        problem = f"Version {number} of agent {agent_id} is not published: edits to it take effect at once."
        report.warning(binding.field, problem, fix)


def _judge_inbound(report: Report, number: Mapping[str, Any], agents: Verdict | None) -> Verdict:
    webhook = number.get("inbound_webhook_url")
    retired = _judge_retired(report, number, "inbound", agents)
    if agents is None and retired:
        return "unknown"
    bind = "update_phone_number with inbound_agents: an agent that list_agents shows, weight 1."
    if agents is None and not webhook:
        report.error("inbound_agents", "No agent answers calls to it.", bind)
        return "no"
    if not webhook:
        return agents or "unknown"
    if agents is None:
        problem = "The webhook has no agent to fall back on: if it does not answer, the call is dropped."
        report.warning("inbound_webhook_url", problem, bind)
        return "unknown"
    problem = "The webhook may choose another agent, or refuse a call: what it answers cannot be seen."
    report.info("inbound_webhook_url", problem, "If the wrong agent answers, ask whoever runs the webhook.")
    return "unknown" if agents == "no" else agents


def _judge_outbound(report: Report, number: Mapping[str, Any], agents: Verdict | None) -> Verdict:
    retired = _judge_retired(report, number, "outbound", agents)
    if agents is None and retired:
        return "unknown"
    if agents is None:
        fix = "If it should: update_phone_number with outbound_agents: an agent that list_agents shows, weight 1."
        report.info("outbound_agents", "No agent is bound to call from it.", fix)
        return "no"
    if number.get("phone_number_type") != "custom":
        return agents
    name = "sip_outbound_trunk_config"
    fix = "update_phone_number with termination_uri: the SIP trunk's, after asking the user for it."
    if name not in number:
        report.info(name, "The platform does not show the SIP trunk: whether it can call out is unknown.", fix)
        return all_of(agents, "unknown")
    trunk = number[name]
    if not isinstance(trunk, dict) or not trunk.get("termination_uri"):
        report.error(name, "The SIP trunk has no termination_uri: calls from it fail.", fix)
        return "no"
    return agents


def _judge_retired(report: Report, number: Mapping[str, Any], way: str, agents: Verdict | None) -> bool:
    """Return whether a number has the retired single agent of one direction; report it."""
    name, instead = f"{way}_agent_id", f"{way}_agents"
    retired = number.get(name)
    if not retired:
        return False
    if agents is None:
        problem = (
            f"Agent {as_text(retired)} is bound by a field that Retell retired: whether it still counts is unknown."
        )
        fix = f'update_phone_number with {instead}: [{{"agent_id": "{as_text(retired)}", "weight": 1}}].'
        report.warning(name, problem, fix)
    else:
        report.info(name, f"Retell retired this field; {instead} counts.", f"Nothing to do; use {instead}.")
    return True


def _judge_countries(report: Report, number: Mapping[str, Any], name: str, what: str) -> Verdict:
    """Return whether a list of countries lets anybody in. None or empty is all."""
    value = number.get(name)
    if not value:
        return "yes"
    fix = f"update_phone_number with {name}: codes such as US, or clear_fields: {name} for all countries."
    if not isinstance(value, list):
        report.info(name, "The list of countries cannot be read.", fix)
        return "unknown"

    import phonenumbers  # 25 ms that most numbers, which have no such list, never need

    wrong = [
        each
        for each in map(as_text, value)
        if each.upper() not in phonenumbers.SUPPORTED_REGIONS and each.upper() not in _WITHOUT_PHONES
    ]
    if len(wrong) == len(value):
        problem = f"None of {', '.join(wrong)} is a country code of ISO 3166-1: no country may {what}."
        report.error(name, problem, fix)
        return "no"
    if wrong:
        report.warning(name, f"{', '.join(wrong)} is no country code of ISO 3166-1, and lets nobody in.", fix)
    if name == "allowed_inbound_country_list":
        own = _countries_of(number_in(number) or "")
        if own and {*own}.isdisjoint(as_text(each).upper() for each in value):
            report.warning(name, f"Callers from the number's own country, such as {own[0]}, are not let in.", fix)
    return "yes"


def _countries_of(phone_number: str) -> list[str]:
    """Return the countries that a number may be of, by its country code, the largest first."""
    import phonenumbers

    try:
        code = phonenumbers.parse(phone_number, None).country_code
    except phonenumbers.NumberParseException:
        return []
    return [each for each in phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(code or 0, ()) if each != "001"]


def _is_same_number(one: Any, other: Any) -> bool:
    return isinstance(one, str) and isinstance(other, str) and re.sub(r"[^0-9a-zA-Z]", "", one) == other.lstrip("+")


# --- how its replies read ---------------------------------------------------------------------------------------------

_MISSING = re.compile(r"\b(?:cannot find|can not find|not found|does not exist)\b", re.IGNORECASE)


def authorize(credentials: Mapping[str, str]) -> dict[str, str]:
    """Return the header that every request carries."""
    return {"Authorization": f"Bearer {credentials['RETELL_API_KEY']}"}


def decipher(reply: Reply) -> dict[str, Any]:
    """Return what a reply holds, or raise what it means.

    There is no envelope. An error is {"status": "error", "message": str}, of which neither is sure. Not found is a 422:
    "Cannot find requested asset under given api key."

    Raises:
        ToolError: As `errors.refusal` has it for the HTTP status; `AlreadyExists` or `NotFound` if the text says so.
        InvalidReply: A 2xx that cannot be read.
    """
    body = reply.body if isinstance(reply.body, dict) else {}
    failed = body.get("status") == "error"
    if reply.status < 400 and not failed:  # RFC 9110, section 15: errors start at 400
        if not body and (reply.method != "DELETE" or reply.body is not None or reply.unreadable):
            raise reply.invalid("it is not the documented JSON object")
        return body
    message = next((as_text(body[key]) for key in ("message", "error_message", "error", "detail") if body.get(key)), "")
    error = reply.refusal(_meaning(reply, message), message)
    # Where something is added, what cannot be found is another thing than the number.
    raise error.replace(hint=NAMED_IN_CREATE) if reply.method == "POST" and _is_missing(reply, message) else error


def recognizes(body: Any) -> bool:
    """Return whether a reply to a look-up has the form of the platform's: an error as documented, or a number."""
    return isinstance(body, dict) and (body.get("status") == "error" or "phone_number" in body)


def _meaning(reply: Reply, text: str) -> type[ToolError]:
    if reply.status < 400:
        return PlatformError
    if reply.status in {400, 422} and says_it_exists(text):
        return AlreadyExists
    if reply.method != "POST" and _is_missing(reply, text):
        return NotFound
    return refusal(reply.status)


def _is_missing(reply: Reply, text: str) -> bool:
    return reply.status == 422 and _MISSING.search(text) is not None


# --- the platform -----------------------------------------------------------------------------------------------------


def _sandbox() -> Sequence[Route]:
    from phone_number_mcp.sandbox.retell import routes  # only the sandbox needs it

    return routes()


PLATFORM = Platform(
    name="retell",
    title="Retell",
    base_url="https://api.retellai.com",
    base_url_variable="RETELL_BASE_URL",
    credentials={"RETELL_API_KEY": "key_"},
    authorize=authorize,
    decipher=decipher,
    fetch_number=fetch_number,
    find_number=find_number,
    number_in=number_in,
    recognizes=recognizes,
    list_all_numbers=list_all_numbers,
    instructions=(
        "Name agents by name or id; list_agents shows them. A number has weighted lists of agents, such as "
        '[{"agent_id": "agent_…", "weight": 1}]; the single inbound_agent_id and outbound_agent_id are retired.'
    ),
    tools=(
        Tool(
            name="get_phone_number",
            title="Get phone number",
            description=(
                "Look up one phone number on Retell, with every field. Use it before buying a number and to check "
                "afterwards."
            ),
            arguments=GetPhoneNumber,
            data=PhoneNumber,
            handler=get_phone_number,
        ),
        Tool(
            name="create_phone_number",
            title="Create phone number",
            description=(
                "Buy a phone number on Retell and route it to agents. It costs money every month, and each call buys another: "
                "call it once, after the user confirmed, with an idempotency_key. If the outcome is unknown, look first."
            ),
            arguments=CreatePhoneNumber,
            data=TheNumber,
            handler=create_phone_number,
            effect="creates",
            costs=True,
        ),
        Tool(
            name="list_phone_numbers",
            title="List phone numbers",
            description=(
                "List the phone numbers on Retell in short. Where next is given there are more: call again with it before "
                "you conclude."
            ),
            arguments=ListPhoneNumbers,
            data=ListedNumbers,
            handler=list_phone_numbers,
        ),
        Tool(
            name="check_phone_number",
            title="Check phone number",
            description=(
                "Say whether a phone number on Retell is answered and by whom, whether it can call out, and what to fix. "
                "Use it after creating or changing a number, and when calls fail."
            ),
            arguments=GetPhoneNumber,
            data=PhoneNumberCheck,
            handler=check_phone_number,
        ),
        Tool(
            name="import_phone_number",
            title="Import phone number",
            description=(
                "Bring a number that the user already has to Retell over a SIP trunk and route it to agents. Calls to it will "
                "ring there."
            ),
            arguments=ImportPhoneNumber,
            data=TheNumber,
            handler=import_phone_number,
            effect="creates",
        ),
        Tool(
            name="update_phone_number",
            title="Update phone number",
            description=(
                "Change a phone number on Retell, at once: only what you give changes; a list replaces the whole list. To "
                "clear a field, name it in clear_fields."
            ),
            arguments=UpdatePhoneNumber,
            data=TheNumber,
            handler=update_phone_number,
            effect="updates",
        ),
        Tool(
            name="delete_phone_number",
            title="Delete phone number",
            description=(
                "Release a phone number on Retell for good: calls to it stop and it may not be had again. Only after the user "
                "has confirmed this very number."
            ),
            arguments=DeletePhoneNumber,
            data=DeletedPhoneNumber,
            handler=delete_phone_number,
            effect="deletes",
        ),
        Tool(
            name="list_agents",
            title="List agents",
            description="List the agents on Retell by name: which are suspended, voice or chat.",
            arguments=ListAgents,
            data=ListedAgents,
            handler=list_all_agents,
        ),
    ),
    prompts=(
        provision(
            "Retell",
            questions=(
                "Which number, in E.164, or which area code and country (US or CA) if any number will do? Toll-free?",
                "Which agent answers calls to it? Offer what list_agents shows; several share calls by weights that sum to 1.",
                "Which agent places calls from it, if any?",
                "What do people call it (nickname)?",
                "Which countries may call it, and which may it call? None means all.",
                "Is there a webhook for inbound calls? It should be https.",
            ),
        ),
        review(
            "Retell",
            paging="as long as there is next, call again with it",
            checks=(
                "numbers without inbound agents, and numbers without any agent",
                "weights that do not sum to 1, and agents with a very small share",
                "webhooks that are not https",
                "numbers that any country may call, or that may call any country",
                "numbers that still have the retired inbound_agent_id or outbound_agent_id",
            ),
        ),
    ),
    example={"phone_number": "+14155550120", "nickname": "Side door"},
    answered_by=lambda agent: {"inbound_agents": [{"agent_id": agent, "weight": 1}]},
    agents=AGENTS,
    sandbox=_sandbox,
    loosely_spelled=frozenset({"number_provider"}),
)
