"""The OpenAI Agents SDK with a model that is a script: what it is shown is what a real one would be. No network.

MCPServerStdio keeps its default patience of five seconds. On mcp 1.x that is what the server has to answer `initialize`; mcp 2.x gives the
start more. Here it is the limit on both, for the connection and the list of tools together.
"""

from __future__ import annotations

import inspect
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from agents import Agent, FunctionTool, Model, ModelResponse, Runner, Usage, set_tracing_disabled
from agents.mcp import MCPServerStdio, MCPToolCustomDataContext
from driver import Answer, Client, Server, main
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

set_tracing_disabled(disabled=True)  # traces would leave this machine


PATIENCE = inspect.signature(MCPServerStdio).parameters["client_session_timeout_seconds"].default


class Script(Model):
    """Calls one tool, or none, and keeps what it was shown."""

    def __init__(self, call: tuple[str, dict[str, Any]] | None = None) -> None:
        self._call = call
        self.tools: list[FunctionTool] = []
        self.output: Any = None

    async def get_response(self, *_arguments: Any, **shown: Any) -> ModelResponse:
        self.tools = shown["tools"]
        items = [item for item in shown["input"] if isinstance(item, dict)]
        outputs = [item for item in items if item.get("type") == "function_call_output"]
        if self._call and not outputs:
            tool, arguments = self._call
            said: Any = ResponseFunctionToolCall(
                type="function_call", call_id="call_1", name=tool, arguments=json.dumps(arguments)
            )
        else:
            self.output = outputs[-1]["output"] if outputs else None
            done = ResponseOutputText(type="output_text", text="Done.", annotations=[])
            said = ResponseOutputMessage(id="1", type="message", role="assistant", status="completed", content=[done])
        return ModelResponse(output=[said], usage=Usage(), response_id=None)

    def stream_response(self, *_arguments: Any, **_more: Any) -> Any:
        raise NotImplementedError


class Agents:
    """One agent run a call."""

    def __init__(self, server: MCPServerStdio, structured: list[Any]) -> None:
        self._server = server
        self._structured = structured

    async def _run(self, script: Script) -> Script:
        await Runner.run(Agent(name="clerk", model=script, mcp_servers=[self._server]), "Go.")
        return script

    async def tools(self) -> tuple[list[dict[str, Any]], str | None]:
        script = await self._run(Script())
        tools = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.params_json_schema}
            for tool in script.tools
        ]
        agreed: Any = (
            self._server.server_initialize_result
        )  # of the handshake on mcp 1.x; there is none in the newer era
        protocol = (
            agreed.protocolVersion if hasattr(agreed, "protocolVersion") else self._server.session.protocol_version
        )
        return tools, protocol

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        self._structured.clear()
        output = (await self._run(Script((tool, arguments)))).output
        text = output if isinstance(output, str) else output[0]["text"]
        (structured,) = self._structured or [None]
        return Answer(text, structured)


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[Client]:
    structured: list[Any] = []

    def keep(context: MCPToolCustomDataContext) -> None:
        structured.append(json.loads(json.dumps(context.structured_content, default=dict)))

    parameters = {"command": server.command, "args": server.args, "env": server.env}
    began = time.monotonic()
    async with MCPServerStdio(parameters, custom_data_extractor=keep) as started:
        await started.list_tools()
        if (seconds := time.monotonic() - began) > PATIENCE:
            raise TimeoutError(f"connected, with the tools listed, after {seconds:.1f} s; the patience is {PATIENCE} s")
        yield Agents(started, structured)


main(connect)
