"""A simulated Zudu that behaves as its pages say: https://docs.zudu.ai/api-reference/phone-numbers.

What the pages leave open (what a create of a number that exists gets, how far a filter reaches) is decided here as most
APIs do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phone_number_mcp.sandbox.trouble import Rehearsals

if TYPE_CHECKING:
    from starlette.requests import Request

ORGANIZATION = "org_sandbox"
STUBBORN = "+14155550101"
"""Deleting this number leaves its dispatch rule behind."""

_GET_FIELDS = (
    "phone_number", "nickname", "organization_id", "area_code", "phone_number_type", "number_provider",
    "inbound_agent_id", "outbound_agent_id", "inbound_agent_version", "outbound_agent_version", "inbound_webhook_url",
    "inbound_trunk_id", "outbound_trunk_id", "dispatch_rule_id", "created_at", "updated_at",
)  # fmt: skip
_CREATE_FIELDS = (
    "phone_number", "organization_id", "phone_number_pretty", "area_code", "nickname", "phone_number_type",
    "inbound_agent_id", "outbound_agent_id", "inbound_agent_version", "outbound_agent_version", "inbound_webhook_url",
    "number_provider", "outbound_trunk_id", "created_at", "updated_at", "last_modification_timestamp",
)  # fmt: skip
_AVAILABLE_FIELDS = (
    "phone_number", "nickname", "area_code", "phone_number_type", "number_provider", "inbound_agent_id",
    "outbound_agent_id", "created_at",
)  # fmt: skip
_TEXTS = (
    "nickname", "inbound_agent_id", "outbound_agent_id", "inbound_webhook_url", "number_provider", "outbound_trunk_id",
    "phone_number_type",
)  # fmt: skip
_INTEGERS = ("area_code", "inbound_agent_version", "outbound_agent_version")
_SORTS = ("phone_number", "nickname", "area_code", "updated_at")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_AGENTS = [
    {"agent_id": "agent_reception", "agent_name": "Reception", "language": "en"},
    {"agent_id": "agent_night", "agent_name": "Night desk", "language": "en"},
    {"agent_id": "agent_callback", "agent_name": "Callback", "language": "en"},
]
_DOCUMENTED_AGENTS = {"agent_abc123", "agent_xyz789"}
"""Agents of the documentation's own samples, in no list: its curl works as printed."""


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, detail: str) -> None:
        super().__init__(message)
        self.response = _refuse(status, message, detail)


