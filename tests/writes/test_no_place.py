"""Without any place that can be written, the server starts, reads, and writes; it says that the journal is in memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from support.fork_server import forked
from support.messages import answers, get, request, session
from support.places import SUPPORT
from support.server import command, credentials, fresh_command
from support.upstream import Upstream, envelope, reply

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform == "win32", reason="these are POSIX's places")]
NUMBER = "+14155550120"
CREATE = request("buy", "tools/call", name="create_phone_number", arguments={"phone_number": NUMBER})
READ_ONLY = [
    "unshare",
    "--mount",
    "sh",
    "-c",
    'mount -o remount,bind,ro / && ! touch "$HOME" 2>/dev/null && exec "$@"',
    "sh",
]
HOMELESS = str(SUPPORT / "homeless.py")


async def told(program: list[str], env: dict[str, str], upstream: Upstream) -> dict[str, Any]:
    """Return what the server answers to a list, a read and a write, in an environment that has nothing else."""
    upstream.answer = reply(200, envelope({"phone_number": NUMBER}))
    asked = session(request("list", "tools/list"), get("read", phone_number=NUMBER), CREATE)
    env = {"PATH": os.environ["PATH"], "TMPDIR": "/dev/null/tmp"} | credentials(upstream) | env
    ended = await anyio.run_process(program, input=asked, env=env, check=False, cwd="/")
    assert (ended.returncode, ended.stderr) == (0, b"")
    return {name: answer["result"] for name, answer in answers(ended.stdout).items()}


@pytest.fixture
def read_only_root() -> list[str]:
    """What runs a command where the root's file system is read-only."""
    tried = subprocess.run(
        [*READ_ONLY, "true"], env=os.environ | {"HOME": "/missing"}, capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip("needs unshare(1), mount(8), and the right to use them")
    return READ_ONLY


def assert_all_is_served_from_memory(results: dict[str, Any]) -> None:
    assert results["list"]["tools"]
    assert results["read"]["structuredContent"] == {"data": {"phone_number": NUMBER}}
    written = results["buy"]["structuredContent"]
    assert written["data"] == {"phone_number": NUMBER}
    assert "remembered only until this server ends" in written["warning"]


@pytest.mark.parametrize("home", ["/dev/null/home", "/proc/home", "/sys"])
async def test_a_home_that_cannot_be_written_stops_nothing(upstream: Upstream, home: str) -> None:
    assert_all_is_served_from_memory(await told(command(), {"HOME": home}, upstream))


async def test_a_home_below_a_file_stops_nothing(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_all_is_served_from_memory(await told(command(), {"HOME": str(tmp_path / "file" / "home")}, upstream))


async def test_a_user_without_a_home_directory_stops_nothing(upstream: Upstream) -> None:
    assert_all_is_served_from_memory(await told(forked(HOMELESS), {}, upstream))


async def test_a_read_only_root_stops_nothing(upstream: Upstream, read_only_root: list[str]) -> None:
    results = await told([*read_only_root, *fresh_command()], {"HOME": "/missing"}, upstream)
    assert_all_is_served_from_memory(results)


@pytest.mark.parametrize("place", ["/dev/null/journal", "/proc/journal", "~/journal"])
async def test_a_journal_that_was_asked_for_refuses_writes_there(upstream: Upstream, place: str) -> None:
    results = await told(forked(HOMELESS), {"PHONE_NUMBER_MCP_JOURNAL": place}, upstream)
    assert results["list"]["tools"]
    assert results["read"]["structuredContent"] == {"data": {"phone_number": NUMBER}}
    error = results["buy"]["structuredContent"]["error"]
    assert (error["code"], error["outcome"]) == ("journal_unavailable", "not_applied")
    assert "cannot be written" in json.dumps(error)
    assert [asked.method for asked in upstream.requests] == ["GET"]
