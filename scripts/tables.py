"""The documentation's tables, made from the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from phone_number_mcp import errors
from phone_number_mcp.commands.clients import CLIENTS, System
from phone_number_mcp.options import HttpOptions, Options
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.sandbox.trouble import REHEARSALS
from phone_number_mcp.settings import variable

FOR_THE_USER = {
    "get_phone_number": "Shows one number: its nickname, agents and webhook.",
    "create_phone_number": "Gets a new number and routes its calls to your voice agents. It may cost money.",
    "list_phone_numbers": "Shows the numbers in short, with their agents' names, and finds them by nickname, area code, agent or webhook.",
    "list_available_phone_numbers": "Shows numbers you already have that no agent uses.",
    "check_phone_number": "Says whether a number is answered and by whom, whether it can call out, and what to fix.",
    "import_phone_number": "Connects a number that you already have at a carrier.",
    "update_phone_number": "Routes a number to other agents, renames it, or changes its webhook.",
    "delete_phone_number": "Gives a number back. Calls to it stop, and you may not get it again.",
    "list_agents": "Shows your voice agents, to find the one that should answer.",
}
"""Tool → what it does for the user. For a tool that is not here, the first sentence of its description is shown."""


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    columns = head.split("|")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def tools() -> str:
    every = [(platform.title, tool) for platform in map(load, PLATFORMS) for tool in platform.tools]
    rows = []
    for name in dict.fromkeys(tool.name for _title, tool in every):
        same = [(title, tool) for title, tool in every if tool.name == name]
        tool = same[0][1]
        what = FOR_THE_USER.get(name) or tool.description.partition(". ")[0].removesuffix(".") + "."
        changes = "no" if tool.read_only else "releases it for good" if tool.deletes else "yes"
        rows.append((f"`{name}`", ", ".join(title for title, _tool in same), what, changes))
    return _table("tool | on | what it does | changes something?", rows)


def arguments() -> str:
    rows = []
    for platform in map(load, PLATFORMS):
        for tool in platform.tools:
            required = tool.input_schema.get("required", [])
            names = [f"**`{name}`**" if name in required else f"`{name}`" for name in tool.input_schema["properties"]]
            rows.append((platform.title, f"`{tool.name}`", ", ".join(names) or "none"))
    return _table("platform | tool | arguments, **required** ones in bold", rows)


def _errors() -> list[type[errors.ToolError]]:
    every = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.ToolError)]
    return [each for each in every if each is not errors.ToolError]


def hints() -> str:
    return _table("code | what the agent is told to do", ((f"`{error.code}`", error.hint) for error in _errors()))


def error_codes() -> str:
    rows = []
    for error in _errors():
        again = "yes, later" if error.retryable else "no"
        reconciled = error.retryable and error.outcome == "unknown"
        write = (
            "`not_applied`; else it is reconciled, or becomes `outcome_unknown`" if reconciled else f"`{error.outcome}`"
        )
        rows.append((f"`{error.code}`", error.when, again, write))
    return _table("code | when | ask again? (a write only if `retryable`) | for a write, `outcome`", rows)


def settings() -> str:
    rows = []
    for name, field in (Options.model_fields | HttpOptions.model_fields).items():
        default = {False: "off", None: ""}.get(field.default, f"`{field.default}`")
        rows.append((f"`--{name.replace('_', '-')}`", f"`{variable(name)}`", default, field.description or ""))
    return _table("option | variable | default | what it does", rows)


def variables() -> str:
    rows: list[tuple[str, ...]] = []
    for platform in map(load, PLATFORMS):
        secret = "A credential. `{}_FILE` names a file that holds it instead."
        rows += [(f"`{name}`", platform.title, secret.format(name)) for name in platform.credentials]
        what = f"Another address than `{platform.base_url}`: https, or http on loopback only."
        rows.append((f"`{platform.base_url_variable}`", platform.title, what))
    return _table("variable | platform | what it is", rows)


def rehearsals() -> str:
    return _table(
        "number | what happens", ((f"`{number}`", rehearsal.what) for number, rehearsal in REHEARSALS.items())
    )


def clients() -> str:
    rows = []
    for name, client in CLIENTS.items():
        places = (", ".join(f"`{_shown(place)}`" for place in client.places[system]) for system in SYSTEMS)
        wired = client.wire(load("zudu"))
        how = {"env_vars": "`env_vars`"}.get(next(iter(wired.entry)), "")
        if wired.inputs:
            how = "asks for them"
        elif not how:
            value = wired.entry["env"]["ZUDU_API_KEY"]
            how = "in the file" if value.startswith("<") else f"`{value}`"
        project = f"`{client.project}`" if client.project else "none"
        rows.append((f"`{name}`", *places, project, how))
    return _table("client | on Linux | on macOS | on Windows | in a project | credentials", rows)


SYSTEMS: tuple[System, ...] = ("linux", "macos", "windows")


def _shown(place: str) -> str:
    """Return a place as a reader knows it: with the directory that is meant if no variable says otherwise."""
    usual = {"$XDG_CONFIG_HOME": "~/.config", "$CODEX_HOME": "~/.codex", "$CLAUDE_CONFIG_DIR": "~"}
    root, _, rest = place.partition("/")
    return f"{usual.get(root, root)}/{rest}"


TABLES: dict[str, Callable[[], str]] = {
    "tools": tools,
    "arguments": arguments,
    "errors": error_codes,
    "hints": hints,
    "settings": settings,
    "variables": variables,
    "rehearsals": rehearsals,
    "clients": clients,
}


def fill(text: str) -> str:
    """Return a document with every table between `<!-- table: name -->` and `<!-- end -->` made anew."""

    def made(match: re.Match[str]) -> str:
        return f"<!-- table: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", made, text, flags=re.DOTALL)


def hold(path: Path, content: str, *, update: bool) -> None:
    """Assert that a file is as the code says, or write it so."""
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    held: Any = path.read_text(encoding="utf-8") if path.exists() else None
    assert held == content, f"{path.name} is not as the code has it: `make goldens`, then read the difference"