def routes(
    numbers: dict[str, dict[str, Any]] | None = None, agents: list[dict[str, Any]] | None = None
) -> Sequence[Route]:
    """Return the routes of a platform.

    Args:
        numbers: What it holds: number → its record, as `kept` makes them. It is changed in place, so that one can see what
            requests did. By default three numbers.
        agents: Its agents, as the list shows them. By default three.
    """
    zudu = _Zudu(numbers, agents)
    number = "/api/phone-numbers/{phone_number}"
    return [
        Route("/api/phone-numbers/create", _guarded(zudu.create), methods=["POST"]),
        Route("/api/phone-numbers/import", _guarded(zudu.import_), methods=["POST"]),
        Route("/api/phone-numbers/available", _guarded(zudu.available), methods=["GET"]),
        Route("/api/phone-numbers", _guarded(zudu.list), methods=["GET"]),
        Route("/api/agents", _guarded(zudu.agents), methods=["GET"]),
        Route(number, _guarded(zudu.get), methods=["GET"]),
        Route(number, _guarded(zudu.update), methods=["PATCH"]),
        Route(number, _guarded(zudu.delete), methods=["DELETE"]),
    ]


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Refuse missing credentials, and any that hold the word "invalid", so that a refusal can be rehearsed."""

    async def guarded(request: Request) -> Response:
        credentials = [request.headers.get(name, "") for name in ("X-API-KEY", "X-API-SECRET")]
        if not all(credentials) or any("invalid" in value for value in credentials):
            return _refuse(401, "Unauthorized", "Missing or invalid API key/secret")
        try:
            return await endpoint(request)
        except _RefusedError as refused:
            return refused.response

    return guarded


class _Zudu:
    def __init__(self, numbers: dict[str, dict[str, Any]] | None, agents: list[dict[str, Any]] | None) -> None:
        self._numbers = {number["phone_number"]: number for number in _first_numbers()} if numbers is None else numbers
        self._rehearsals = Rehearsals()
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self._agents = (
            [agent | {"created_at": now, "updated_at": now} for agent in _AGENTS] if agents is None else agents
        )
        self._unlisted_agents = _DOCUMENTED_AGENTS if agents is None else set()

    async def create(self, request: Request) -> Response:
        body = await _body(request)
        if trouble := await self._add(body):
            return trouble
        number = self._numbers[body["phone_number"]]
        return _succeed("Phone number created successfully", {name: number[name] for name in _CREATE_FIELDS})

    async def import_(self, request: Request) -> Response:
        body = await _body(request)
        for name in ("provider", "account_sid", "auth_token"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise _RefusedError(400, "Invalid request", f"{name} is required")
        if body["provider"] not in {"twilio", "plivo"}:
            raise _RefusedError(400, "Invalid request", "provider must be twilio or plivo")
        if trouble := await self._add(body | {"phone_number_type": "CUSTOM", "number_provider": body["provider"]}):
            return trouble
        number = self._numbers[body["phone_number"]]
        data = {
            "phone_number": {name: number[name] for name in _GET_FIELDS},
            "validation_result": {
                "phone_number": number["phone_number"],
                "friendly_name": number["nickname"],
                "capabilities": {"voice": True, "sms": True},
                "status": "active",
                "message": "Phone number validated successfully",
            },
            "import_details": {
                "imported_at": number["last_modification_timestamp"],
                "organization_id": ORGANIZATION,
                "provider": body["provider"],
            },
        }
        return _succeed("Phone number validated and imported successfully", data)

    async def _add(self, body: dict[str, Any]) -> Response | None:
        """Add a number, or return the trouble that is rehearsed with it."""
        phone_number = body.get("phone_number")
        if not phone_number:
            raise _RefusedError(400, "Invalid request", "phone_number is required")
        if not isinstance(phone_number, str) or not _E164.fullmatch(phone_number):
            raise _RefusedError(400, "Invalid request", "phone_number must be in E.164 format")
        _check_types(body)
        self._check_agents(body)
        if rehearsal := self._rehearsals.of_add(phone_number):
            if rehearsal.commits:
                self._numbers.setdefault(phone_number, kept(body))
            return await rehearsal.answer(_refuse)
        if phone_number in self._numbers:
            detail = f"Phone number '{phone_number}' already exists in organization '{ORGANIZATION}'"
            raise _RefusedError(409, "Phone number already exists", detail)
        self._numbers[phone_number] = kept(body)
        return None

    async def get(self, request: Request) -> Response:
        number = await self._find(request)
        return (
            number if isinstance(number, Response) else _succeed("Phone number retrieved successfully", _shown(number))
        )

    async def update(self, request: Request) -> Response:
        number = await self._find(request)
        if isinstance(number, Response):
            return number
        body = await _body(request)
        _check_types(body)
        self._check_agents(body)
        allowed = {*_TEXTS, *_INTEGERS} - {"area_code", "phone_number_type"}
        number |= {name: value for name, value in body.items() if name in allowed}
        number |= _routes_of(number)
        number["updated_at"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return _succeed("Phone number updated successfully", _shown(number))

    async def delete(self, request: Request) -> Response:
        number = await self._find(request)
        if isinstance(number, Response):
            return number
        del self._numbers[number["phone_number"]]
        cleaned = {name: bool(number[f"{name}_id"]) for name in ("dispatch_rule", "inbound_trunk", "outbound_trunk")}
        cleaned["dispatch_rule"] &= number["phone_number"] != STUBBORN
        data = {"phone_number": number["phone_number"], "organization_id": ORGANIZATION, "cleanup_results": cleaned}
        return _succeed("Phone number deleted successfully", data)

    def _check_agents(self, body: dict[str, Any]) -> None:
        known = {agent["agent_id"] for agent in self._agents} | self._unlisted_agents
        for name in ("inbound_agent_id", "outbound_agent_id"):
            if body.get(name) and body[name] not in known:
                detail = f"Agent '{body[name]}' does not exist in organization '{ORGANIZATION}'"
                raise _RefusedError(404, "Agent not found", detail)

    async def _find(self, request: Request) -> dict[str, Any] | Response:
        phone_number = request.path_params["phone_number"]
        if number := self._numbers.get(phone_number):
            return number
        if rehearsal := self._rehearsals.of_other(phone_number):
            return await rehearsal.answer(_refuse)
        detail = f"Phone number '{phone_number}' does not exist in organization '{ORGANIZATION}'"
        raise _RefusedError(404, "Phone number not found", detail)

    async def list(self, request: Request) -> Response:
        query = request.query_params
        sort_by, descending = query.get("sort_by", "updated_at"), query.get("sort_order", "descending") == "descending"
        if sort_by not in _SORTS:
            raise _RefusedError(400, "Invalid request", f"sort_by must be one of {', '.join(_SORTS)}")
        filters: dict[str, Any] = {name: query[name] for name in ("nickname", "area_code", "agent_id") if name in query}
        found = [
            number
            for number in self._numbers.values()
            if filters.get("nickname", "").lower() in (number["nickname"] or "").lower()
            and filters.get("area_code", str(number["area_code"])) == str(number["area_code"])
            and filters.get("agent_id") in (None, number["inbound_agent_id"], number["outbound_agent_id"])
        ]
        found.sort(key=lambda number: (str(number[sort_by] or ""), number["phone_number"]), reverse=descending)
        page, limit = _paging(request)
        shown = found[page * limit : (page + 1) * limit]
        pages = -(-len(found) // limit)
        data = {
            "organization_id": ORGANIZATION,
            "phone_numbers": [_shown(number) for number in shown],
            "returned_count": len(shown),
            "pagination": {
                "page": page,
                "limit": limit,
                "total_pages": pages,
                "total_count": len(found),
                "has_next": page + 1 < pages,
                "has_previous": page > 0,
            },
            "sort_by": sort_by,
            "sort_order": "descending" if descending else "ascending",
        }
        return _succeed(
            "Phone numbers retrieved successfully", data | ({"applied_filters": filters} if filters else {})
        )

    async def available(self, _request: Request) -> Response:
        free = [
            each for each in self._numbers.values() if not each["inbound_agent_id"] and not each["outbound_agent_id"]
        ]
        data = {
            "organization_id": ORGANIZATION,
            "available_count": len(free),
            "phone_numbers": [{name: number[name] for name in _AVAILABLE_FIELDS} for number in free],
        }
        return _succeed("Available phone numbers retrieved successfully", data)

    async def agents(self, request: Request) -> Response:
        page, limit = _paging(request)
        shown = self._agents[page * limit : (page + 1) * limit]
        pages = -(-len(self._agents) // limit)
        data = {
            "organization_id": ORGANIZATION,
            "agents": shown,
            "pagination": {"page": page, "limit": limit, "total": len(self._agents), "total_pages": pages},
            "returned_count": len(shown),
            "sort_order": request.query_params.get("sort_order", "descending"),
            "sort_by": request.query_params.get("sort_by", "created_at"),
        }
        return _succeed("Agents retrieved successfully", data)


# --- the rules of the platform ----------------------------------------------------------------------------------------


def _succeed(message: str, data: Any) -> Response:
    return JSONResponse({"message": message, "status": "success", "error": None, "data": data})


def _refuse(status: int, message: str, detail: str) -> Response:
    return JSONResponse({"message": message, "status": "error", "error": detail}, status)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _RefusedError(400, "Invalid request", "The body must be a JSON object")
    return body


def _check_types(body: dict[str, Any]) -> None:
    """Refuse what is of another type than documented. Unknown fields are ignored."""
    for name in _INTEGERS:
        if body.get(name) is not None and type(body[name]) is not int:
            raise _RefusedError(400, "Invalid request", f"{name} must be an integer")
    for name in _TEXTS:
        if body.get(name) is not None and not isinstance(body[name], str):
            raise _RefusedError(400, "Invalid request", f"{name} must be a string")


def _paging(request: Request) -> tuple[int, int]:
    try:
        page, limit = (
            int(request.query_params.get(name, default)) for name, default in (("page", "0"), ("limit", "20"))
        )
    except ValueError:
        raise _RefusedError(400, "Invalid request", "page and limit must be integers") from None
    if page < 0 or not 1 <= limit <= 100:  # the page of GET /api/agents names 100
        raise _RefusedError(400, "Invalid request", "page must be 0 or more, limit 1 to 100")
    return page, limit


def _shown(number: dict[str, Any]) -> dict[str, Any]:
    shown = {name: number[name] for name in _GET_FIELDS}
    if shown["phone_number_type"] == "zudu-twilio":
        shown["phone_number_type"] = "ZUDU_TWILIO"  # the pages of get and create spell it differently
    return shown


def kept(body: dict[str, Any]) -> dict[str, Any]:
    """Return a number as the platform keeps it: what was asked for, its defaults, and what it makes itself."""
    phone_number = body["phone_number"]
    nanp = re.fullmatch(r"\+1([0-9]{3})([0-9]{3})([0-9]{4})", phone_number)
    given = {name: body[name] for name in (*_TEXTS, *_INTEGERS) if body.get(name) is not None}
    now = datetime.now(UTC)
    kept = {
        "phone_number": phone_number,
        "phone_number_pretty": "+1 ({}) {}-{}".format(*nanp.groups()) if nanp else phone_number,
        "organization_id": ORGANIZATION,
        "area_code": int(nanp[1]) if nanp else None,
        "nickname": None,
        "phone_number_type": "zudu-twilio",
        "number_provider": "twilio",
        "inbound_agent_id": None,
        "outbound_agent_id": None,
        "inbound_agent_version": 1,
        "outbound_agent_version": 1,
        "inbound_webhook_url": None,
        "inbound_trunk_id": None,
        "outbound_trunk_id": None,
        "dispatch_rule_id": None,
        "created_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "updated_at": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "last_modification_timestamp": int(now.timestamp() * 1000),
    } | given
    return kept | _routes_of(kept)


def _routes_of(number: dict[str, Any]) -> dict[str, str]:
    """Return what calls of a number are routed by, made where it is missing and an agent is bound."""
    last = number["phone_number"][-4:]
    inbound = {"inbound_trunk_id": f"trunk_inbound_{last}", "dispatch_rule_id": f"dispatch_{last}"}
    made = (inbound if number["inbound_agent_id"] else {}) | (
        {"outbound_trunk_id": f"trunk_outbound_{last}"} if number["outbound_agent_id"] else {}
    )
    return {name: number[name] or value for name, value in made.items()}


def _first_numbers() -> list[dict[str, Any]]:
    front_desk = {
        "phone_number": "+14155550100",
        "nickname": "Front desk",
        "inbound_agent_id": "agent_reception",
        "outbound_agent_id": "agent_callback",
        "inbound_webhook_url": "https://example.com/calls",
    }
    after_hours = {"phone_number": STUBBORN, "nickname": "After hours", "inbound_agent_id": "agent_night"}
    spare = {"phone_number": "+14155550102", "phone_number_type": "CUSTOM"}
    return [kept(body) for body in (front_desk, after_hours, spare)]
