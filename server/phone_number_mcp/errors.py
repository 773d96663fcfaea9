"""Every way in which a tool call can fail, and the JSON that an agent reads of it.

ToolError
├── InvalidArguments      invalid_arguments   the arguments do not fit; nothing was sent
├── NotConfigured         not_configured      credentials are missing; nothing was sent
├── Rejected              rejected            the platform said no: any 4xx without a code of its own
│   ├── Unauthorized      unauthorized        401
│   ├── PaymentRequired   payment_required    402
│   ├── Forbidden         forbidden           403
│   ├── NotFound          not_found           404
│   ├── AlreadyExists     already_exists      409, or a 4xx that says so
│   └── RateLimited       rate_limited        429
├── PlatformError         platform_error      5xx, or an envelope that says error
├── Unreachable           unreachable         no connection, or one that broke
├── TimedOut              timeout             no answer in time
├── InvalidReply          invalid_reply       not the documented shape
├── OutcomeUnknown        outcome_unknown     a write whose answer was lost, and reading back did not resolve it
├── Declined              declined            the user said no, or could not be asked
├── LimitReached          limit_reached       --max-creates is reached
├── JournalUnavailable    journal_unavailable the journal cannot be written, so nothing was sent
└── Internal              internal            our bug

A class is the row of the documentation's table: its code, when it happens, and what an agent should do next. Raise the
narrowest one; `app.py` is the one place that catches them.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self, TypedDict, Unpack

from pydantic import BaseModel

Outcome = Literal["not_applied", "applied", "unknown"]


class FieldProblem(BaseModel):
    """One argument that does not fit. The problem never repeats a secret."""

    field: str
    problem: str


class Candidate(BaseModel):
    """An agent that may be meant."""

    agent_id: str
    name: str


class Failure(BaseModel):
    """What an agent reads of a failed call: the value of `error` in a tool result."""

    code: str
    message: str
    detail: str | None = None
    hint: str
    retryable: bool
    retry_after_seconds: float | None = None
    outcome: Outcome | None = None
    http_status: int | None = None
    platform: str | None = None
    operation: str | None = None
    request_id: str | None = None
    existing: dict[str, Any] | None = None
    candidates: list[Candidate] | None = None
    fields: list[FieldProblem] | None = None


class Facts(TypedDict, total=False):
    """What is known of one failure beyond its class and its message. None is the same as not known."""

    detail: str | None
    hint: str | None
    outcome: Outcome | None
    retry_after_seconds: float | None
    http_status: int | None
    request_id: str | None
    existing: dict[str, Any] | None
    candidates: list[Candidate] | None
    fields: list[FieldProblem] | None


class ToolError(Exception):
    """A call that failed in a way an agent can act on.

    Args:
        message: One sentence; the platform's own words where it gave some.
        facts: What else is known. Fields left out are left out of the JSON too.
    """

    code: ClassVar[str]
    when: ClassVar[str]
    """When it happens, for the documentation."""
    hint: ClassVar[str]
    """What the agent should do next, unless the facts say it better."""
    outcome: ClassVar[Outcome]
    """What the failure means for a write, unless the facts know better."""
    retryable: ClassVar[bool] = False
    """Whether repeating the same call may help; a write is only repeated if it surely took no effect."""

    def __init__(self, message: str, **facts: Unpack[Facts]) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts

    def replace(self, **facts: Unpack[Facts]) -> Self:
        """Return the same error with some facts changed."""
        changed = type(self)(self.message)
        changed.facts = {**self.facts, **facts}
        changed.__cause__ = self.__cause__
        return changed

    @property
    def write_outcome(self) -> Outcome:
        """What this failure means if the call was a write."""
        return self.facts.get("outcome") or self.outcome

    def failure(self, *, platform: str, operation: str, write: bool) -> Failure:
        """Return what the agent reads: this error, of one operation on one platform."""
        outcome = self.write_outcome if write else None
        facts: dict[str, Any] = {
            **self.facts,
            "hint": self.facts.get("hint") or self.hint,
            "retryable": self.retryable and outcome in {None, "not_applied"},
            "outcome": outcome,
            "platform": platform,
            "operation": operation,
        }
        # Not validated: texts of a platform may hold what pydantic takes for no text, and are cleaned afterwards.
        return Failure.model_construct(code=self.code, message=self.message, **facts)


class InvalidArguments(ToolError):
    """The arguments do not fit; nothing was sent."""

    code = "invalid_arguments"
    when = "The arguments do not fit. Nothing was sent."
    hint = "Fix the listed fields and call again. Nothing was sent to the platform."
    outcome = "not_applied"


class NotConfigured(ToolError):
    """Credentials are missing; nothing was sent."""

    code = "not_configured"
    when = "Credentials are missing. Nothing was sent."
    hint = (
        "Ask the person who runs this server to set the named environment variables in the MCP client's "
        "configuration and to restart it. Never ask for a key or secret in the conversation."
    )
    outcome = "not_applied"


class Rejected(ToolError):
    """The platform refused the request: a 4xx that has no code of its own."""

    code = "rejected"
    when = "The platform refused the request: any other 4xx."
    hint = "Read the platform's words, change the arguments accordingly, and call again."
    outcome = "not_applied"


class Unauthorized(Rejected):
    """401."""

    code = "unauthorized"
    when = "401: the platform does not accept the credentials."
    hint = (
        "The credentials are set, but the platform does not accept them. "
        "Tell the person who runs this server; do not call again before they have changed them."
    )


class PaymentRequired(Rejected):
    """402."""

    code = "payment_required"
    when = "402: the account cannot pay for this."
    hint = "The account on the platform needs payment or a plan that covers this. Tell the user."


class Forbidden(Rejected):
    """403."""

    code = "forbidden"
    when = "403: the credentials may not do this."
    hint = "The credentials are valid but may not do this. Tell the person who runs this server."


class NotFound(Rejected):
    """404."""

    code = "not_found"
    when = "404: the platform does not hold it."
    hint = "Check the number with the user. It may belong to another organization than the credentials do."


class AlreadyExists(Rejected):
    """409, or a 4xx whose text says that it exists."""

    code = "already_exists"
    when = (
        "409, or a 4xx that says so: the platform holds it already, and `existing` shows it. "
        "Also a write whose answer was lost, if what is there is other than asked (`unknown`)."
    )
    hint = (
        "Nothing was created or changed. Compare `existing` with what the user asked for: "
        "if it fits, use it; if not, ask the user before doing anything else."
    )


class RateLimited(Rejected):
    """429."""

    code = "rate_limited"
    when = "429: too many requests."
    hint = "Nothing happened. Wait for `retry_after_seconds`, or 10 s where it is not given, then call again, at most twice."
    retryable = True


class PlatformError(ToolError):
    """A 5xx, or an envelope that says error."""

    code = "platform_error"
    when = "5xx, or a 200 whose envelope says error."
    hint = "The trouble is on the platform's side. Call again at most twice, 10 s apart; if it stays, tell the user."
    outcome = "unknown"
    retryable = True


class Unreachable(ToolError):
    """No connection could be made, or it broke before the answer was whole."""

    code = "unreachable"
    when = "No connection to the platform, or one that broke before the answer was whole."
    hint = "Call again at most twice, 10 s apart; if it stays, tell the user that the platform cannot be reached from here."
    outcome = "unknown"
    retryable = True


class TimedOut(ToolError):
    """No whole answer within the time that a call has."""

    code = "timeout"
    when = "No whole answer within `--timeout`."
    hint = "Call again at most twice, 10 s apart; if it stays, tell the user that the platform is slow."
    outcome = "unknown"
    retryable = True


class InvalidReply(ToolError):
    """An answer that is not the documented shape."""

    code = "invalid_reply"
    when = "An answer that is not the documented shape: HTML, cut JSON, a redirect, too large."
    hint = "The answer could not be read. If it stays, tell the user: the base URL may be wrong, or a proxy answers."
    outcome = "unknown"
    retryable = True


class OutcomeUnknown(ToolError):
    """A write whose answer was lost, and that reading back did not resolve."""

    code = "outcome_unknown"
    when = "A write whose answer was lost, and reading back did not resolve it: it may or may not have taken effect."
    hint = "Do not repeat the call yet: it may have taken effect."
    outcome = "unknown"


class Declined(ToolError):
    """The user said no, or could not be asked although `--confirm always` wants it."""

    code = "declined"
    when = "`--confirm always`, and the user said no, did not answer in time or could not be asked. Nothing was sent."
    hint = "Nothing was sent. Do not ask again by calling again; talk to the user."
    outcome = "not_applied"


class LimitReached(ToolError):
    """As many numbers as `--max-creates` allows were created today."""

    code = "limit_reached"
    when = "As many numbers as `--max-creates` allows were created since midnight UTC. Nothing was sent."
    hint = "Nothing was sent. Tell the user; whoever runs this server can raise --max-creates, or it may be used again tomorrow."
    outcome = "not_applied"


class JournalUnavailable(ToolError):
    """The journal of writes cannot be written, so the write was refused."""

    code = "journal_unavailable"
    when = (
        "The journal of writes is locked, full, read-only, damaged or missing. The write was refused; nothing was sent."
    )
    hint = (
        "Nothing was sent. Reads still work. Tell the person who runs this server what the message says; once it is "
        "fixed, the same call works without a restart."
    )
    outcome = "not_applied"
    retryable = True


class Internal(ToolError):
    """A bug in this server. What happened is in its log, not in the reply."""

    code = "internal"
    when = "A bug in this server; its log has the traceback."
    hint = "This is a bug in phone-number-mcp, not yours. Tell the user; the server's log says more."
    outcome = "unknown"


def duration(seconds: float) -> str:
    """Return a duration as people and models read it: "0.2 s", "12 s", "5 min", "3 h", "2 days"."""
    for unit, size, least in (("days", 86_400, 2), ("h", 3600, 2), ("min", 60, 2)):
        if seconds >= least * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{round(seconds, 1 if seconds < _WHOLE_SECONDS else 0):g} s"


_WHOLE_SECONDS = 10
"""From here on, a duration is shown in whole seconds."""

CRASHES = (Exception, SystemExit, KeyboardInterrupt)
"""What ends one call, never the process: a `sys.exit` deep in a library is a bug like any other."""


def refusal(status: int) -> type[ToolError]:
    """Return the error class for an HTTP status of 400 or above."""
    if status >= 500:  # RFC 9110, section 15.6: server errors
        return PlatformError
    return _REFUSALS.get(status, Rejected)


def of_code(code: str | None) -> type[ToolError]:
    """Return the error class of a code, as the journal keeps it; `Rejected` for one that is not known."""
    classes: list[type[ToolError]] = [ToolError]
    for each in classes:
        classes += each.__subclasses__()
    return next((each for each in classes[1:] if each.code == code), Rejected)


_REFUSALS: dict[int, type[ToolError]] = {
    401: Unauthorized,
    402: PaymentRequired,
    403: Forbidden,
    404: NotFound,
    409: AlreadyExists,
    429: RateLimited,
}
