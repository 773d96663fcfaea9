"""The platforms: a table with one line each, and what a platform has to say of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from phone_number_mcp.upstream.request import as_json

if TYPE_CHECKING:
    from starlette.routing import Route

    from phone_number_mcp.platforms.agents import AgentList
    from phone_number_mcp.tool import Prompt, Tool
    from phone_number_mcp.upstream.call import Call
    from phone_number_mcp.upstream.reply import Reply

PLATFORMS = {
    "zudu": "phone_number_mcp.platforms.zudu",
    "retell": "phone_number_mcp.platforms.retell",
}
"""Name → the module that defines it as `PLATFORM`; imported only when it is the one in use."""
DEFAULT_PLATFORM = next(iter(PLATFORMS))
"""The one in use if nobody chooses another."""


@dataclass(frozen=True)
class Platform:
    """A voice-AI platform: where it is, how to authorize, how to read it, and what can be done with it.

    Args:
        name: As in `--platform`.
        title: As people know it.
        base_url: The published address.
        base_url_variable: The environment variable that overrides it.
        credentials: The environment variables that hold them, each also read as `…_FILE` → how the values begin; "" if
            that is not known.
        authorize: Credentials by variable → the headers that carry them.
        decipher: A reply → its data, or the `errors.ToolError` that it means.
        fetch_number: A number → what the platform holds, or `NotFound`. A platform that addresses its numbers by an id
            of its own looks that up first.
        find_number: The same from its list; None only if the whole list was read and the number is not in it.
        number_in: The data of a reply → the number that it is about; None if it is about none.
        recognizes: The JSON of a reply → whether it has the platform's form; a gateway, too, can say 404 in JSON.
        list_all_numbers: All numbers there are; None where whoever creates one names it.
        encode: The body of a request → its content type and its bytes.
        loosely_spelled: Fields of a number whose case, hyphens and underscores the platform changes.
        instructions: What a model should know of it before the first call.
        tools: What can be done with it.
        prompts: What a person can choose to have done with it.
        example: What the demo creates: arguments of create_phone_number that the sandbox takes.
        answered_by: An agent, by id or name → the arguments with which it answers calls; None where there are no agents.
        agents: How it lists its agents; None where it has none.
        sandbox: The routes of the simulated platform, with a memory of its own.
    """

    name: str
    title: str
    base_url: str
    base_url_variable: str
    credentials: Mapping[str, str]
    authorize: Callable[[Mapping[str, str]], dict[str, str]]
    decipher: Callable[[Reply], Any]
    fetch_number: Callable[[Call, str], Awaitable[dict[str, Any]]]
    find_number: Callable[[Call, str], Awaitable[dict[str, Any] | None]]
    number_in: Callable[[Mapping[str, Any]], str | None]
    recognizes: Callable[[Any], bool]
    instructions: str
    tools: tuple[Tool[Any], ...]
    prompts: tuple[Prompt, ...]
    example: Mapping[str, Any]
    sandbox: Callable[[], Sequence[Route]]
    list_all_numbers: Callable[[Call], Awaitable[set[str]]] | None = None
    encode: Callable[[Mapping[str, Any]], tuple[str, bytes]] = as_json
    loosely_spelled: frozenset[str] = frozenset()
    answered_by: Callable[[str], dict[str, Any]] | None = None
    agents: AgentList | None = None


def load(name: str) -> Platform:
    """Return the platform of that name.

    Raises:
        KeyError: There is none.
    """
    platform: Platform = import_module(PLATFORMS[name]).PLATFORM
    return platform
