"""A simulated Retell that behaves as its published client expects: retell-sdk 6.2."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phone_number_mcp.sandbox.trouble import Rehearsals

if TYPE_CHECKING:
    from starlette.requests import Request

_AGENT_LISTS = ("inbound_agents", "outbound_agents", "inbound_sms_agents", "outbound_sms_agents")
_COUNTRY_LISTS = ("allowed_inbound_country_list", "allowed_outbound_country_list")
_TEXTS = ("nickname", "inbound_webhook_url", "inbound_sms_webhook_url", "fallback_number")
_NOT_FOUND = "Cannot find requested asset under given api key."
_AGENTS = (
    ("agent_reception", "Reception", (True, True, True, True)),
    ("agent_night", "Night desk", (True,)),
    ("agent_callback", "Callback", (True,)),
    ("agent_chat", "Website chat", (True,)),
    ("agent_draft", "New greeting", (False,)),
    ("agent_paused", "Old menu", (True,)),
)
"""Id, name, and of each version whether it is published. Three are not fit to answer calls, so that it can be seen."""
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")


class _RefusedError(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.response = _refuse(status, message, "")


def routes(
    numbers: dict[str, dict[str, Any]] | None = None,
    agents: list[dict[str, Any]] | None = None,
    published: Mapping[str, Sequence[bool]] | None = None,
) -> Sequence[Route]:
    """Return the routes of a platform.

    Args:
        numbers: What it holds: number → its record, as `kept` makes them. It is changed in place, so that one can see what
            requests did. By default three numbers.
        agents: Its agents, as the list shows them. By default six.
        published: Agent id → of each of its versions, whether it is published. By default there is one version, and it is.
    """
    retell = _Retell(numbers, agents, published)
    return [
        Route("/get-phone-number/{phone_number}", _guarded(retell.get), methods=["GET"]),
        Route("/v2/list-phone-numbers", _guarded(retell.list), methods=["GET"]),
        Route("/create-phone-number", _guarded(retell.create), methods=["POST"]),
        Route("/import-phone-number", _guarded(retell.import_), methods=["POST"]),
        Route("/update-phone-number/{phone_number}", _guarded(retell.update), methods=["PATCH"]),
        Route("/delete-phone-number/{phone_number}", _guarded(retell.delete), methods=["DELETE"]),
        Route("/v2/list-agents", _guarded(retell.agents), methods=["POST"]),
        Route("/list-agent-versions/{agent_id}", _guarded(retell.versions), methods=["GET"]),
    ]


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Refuse a missing key, and any that holds the word "invalid", so that a refusal can be rehearsed."""

    async def guarded(request: Request) -> Response:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not key or "invalid" in key:
            return _refuse(401, "API key is missing or invalid.", "")
        try:
            return await endpoint(request)
        except _RefusedError as refused:
            return refused.response

    return guarded


