"""Zudu (https://docs.zudu.ai/api-reference/phone-numbers): its models, its endpoints, its tools, and how its errors read."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal
from urllib.parse import quote

from pydantic import BeforeValidator, Field

from phone_number_mcp.e164 import E164
from phone_number_mcp.errors import AlreadyExists, InvalidReply, NotFound, PlatformError, ToolError, refusal
from phone_number_mcp.platforms import Platform
from phone_number_mcp.platforms.agents import Agent, AgentList, ListAgents, ListedAgents, list_agents
from phone_number_mcp.platforms.checks import (
    MAX_READS,
    Binding,
    PhoneNumberCheck,
    Report,
    SeenAgents,
    Verdict,
    all_of,
    clause,
    judge_agent,
    judge_webhook,
    read_all,
    refuse_other,
    remedy,
)
from phone_number_mcp.platforms.lists import Brief, ListArguments, ListedNumbers, NumberList, list_numbers
from phone_number_mcp.platforms.numbers import (
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
    warn_of_leftovers,
    warn_of_unseen_leftovers,
)
from phone_number_mcp.platforms.pages import Page, Query, pages
from phone_number_mcp.tool import TAKES_AGENT, Arguments, Data, Secret, Success, Tool

if TYPE_CHECKING:
    from starlette.routing import Route

    from phone_number_mcp.upstream.call import Call
    from phone_number_mcp.upstream.reply import Reply

# --- arguments --------------------------------------------------------------------------------------------------------

Number = Annotated[E164, Field(description="E.164: + and country code, digits only")]
InboundAgent = Annotated[str | None, TAKES_AGENT, Field(description="Answers calls to it: name or id")]
OutboundAgent = Annotated[str | None, TAKES_AGENT, Field(description="Places calls from it: name or id")]
Version = Annotated[int | None, Field(ge=0, description="Platform default: 1")]


class GetPhoneNumber(Arguments):
    """The path parameter of GET /api/phone-numbers/{phone-number}."""

    phone_number: Number


class CreatePhoneNumber(CreateArguments):
    """The body of POST /api/phone-numbers/create."""

    phone_number: Annotated[E164, Field(description="The number to create, E.164: + and country code, digits only")]
    area_code: Annotated[AreaCode | None, Field(description="3-digit area code, US/Canada only")] = None
    nickname: Annotated[str | None, Field(description='What people call it, such as "Front desk"')] = None
    inbound_agent_id: InboundAgent = None
    outbound_agent_id: OutboundAgent = None
    inbound_agent_version: Version = None
    outbound_agent_version: Version = None
    inbound_webhook_url: Annotated[WebAddress | None, Field(description="Called on inbound calls; https")] = None
    number_provider: Annotated[str | None, Field(description="Platform default: twilio")] = None
    outbound_trunk_id: Annotated[str | None, Field(description="SIP trunk for calls from it")] = None
    phone_number_type: Annotated[str | None, Field(description="Such as zudu-twilio")] = None
    idempotency_key: IdempotencyKey = None
    dry_run: DryRun = None


class ListPhoneNumbers(ListArguments):
    """The query of GET /api/phone-numbers."""

    retired: ClassVar[Mapping[str, str]] = {
        "agent_id": "is called agent here, and takes an id or a name",
        "page": "is not needed: pass on next",
    }

    sort_by: Annotated[
        Literal["phone_number", "nickname", "area_code", "updated_at"] | None, Field(description="Field")
    ] = None
    sort_order: Annotated[SortOrder | None, Field(description="Direction")] = None


class ListAvailablePhoneNumbers(Arguments):
    """GET /api/phone-numbers/available takes nothing."""


class ImportPhoneNumber(CreateArguments):
    """The body of POST /api/phone-numbers/import."""

    phone_number: Number
    provider: Annotated[
        Literal["twilio", "plivo"],
        BeforeValidator(lower),
        Field(description="The carrier that holds it"),
    ]
    account_sid: Annotated[str, Field(description="The account at the carrier")]
    auth_token: Annotated[Secret, Field(description="Secret of that account, or secret:NAME")]
    nickname: Annotated[str | None, Field(description="What people call it")] = None
    inbound_agent_id: InboundAgent = None
    outbound_agent_id: OutboundAgent = None
    idempotency_key: IdempotencyKey = None
    dry_run: DryRun = None


class UpdatePhoneNumber(UpdateArguments):
    """The body of PATCH /api/phone-numbers/{phone-number}."""

    clearable: ClassVar[tuple[str, ...]] = ("inbound_agent_id", "outbound_agent_id", "nickname", "inbound_webhook_url")

    phone_number: Number
    nickname: Annotated[str | None, Field(description="What people call it")] = None
    inbound_agent_id: InboundAgent = None
    outbound_agent_id: OutboundAgent = None
    inbound_agent_version: Annotated[int | None, Field(ge=0, description="Version")] = None
    outbound_agent_version: Annotated[int | None, Field(ge=0, description="Version")] = None
    inbound_webhook_url: Annotated[WebAddress | None, Field(description="Called on inbound calls; https")] = None
    outbound_trunk_id: Annotated[str | None, Field(description="SIP trunk for calls from it")] = None
    number_provider: Annotated[str | None, Field(description="Such as twilio")] = None
    clear_fields: Annotated[
        list[Literal["inbound_agent_id", "outbound_agent_id", "nickname", "inbound_webhook_url"]] | None,
        Field(description="Fields to empty"),
    ] = None
    dry_run: DryRun = None


class DeletePhoneNumber(DeleteArguments):
    """The path parameter of DELETE /api/phone-numbers/{phone-number}, and what the caller must say with it."""

    bindings: ClassVar[tuple[str, ...]] = ("inbound_agent_id", "outbound_agent_id")
    shown: ClassVar[tuple[str, ...]] = bindings  # null where none is bound

    phone_number: Number
    confirm_phone_number: Annotated[E164, Field(description="The same number again")]
    release_bound: Annotated[bool | None, Field(description="Delete although agents are bound; ask the user")] = None
    dry_run: DryRun = None


# --- what comes back --------------------------------------------------------------------------------------------------


class PhoneNumber(Data):
    """`data` of GET /api/phone-numbers/{phone-number}. Any field may be null when it is not set."""

    phone_number: str | None = None
    nickname: str | None = None
    organization_id: str | None = None
    area_code: int | None = None
    phone_number_type: str | None = None
    number_provider: str | None = None
    inbound_agent_id: str | None = None
    outbound_agent_id: str | None = None
    inbound_agent_version: int | None = None
    outbound_agent_version: int | None = None
    inbound_webhook_url: str | None = None
    inbound_trunk_id: str | None = None
    outbound_trunk_id: str | None = None
    dispatch_rule_id: str | None = None
    created_at: Annotated[str | None, Field(description="ISO 8601")] = None
    updated_at: Annotated[str | None, Field(description="ISO 8601")] = None


class CreatedPhoneNumber(Data):
    """`data` of POST /api/phone-numbers/create."""

    phone_number: str | None = None
    organization_id: str | None = None
    phone_number_pretty: str | None = None
    area_code: int | None = None
    nickname: str | None = None
    phone_number_type: str | None = None
    inbound_agent_id: str | None = None
    outbound_agent_id: str | None = None
    inbound_agent_version: int | None = None
    outbound_agent_version: int | None = None
    inbound_webhook_url: str | None = None
    number_provider: str | None = None
    outbound_trunk_id: str | None = None
    created_at: Annotated[str | None, Field(description="ISO 8601")] = None
    updated_at: Annotated[str | None, Field(description="ISO 8601")] = None
    last_modification_timestamp: Annotated[int | None, Field(description="ms since 1970; no order with created_at")] = (
        None
    )


class TheNumber(Data):
    """A number again."""

    summary: ClassVar[str | None] = "As get_phone_number returns it"


class AvailablePhoneNumbers(Data):
    """`data` of GET /api/phone-numbers/available."""

    organization_id: str | None = None
    available_count: int | None = None
    phone_numbers: Annotated[list[Any] | None, Field(description="Numbers without agents")] = None


class ImportedPhoneNumber(Data):
    """`data` of POST /api/phone-numbers/import."""

    phone_number: Annotated[dict[str, Any] | None, Field(description="The whole number, as an object")] = None
    validation_result: Annotated[dict[str, Any] | None, Field(description="What the carrier says of it")] = None
    import_details: dict[str, Any] | None = None


class CleanupResults(Data):
    """What went with a deleted number."""

    dispatch_rule: bool | None = None
    inbound_trunk: bool | None = None
    outbound_trunk: bool | None = None


class DeletedPhoneNumber(Data):
    """`data` of DELETE /api/phone-numbers/{phone-number}."""

    phone_number: str | None = None
    organization_id: str | None = None
    cleanup_results: CleanupResults | None = None


# --- endpoints --------------------------------------------------------------------------------------------------------


async def get_phone_number(call: Call, arguments: GetPhoneNumber) -> Success:
    """GET /api/phone-numbers/{phone-number}, with `+` as `%2B`."""
    return Success(await fetch_number(call, arguments.phone_number))


async def create_phone_number(call: Call, arguments: CreatePhoneNumber) -> Success:
    """POST /api/phone-numbers/create."""
    return await _add(call, "/api/phone-numbers/create", arguments)


async def import_phone_number(call: Call, arguments: ImportPhoneNumber) -> Success:
    """POST /api/phone-numbers/import."""
    return await _add(call, "/api/phone-numbers/import", arguments)


async def _add(call: Call, path: str, arguments: CreatePhoneNumber | ImportPhoneNumber) -> Success:
    write = call.write("POST", path, arguments.body())
    return Success(
        await creating(write, arguments.phone_number, lambda: fetch_number(call, arguments.phone_number), number_in)
    )


async def update_phone_number(call: Call, arguments: UpdatePhoneNumber) -> Success:
    """PATCH /api/phone-numbers/{phone-number}."""
    sent = arguments.body()
    success = Success(await updating(call.write("PATCH", _path(arguments.phone_number), sent), sent))
    undocumented = [name for name in arguments.clear_fields or () if name not in _NULL_IS_DOCUMENTED]
    return success.warned(await _kept_all_the_same(call, arguments.phone_number, undocumented))


_NULL_IS_DOCUMENTED = frozenset({"inbound_agent_id", "outbound_agent_id"})
"""Fields that null empties, as the page of PATCH /api/phone-numbers/{phone-number} says. Of the others it says nothing."""


async def _kept_all_the_same(call: Call, phone_number: str, cleared: Sequence[str]) -> str | None:
    """Return a warning if the platform still holds what was sent as null; None if it does not."""
    if not cleared:
        return None
    names = ", ".join(cleared)
    try:
        number = await fetch_number(call, phone_number)
    except ToolError as error:
        return f"Whether {names} is empty now could not be read back ({error.code}): check with get_phone_number"
    kept = ", ".join(name for name in cleared if number.get(name))
    return (
        f"The platform accepted the change and still holds {kept}: it seems not to clear it. Tell the user"
        if kept
        else None
    )


async def delete_phone_number(call: Call, arguments: DeletePhoneNumber) -> Success:
    """DELETE /api/phone-numbers/{phone-number}, after a look at what is bound to it."""
    number = await fetch_number(call, arguments.phone_number)
    arguments.refuse_if_bound(number, number_in)
    data = await call.write("DELETE", _path(arguments.phone_number))
    # A success at the top can hide a clean-up that failed; `false` is no failure where there was nothing to clean up.
    there_was = [name for name in CleanupResults.model_fields if number.get(f"{name}_id", True)]
    return Success(data, warning=warn_of_leftovers(data.get("cleanup_results"), there_was))


async def list_phone_numbers(call: Call, arguments: ListPhoneNumbers) -> Success:
    """GET /api/phone-numbers, page after page."""
    return await list_numbers(call, NUMBERS, arguments)


async def list_available_phone_numbers(call: Call, _arguments: ListAvailablePhoneNumbers) -> Success:
    """GET /api/phone-numbers/available."""
    return Success(await call.read("/api/phone-numbers/available"))


async def list_voice_agents(call: Call, arguments: ListAgents) -> Success:
    """GET /api/agents, page after page."""
    return await list_agents(call, AGENTS, arguments)


def _path(phone_number: str) -> str:
    # `create`, `list`, `available` and `import` are sibling paths: only what has the form of E.164 gets here.
    return f"/api/phone-numbers/{quote(phone_number, safe='')}"


async def fetch_number(call: Call, phone_number: str) -> dict[str, Any]:
    """Return what the platform holds."""
    data: dict[str, Any] = await call.read(_path(phone_number))
    return data


async def find_number(call: Call, phone_number: str) -> dict[str, Any] | None:
    """Return a number from the list: from that of its area code, and if it is not there from the whole.

    The area code of a number may be missing on the platform, so that a list that is filtered by it proves no absence.
    """
    if phone_number.startswith("+1"):
        found = await find(pages(_number_page, call, {"area_code": int(phone_number[2:5])}), phone_number, number_in)
        if found is not None:
            return found
    return await find(pages(_number_page, call), phone_number, number_in)


async def _number_page(call: Call, query: Query, size: int, cursor: str | None) -> Page:
    """GET /api/phone-numbers."""
    page = int(cursor or 0)
    data = await call.read("/api/phone-numbers", {"limit": size, "page": page, **query})
    numbers, pagination = data.get("phone_numbers"), data.get("pagination")
    if not isinstance(numbers, list) or not isinstance(pagination, dict) or "has_next" not in pagination:
        raise InvalidReply("The platform's answer is not the documented list of numbers")
    return Page(numbers, str(page + 1) if pagination["has_next"] else None, pagination.get("total_count"), data)


async def _agent_page(call: Call, query: Query, size: int, cursor: str | None) -> Page:
    """GET /api/agents. Its pagination has other words than that of numbers."""
    page = int(cursor or 0)
    data = await call.read("/api/agents", {"limit": size, "page": page, **query})
    agents, pagination = data.get("agents"), data.get("pagination")
    pages_there_are = pagination.get("total_pages") if isinstance(pagination, dict) else None
    if not isinstance(agents, list) or not isinstance(pages_there_are, int):
        raise InvalidReply("The platform's answer is not the documented list of agents")
    return Page(agents, str(page + 1) if page + 1 < pages_there_are else None, None, data)


def _agent(entry: Any) -> Agent | None:
    """Return one agent of the list; None if it cannot be read."""
    if not isinstance(entry, dict):
        return None
    agent_id, name = (entry.get(f"agent_{key}") or entry.get(key) for key in ("id", "name"))
    if not isinstance(agent_id, str) or not agent_id:
        return None
    return Agent(
        id=agent_id,
        name=as_text(name),
        channel=entry["channel"] if entry.get("channel") in ("voice", "chat") else None,
        suspended=entry["is_suspended"] if isinstance(entry.get("is_suspended"), bool) else None,
        published=entry["is_published"] if isinstance(entry.get("is_published"), bool) else None,
    )


def _brief(number: Mapping[str, Any]) -> Brief | None:
    phone_number = number_in(number)
    if phone_number is None:
        return None
    inbound, outbound = number.get("inbound_agent_id"), number.get("outbound_agent_id")
    return Brief(
        phone_number,
        nickname=as_text(number.get("nickname")),
        inbound=[as_text(inbound)] if inbound else (),
        outbound=[as_text(outbound)] if outbound else (),
        webhook=as_text(number.get("inbound_webhook_url")),
    )


AGENTS = AgentList(_agent_page, _agent)
NUMBERS = NumberList(
    _number_page,
    "phone_numbers",
    _brief,
    filters={"nickname": "nickname", "area_code": "area_code", "agent": "agent_id"}
    | {name: name for name in ("sort_by", "sort_order")},
    agents=AGENTS,
)


def number_in(data: Mapping[str, Any]) -> str | None:
    """Return the number that a reply is about. In the answer to an import, `phone_number` is the whole number."""
    number = data.get("phone_number")
    if isinstance(number, dict):
        number = number.get("phone_number")
    return number if isinstance(number, str) and number else None


# --- check_phone_number: what it reads, and what that means -----------------------------------------------------------

_AGENTS_PAGE = 100
"""The highest limit of GET /api/agents that its page names."""
_NOT_SHOWN = {"suspended": "suspended", "published": "published", "channel": "for voice"}


async def check_phone_number(call: Call, arguments: GetPhoneNumber) -> Success:
    """GET /api/phone-numbers/{phone-number}, and GET /api/agents until the agents of the number were seen."""
    number = await fetch_number(call, arguments.phone_number)
    refuse_other(number_in(number), arguments.phone_number)
    wanted = {*_bound(number).values()}
    pages: list[Any | ToolError | None] = []
    while wanted and call.trail.exchanges < MAX_READS:
        pages += await read_all(call, [partial(_read_page, len(pages))])
        wanted -= read_agents(pages).seen.keys()
        if _is_last(pages):
            break
    return judge_phone_number(number, pages).success()


def _read_page(page: int, call: Call) -> Awaitable[Any]:
    return call.read("/api/agents", {"limit": _AGENTS_PAGE, "page": page}, repeat=False)


def _bound(number: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a number that name an agent, and the agents."""
    named = {name: number.get(name) for name in ("inbound_agent_id", "outbound_agent_id")}
    return {name: agent_id for name, agent_id in named.items() if isinstance(agent_id, str) and agent_id}


