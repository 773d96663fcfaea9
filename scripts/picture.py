"""Draws docs/demo.svg: what `phone-number-mcp demo` shows."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path

from rich.console import Console

from phone_number_mcp.commands import demo

PLACE = Path(__file__).parent.parent / "docs" / "demo.svg"


def draw() -> None:
    console = Console(record=True, width=demo.WIDTH, file=StringIO(), force_terminal=True, highlight=False)
    assert demo.run("zudu", console) == 0
    svg = console.export_svg(title="phone-number-mcp demo", unique_id="demo")
    # rich's frame loads a font from the network; the reader's own monospace font does as well.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    PLACE.write_text(re.sub(r"[ \t]+$", "", svg, flags=re.MULTILINE), encoding="utf-8")


if __name__ == "__main__":
    draw()
