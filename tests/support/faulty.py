"""A Zudu on a socket that really keeps numbers and misbehaves on demand: the judge of what was bought, and how often."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import anyio
from anyio.abc import SocketStream

from support.upstream import Answer, Request, Upstream, envelope, http, reply

DEFAULTS = {
    "nickname": None,
    "number_provider": "twilio",
    "phone_number_type": "ZUDU_TWILIO",
    "inbound_agent_version": 1,
}


@dataclass
class Faulty:
    """What a create does next: whether it takes effect, and what is answered instead of the truth.

    `fault` None is a platform that works.
    """

    upstream: Upstream
    commits: bool = True
    fault: Answer | None = None
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    """Fields that it does not show."""

    def __post_init__(self) -> None:
        self.upstream.answer = self._answer

    @property
    def posts(self) -> int:
        return sum(request.method == "POST" for request in self.upstream.requests)

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.upstream.requests]

    def fail(self, answer: Answer, *, commits: bool) -> None:
        self.fault, self.commits = answer, commits

    def work(self) -> None:
        self.fault, self.commits = None, True

    async def _answer(self, request: Request, stream: SocketStream) -> None:
        if request.method == "POST":
            await self._create(request, stream)
        else:
            number = self.numbers.get(unquote(request.target.rpartition("/")[2]))
            missing = {"message": "Phone number not found", "status": "error", "error": "no"}
            await (reply(200, envelope(number)) if number else reply(404, missing))(request, stream)

    async def _create(self, request: Request, stream: SocketStream) -> None:
        wanted = request.json
        if wanted["phone_number"] in self.numbers and self.fault is None:
            taken = {"message": "Phone number already exists", "status": "error", "error": "taken"}
            await reply(409, taken)(request, stream)
            return
        created = {name: value for name, value in (DEFAULTS | wanted).items() if name not in self.hidden}
        if self.commits:
            self.numbers[wanted["phone_number"]] = created
        await (self.fault or reply(200, envelope(created)))(request, stream)


@dataclass
class Held:
    """An answer that is sent up to a share of its bytes and then waits for `release`."""

    share: float
    reached: anyio.Event = field(default_factory=anyio.Event)
    release: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self, request: Request, stream: SocketStream) -> None:
        whole = http(200, json.dumps(envelope(request.json)).encode())
        cut = int(len(whole) * self.share)
        if cut:
            await stream.send(whole[:cut])
        self.reached.set()
        await self.release.wait()
        await stream.send(whole[cut:])
