"""The README's tables, made from the code."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from phone_number_mcp import errors
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.sandbox.zudu import REHEARSALS
from phone_number_mcp.settings import Options, variable


def _table(head: str, rows: Iterable[tuple[str, ...]]) -> str:
    columns = head.split("|")
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cell.strip() for cell in line)} |" for line in lines)


def tools() -> str:
    rows = []
    for platform in map(load, PLATFORMS):
        for tool in platform.tools:
            required = [
                f"`{name}`" for name in tool.input_schema["properties"] if name in tool.input_schema["required"]
            ]
            optional = [
                f"`{name}`" for name in tool.input_schema["properties"] if name not in tool.input_schema["required"]
            ]
            takes = ", ".join(required) + (f"; optional: {', '.join(optional)}" if optional else "")
            changes = "no" if tool.read_only else "yes"
            rows.append((f"`{tool.name}`", platform.title, takes, changes))
    return _table("tool | platform | arguments | changes something", rows)


def error_codes() -> str:
    every = [
        found for found in vars(errors).values() if isinstance(found, type) and issubclass(found, errors.ToolError)
    ]
    rows = [
        (f"`{error.code}`", error.when, "yes, later" if error.retryable else "no", f"`{error.outcome}`")
        for error in every
        if error is not errors.ToolError
    ]
    return _table("code | when | try the same call again? | for a write, `outcome`", rows)


def settings() -> str:
    rows = []
    for name, field in Options.model_fields.items():
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


TABLES: dict[str, Callable[[], str]] = {
    "tools": tools,
    "errors": error_codes,
    "settings": settings,
    "variables": variables,
    "rehearsals": rehearsals,
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
