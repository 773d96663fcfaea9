"""Consent: with `--confirm always`, a person says yes before a write is sent. No argument of a model counts as a yes.

Up to 2025-11-25 the server asks the client (`elicitation/create`) and waits; in 2026-07-28 it answers the call with the
question (`InputRequiredResult`), and the client calls again with what the person said.
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
import time
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio
import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import LATEST_MODERN_VERSION, MODERN_PROTOCOL_VERSIONS
from pydantic import SecretStr, ValidationError

from phone_number_mcp.errors import Declined, FieldProblem, InvalidArguments, duration
from phone_number_mcp.named_secrets import NamedSecret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.context import ServerRequestContext

    from phone_number_mcp.sanitize import Sanitizer
    from phone_number_mcp.tool import Arguments, Tool

QUESTION = "consent"
"""The key of the question, and of its answer."""
MAX_QUESTION = 4_000
"""Characters of a question: a person has to read all of it."""
_MAX_OPEN = 1000
_NUMBER = re.compile(r"\+[0-9]{1,20}")
_NOT_SHOWN = frozenset({"phone_number", "confirm_phone_number", "idempotency_key", "dry_run"})
"""Arguments without a line of their own: the first line has the number, and an idempotency key is not sent."""

_FORM: types.ElicitRequestedSchema = {
    "type": "object",
    "properties": {"confirm": {"type": "boolean", "title": "Yes, do it", "description": "Only yes sends anything"}},
    "required": ["confirm"],
}


@dataclass(frozen=True)
class Obstacle:
    """Why the person cannot be asked."""

    reason: str
    remedy: str


_CLIENT = Obstacle(
    "this client cannot show a question to the person (it declares no form elicitation)",
    "Whoever runs the server can use a client that supports elicitation, or start it without --confirm.",
)
_TRANSPORT = Obstacle(
    f"over HTTP the server can ask only in protocol version {LATEST_MODERN_VERSION}, and this client uses an older one",
    f"Whoever runs the server can use a client that speaks {LATEST_MODERN_VERSION}, or stdio, or start it without --confirm.",
)


def obstacle(ctx: ServerRequestContext[Any, Any], capabilities: types.ClientCapabilities | None) -> Obstacle | None:
    """Return why the person at a client cannot be asked; None if they can.

    Args:
        ctx: A request of the client.
        capabilities: What the client says that it can do; None if it has not said it.
    """
    if ctx.protocol_version not in MODERN_PROTOCOL_VERSIONS and not ctx.session.can_send_request:
        return _TRANSPORT
    elicitation = capabilities.elicitation if capabilities else None
    # {} stands for forms: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation#capabilities
    if elicitation is None or (elicitation.form is None and elicitation.url is not None):
        return _CLIENT
    return None


class Consent:
    """Asks the person before a write.

    Args:
        platform: As people know it.
        sanitize: Keeps the credentials out of the question.
        simulated: Nothing is real; the question says so.
        timeout: Seconds that the person may take.
    """

    def __init__(self, platform: str, sanitize: Sanitizer, *, simulated: bool, timeout: float) -> None:
        self._platform = f"{platform} (simulated: nothing is real)" if simulated else platform
        self._sanitize = sanitize
        self._timeout = timeout
        self._key = secrets.token_bytes(32)
        self._open: dict[str, tuple[float, bytes]] = {}
        """State of a question in the stateless era → when it expires, and the digest of the call."""

    async def ask(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: types.CallToolRequestParams,
        tool: Tool[Any],
        arguments: Arguments,
        agents: Mapping[str, str],
    ) -> types.InputRequiredResult | None:
        """Return once the person has said yes; in the stateless era, return the question first.

        Args:
            ctx: The request of the call.
            params: The call, and in the stateless era the answer.
            tool: What will be done.
            arguments: With what.
            agents: Id → name, of the agents that the call is about: a person knows them by name.

        Raises:
            Declined: The person said no, did not answer in time, or cannot be asked; or the answer is malformed.
            InvalidArguments: The question is too long for a person to read.
        """
        found = obstacle(ctx, ctx.session.client_capabilities)
        if found is not None:
            hint = f"The server runs with --confirm always, and nothing was sent. {found.remedy}"
            raise Declined(f"The person was not asked: {found.reason}", hint=hint)
        question = self._question(tool, arguments, agents)
        answer: types.InputResponse | None
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            if params.input_responses is None:
                return self._put(question, tool, arguments)
            self._check(params, tool, arguments)
            answer = params.input_responses.get(QUESTION)
        else:
            answer = await self._elicit(ctx, question)
        if not isinstance(answer, types.ElicitResult) or answer.action != "accept":
            raise Declined("The person did not agree")
        if (answer.content or {}).get("confirm") is not True:
            raise Declined("The person did not say yes")
        return None

    async def _elicit(self, ctx: ServerRequestContext[Any, Any], question: str) -> types.ElicitResult:
        try:
            with anyio.move_on_after(self._timeout):
                return await ctx.session.elicit_form(question, _FORM, related_request_id=ctx.request_id)
        except MCPError as error:
            raise Declined(f"The client answered the question with an error: {error}", hint=_CLIENT.remedy) from error
        except ValidationError as error:
            raise Declined("The client's answer to the question is malformed") from error
        raise Declined(f"The person did not answer within {duration(self._timeout)}")

    def _question(self, tool: Tool[Any], arguments: Arguments, agents: Mapping[str, str]) -> str:
        """Return what is asked: everything that will be sent, less secrets, each on a line of its own.

        What a model wrote is shown as JSON: it cannot pass for a part of the question.

        Raises:
            InvalidArguments: It is longer than a person can be expected to read.
        """
        given = arguments.model_dump(exclude_unset=True)
        number = given.get("phone_number")
        if number is None:
            target = "any number that the platform chooses"
        else:
            target = number if _NUMBER.fullmatch(number) else self._shown(number)
        fields = {name: f"{name}: {self._shown(value)}" for name, value in given.items() if name not in _NOT_SHOWN}
        lines = [f"{tool.title} on {self._platform}: {target}", *fields.values()]
        lines += [f"{self._shown(id_)} is the agent {self._shown(name)}" for id_, name in agents.items()]
        if tool.costs:
            lines.append("This may cost money.")
        if tool.deletes:
            lines.append("This cannot be undone.")
        lines.append("Calls are affected at once. Do it?")
        question = "\n".join(lines)
        if len(question) > MAX_QUESTION:
            raise _too_long(len(question), fields | {"phone_number": target})
        return question

    def _shown(self, value: Any) -> str:
        if isinstance(value, NamedSecret):
            return f"(secret:{value.name}, its value is not shown)"
        return "(secret, not shown)" if isinstance(value, SecretStr) else self._sanitize.redact(visible(value))

    def _digest(self, tool: Tool[Any], arguments: Arguments) -> bytes:
        """Return the digest of a call: of the tool and every argument that the caller gave, secrets included."""
        given = arguments.model_dump(exclude_unset=True)
        plain = {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()
        }
        canonical = json.dumps([tool.name, plain], sort_keys=True, separators=(",", ":"))
        return hmac.digest(self._key, canonical.encode(), "sha256")

    # --- the stateless era: the question and its answer are two calls ---

    def _put(self, question: str, tool: Tool[Any], arguments: Arguments) -> types.InputRequiredResult:
        now = time.monotonic()
        self._open = {state: entry for state, entry in self._open.items() if entry[0] > now}
        while len(self._open) >= _MAX_OPEN:
            del self._open[next(iter(self._open))]
        state = secrets.token_urlsafe(24)
        self._open[state] = (now + self._timeout, self._digest(tool, arguments))
        form = types.ElicitRequestFormParams(message=question, requested_schema=_FORM)
        return types.InputRequiredResult(
            input_requests={QUESTION: types.ElicitRequest(params=form)}, request_state=state
        )

    def _check(self, params: types.CallToolRequestParams, tool: Tool[Any], arguments: Arguments) -> None:
        """Refuse an answer to a question that was not asked, or was asked about something else. Each answer counts once."""
        expires, digest = self._open.pop(params.request_state or "", (0.0, b""))
        if expires < time.monotonic() or not hmac.compare_digest(digest, self._digest(tool, arguments)):
            raise Declined(
                f"The answer belongs to another question, or came after more than {duration(self._timeout)}; the person "
                "has to be asked again"
            )


def _too_long(length: int, fields: dict[str, str]) -> InvalidArguments:
    """Return the refusal of a question, naming the longest fields: those without which it would be short enough."""
    named: list[FieldProblem] = []
    excess = length - MAX_QUESTION
    for name, line in sorted(fields.items(), key=lambda field: len(field[1]), reverse=True):
        if excess <= 0:
            break
        excess -= len(line)
        named.append(FieldProblem(field=name, problem=f"takes {len(line):,} characters to show"))
    return InvalidArguments(
        f"The question to the person would have {length:,} characters, and a person must be able to read all of it: at "
        f"most {MAX_QUESTION:,}. Shorten {', '.join(problem.field for problem in named)}",
        fields=named,
    )


# --- text that a person can check -------------------------------------------------------------------------------------

# Printable by their category, but blank: https://www.unicode.org/reports/tr44/#Default_Ignorable_Code_Point, and blanks.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\ufffc"
    "\U0001d159\U000e0100-\U000e01ef]"
)
_MAX_MARKS = 4
"""Combining marks on one character; more of them would cover the lines above and below."""


def visible(value: Any) -> str:
    r"""Return JSON in which every character can be seen: one that cannot is written as JSON's `\uXXXX`.

    That holds for control, bidirectional, zero-width and tag characters, spaces other than the plain one, variation
    selectors that choose no emoji, lone surrogates, and code points that are private or not assigned.
    """
    text = json.dumps(value, ensure_ascii=False)
    if text.isascii() and text.isprintable():
        return text
    parts: list[str] = []
    marks = 0
    for place, char in enumerate(text):
        before, after = text[place - 1], text[place + 1 : place + 2]  # it begins and ends with ASCII
        marks = marks + 1 if unicodedata.category(char) in {"Mn", "Me"} else 0
        seen = char.isprintable() and not _BLANK.match(char) and marks <= _MAX_MARKS
        if seen or _chooses_emoji(char, before, after):
            parts.append(char)
        else:
            parts.append(json.dumps(char)[1:-1])
        if char == '"' or not parts[-1].endswith(char):
            marks = _MAX_MARKS  # a mark would combine with what is no part of the text
    return "".join(parts)


def _chooses_emoji(char: str, before: str, after: str) -> bool:
    """Return whether a variation selector makes an emoji, or a plain character, of the one before it."""
    if char not in "\ufe0e\ufe0f":
        return False
    keycap = before in "0123456789#*" and after == "\u20e3"
    return keycap or (unicodedata.category(before) in {"So", "Sm"} and not _BLANK.match(before))
