"""A platform on a socket for many servers and accounts: it keeps each account's numbers, and counts what was sent."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import anyio
from anyio.abc import SocketStream

from support.upstream import Answer, Request, Upstream, envelope, reply

PAGE = 100


@dataclass(frozen=True)
class Post:
    """A create that reached the platform."""

    account: str
    """The credential that came with it."""
    body: dict[str, Any]


@dataclass
class Gate:
    """Keeps answers back: a create that took effect, or not, and that is not answered before `opened` is set."""

    reached: anyio.Event = field(default_factory=anyio.Event)
    opened: anyio.Event = field(default_factory=anyio.Event)

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


@dataclass
class Ledger:
    """A Zudu and a Retell that work, unless `hold` or `fault` is set.

    Args:
        upstream: The socket.
        numbers: What it holds, by account and number.
        posts: The creates that it received, in their order.
        bought: How many numbers each nickname came to.
        commits: Whether a create takes effect at once.
        late: Whether one that does not takes effect when `land` is called.
        hold: What a create waits for once it has taken effect.
        fault: What a create is answered instead of the truth.
        read_fault: The same for reads.
        page_seconds: How long a page of the list takes.
        rotated: Credentials that took the place of others: which account they open.
    """

    upstream: Upstream
    numbers: defaultdict[str, dict[str, dict[str, Any]]] = field(default_factory=lambda: defaultdict(dict))
    posts: list[Post] = field(default_factory=list)
    bought: Counter[str] = field(default_factory=Counter)
    commits: bool = True
    late: bool = False
    hold: Callable[[], Awaitable[None]] | None = None
    fault: Answer | None = None
    read_fault: Answer | None = None
    page_seconds: float = 0.0
    rotated: dict[str, str] = field(default_factory=dict)

    _on_their_way: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.upstream.answer = self._answer

    def sent(self, field_: str, value: Any) -> int:
        """Return how many creates had a value in a field."""
        return sum(post.body.get(field_) == value for post in self.posts)

    def work(self) -> None:
        """Behave from now on."""
        self.commits, self.late, self.hold, self.fault, self.read_fault = True, False, None, None, None

    def land(self) -> None:
        """Have that take effect which was on its way when its connection broke."""
        while self._on_their_way:
            self._keep(*self._on_their_way.pop())

    def _keep(self, account: str, created: dict[str, Any]) -> None:
        self.bought[created["nickname"]] += 1
        self.numbers[account][created["phone_number"]] = created

    async def _answer(self, request: Request, stream: SocketStream) -> None:
        zudu = "x-api-key" in request.headers
        account = request.headers["x-api-key"] if zudu else request.headers["authorization"].removeprefix("Bearer ")
        account = self.rotated.get(account, account)
        if request.method == "POST":
            await self._create(account, request, stream, zudu=zudu)
        elif self.read_fault is not None:
            await self.read_fault(request, stream)
        else:
            await (await self._read(account, request, zudu=zudu))(request, stream)

    async def _create(self, account: str, request: Request, stream: SocketStream, *, zudu: bool) -> None:
        wanted = request.json
        self.posts.append(Post(account, wanted))
        held = self.numbers[account]
        number = wanted.get("phone_number") or f"+1415556{len(held):04}"
        if number in held:
            answer = reply(409, {"status": "error", "message": "Phone number already exists", "error": "taken"})
        else:
            created = {"nickname": None, "phone_number_type": "x"} | wanted | {"phone_number": number}
            if self.commits:
                self._keep(account, created)
            elif self.late:
                self._on_their_way.append((account, created))
            answer = reply(200, envelope(created) if zudu else created)
        fault, hold = self.fault, self.hold
        if hold is not None:
            await hold()
        await (fault or answer)(request, stream)

    async def _read(self, account: str, request: Request, *, zudu: bool) -> Answer:
        url = urlsplit(request.target)
        held = self.numbers[account]
        if url.path.endswith("/phone-numbers"):
            return reply(200, envelope({"phone_numbers": list(held.values()), "pagination": {"has_next": False}}))
        if url.path == "/v2/list-phone-numbers":
            await anyio.sleep(self.page_seconds)
            start = int(parse_qs(url.query).get("pagination_key", ["0"])[0])
            rest = list(held.values())[start:]
            page: dict[str, Any] = {"items": rest[:PAGE], "has_more": len(rest) > PAGE}
            return reply(200, page | ({"pagination_key": str(start + PAGE)} if len(rest) > PAGE else {}))
        if found := held.get(unquote(url.path.rpartition("/")[2])):
            return reply(200, envelope(found) if zudu else found)
        return reply(404, {"status": "error", "message": "Phone number not found", "error": "none"})