def read_agents(pages: Sequence[Any | ToolError | None]) -> SeenAgents:
    """Return what the pages of GET /api/agents show.

    The list shows ids, names, languages and times. Whether an agent is suspended, published or for voice is read where a
    reply says so: replies may gain fields.

    Args:
        pages: The replies from page 0 on, or why there is none; None for one that the check had no read left for.
    """
    seen: dict[str, Agent] = {}
    whole = True
    for page in pages:
        if isinstance(page, ToolError) or page is None:
            return SeenAgents(seen, whole=False, problem=clause(page), fix=remedy(page))
        entries = page.get("agents")
        if not isinstance(entries, list):
            return SeenAgents(seen, whole=False, problem="the list of agents cannot be read")
        found = [agent for agent in map(_agent, entries) if agent is not None]
        seen |= {agent.id: agent for agent in found}
        whole = whole and len(found) == len(entries)
    if whole and pages and _total_pages(pages[-1]) in range(len(pages) + 1):
        return SeenAgents(seen, whole=True)
    return SeenAgents(seen, whole=False, problem="the list of agents was cut")


def _total_pages(page: Any) -> int | None:
    """Return how many pages the list of agents has, as one of them says."""
    pagination = page.get("pagination") if isinstance(page, dict) else None
    total = pagination.get("total_pages") if isinstance(pagination, dict) else None
    return total if type(total) is int else None