class _Retell:
    def __init__(
        self,
        numbers: dict[str, dict[str, Any]] | None,
        agents: list[dict[str, Any]] | None,
        published: Mapping[str, Sequence[bool]] | None,
    ) -> None:
        self._numbers = {number["phone_number"]: number for number in _first_numbers()} if numbers is None else numbers
        self._rehearsals = Rehearsals()
        self._agents = _first_agents() if agents is None else agents
        self._published: Mapping[str, Sequence[bool]] = (
            {agent_id: versions for agent_id, _name, versions in _AGENTS} if published is None else published
        )

    async def create(self, request: Request) -> Response:
        body = await _body(request)
        phone_number = body.get("phone_number")
        if phone_number is None:
            phone_number = self._free_number(body)
        elif not isinstance(phone_number, str) or not _E164.fullmatch(phone_number):
            raise _RefusedError(400, "phone_number must be in E.164 format.")
        provider = body.get("number_provider", "twilio")
        if provider not in {"twilio", "telnyx"}:
            raise _RefusedError(400, "number_provider must be twilio or telnyx.")
        return await self._add(phone_number, body, f"retell-{provider}")

    def _free_number(self, body: dict[str, Any]) -> str:
        area_code = body.get("area_code", 415)
        if type(area_code) is not int or not 200 <= area_code <= 999:  # three digits
            raise _RefusedError(400, "area_code must be a 3 digit integer.")
        if body.get("toll_free"):
            area_code = 800
        candidates = (f"+1{area_code}55501{last:02}" for last in range(60, 100))
        number = next((candidate for candidate in candidates if candidate not in self._numbers), None)
        if number is None:
            raise _RefusedError(400, "No phone numbers of this area code left.")
        return number

    async def import_(self, request: Request) -> Response:
        body = await _body(request)
        phone_number = body.get("phone_number")
        if not isinstance(phone_number, str) or not phone_number or not body.get("termination_uri"):
            raise _RefusedError(400, "phone_number and termination_uri are required.")
        if body.get("ignore_e164_validation") is False and not _E164.fullmatch(phone_number):
            raise _RefusedError(400, "phone_number must be in E.164 format.")
        trunk = {"termination_uri": body["termination_uri"], "transport": body.get("transport") or "TCP"}
        if username := body.get("sip_trunk_auth_username"):
            trunk["auth_username"] = username
        return await self._add(phone_number, body, "custom", {"sip_outbound_trunk_config": trunk})

    async def _add(
        self, phone_number: str, body: dict[str, Any], kind: str, more: dict[str, Any] | None = None
    ) -> Response:
        self._check(body)
        number = kept(phone_number, body, kind) | (more or {})
        if rehearsal := self._rehearsals.of_add(phone_number):
            if rehearsal.commits:
                self._numbers.setdefault(phone_number, number)
            return await rehearsal.answer(_refuse)
        if phone_number in self._numbers:
            raise _RefusedError(400, f"Phone number {phone_number} already exists.")
        self._numbers[phone_number] = number
        return JSONResponse(number, 201)

    async def get(self, request: Request) -> Response:
        number = await self._find(request)
        return number if isinstance(number, Response) else JSONResponse(number)

    async def update(self, request: Request) -> Response:
        number = await self._find(request)
        if isinstance(number, Response):
            return number
        body = await _body(request)
        self._check(body)
        for name in (*_TEXTS, *_AGENT_LISTS, *_COUNTRY_LISTS):
            if name in body:
                number[name] = body[name]
        trunk = {name: body[name] for name in ("termination_uri", "auth_username", "transport") if name in body}
        if trunk:
            number["sip_outbound_trunk_config"] = number.get("sip_outbound_trunk_config", {}) | trunk
        number["last_modification_timestamp"] = _now()
        return JSONResponse(number)

    async def delete(self, request: Request) -> Response:
        number = await self._find(request)
        if isinstance(number, Response):
            return number
        del self._numbers[number["phone_number"]]
        return Response(status_code=204)

    async def _find(self, request: Request) -> dict[str, Any] | Response:
        phone_number = request.path_params["phone_number"]
        if number := self._numbers.get(phone_number):
            return number
        if rehearsal := self._rehearsals.of_other(phone_number):
            return await rehearsal.answer(_refuse)
        raise _RefusedError(422, _NOT_FOUND)

    def _check(self, body: dict[str, Any]) -> None:
        known = [agent["agent_id"] for agent in self._agents]
        for name in _AGENT_LISTS:
            agents = body.get(name)
            if not agents:
                continue
            if not isinstance(agents, list) or not all(
                isinstance(agent, dict) and agent.get("agent_id") for agent in agents
            ):
                raise _RefusedError(400, f"{name} must be a list of agents.")
            if any(agent["agent_id"] not in known for agent in agents):
                raise _RefusedError(422, _NOT_FOUND)
            total = math.fsum(agent.get("weight", 0) for agent in agents)
            if abs(total - 1) > 1e-6:
                raise _RefusedError(400, f"{name}: total weights must add up to 1.")
        for name in ("inbound_agent_id", "outbound_agent_id", "inbound_agent_version", "outbound_agent_version"):
            if name in body:
                raise _RefusedError(400, f"{name} is no longer supported.")

    async def list(self, request: Request) -> Response:
        return _page(request, list(self._numbers.values()), "phone_number")

    async def agents(self, request: Request) -> Response:
        criteria = (await _body(request)).get("filter_criteria") or {}
        query = criteria.get("query", "")
        found = [
            agent
            for agent in self._agents
            if (query.lower() in agent["agent_name"].lower() or query in agent["agent_id"])
            and criteria.get("channel", {}).get("value") in {None, agent["channel"]}
        ]
        return _page(request, found, "agent_id")

    async def versions(self, request: Request) -> Response:
        agent_id = request.path_params["agent_id"]
        if not any(agent["agent_id"] == agent_id for agent in self._agents):
            raise _RefusedError(422, _NOT_FOUND)
        published = self._published.get(agent_id, (True,))
        entries = [
            {"version": version, "is_published": is_published, "last_modification_timestamp": _now()}
            for version, is_published in enumerate(published)
        ]
        return _page(request, entries, "version")


