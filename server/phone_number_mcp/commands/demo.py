"""A real MCP client drives the real stdio server against the sandbox, and shows each step to a person."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.text import Text

from phone_number_mcp.platforms import load

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from phone_number_mcp.platforms import Platform

WIDTH = 80
"""Columns of the widest line."""
LOST = {"phone_number": "+14155550154"}
"""The sandbox drops the connection after it has created this number."""
FAILING = {"phone_number": "+14155550150"}
"""The sandbox answers 500 to the first create of this number."""
FRAME = {"data", "error", "code", "outcome", "retryable", "reconciled", "existing", "phone_number"}
"""Fields of an answer that are shown, beside those that the call gave."""


def run(platform: str, console: Console | None = None) -> int:
    """Show the demo; return 0 if every step held, 1 if one did not.

    Args:
        platform: The name of the platform that is simulated.
        console: Where to show it; stdout if not given.
    """
    demo = _Demo(load(platform), console or Console(highlight=False))
    try:
        anyio.run(demo.run)
    except BaseExceptionGroup as group:
        if group.split(SystemExit)[1] is not None:
            raise
        return 1  # rich ends the process when its reader goes away, as in `demo | head`
    return 0 if demo.held else 1


class _Demo:
    def __init__(self, platform: Platform, console: Console) -> None:
        self._platform = platform
        self._console = console
        console.width = min(console.width, WIDTH)
        self._steps = 0
        self.held = True

    async def run(self) -> None:
        options = ["--platform", self._platform.name, "--sandbox"]
        server = StdioServerParameters(command=sys.executable, args=["-m", "phone_number_mcp", *options])
        nothing_real = "[dim]# simulated: nothing is real[/]"
        self._console.print(f"[bold]$ phone-number-mcp {' '.join(options)}[/]  {nothing_real}")
        async with Client(server) as client:
            await self._walk(client)
        self._console.print("\n[bold green]Every step held.[/]" if self.held else "\n[bold red]A step did not hold.[/]")

    async def _walk(self, client: Client) -> None:
        async def call(
            title: str, tool: str, arguments: Mapping[str, Any], claim: str, holds: Callable[[_Answer], bool]
        ) -> None:
            self._step(title)
            self._show("→", f"{tool} {json.dumps(arguments)}")
            answer: _Answer = (await client.call_tool(tool, dict(arguments))).structured_content or {}
            self._show("←", _brief(answer, FRAME | _keys(arguments)))
            self._check(claim, holds=holds(answer))

        get, create = "get_phone_number", "create_phone_number"
        number = {"phone_number": self._platform.example["phone_number"]}
        wish, change = dict(self._platform.example), {"nickname": "Back door"}
        how, whom = "Create it", "Rename it"
        if (answered_by := self._platform.answered_by) is not None:
            reception, night_desk = await self._find_agents(client, "Reception", "Night desk")
            wish, change = wish | answered_by(reception), answered_by(night_desk)
            how, whom = "Create it; Reception answers", "Let the Night desk answer"
        await call(
            "Is the number there already?",
            get, number,
            "no, nobody has it",
            lambda answer: _error(answer) == ("not_found", None),
        )  # fmt: skip
        await call(
            how,
            create, wish,
            "created as asked",
            lambda answer: _within(wish, answer.get("data")),
        )  # fmt: skip
        await call(
            "The same again, by mistake",
            create, wish,
            "no second number: the answer shows the one that exists",
            lambda answer: _error(answer) == ("already_exists", "not_applied")
            and _within(wish, answer["error"].get("existing")),
        )  # fmt: skip
        await call(
            whom,
            "update_phone_number", number | change,
            "only that changed",
            lambda answer: _within(wish | change, answer.get("data")),
        )  # fmt: skip
        await call(
            "Create a number, and the answer is lost",
            create, LOST,
            "the server looked: it was created. Nothing is bought twice",
            lambda answer: answer.get("reconciled") is True and _within(LOST, answer.get("data")),
        )  # fmt: skip
        await call(
            "Create a number, and the platform fails",
            create, FAILING,
            "the server looked: nothing was created. Trying again is safe",
            lambda answer: _error(answer) == ("platform_error", "not_applied")
            and answer["error"].get("retryable") is True,
        )  # fmt: skip
        await call(
            "Try again",
            create, FAILING,
            "created, once",
            lambda answer: _within(FAILING, answer.get("data")),
        )  # fmt: skip

    async def _find_agents(self, client: Client, *names: str) -> list[str]:
        """Show how agents are found by name, and return their ids."""
        self._step("Find the agents by name")
        self._show("→", "list_agents {}")
        data = ((await client.call_tool("list_agents", {})).structured_content or {}).get("data", {})
        ids = {agent["name"]: agent["agent_id"] for agent in data.get("agents", ())}
        found = {name: ids.get(name, "") for name in names}
        self._show("←", f"{len(ids)} agents: {', '.join(ids)}")
        self._check(f"{names[0]} is {found[names[0]]}, {names[1]} is {found[names[1]]}", holds=all(found.values()))
        return list(found.values())

    def _step(self, title: str) -> None:
        self._steps += 1
        self._console.print(f"\n[bold cyan]{self._steps}. {title}[/]")

    def _show(self, arrow: str, shown: str) -> None:
        # No break in a text, nor between a field and its value.
        whole = re.sub(r'"[^"]*"(?:: (?!\[))?', lambda text: text[0].replace(" ", "\N{NO-BREAK SPACE}"), shown)
        lines = textwrap.wrap(whole, self._console.width - 4, break_long_words=False, break_on_hyphens=False)
        text = Text(f"  {arrow} " + "\n    ".join(lines).replace("\N{NO-BREAK SPACE}", " "))
        if "{" in shown:
            JSONHighlighter().highlight(text)
        self._console.print(text)

    def _check(self, claim: str, *, holds: bool) -> None:
        self.held = self.held and holds
        self._console.print(f"  [green]✓ {claim}[/]" if holds else f"  [red]✗ did not hold: {claim}[/]")


def _brief(value: Any, keep: set[str]) -> str:
    """Return a value as JSON, less the fields that are not to be kept; "…" stands for them."""
    if isinstance(value, dict):
        shown = [f"{json.dumps(name)}: {_brief(item, keep)}" for name, item in value.items() if name in keep]
        return f"{{{', '.join(shown + ['…'] * (len(shown) < len(value)))}}}"
    if isinstance(value, list):
        return f"[{', '.join(_brief(item, keep) for item in value)}]"
    return json.dumps(value, ensure_ascii=False)


def _keys(value: Any) -> set[str]:
    """Return the names of all fields in a value."""
    if isinstance(value, dict):
        return value.keys() | set().union(*map(_keys, value.values()))
    return set().union(*map(_keys, value)) if isinstance(value, list) else set()


def _error(answer: _Answer) -> tuple[str | None, str | None]:
    error = answer.get("error", {})
    return error.get("code"), error.get("outcome")


def _within(wish: Mapping[str, Any], held: Any) -> bool:
    return isinstance(held, dict) and all(held.get(name) == value for name, value in wish.items())


if TYPE_CHECKING:
    _Answer = dict[str, Any]