def _is_last(pages: Sequence[Any]) -> bool:
    """Return whether there is no use in reading another page of agents."""
    entries, total = (pages[-1].get("agents") if isinstance(pages[-1], dict) else None), _total_pages(pages[-1])
    return not isinstance(entries, list) or not entries or (total is not None and total <= len(pages))


def judge_phone_number(number: Mapping[str, Any], pages: Sequence[Any | ToolError | None]) -> Report:
    """Return what is right and wrong with a number, as far as the platform shows it.

    Args:
        number: As the platform holds it.
        pages: The replies of GET /api/agents, as `read_agents` takes them.
    """
    report = Report(number_in(number) or "")
    agents = read_agents(pages)
    report.inbound = _judge_direction(report, number, "inbound", agents)
    if not number.get("inbound_agent_id") and number.get("inbound_webhook_url"):
        report.inbound = "unknown"  # the webhook may answer
    report.outbound = _judge_direction(report, number, "outbound", agents)
    bound = _bound(number)
    if report.inbound != "no" and (answering := bound.get("inbound_agent_id")):
        report.answered_by[answering] = agents.seen[answering].name if answering in agents.seen else None
    judge_webhook(report, "inbound_webhook_url", number.get("inbound_webhook_url"))
    known = {name: agents.seen[agent_id] for name, agent_id in bound.items() if agent_id in agents.seen}
    if known:
        hidden = [
            word for name, word in _NOT_SHOWN.items() if any(getattr(agent, name) is None for agent in known.values())
        ]
        shown = f"whether the agents are {' or '.join(hidden)}, nor " if hidden else ""
        problem = f"Zudu does not show {shown}which versions of an agent exist."
        report.info(
            next(iter(known)), problem, "If calls fail all the same, ask the user to look at the agent on Zudu."
        )
    return report


