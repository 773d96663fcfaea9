"""The demo: a real client, the real server, and an exit status that means something; and the picture of it."""

from __future__ import annotations

import html
import re
import subprocess
from collections import defaultdict
from io import StringIO

import pytest
from rich.console import Console

from phone_number_mcp.commands import demo
from phone_number_mcp.platforms import PLATFORMS
from support.places import README
from support.server import command

PICTURE = README.parent / "docs" / "demo.svg"


def shown(platform: str) -> str:
    done = subprocess.run(
        command("demo", "--platform", platform), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_demo_shows_in_few_short_steps_what_the_server_does_and_every_step_holds(platform: str) -> None:
    text = shown(platform)
    for words in (
        "Reception is agent_reception",  # found by name, and used
        '"agent_reception"',
        '"not_found"',
        '"already_exists"',
        "→ update_phone_number",
        '"reconciled": true',
        '"not_applied"',
        "Every step held.",
    ):
        assert words in text
    assert "✗" not in text
    assert len(re.findall(r"^[0-9]+\. ", text, re.MULTILINE)) <= 9
    assert max(map(len, text.splitlines())) <= 80


def test_a_step_that_does_not_hold_is_shown_and_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "LOST", {"phone_number": "+14155550121"})  # nothing is lost, so nothing is reconciled
    printed = StringIO()
    assert demo.run("zudu", Console(file=printed)) == 1
    assert "✗ did not hold: the server looked: it was created." in printed.getvalue()
    assert "A step did not hold." in printed.getvalue()


def test_a_wide_terminal_gets_the_same_lines() -> None:
    printed = StringIO()
    assert demo.run("retell", Console(file=printed, width=200, highlight=False)) == 0
    assert max(map(len, printed.getvalue().splitlines())) <= 80


def test_the_picture_shows_what_the_demo_prints() -> None:
    picture = PICTURE.read_text(encoding="utf-8")
    lines: dict[int, str] = defaultdict(str)
    for line, text in re.findall(r'clip-path="url\(#demo-line-(\d+)\)">(.*?)</text>', picture, re.DOTALL):
        lines[int(line)] += html.unescape(text)
    drawn = ["".join(lines[line].split()) for line in sorted(lines)]
    assert [line for line in drawn if line] == ["".join(line.split()) for line in shown("zudu").splitlines() if line]


def test_the_picture_is_legible_at_800_pixels_with_nothing_cut_and_fetches_nothing() -> None:
    picture = PICTURE.read_text(encoding="utf-8")
    size = re.search(r'viewBox="0 0 ([0-9.]+) ([0-9.]+)"', picture)
    assert size
    width, height = map(float, size.groups())
    sizes = [float(each) for each in re.findall(r"font-size: ([0-9.]+)px", picture)]
    assert sizes
    assert min(sizes) * 800 / width >= 13
    for text in re.findall(r'<text class="demo-r\d+" [^>]*>', picture):
        x, y, length = (float(re.findall(rf' {name}="([0-9.]+)"', text)[0]) for name in ("x", "y", "textLength"))
        assert x + length <= width
        assert y <= height
    assert "http://" not in picture.replace("http://www.w3.org/", "")
    assert "https://" not in picture.replace("https://www.textualize.io", "")
