"""The content of clients' files: an entry is put in or taken out, and everything else stays as it was."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
import tomlkit

from phone_number_mcp.commands.clients import CLIENTS
from phone_number_mcp.commands.editors import find
from phone_number_mcp.commands.errors import InstallError
from support.edits import only_put_in
from support.installing import CLAUDE, CODEX, CURSOR, ENTRY, VSCODE, content, merged

if sys.platform == "win32":
    pytest.skip("homes, links and modes are those of a POSIX system", allow_module_level=True)


@pytest.mark.parametrize(
    ("client", "before"),
    [
        ("vscode", VSCODE),
        ("cursor", CURSOR),
        ("windsurf", VSCODE.replace("servers", "mcpServers")),
        ("claude-code", CLAUDE),
        ("codex", CODEX),
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_entry_goes_in_and_all_else_stays_as_it_was(client: str, before: str, eol: str, mark: str) -> None:
    before = mark + before.replace("\n", eol)
    after = merged(client, before)
    key = CLIENTS[client].key
    was = content(before)
    assert content(after) == was | {key: was[key] | {"phone-number": ENTRY}}
    assert after.startswith(before) if client == "codex" else only_put_in(before, after)
    if eol == "\r\n":
        assert not re.search(r"(?<!\r)\n", after)
    assert after.startswith(mark)
    assert after.count("\ufeff") == len(mark)
    assert content(merged(client, after, name="second")) == was | {
        key: was[key] | {"phone-number": ENTRY, "second": ENTRY}
    }


def test_a_file_of_vs_code_is_written_as_a_person_would() -> None:
    expected = VSCODE.replace(
        '"args": ["-y"], },\n',
        '"args": ["-y"], },\n\t\t"phone-number": {\n\t\t\t"command": "/opt/bin/phone-number-mcp",\n\t\t\t"args": []\n\t\t},\n',
    )
    assert merged("vscode", VSCODE) == expected


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("before", [b"", b"\xef\xbb\xbf", b"\n \n"])
def test_an_empty_file_becomes_a_whole_configuration(client: str, before: bytes) -> None:
    assert content(merged(client, before).strip()) == {CLIENTS[client].key: {"phone-number": ENTRY}}


def test_a_file_of_comments_alone_keeps_them() -> None:
    after = merged("vscode", "// mine")
    assert after.startswith("// mine\n{")
    assert content(after) == {"servers": {"phone-number": ENTRY}}


@pytest.mark.parametrize(
    "before",
    ["{}", '{\n  "theme": "dark"\n}\n', "", 'mcp_servers = { a = { command = "a" } } # c\n', "[mcp_servers]\n"],
)
def test_servers_are_made_where_there_are_none_or_are_written_in_one_line(before: str) -> None:
    client = "codex" if before.strip().startswith(("mcp", "[")) else "cursor"
    assert content(merged(client, before))[CLIENTS[client].key]["phone-number"] == ENTRY


@pytest.mark.parametrize(
    ("client", "before", "words"),
    [
        ("cursor", "{", "it is not valid: line 1, column 2"),
        ("cursor", "[]", "it is not a JSON object"),
        ("cursor", '"text"', "it is not a JSON object"),
        ("cursor", '{"mcpServers": []}', 'its "mcpServers" is not an object'),
        ("cursor", '{"mcpServers": null}', 'its "mcpServers" is not an object'),
        ("vscode", '{"servers": "x"}', 'its "servers" is not an object'),
        ("cursor", '{"mcpServers": {}, "mcpServers": {}}', '"mcpServers" is there 2 times'),
        ("cursor", '{"mcpServers": {"phone-number": {}, "phone-number": {}}}', '"phone-number" is there 2 times'),
        ("claude-desktop", '{"mcpServers": {},}', "a comma before the end, which this file may not have"),
        ("claude-code", "// mine\n{}", "line 1, column 1: a comment, which this file may not have"),
        ("cursor", b"\xff\xfe{\x00}\x00", "it is not UTF-8 text"),
        ("codex", "a = sk_abc", "it is not valid TOML: line 1, column 5"),
        ("codex", "a = 1\na = 2\n", "it is not valid TOML"),
        ("codex", "mcp_servers = 1\n", 'its "mcp_servers" is not a table'),
        ("codex", "[[mcp_servers]]\n", 'its "mcp_servers" is not a table'),
        (
            "codex",
            "[mcp_servers.phone-number]\n",
            "does not run phone-number-mcp: choose another name with --name, or replace it with --force",
        ),
        (
            "cursor",
            '{"mcpServers": {"phone-number": {"command": "mine"}}}',
            "does not run phone-number-mcp: choose another name with --name, or replace it with --force",
        ),
        (
            "cursor",
            '{"mcpServers": {"phone-number": null}}',
            "does not run phone-number-mcp: choose another name with --name, or replace it with --force",
        ),
    ],
)
def test_a_file_that_cannot_be_changed_safely_is_refused(client: str, before: str | bytes, words: str) -> None:
    with pytest.raises(InstallError) as raised:
        merged(client, before)
    assert words in str(raised.value)
    assert "sk_abc" not in str(raised.value)
    assert raised.value.status == 1


@pytest.mark.parametrize(
    ("client", "before"),
    [
        (
            "cursor",
            '{\n  "mcpServers": {\n    "a": {"command": "a"}, // a\n    "phone-number": {"command": "old"}, // ours\n    "z": {}\n  }\n}\n',
        ),
        (
            "codex",
            CODEX
            + '\n[mcp_servers.phone-number]\ncommand = "old"\n\n[mcp_servers.phone-number.env]\nA = "b"\n\n[last]\nx = 1 # kept\n',
        ),
        ("codex", '[mcp_servers]\nphone-number = { command = "old" }\nz = { command = "z" } # kept\n'),
        ("codex", CODEX.replace("\n", "\r\n") + '\r\n[mcp_servers.phone-number]\r\ncommand = "old"\r\n'),
    ],
)
def test_with_force_another_entry_of_the_name_is_replaced_and_the_rest_stays(client: str, before: str) -> None:
    after = merged(client, before, force=True)
    key = CLIENTS[client].key
    was = content(before)
    assert content(after) == was | {key: was[key] | {"phone-number": ENTRY}}
    for comment in re.findall(r"# \w+|// \w+", before):
        assert comment in after
    assert list(content(after)) == list(was)
    if "\r\n" in before:
        assert not re.search(r"(?<!\r)\n", after)


OURS: list[dict[str, Any]] = [
    {"command": "phone-number-mcp"},
    {"command": "/opt/venv/bin/phone-number-mcp", "args": ["--sandbox"]},
    {"command": "C:\\Tools\\Phone-Number-MCP.EXE", "args": []},
    {"command": "/usr/bin/python3", "args": ["-m", "phone_number_mcp", "--read-only"]},
    {"command": "python", "args": ["-mphone_number_mcp"]},
    {"command": "uvx", "args": ["phone-number-mcp@0.1.0"]},
    {"command": "uvx", "args": ["--from", "git+https://git.example.com/me/phone-number-mcp.git", "phone-number-mcp"]},
    {"command": "uv", "args": ["run", "--directory", "/src", "phone-number-mcp"]},
    {"command": "pipx run phone-number-mcp==0.1.0"},
    {"command": "docker", "args": ["run", "-i", "--rm", "ghcr.io/me/phone-number-mcp:latest"]},
    {"command": "sh", "args": ["-c", "exec 'phone-number-mcp' --sandbox"]},
]
THEIRS: list[Any] = [
    {"command": "mine"},
    {"command": "/opt/phone-number-mcp/other"},
    {"command": "my-phone-number-mcp"},
    {"command": "phone-number-mcp-proxy"},
    {"url": "https://example.com/phone-number-mcp"},
    {"command": 7, "args": "phone-number-mcp"},
    None,
]


@pytest.mark.parametrize("old", OURS)
@pytest.mark.parametrize("client", ["cursor", "codex"])
def test_our_own_entry_is_replaced_however_it_was_written(old: dict[str, Any], client: str) -> None:
    document = {CLIENTS[client].key: {"phone-number": old, "other": {"command": "other"}}}
    before = tomlkit.dumps(document) if client == "codex" else json.dumps(document)
    (servers,) = content(merged(client, before)).values()
    assert servers == {"phone-number": ENTRY, "other": {"command": "other"}}


@pytest.mark.parametrize("old", THEIRS)
def test_the_entry_of_somebody_else_needs_force(old: Any) -> None:
    before = json.dumps({"mcpServers": {"phone-number": old}})
    with pytest.raises(InstallError, match="--force"):
        merged("cursor", before)
    assert content(merged("cursor", before, force=True))["mcpServers"]["phone-number"] == ENTRY


@pytest.mark.parametrize(
    ("client", "before", "after"),
    [
        (
            "cursor",
            '{"mcpServers": {\n  "phone-number": {"command": "phone-number-mcp"}, // ours\n  // of b\n  "b": {} // b\n}}',
            '{"mcpServers": {\n  // of b\n  "b": {} // b\n}}',
        ),
        (
            "cursor",
            '{"mcpServers": {"a": {}, /* of it, */ "phone-number": {"command": "phone-number-mcp"}, /* b */ "b": {}}}',
            '{"mcpServers": {"a": {}, /* of it, */ /* b */ "b": {}}}',
        ),
        (
            "codex",
            (
                '[a]\nx = 1\n\n[mcp_servers."phone-number"]\n# how\ncommand = "phone-number-mcp"\n\n'
                '[mcp_servers.phone-number.env]\nA = """\n[b]\n"""\n\n# of b\n[b]\ny = 1\n'
            ),
            "[a]\nx = 1\n\n# of b\n[b]\ny = 1\n",
        ),
        (
            "codex",
            '[mcp_servers.phone-number]\ncommand = "phone-number-mcp"\nargs = [\n  "--read-only",\n]\n\n# of b\n[b]\ny = 1\n',
            "# of b\n[b]\ny = 1\n",
        ),
        (
            "codex",
            '[mcp_servers]\nphone-number = { command = "phone-number-mcp" }\nz = { command = "z" } # kept\n',
            '[mcp_servers]\nz = { command = "z" } # kept\n',
        ),
    ],
)
def test_comments_and_other_entries_stay(client: str, before: str, after: str) -> None:
    without = find(before.encode(), "phone-number", CLIENTS[client]).without.decode()
    assert without.lstrip("\n") == after
    rest = content(before)
    del rest[CLIENTS[client].key]["phone-number"]
    found = content(without)
    assert found == rest or (not rest.pop(CLIENTS[client].key) and found == rest)
    for comment in ("of b", "kept", "of it"):
        assert (comment in without) == (comment in before)