def _judge_direction(report: Report, number: Mapping[str, Any], way: str, agents: SeenAgents) -> Verdict:
    """Return whether calls of one direction work: the agent, its version, the trunk, and for inbound the dispatch rule."""
    field = f"{way}_agent_id"
    bind = f"update_phone_number with {field}: an agent that list_agents shows."
    what = "calls to it" if way == "inbound" else "calls from it"
    agent_id = number.get(field)
    if field not in number or not isinstance(agent_id, str | None):
        report.info(field, f"The platform does not show which agent is bound: {what} are unknown.", bind)
        return "unknown"
    if not agent_id:
        if way == "outbound":
            report.info(field, "No agent is bound to call from it.", f"If it should: {bind}")
        elif number.get("inbound_webhook_url"):
            problem = "No agent answers calls to it; whether the webhook does cannot be seen."
            report.warning(field, problem, bind)
        else:
            report.error(field, "No agent answers calls to it.", bind)
        return "no"
    verdicts = [judge_agent(report, Binding(field, agent_id, what), agents)]
    version = number.get(f"{way}_agent_version")
    if version is not None and (type(version) is not int or version < 0):
        fix = f"update_phone_number with {way}_agent_version: a version that the agent has, such as 1."
        report.error(f"{way}_agent_version", f"{as_text(version)} is no version of an agent: {what} fail.", fix)
        verdicts.append("no")
    routes = ("inbound_trunk_id", "dispatch_rule_id") if way == "inbound" else ("outbound_trunk_id",)
    return all_of(*verdicts, *[_judge_route(report, number, name, what) for name in routes])


