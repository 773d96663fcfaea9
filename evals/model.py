"""Has a model solve tasks, over the chat completions of any service that offers them as OpenAI does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
from mcp.shared.exceptions import MCPError

if TYPE_CHECKING:
    import mcp_types as types

    from evals.solve import Session
    from evals.task import Task

MAX_TURNS = 25
"""After so many replies of the model without an answer, it has none."""
REQUEST_SECONDS = 180.0
SYSTEM = """\
You look after an organization's phone numbers with the tools that you have. Do what the user asks, and nothing else. The user \
is not there to answer questions: where something must be confirmed or is not clear, change nothing and end with your question. \
Otherwise answer in a few sentences: what you did, and what you found.

{instructions}"""


class Model:
    """A model behind an OpenAI-compatible service.

    Args:
        name: The model.
        base_url: Before /chat/completions.
        key: Sent as a bearer token, if there is one.
    """

    def __init__(self, name: str, base_url: str, key: str) -> None:
        self._name = name
        self._url = f"{base_url.rstrip('/')}/chat/completions"
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def solve(self, task: Task, session: Session) -> str:
        """Have the model call tools until it answers; return its answer, "" if it has none.

        Raises:
            httpx.HTTPError: The service cannot be reached, or refuses.
        """
        listed = await session.client.list_tools()
        tools = [_function(tool) for tool in listed.tools]
        system = SYSTEM.format(instructions=session.client.instructions or "")
        messages: list[dict[str, Any]] = [
            {"role": "system", "content": system},
            {"role": "user", "content": task.user},
        ]
        async with httpx.AsyncClient(headers=self._headers, timeout=REQUEST_SECONDS) as http:
            for _turn in range(MAX_TURNS):
                response = await http.post(self._url, json={"model": self._name, "messages": messages, "tools": tools})
                response.raise_for_status()
                reply = response.json()
                session.model_tokens += (reply.get("usage") or {}).get("total_tokens", 0)
                message = reply["choices"][0]["message"]
                messages.append({name: message[name] for name in ("role", "content", "tool_calls") if name in message})
                if not message.get("tool_calls"):
                    return message.get("content") or ""
                messages += [
                    {"role": "tool", "tool_call_id": call["id"], "content": await _call(session, call)}
                    for call in message["tool_calls"]
                ]
        return ""


def _function(tool: types.Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema}
    return {"type": "function", "function": function}


async def _call(session: Session, call: dict[str, Any]) -> str:
    """Return what the model reads of a call: the result's text, or why it could not be made."""
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"] or "{}")
    except ValueError as error:
        return f"The arguments are not JSON: {error}"
    if not isinstance(arguments, dict):
        return "The arguments are not a JSON object"
    try:
        await session.call(function["name"], arguments)
    except MCPError as error:
        return str(error)
    return session.texts[-1]
