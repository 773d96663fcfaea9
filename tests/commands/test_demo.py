"""The demo: a real client, the real server, and an exit status that means something."""

from __future__ import annotations

import subprocess
from io import StringIO

import pytest
from rich.console import Console

from phone_number_mcp.commands import demo
from phone_number_mcp.platforms import PLATFORMS
from support.server import command


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_demo_shows_each_step_and_every_step_holds(platform: str) -> None:
    done = subprocess.run(
        command("demo", "--platform", platform), capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("get_phone_number", "create_phone_number", "already_exists", "not_found", "Every step held."):
        assert words in done.stdout
    assert "✗" not in done.stdout


def test_a_step_that_does_not_hold_is_shown_and_fails_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "MISSING", demo.FRONT_DESK)
    shown = StringIO()
    assert demo.run("zudu", Console(file=shown)) == 1
    assert "✗ did not hold: the error says so" in shown.getvalue()