_ROUTES = {
    "inbound_trunk_id": "update_phone_number with inbound_agent_id: the same agent, then check again; if it stays, tell the user.",
    "dispatch_rule_id": "update_phone_number with inbound_agent_id: the same agent, then check again; if it stays, tell the user.",
    "outbound_trunk_id": "update_phone_number with outbound_trunk_id: the trunk, after asking the user for it.",
}
"""What calls are routed by → how to fix it where it is missing. Only the outbound trunk can be set."""


def _judge_route(report: Report, number: Mapping[str, Any], name: str, what: str) -> Verdict:
    if number.get(name):
        return "yes"
    thing = name.removesuffix("_id").replace("_", " ")
    if name not in number:
        report.info(name, f"The platform does not show the {thing}: whether {what} work is unknown.", _ROUTES[name])
        return "unknown"
    report.error(name, f"There is no {thing}: {what} fail.", _ROUTES[name])
    return "no"


# --- how its replies read ---------------------------------------------------------------------------------------------

_MISSING = re.compile(r"\bnot found\b|\bdoes not exist\b|\bno such\b", re.IGNORECASE)
_BAD_REQUEST = {400, 422}


def authorize(credentials: Mapping[str, str]) -> dict[str, str]:
    """Return the two headers that every request carries. The organization comes from the key."""
    return {"X-API-KEY": credentials["ZUDU_API_KEY"], "X-API-SECRET": credentials["ZUDU_API_SECRET"]}


