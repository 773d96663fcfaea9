"""One tool call's use of a platform: several exchanges, one deadline, and what of it may be repeated."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import anyio

from phone_number_mcp.errors import InvalidReply, PlatformError, RateLimited, ToolError, Unreachable, duration
from phone_number_mcp.upstream.memory import Memory
from phone_number_mcp.upstream.request import Account, Request, Trail

if TYPE_CHECKING:
    from phone_number_mcp.shutdown import Shutdown
    from phone_number_mcp.upstream.reply import Reply

TRIES = 3
"""How often something is sent at most, if it may be repeated."""
_FIRST_WAIT = 0.5  # seconds; doubled for each further try
_PASSING = {429, 500, 502, 503, 504}


class Sender(Protocol):
    """What a call needs of the way to its platform."""

    @property
    def decipher(self) -> Callable[[Reply], Any]:
        """Returns the data of a reply, or raises what the platform means by it."""

    async def send(
        self, request: Request, account: Account, deadline: float, before_sending: Callable[[], None] = ...
    ) -> Reply:
        """Send a request, once, and return the answer."""


class WouldSendError(Exception):
    """In a dry run, a write would be sent now.

    Args:
        request: What would be sent.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(f"{request.method} {request.path}")
        self.request = request


Progress = Callable[[int, str], Awaitable[None]]
"""Tells whoever waits how it goes: which try is next, and a sentence."""


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call's use of a platform: however many exchanges it takes, they share one deadline. Made by `Api.call`."""

    _api: Sender
    _account: Account
    _shutdown: Shutdown
    _started: float
    _deadline: float
    _progress: Progress | None = None
    trail: Trail = field(default_factory=Trail)
    _memory: Memory = field(default_factory=Memory)
    _rehearsal: bool = False

    def within(self, share: float) -> Call:
        """Return the same call with a share of the time that is left."""
        now = anyio.current_time()
        return replace(self, _deadline=now + (self._deadline - now) * share)

    @property
    def remaining(self) -> float:
        """The seconds that are left."""
        return max(0.001, self._deadline - anyio.current_time())

    def deadline_after(self, share: float) -> float:
        """Return when a share of the call's whole time is over, on the event loop's clock."""
        return self._started + (self._deadline - self._started) * share

    @property
    def elapsed(self) -> float:
        """The seconds since the call began."""
        return anyio.current_time() - self._started

    def recall(self, name: str) -> Any:
        """Return what an earlier call of this account kept under a name; None if there is nothing, or its time is over."""
        return self._memory.recall(self._account, name)

    def keep(self, name: str, value: Any, seconds: float) -> None:
        """Keep a value for this account's next calls, for some seconds."""
        self._memory.keep(self._account, name, value, seconds)

    async def sleep(self, seconds: float) -> None:
        """Wait, but never for more than half of the time that is left."""
        await anyio.sleep(max(0, min(seconds, (self._deadline - anyio.current_time()) / 2)))

    async def read(
        self,
        path: str,
        query: Mapping[str, str | int] | None = None,
        *,
        post: bool | Mapping[str, Any] = False,
        repeat: bool = True,
    ) -> Any:
        """Ask for something, and return the data of the answer. It is asked up to three times, as the time allows.

        Args:
            path: Starting with `/`, its parts already percent-encoded.
            query: The query parameters.
            post: The platform wants this question as a POST; its body, if it has one.
            repeat: Whether to ask again if that may help.

        Raises:
            NotConfigured: There are no credentials; nothing was sent.
            Unreachable: No connection, or one that broke.
            TimedOut: No whole answer in time.
            InvalidReply: A redirect, or an answer that cannot be read.
            ToolError: What the platform's answer means, as `decipher` says.
        """
        body = None if post is False else {} if post is True else post
        request = Request("GET" if body is None else "POST", path, query, body)
        return await self._repeated(request, _may_pass if repeat else _never)

    async def write(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Change something, and return the data of the answer.

        The request goes out once. It is repeated only if no byte of it left.

        Args:
            method: POST, PATCH or DELETE.
            path: Starting with `/`, its parts already percent-encoded.
            body: Sent as JSON.

        Raises:
            ToolError: As `read` raises it; `write_outcome` says whether the write took effect, as far as that is known.
            WouldSendError: This is a dry run.
        """
        request = Request(method, path, None, body, changes=True)
        if self._rehearsal:
            raise WouldSendError(request)
        return await self._repeated(request, _was_never_sent)

    async def _repeated(self, request: Request, may_repeat: Callable[[ToolError], bool]) -> Any:
        """Return the data of the answer; what may be repeated is sent up to `TRIES` times, within the deadline."""
        number = 1
        while True:
            try:
                return await self._exchange(request)
            except ToolError as error:
                wait = _wait(error, number)
                too_late = anyio.current_time() + wait > self._deadline
                if number == TRIES or too_late or self._shutdown.begun or not may_repeat(error):
                    raise
                reason = error.facts.get("http_status") or error.code
            number += 1
            if self._progress is not None:
                await self._progress(number, f"waiting {duration(wait)}: {reason}, try {number} of {TRIES}")
            await anyio.sleep(wait)

    async def _exchange(self, request: Request) -> Any:
        self.trail.exchanges += 1
        before_sending = self._before_write if request.changes else _before_read
        reply = await self._api.send(request, self._account, self._deadline, before_sending)
        if 300 <= reply.status < 400:  # RFC 9110, section 15.4: redirection
            # Following it would hand the credentials to another host.
            raise InvalidReply(
                f"The platform answered with a redirect ({reply.status}), which is never followed",
                http_status=reply.status,
                hint="The base URL may be wrong. Tell the person who runs this server.",
            )
        return self._api.decipher(reply)

    def _before_write(self) -> None:
        self._shutdown.refuse_if_begun()
        self.trail.write_sent = True


def _before_read() -> None:
    """A read may be sent at any time."""


def _may_pass(error: ToolError) -> bool:
    """Return whether a question is worth asking again: what went wrong may be over in a moment."""
    if isinstance(error, Unreachable):
        return True
    return isinstance(error, RateLimited | PlatformError) and error.facts.get("http_status") in _PASSING


def _never(_error: ToolError) -> bool:
    return False


def _was_never_sent(error: ToolError) -> bool:
    return isinstance(error, Unreachable) and error.write_outcome == "not_applied"


def _wait(error: ToolError, number: int) -> float:
    """Return the seconds to wait before the next try: what the platform said, or full jitter.

    Full jitter is a random time below a limit that doubles:
    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter

    Args:
        error: What the last try came to.
        number: Of the last try, from 1.
    """
    said = error.facts.get("retry_after_seconds")
    limit = _FIRST_WAIT * 2 ** (number - 1)
    return said if said is not None else random.uniform(0, limit)  # noqa: S311  (no secret depends on it)
