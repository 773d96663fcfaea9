"""Zudu (https://docs.zudu.ai/api-reference/phone-numbers): its models, its endpoints, its tools, and how its errors read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

from pydantic import AfterValidator, Field

from phone_number_mcp.e164 import E164  # noqa: TC001  (pydantic reads it when the models are built)
from phone_number_mcp.errors import (
    AlreadyExists,
    InvalidReply,
    NotFound,
    OutcomeUnknown,
    PlatformError,
    ToolError,
    refusal,
)
from phone_number_mcp.platforms import Platform
from phone_number_mcp.tool import Arguments, Data, Tool

if TYPE_CHECKING:
    from phone_number_mcp.api import ASGIApp, Call, Reply

# --- models -----------------------------------------------------------------------------------------------------------

_NANP_AREA_CODE = re.compile(r"[2-9](?!11)[0-8][0-9]")
_HTTP_URL = re.compile(r"https?://[^\s/?#@]+(?:[/?#]\S*)?", re.IGNORECASE)


def _area_code(value: int) -> int:
    # https://www.nanpa.com: the first digit is 2-9, N11 are service codes, N9X is kept for expansion.
    if not _NANP_AREA_CODE.fullmatch(str(value)):
        raise ValueError(
            "must be a 3-digit area code of the US or Canada, such as 415; leave it out for other countries"
        )
    return value


def _web_address(value: str) -> str:
    if not _HTTP_URL.fullmatch(value):
        raise ValueError('must be a web address such as "https://example.com/webhook"')
    return value


class GetPhoneNumber(Arguments):
    """The path parameter of GET /api/phone-numbers/{phone-number}."""

    phone_number: Annotated[E164, Field(description="E.164: + and country code, digits only")]


class CreatePhoneNumber(Arguments):
    """The body of POST /api/phone-numbers/create."""

    phone_number: Annotated[E164, Field(description="The number to create, E.164: + and country code, digits only")]
    area_code: Annotated[
        int | None, Field(ge=200, le=999, description="3-digit area code, US/Canada only"), AfterValidator(_area_code)
    ] = None
    nickname: Annotated[str | None, Field(description='What people call it, such as "Front desk"')] = None
    inbound_agent_id: Annotated[str | None, Field(description="Agent that answers calls to it")] = None
    outbound_agent_id: Annotated[str | None, Field(description="Agent that places calls from it")] = None
    inbound_agent_version: Annotated[int | None, Field(ge=0, description="Platform default: 1")] = None
    outbound_agent_version: Annotated[int | None, Field(ge=0, description="Platform default: 1")] = None
    inbound_webhook_url: Annotated[
        str | None, Field(description="Called on inbound calls; https"), AfterValidator(_web_address)
    ] = None
    number_provider: Annotated[str | None, Field(description="Platform default: twilio")] = None
    outbound_trunk_id: Annotated[str | None, Field(description="SIP trunk for calls from it")] = None
    phone_number_type: Annotated[str | None, Field(description="Such as zudu-twilio")] = None


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
    last_modification_timestamp: Annotated[
        int | None, Field(description="ms since 1970; not comparable to created_at")
    ] = None


# --- endpoints --------------------------------------------------------------------------------------------------------


async def get_phone_number(call: Call, arguments: GetPhoneNumber) -> dict[str, Any]:
    """GET /api/phone-numbers/{phone-number}, with `+` as `%2B`."""
    return _data(await call.exchange("GET", _path(arguments.phone_number)))


async def create_phone_number(call: Call, arguments: CreatePhoneNumber) -> dict[str, Any]:
    """POST /api/phone-numbers/create, once."""
    try:
        return _data(await call.exchange("POST", "/api/phone-numbers/create", body=arguments.given()))
    except AlreadyExists as error:
        error.facts["existing"] = await _look_up(call, arguments.phone_number)
        if error.facts["existing"] is None:
            error.facts["hint"] = (
                "Nothing was created. The platform says that the number exists but does not show it: it may belong to "
                "another organization. Ask the user."
            )
        raise
    except ToolError as error:
        if error.write_outcome != "unknown":
            raise
        facts = error.facts | {
            "outcome": "unknown",
            "hint": f"Do not create it again yet. Call get_phone_number for {arguments.phone_number}: if it is there, "
            "it was created; if it is not, wait a minute and look once more before trying again.",
        }
        raise OutcomeUnknown(
            f"Whether {arguments.phone_number} was created is unknown: {error.message}", **facts
        ) from error


def _path(phone_number: str) -> str:
    # `create`, `list`, `available` and `import` are sibling paths: only what has the form of E.164 gets here.
    return f"/api/phone-numbers/{quote(phone_number, safe='')}"


async def _look_up(call: Call, phone_number: str) -> dict[str, Any] | None:
    """Return what the platform holds, or None if that cannot be learnt now."""
    try:
        return _data(await call.exchange("GET", _path(phone_number)))
    except ToolError:
        return None


# --- how its replies read ---------------------------------------------------------------------------------------------

_EXISTS = re.compile(r"\b(?:already (?:exists|in use|registered|taken|been)|exists already|duplicate)\b", re.IGNORECASE)
_MISSING = re.compile(r"\bnot found\b|\bdoes not exist\b|\bno such\b", re.IGNORECASE)
_BAD_REQUEST = {400, 422}


def authorize(credentials: Mapping[str, str]) -> dict[str, str]:
    """Return the two headers that every request carries. The organization comes from the key."""
    return {"X-API-KEY": credentials["ZUDU_API_KEY"], "X-API-SECRET": credentials["ZUDU_API_SECRET"]}


def decipher(reply: Reply) -> Any:
    """Return a reply's `data`, or raise what it means.

    The envelope is {"message", "status": "success"|"error", "error", "data"}. The HTTP status speaks first, then
    `status`: one documented 400 says "success".

    Raises:
        ToolError: As `errors.refusal` has it for the HTTP status; `AlreadyExists` or `NotFound` if the text says so.
        InvalidReply: A 2xx that cannot be read.
    """
    envelope = reply.body if isinstance(reply.body, dict) else {}
    failed = str(envelope.get("status")).lower() == "error"
    if reply.status < 400 and not failed:  # noqa: PLR2004  (RFC 9110, section 15: errors start at 400)
        if reply.unreadable is not None or not envelope:
            reason = reply.unreadable or "it is not the documented JSON object"
            raise InvalidReply(f"The platform's answer cannot be read: {reason}", http_status=reply.status)
        return envelope.get("data")
    message, detail = _words(envelope, failed=failed)
    if not message:
        why = f", and its text cannot be read: {reply.unreadable}" if reply.unreadable else ""
        message = f"The platform answered {reply.status}{why}"
    raise _meaning(reply.status, f"{message} {detail}")(
        message,
        detail=detail or None,
        http_status=reply.status,
        retry_after_seconds=reply.retry_after_seconds,
        request_id=reply.request_id,
    )


def _words(envelope: Mapping[str, Any], *, failed: bool) -> tuple[str, str]:
    message, error = (str(envelope.get(key) or "") for key in ("message", "error"))
    if failed or not error:
        return message or error, error if message else ""
    return error, ""  # the 400 that says "success" has its reason in `error` alone


def _meaning(status: int, text: str) -> type[ToolError]:
    if status < 400 or status in _BAD_REQUEST:  # noqa: PLR2004
        if _EXISTS.search(text):
            return AlreadyExists
        if status < 400:  # noqa: PLR2004
            return NotFound if _MISSING.search(text) else PlatformError
    return refusal(status)


def _data(data: Any) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise InvalidReply("The platform's answer has no data in it")
    return data


# --- the platform -----------------------------------------------------------------------------------------------------


def _sandbox() -> ASGIApp:
    from phone_number_mcp.sandbox.zudu import create_app  # noqa: PLC0415  (only the sandbox needs it)

    return create_app()


PLATFORM = Platform(
    name="zudu",
    title="Zudu",
    base_url="https://api.zudu.ai",
    base_url_variable="ZUDU_BASE_URL",
    credentials=("ZUDU_API_KEY", "ZUDU_API_SECRET"),
    authorize=authorize,
    decipher=decipher,
    instructions="Agents are named by id (agent_…). Ask the user for ids you do not have; never make one up.",
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
            read_only=True,
            idempotent=True,
        ),
        Tool(
            name="create_phone_number",
            title="Create phone number",
            description=(
                "Create a phone number on Zudu and route it to agents. It may cost money and calls to it will ring: "
                "call it only for a number the user has confirmed, and once. Give only what the user asked for; the "
                "platform has defaults. If the error says outcome unknown, look with get_phone_number before anything else."
            ),
            arguments=CreatePhoneNumber,
            data=CreatedPhoneNumber,
            handler=create_phone_number,
        ),
    ),
    sandbox=_sandbox,
)