def decipher(reply: Reply) -> dict[str, Any]:
    """Return a reply's `data`, or raise what it means.

    The envelope is {"message", "status": "success"|"error", "error", "data"}. The HTTP status speaks first, then
    `status`: one documented 400 says "success".

    Raises:
        ToolError: As `errors.refusal` has it for the HTTP status; `AlreadyExists` or `NotFound` if the text says so.
        InvalidReply: A 2xx that cannot be read.
    """
    envelope = reply.body if isinstance(reply.body, dict) else {}
    failed = str(envelope.get("status")).lower() in {"error", "fail", "failed", "failure"}
    if reply.status < 400 and not failed:  # RFC 9110, section 15: errors start at 400
        data = envelope.get("data")
        if not isinstance(data, dict):
            raise reply.invalid("it has no data in it" if envelope else "it is not the documented JSON object")
        return data
    message, detail = _words(envelope, failed=failed)
    raise reply.refusal(_meaning(reply.status, f"{message} {detail}"), message, detail)


def recognizes(body: Any) -> bool:
    """Return whether a reply has the envelope of the platform."""
    return isinstance(body, dict) and body.get("status") in {"success", "error"}


def _words(envelope: Mapping[str, Any], *, failed: bool) -> tuple[str, str]:
    message, error = (as_text(envelope.get(key) or "") for key in ("message", "error"))
    if failed or not error:
        return message or error, error if message else ""
    return error, ""  # the 400 that says "success" has its reason in `error` alone


def _meaning(status: int, text: str) -> type[ToolError]:
    if status < 400 or status in _BAD_REQUEST:
        if says_it_exists(text):
            return AlreadyExists
        if status < 400:
            return NotFound if _MISSING.search(text) else PlatformError
    return refusal(status)


# --- the platform -----------------------------------------------------------------------------------------------------


def _sandbox() -> Sequence[Route]:
    from phone_number_mcp.sandbox.zudu import routes  # only the sandbox needs it

    return routes()


