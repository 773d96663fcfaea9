"""Pydantic AI's MCP toolset with a FunctionModel: what that is shown is what a real model would be. No network.

`tool_error_behavior="failed"` hands an error to the model as the tool's answer. Without it an error is a request to try again, and the second
in a row ends the run, while a model may well look up two numbers that are not there: reads that fail are asked twice here.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from driver import Answer, Client, Server, main
from fastmcp.client.transports import StdioTransport
from pydantic_ai import Agent
from pydantic_ai.mcp import MCPToolset
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel


class PydanticAI:
    """One agent run a call."""

    def __init__(self, toolset: MCPToolset[None]) -> None:
        self._toolset = toolset

    async def tools(self) -> tuple[list[dict[str, Any]], str | None]:
        shown: list[dict[str, Any]] = []

        def model(_messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            shown.extend(
                {"name": tool.name, "description": tool.description, "input_schema": tool.parameters_json_schema}
                for tool in info.function_tools
            )
            return ModelResponse([TextPart("Done.")])

        await Agent(FunctionModel(model), toolsets=[self._toolset]).run("Go.")
        return shown, self._toolset.client.protocol_version

    async def call(self, tool: str, arguments: dict[str, Any]) -> Answer:
        answers: list[Answer] = []

        def model(messages: list[ModelMessage], _info: AgentInfo) -> ModelResponse:
            last = messages[-1]
            assert isinstance(last, ModelRequest)
            for part in last.parts:
                if isinstance(part, ToolReturnPart):
                    # As a provider with an error channel of its own gets it; others get it as a string in {"error": …}.
                    text = part.model_response_str(wrap_if_error=False)
                    structured = None if isinstance(part.content, str) else part.content
                    answers.append(Answer(text, structured, part.outcome != "success"))
            again = tool.startswith("get_") and len(answers) == 1 and answers[0].is_error
            done = answers and not again
            return ModelResponse([TextPart("Done.") if done else ToolCallPart(tool, json.dumps(arguments))])

        await Agent(FunctionModel(model), toolsets=[self._toolset]).run("Go.")
        assert answers[1:] in ([], answers[:1]), answers  # asked twice, told the same
        return answers[0]


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[Client]:
    transport = StdioTransport(server.command, server.args, env=server.env, keep_alive=False)
    async with MCPToolset(transport, tool_error_behavior="failed") as toolset:
        yield PydanticAI(toolset)


main(connect)
