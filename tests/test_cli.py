"""The command line: what it refuses, and that it never repeats a value."""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from phone_number_mcp import __version__
from phone_number_mcp.options import Options
from support.fork_server import fresh
from support.server import fresh_command


def run(*options: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        fresh_command(*options),
        capture_output=True,
        text=True,
        env=env or {},
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def test_the_version_is_reported() -> None:
    assert run("--version").stdout == f"phone-number-mcp {__version__}\n"


def test_help_names_every_option_and_every_command() -> None:
    shown = run("--help").stdout
    for option in Options.model_fields:
        assert f"--{option.replace('_', '-')}" in shown
    for name in ("http", "doctor", "demo", "install", "uninstall", "journal", "sandbox"):
        assert re.search(rf"^    {name} ", shown, re.MULTILINE)


@pytest.mark.parametrize("words", [[], ["journal"]])
def test_the_list_of_commands_has_no_blank_row(words: list[str]) -> None:
    _, _, listed = run(*words, "--help").stdout.partition("\ncommands:\n")
    rows, _, _ = listed.partition("\n\nEach option")
    assert "    " in rows
    assert [row for row in rows.splitlines() if row and not row.strip()] == []
    assert "COMMAND" in rows


@pytest.mark.parametrize("words", [["doctor", "--json"], ["install", "cursor"], ["uninstall", "cursor"]])
@pytest.mark.parametrize("first", [True, False])
def test_the_servers_options_are_read_before_and_after_the_command(words: list[str], first: bool) -> None:
    wrong = ["--timeout", "soon"]
    done = run(*wrong, *words) if first else run(*words, *wrong)
    assert "--timeout: must be a number of seconds" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--api-key", "sk_abcdef"], "there is no option --api-key. Credentials are read from the environment"),
        (["--api-key=sk_abcdef"], "there is no option --api-key. Credentials are read from the environment"),
        (["-ksk_abcdef"], "there is no option that is not in --help"),
        (["--sk_abcdef"], "there is no option that is not in --help"),
        (["--api-key:sk_abcdef"], "Credentials are read from the environment"),
        (["--verbose"], "there is no option --verbose"),
        (["sk_abcdef"], "there is no such command"),
        (["--sandbox=sk_abcdef"], "argument --sandbox"),
        (["--timeout"], "argument --timeout: expected one argument"),
        (["sandbox", "--port", "sk_abcdef"], "argument --port"),
        (["sandbox", "--prot", "1"], "there is no option --prot. See phone-number-mcp sandbox --help"),
        (["sandbox", "--read-only"], "sandbox does not take --read-only. See phone-number-mcp sandbox --help"),
        (["journal", "--sandbox"], "journal does not take --sandbox"),
        (["uninstall", "cursor", "--with-secrets"], "there is no option --with-secrets"),
        (["sandbox", "--port", "70000"], "argument --port: must be a port, 0 to 65535"),
        (["demo", "--platform", "sk_abcdef"], "argument --platform: must be zudu or retell"),
        (["--tools", " , "], "--tools: names no tool"),
        (["--platform", "sk_abcdef"], "--platform: must be zudu or retell"),
        (["--tools", "sk_abcdef"], "--tools: name 1 (not shown: it may be a secret) is not a tool of Zudu"),
    ],
)
def test_a_wrong_command_line_is_refused_without_repeating_a_value(arguments: list[str], words: str) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "sk_abcdef" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_malformed_configuration_stops_the_start_with_every_fault_in_one_message() -> None:
    done = run(
        env={"ZUDU_API_KEY": "sk_abc def", "ZUDU_BASE_URL": "http://example.com", "PHONE_NUMBER_MCP_TIMEOUT": "x"}
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "phone-number-mcp cannot start with this configuration:",
        "  PHONE_NUMBER_MCP_TIMEOUT: must be a number of seconds",
        "  ZUDU_BASE_URL: must be https; http would show the credentials to the network, and is for loopback only",
        "  ZUDU_API_KEY: has a space in it; copy it again, without what stands around it",
    ]


LATER = {
    *("httpx", "httpcore", "httpx2", "phonenumbers", "rich", "difflib", "sqlite3", "platformdirs"),
    *(
        "tomlkit",
        "phone_number_mcp.commands.clients",
        "phone_number_mcp.commands.install",
        "phone_number_mcp.commands.jsonc",
    ),
    *("phone_number_mcp.sandbox", "phone_number_mcp.upstream.connections", "mcp.client", "mcp.server.mcpserver"),
    *("phone_number_mcp.completion", "opentelemetry.sdk"),
}


def test_the_start_imports_nothing_that_the_first_reply_does_not_need() -> None:
    program = fresh("-X", "importtime", *fresh_command()[1:])
    initialize = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}}
    asked = [("initialize", initialize), ("tools/list", {})]
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": n, "method": method, "params": params})
        for n, (method, params) in enumerate(asked)
    ]
    done = subprocess.run(
        program, input="\n".join(lines), capture_output=True, text=True, timeout=60, check=True, env={}
    )
    assert done.stdout.count("\n") == 2
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"phone_number_mcp.app", "mcp.server.lowlevel"} <= imported
    assert imported & LATER == set()


def test_a_package_that_is_imported_lazily_is_whole_for_whoever_asks() -> None:
    code = """
import sys
from phone_number_mcp.lazy_imports import import_lazily
import_lazily("mcp")
import_lazily("mcp.server")
import mcp.server.lowlevel
from mcp.shared.exceptions import MCPError
assert "mcp.client" not in sys.modules
assert not hasattr(mcp, "__wrapped__") and "mcp.client" not in sys.modules
from mcp import Client
assert mcp.server.MCPServer and mcp.MCPError is MCPError and Client.__name__ == "Client"
"""
    subprocess.run(fresh("-c", code), timeout=60, check=True)
