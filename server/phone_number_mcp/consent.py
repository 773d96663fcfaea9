"""Consent: with `--confirm always`, the person says yes before a write goes out. A model's own argument never stands for it.

Up to 2025-11-25 the server asks the client (`elicitation/create`) and waits; in 2026-07-28 it answers the call with the
question (`InputRequiredResult`), and the client calls again with what the person said.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from phone_number_mcp.errors import Declined

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

    from phone_number_mcp.text import Sanitizer
    from phone_number_mcp.tool import Arguments, Tool

QUESTION = "consent"
"""The key of the question, and of its answer."""
PATIENCE_SECONDS = 600.0
"""How long an answer may take in the stateless era."""
_MAX_OPEN = 1000
_MAX_SHOWN = 500
"""Characters of one value in a question."""

_FORM: types.ElicitRequestedSchema = {
    "type": "object",
    "properties": {"confirm": {"type": "boolean", "title": "Yes, do it", "description": "Only yes sends anything"}},
    "required": ["confirm"],
}
_CANNOT_ASK = (
    "This client cannot show a question to the person, and the server runs with --confirm always. Nothing was sent. Whoever "
    "runs the server can use a client that supports elicitation, or start it without --confirm."
)


class Consent:
    """Asks the person before a write.

    Args:
        platform: As people know it.
        sanitize: Applied to what a model wrote, before a person sees it.
    """

    def __init__(self, platform: str, sanitize: Sanitizer) -> None:
        self._platform = platform
        self._sanitize = sanitize
        self._open: dict[str, tuple[float, str, dict[str, Any]]] = {}

    async def ask(
        self,
        ctx: ServerRequestContext[Any, Any],
        params: types.CallToolRequestParams,
        tool: Tool[Any],
        arguments: Arguments,
    ) -> types.InputRequiredResult | None:
        """Return once the person has said yes; in the stateless era, return the question first.

        Raises:
            Declined: The person said no, said nothing, or cannot be asked.
        """
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.elicitation is None:
            raise Declined("The person was not asked, because this client cannot ask", hint=_CANNOT_ASK)
        question = self._question(tool, arguments)
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            if params.input_responses is None:
                return self._put(question, tool, arguments)
            self._check(params, tool, arguments)
            answer = params.input_responses.get(QUESTION)
        else:
            try:
                answer = await ctx.session.elicit_form(question, _FORM, related_request_id=ctx.request_id)
            except MCPError as error:
                raise Declined(
                    "The person was not asked, because this client refused to ask", hint=_CANNOT_ASK
                ) from error
        if not isinstance(answer, types.ElicitResult) or answer.action != "accept":
            raise Declined("The person did not agree")
        if (answer.content or {}).get("confirm") is not True:
            raise Declined("The person did not say yes")
        return None

    def _question(self, tool: Tool[Any], arguments: Arguments) -> str:
        """Return what is asked: everything that will be sent, less secrets, each on a line of its own.

        What a model wrote is shown as JSON: it cannot pass for a part of the question.
        """
        given = arguments.fingerprinted()
        number = given.pop("phone_number", None) or "any number that the platform chooses"
        given.pop("confirm_phone_number", None)
        lines = [f"{tool.title} on {self._platform}: {self._sanitize(str(number), _MAX_SHOWN)}"]
        lines += [
            f"{name}: {self._sanitize(json.dumps(value, ensure_ascii=False), _MAX_SHOWN)}"
            for name, value in given.items()
        ]
        if tool.costs:
            lines.append("This may cost money.")
        if tool.deletes:
            lines.append("This cannot be undone.")
        lines.append("Calls are affected at once. Do it?")
        return "\n".join(lines)

    # --- the stateless era: the question and its answer are two calls ---

    def _put(self, question: str, tool: Tool[Any], arguments: Arguments) -> types.InputRequiredResult:
        now = time.monotonic()
        self._open = {state: entry for state, entry in self._open.items() if entry[0] > now}
        while len(self._open) >= _MAX_OPEN:
            del self._open[next(iter(self._open))]
        state = secrets.token_urlsafe(24)
        self._open[state] = (now + PATIENCE_SECONDS, tool.name, arguments.fingerprinted())
        form = types.ElicitRequestFormParams(message=question, requested_schema=_FORM)
        return types.InputRequiredResult(
            input_requests={QUESTION: types.ElicitRequest(params=form)}, request_state=state
        )

    def _check(self, params: types.CallToolRequestParams, tool: Tool[Any], arguments: Arguments) -> None:
        """Refuse an answer to a question that was not asked, or was asked about something else. Each answer counts once."""
        asked = self._open.pop(params.request_state or "", None)
        if asked is None or asked[0] < time.monotonic() or asked[1:] != (tool.name, arguments.fingerprinted()):
            raise Declined("The answer belongs to another question, or came too late; the person has to be asked again")
