"""The tables of docs/clients-matrix.md."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from clients.cases import CASES
from clients.programs import Program

PAGE = Path(__file__).parent.parent.parent / "docs" / "clients-matrix.md"
HEAD = "client | package | version | era | a success shows | an error shows | besides the cases below"


def row(program: Program, era: str, success: str, error: str) -> tuple[str, ...]:
    """Return a client's row, from what it showed."""
    package, version = program.pinned()
    return (program.title, f"`{package}`", version, era, success, error, program.note)


def rows(page: str) -> list[tuple[str, ...]]:
    """Return the rows of the table of clients, as they are in the page."""
    table = re.search(r"<!-- clients -->\n(.*?)\n<!-- end -->", page, re.DOTALL)
    if table is None:
        return []
    return [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in table[1].splitlines()[2:]]


def fill(page: str, clients: Iterable[tuple[str, ...]]) -> str:
    """Return the page with both tables made anew."""
    cases = [(case.name, f"`{case.tool}`" if case.tool else "", case.what) for case in CASES]
    tables = {"clients": _table(HEAD, clients), "cases": _table("case | tool | what reaches the far side", cases)}
    for name, table in tables.items():
        page = re.sub(rf"(<!-- {name} -->\n).*?(\n?<!-- end -->)", rf"\1{table}\n<!-- end -->", page, flags=re.DOTALL)
    return page


def _table(head: str, lines: Iterable[tuple[str, ...]]) -> str:
    columns = tuple(column.strip() for column in head.split("|"))
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, ("---",) * len(columns), *lines))