PLATFORM = Platform(
    name="zudu",
    title="Zudu",
    base_url="https://api.zudu.ai",
    base_url_variable="ZUDU_BASE_URL",
    credentials={"ZUDU_API_KEY": "sk_", "ZUDU_API_SECRET": "s3cr3t_"},
    authorize=authorize,
    decipher=decipher,
    fetch_number=fetch_number,
    find_number=find_number,
    number_in=number_in,
    recognizes=recognizes,
    instructions="Name agents by name or id; list_agents shows them. A number has one inbound and one outbound agent.",
    tools=(
        Tool(
            name="get_phone_number",
            title="Get phone number",
            description=(
                "Look up one phone number of the organization on Zudu: nickname, inbound and outbound agents, webhook, "
                "trunks, dispatch rule. Use it before creating a number and to check afterwards. Changes nothing."
            ),
            arguments=GetPhoneNumber,
            data=PhoneNumber,
            handler=get_phone_number,
        ),
        Tool(
            name="create_phone_number",
            title="Create phone number",
            description=(
                "Create the phone number that you name on Zudu and route it to agents. It may cost money and calls to it will ring: "
                "call it only for a number the user has confirmed, and once. Give only what the user asked for; the "
                "platform has defaults. If the error says outcome unknown, look with get_phone_number before anything else."
            ),
            arguments=CreatePhoneNumber,
            data=CreatedPhoneNumber,
            handler=create_phone_number,
            effect="creates",
            costs=True,
        ),
        Tool(
            name="list_phone_numbers",
            title="List phone numbers",
            description=(
                "List the organization's phone numbers on Zudu in short, filtered and sorted. Where next is given there are more: "
                "call again with it before you conclude."
            ),
            arguments=ListPhoneNumbers,
            data=ListedNumbers,
            handler=list_phone_numbers,
        ),
        Tool(
            name="list_available_phone_numbers",
            title="List available phone numbers",
            description="List the phone numbers that the organization already owns on Zudu and that have no agent. It offers none to buy.",
            arguments=ListAvailablePhoneNumbers,
            data=AvailablePhoneNumbers,
            handler=list_available_phone_numbers,
        ),
        Tool(
            name="check_phone_number",
            title="Check phone number",
            description=(
                "Say whether a phone number on Zudu is answered and by whom, whether it can call out, and what to fix. "
                "Use it after creating or changing a number, and when calls fail. Changes nothing."
            ),
            arguments=GetPhoneNumber,
            data=PhoneNumberCheck,
            handler=check_phone_number,
        ),
        Tool(
            name="import_phone_number",
            title="Import phone number",
            description=(
                "Bring a number that the user already has at Twilio or Plivo to Zudu and route it to agents. Calls to it "
                "will ring there. It needs the carrier account's SID and token."
            ),
            arguments=ImportPhoneNumber,
            data=ImportedPhoneNumber,
            handler=import_phone_number,
            effect="creates",
        ),
        Tool(
            name="update_phone_number",
            title="Update phone number",
            description=(
                "Change a phone number on Zudu: only what you give changes, and calls are routed accordingly at once. To "
                "unassign an agent name it in clear_fields; null does nothing."
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
                "Release a phone number on Zudu for good: calls to it stop and it may not be had again. Only after the user "
                "has confirmed this very number. A warning beside data says what could not be cleaned up."
            ),
            arguments=DeletePhoneNumber,
            data=DeletedPhoneNumber,
            handler=delete_phone_number,
            effect="deletes",
            lost_with_answer=warn_of_unseen_leftovers(CleanupResults.model_fields),
        ),
        Tool(
            name="list_agents",
            title="List agents",
            description="List the organization's voice agents on Zudu by name, with their ids.",
            arguments=ListAgents,
            data=ListedAgents,
            handler=list_voice_agents,
        ),
    ),
    prompts=(
        provision(
            "Zudu",
            questions=(
                "Which number, in E.164, or an available one from list_available_phone_numbers?",
                "Which agent answers calls to it? Offer what list_agents shows.",
                "Which agent places calls from it, if any?",
                "What do people call it (nickname)?",
                "Is there a webhook for inbound calls? It should be https.",
            ),
        ),
        review(
            "Zudu",
            paging="as long as there is next, call again with it",
            checks=(
                "numbers without an inbound agent, and numbers without any agent",
                "webhooks that are not https",
                "numbers without a nickname, and nicknames that occur twice",
            ),
        ),
    ),
    example={"phone_number": "+14155550120", "nickname": "Side door"},
    answered_by=lambda agent: {"inbound_agent_id": agent},
    agents=AGENTS,
    sandbox=_sandbox,
    loosely_spelled=frozenset({"phone_number_type", "number_provider"}),
)
