"""A real MCP client drives the real stdio server against the sandbox, and shows each step to a person."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import anyio
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from rich.console import Console
from rich.json import JSON
from rich.padding import Padding
from rich.text import Text

from phone_number_mcp.platforms import load

if TYPE_CHECKING:
    from collections.abc import Callable

    from mcp_types import CallToolResult

    from phone_number_mcp.platforms import Platform

FRONT_DESK = "+14155550100"
MISSING = "+14155550199"


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
        self._steps = 0
        self.held = True

    async def run(self) -> None:
        options = ["--platform", self._platform.name, "--sandbox"]
        server = StdioServerParameters(command=sys.executable, args=["-m", "phone_number_mcp", *options])
        started = "[dim](started by the official Python MCP client)[/dim]"
        self._console.print(f"[bold]$ phone-number-mcp {' '.join(options)}[/bold]  {started}")
        async with Client(server) as client:
            listed = await client.list_tools()
            names = [tool.name for tool in listed.tools]
            self._step("The client asks which tools there are")
            self._console.print("".join(f"  {tool.name}: {tool.title}\n" for tool in listed.tools), end="")
            self._check("the tools are there", holds={"get_phone_number", "create_phone_number"} <= set(names))

            async def call(title: str, claim: str, tool: str, arguments: dict[str, Any], holds: _Check) -> None:
                self._step(title)
                self._show("→", {"tool": tool, "arguments": arguments})
                result = await client.call_tool(tool, arguments)
                content = result.structured_content or {}
                self._show("←", content)
                self._check(claim, holds=holds(result, content.get("data") or content.get("error") or {}))

            get, create = "get_phone_number", "create_phone_number"
            wish = dict(self._platform.example)
            await call(
                "It looks up the front desk's number",
                "the number comes back, with its agents",
                get, {"phone_number": "+1 (415) 555-0100"},
                lambda result, data: not result.is_error and data.get("phone_number") == FRONT_DESK,
            )  # fmt: skip
            await call(
                "It creates a number",
                "it is created as asked",
                create, wish,
                lambda result, data: not result.is_error and _within(wish, data),
            )  # fmt: skip
            await call(
                "It reads the new number back",
                "the platform holds what was asked for",
                get, {"phone_number": wish["phone_number"]},
                lambda result, data: not result.is_error and _within(wish, data),
            )  # fmt: skip
            await call(
                "It creates the same number again",
                "nothing is created twice, and the answer shows what is there",
                create, wish,
                lambda result, error: bool(result.is_error) and error.get("code") == "already_exists"
                and _within(wish, error.get("existing", {})),
            )  # fmt: skip
            await call(
                "It asks for a number that is not there",
                "the error says so, in the platform's words",
                get, {"phone_number": MISSING},
                lambda result, error: bool(result.is_error) and error.get("code") == "not_found",
            )  # fmt: skip
        self._console.print("\n[bold green]Every step held.[/]" if self.held else "\n[bold red]A step did not hold.[/]")

    def _step(self, title: str) -> None:
        self._steps += 1
        self._console.print(f"\n[bold cyan]{self._steps}. {title}[/]")

    def _show(self, arrow: str, value: Any) -> None:
        shown = JSON.from_data(value, indent=None).text
        shown.no_wrap = False
        self._console.print(Padding(Text(f"{arrow} ").append_text(shown), (0, 2), expand=False))

    def _check(self, claim: str, *, holds: bool) -> None:
        self.held = self.held and holds
        self._console.print(f"  [green]✓ {claim}[/]" if holds else f"  [red]✗ did not hold: {claim}[/]")


def _within(wish: dict[str, Any], held: dict[str, Any]) -> bool:
    return all(held.get(name) == value for name, value in wish.items())


if TYPE_CHECKING:
    _Check = Callable[[CallToolResult, dict[str, Any]], bool]
