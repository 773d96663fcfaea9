"""A simulated platform on a real socket: it starts with an organisation, shows what became of it, and fails when it is told to."""

from __future__ import annotations

import copy
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import anyio
import uvicorn
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse
from starlette.routing import Route

from phone_number_mcp.sandbox import create_app

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Message, Receive, Scope, Send

    from evals.organisation import Numbers, Organisation, Record

Operation = Literal["get", "list", "create", "import", "update", "delete", "agents"]

_REQUESTS = {
    "get": re.compile(r"GET /(api/phone-numbers|get-phone-number)/\+.*"),
    "list": re.compile(r"GET /(api/phone-numbers|v2/list-phone-numbers)"),
    "create": re.compile(r"POST /(api/phone-numbers/create|create-phone-number)"),
    "import": re.compile(r"POST /(api/phone-numbers/import|import-phone-number)"),
    "update": re.compile(r"PATCH /.*"),
    "delete": re.compile(r"DELETE /.*"),
    "agents": re.compile(r"(GET /api/agents|POST /v2/list-agents)"),
}
"""What a fault is planted on → the requests that do it, on every platform."""
_NAMES = {
    "inbound_agent_id": "inbound",
    "inbound_agents": "inbound",
    "outbound_agent_id": "outbound",
    "outbound_agents": "outbound",
    "inbound_webhook_url": "webhook",
}
"""A platform's name of a field → the name that tasks have for it."""
_TIMES = {"created_at", "updated_at", "last_modification_timestamp"}
_ROUTES = {"inbound_trunk_id", "outbound_trunk_id", "dispatch_rule_id"}
"""What a platform makes where an agent is bound."""
_MADE_BY_PLATFORM = {
    "phone_number", "phone_number_pretty", "organization_id", "area_code", "phone_number_type", "number_provider",
    "inbound_agent_version", "outbound_agent_version",
}  # fmt: skip
"""Fields of a new number that nobody asked for."""


class Fault(BaseModel):
    """What goes wrong with requests of one kind.

    Args:
        on: Which requests.
        what: An HTTP status to answer with, without doing anything; or `lost`: done, and the answer breaks off; `dropped`: not
            done, and the connection breaks; `silent`: never answered.
        times: How many of them, from the first.
    """

    model_config = ConfigDict(extra="forbid")

    on: Operation
    what: Literal[429, 500, 503, "lost", "dropped", "silent"]
    times: int = 1


class Changes(BaseModel):
    """What is to be, or was, changed: by number, the fields that differ, under the names that tasks have for them.

    An empty text is a field that is not set. Of a created number, what the platform makes itself is left out.
    """

    model_config = ConfigDict(extra="forbid")

    created: dict[str, dict[str, str]] = {}
    changed: dict[str, dict[str, str]] = {}
    deleted: list[str] = []

    def __bool__(self) -> bool:
        """Return whether anything is changed."""
        return bool(self.created or self.changed or self.deleted)


@dataclass
class Served:
    """A platform while it is served."""

    url: str
    numbers: Numbers
    """As they are now."""
    at_first: Numbers
    faults: list[Fault] = field(default_factory=list)
    """What is still to go wrong; `times` counts down."""

    def start_over(self, faults: list[Fault]) -> None:
        """Put everything back as it was at first.

        Args:
            faults: What goes wrong from now on.
        """
        self.numbers.clear()
        self.numbers.update(copy.deepcopy(self.at_first))
        self.faults = [fault.model_copy() for fault in faults]

    def changes(self) -> Changes:
        """Return how the numbers differ from those at first."""
        common = self.numbers.keys() & self.at_first.keys()
        differences = {number: _difference(self.at_first[number], self.numbers[number]) for number in sorted(common)}
        return Changes(
            created={
                number: {name: value for name, value in _view(record).items() if name not in _MADE_BY_PLATFORM}
                for number, record in self.numbers.items()
                if number not in self.at_first
            },
            changed={number: difference for number, difference in differences.items() if difference},
            deleted=[number for number in self.at_first if number not in self.numbers],
        )


@contextmanager
def served(platform: str, organisation: Organisation) -> Iterator[Served]:
    """Serve a simulated platform on a free port of 127.0.0.1.

    Args:
        platform: Its name.
        organisation: What it holds at first.
    """
    numbers, agents = organisation.state(platform)
    shown = Served("", numbers, copy.deepcopy(numbers))
    with listening(_faulty(organisation.routes(platform, numbers, agents), shown, agents)) as shown.url:
        yield shown


@contextmanager
def listening(app: Any) -> Iterator[str]:
    """Serve an ASGI app in a thread, and return its address on a free port of 127.0.0.1."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", lifespan="off", access_log=False, timeout_graceful_shutdown=1, loop="asyncio"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=30)


def _faulty(routes: Sequence[Route], shown: Served, agents: list[Record]) -> Any:
    """Return the platform as an ASGI app that fails as `shown.faults` says."""
    app = create_app([*routes, *_older_lists(shown.numbers, agents)])

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = f"{scope['method']} {scope['path']}"
        for fault in shown.faults:
            if fault.times and _REQUESTS[fault.on].fullmatch(request):
                fault.times -= 1
                await _fail(fault, scope, receive, send)
                return
        await app(scope, receive, send)

    async def _fail(fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if isinstance(fault.what, int):
            words = {429: "Too many requests", 500: "Internal server error", 503: "Service unavailable"}[fault.what]
            body = {"message": words, "status": "error", "error": words}
            headers = {"Retry-After": "1"} if fault.what == 429 else None
            await JSONResponse(body, fault.what, headers)(scope, receive, send)
            return
        if fault.what == "silent":
            while (await receive())["type"] != "http.disconnect":
                pass
            return
        if fault.what == "lost":
            await app(scope, receive, _nowhere)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})
        raise ConnectionResetError("a fault of the task")

    return answer


def _older_lists(numbers: Numbers, agents: list[Record]) -> list[Route]:
    """Return Retell's lists as they were before v2, whole and without pages: its community server asks for them."""

    async def all_numbers(_request: Request) -> Response:
        return JSONResponse(list(numbers.values()))

    async def all_agents(_request: Request) -> Response:
        return JSONResponse(agents)

    return [Route("/list-phone-numbers", all_numbers), Route("/list-agents", all_agents)]


async def _nowhere(_message: Message) -> None:
    await anyio.lowlevel.checkpoint()


def _view(record: Record) -> dict[str, str]:
    """Return a record under the names that tasks have, without times, routes, and what is not set."""
    return {
        _NAMES.get(name, name): _text(value)
        for name, value in record.items()
        if name not in _TIMES | _ROUTES and value not in (None, [], "")
    }


def _text(value: Any) -> str:
    """Return a value as tasks write it: agents as `id`, or as `id 0.7 + id 0.3`, with `@version` where one is given."""
    if isinstance(value, list) and all(isinstance(entry, dict) for entry in value):
        agents = []
        for entry in value:
            version = f"@{entry['agent_version']}" if entry.get("agent_version") is not None else ""
            share = "" if entry["weight"] == 1 else f" {entry['weight']:g}"
            agents.append(f"{entry['agent_id']}{version}{share}")
        return " + ".join(agents)
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _difference(before: Record, after: Record) -> dict[str, str]:
    old, new = _view(before), _view(after)
    return {name: new.get(name, "") for name in sorted(old.keys() | new.keys()) if old.get(name) != new.get(name)}
