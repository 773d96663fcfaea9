"""Tools and prompts as the protocol lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mcp_types as types

if TYPE_CHECKING:
    from phone_number_mcp.tool import Prompt, Tool


def declared(tool: Tool[Any]) -> types.Tool:
    """Return a tool as `tools/list` has it."""
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(read_only_hint=True, open_world_hint=True)
        if tool.read_only  # the other two mean something only where something is changed
        else types.ToolAnnotations(
            read_only_hint=False,
            destructive_hint=tool.effect in {"updates", "deletes"},
            idempotent_hint=not tool.creates,
            open_world_hint=True,
        ),
    )


def declared_prompt(prompt: Prompt) -> types.Prompt:
    """Return a prompt as `prompts/list` has it."""
    return types.Prompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description,
        arguments=[
            types.PromptArgument(name=name, description=text, required=False) for name, text in prompt.arguments.items()
        ],
    )