# --- the rules of the platform ----------------------------------------------------------------------------------------


def _now() -> int:
    return int(time.time() * 1000)


def _refuse(status: int, message: str, detail: str) -> Response:
    return JSONResponse({"status": "error", "message": f"{message}: {detail}" if detail else message}, status)


async def _body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body() or b"{}")
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise _RefusedError(400, "The body must be a JSON object.")
    return body


def _page(request: Request, entries: list[dict[str, Any]], key: str) -> Response:
    try:
        limit = int(request.query_params.get("limit", "50"))
    except ValueError:
        raise _RefusedError(400, "limit must be an integer.") from None
    descending = request.query_params.get("sort_order", "descending") == "descending"
    ordered = sorted(entries, key=lambda entry: str(entry[key]), reverse=descending)
    start = 0
    if after := request.query_params.get("pagination_key"):
        keys = [str(entry[key]) for entry in ordered]
        if after not in keys:
            raise _RefusedError(400, "pagination_key is not known.")
        start = keys.index(after) + 1
    shown = ordered[start : start + limit]
    more = start + limit < len(ordered)
    return JSONResponse({"items": shown, "has_more": more} | ({"pagination_key": str(shown[-1][key])} if more else {}))


def kept(phone_number: str, body: dict[str, Any], kind: str) -> dict[str, Any]:
    """Return a number as the platform keeps it: what was asked for, and what it makes itself. `kind` is its type."""
    nanp = re.fullmatch(r"\+1([0-9]{3})([0-9]{3})([0-9]{4})", phone_number)
    number: dict[str, Any] = {
        "phone_number": phone_number,
        "phone_number_type": kind,
        "phone_number_pretty": "+1 ({}) {}-{}".format(*nanp.groups()) if nanp else phone_number,
        "last_modification_timestamp": _now(),
    }
    if nanp:
        number["area_code"] = int(nanp[1])
    return number | {
        name: body[name] for name in (*_TEXTS, *_AGENT_LISTS, *_COUNTRY_LISTS) if body.get(name) is not None
    }


def _first_numbers() -> list[dict[str, Any]]:
    front_desk = {
        "nickname": "Front desk",
        "inbound_agents": [{"agent_id": "agent_reception", "agent_version": 3, "weight": 1}],
        "outbound_agents": [{"agent_id": "agent_callback", "weight": 1}],
        "inbound_webhook_url": "https://example.com/calls",
    }
    after_hours = {
        "nickname": "After hours",
        "inbound_agents": [{"agent_id": "agent_night", "weight": 0.5}, {"agent_id": "agent_reception", "weight": 0.5}],
    }
    return [
        kept("+14155550100", front_desk, "retell-twilio"),
        kept("+14155550101", after_hours, "retell-telnyx"),
        kept("+14155550102", {}, "custom"),
    ]


def _first_agents() -> list[dict[str, Any]]:
    return [
        {
            "agent_id": agent_id,
            "agent_name": name,
            "channel": "chat" if agent_id == "agent_chat" else "voice",
            "is_suspended": agent_id == "agent_paused",
            "tags": {"prod": {"version": 3}} if agent_id == "agent_reception" else {},
            "user_modified_timestamp": _now(),
        }
        for agent_id, name, _published in _AGENTS
    ]
