"""`phone-number-mcp install`: the entry for each client, where it belongs, and that its file is changed wholly or not at all."""

from __future__ import annotations

import ctypes
import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from mcp import Client as MCPClient
from mcp.client.stdio import StdioServerParameters

from phone_number_mcp.commands import install
from phone_number_mcp.commands.clients import CLIENTS, system
from phone_number_mcp.commands.entries import Entry
from phone_number_mcp.commands.errors import InstallError
from phone_number_mcp.platforms import load
from phone_number_mcp.settings import read
from support.installing import CODEX, CREDENTIALS, CURSOR, ENTRY, PLACES, VSCODE, content, files, run
from support.server import KEY, SECRET, command
from support.upstream import Upstream, envelope, reply

if sys.platform == "win32":
    pytest.skip("homes, links and modes are those of a POSIX system", allow_module_level=True)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home directory that is nobody's."""
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


# --- the entry --------------------------------------------------------------------------------------------------------

ENV = {name: {"ZUDU_API_KEY": form.format("ZUDU_API_KEY"), "ZUDU_API_SECRET": form.format("ZUDU_API_SECRET")} for name, form in {
    "claude-desktop": "<your {}>",
    "claude-code": "${{{}}}",
    "cursor": "${{env:{}}}",
    "windsurf": "${{env:{}}}",
}.items()}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_printed_is_the_clients_configuration_and_nothing_else(client: str, home: Path) -> None:
    done = run(home, client, env=CREDENTIALS)
    assert done.returncode == 0
    shown = tomllib.loads(done.stdout) if client == "codex" else json.loads(done.stdout)
    key = {"vscode": "servers", "codex": "mcp_servers"}.get(client, "mcpServers")
    assert shown.keys() == ({"inputs", "servers"} if client == "vscode" else {key})
    entry = shown[key]["phone-number"]
    typed = {"type": "stdio"} if client in {"claude-code", "cursor", "vscode"} else {}
    rest = {name: value for name, value in entry.items() if name not in {"command", "args"}}
    if client == "vscode":
        assert rest == typed | {
            "env": {"ZUDU_API_KEY": "${input:zudu-api-key}", "ZUDU_API_SECRET": "${input:zudu-api-secret}"}
        }
        assert [(each["type"], each["id"], each["password"]) for each in shown["inputs"]] == [
            ("promptString", "zudu-api-key", True),
            ("promptString", "zudu-api-secret", True),
        ]
    elif client == "codex":
        assert rest == {"env_vars": ["ZUDU_API_KEY", "ZUDU_API_SECRET"]}
    else:
        assert rest == typed | {"env": ENV[client]}
    assert entry["args"] == []
    assert Path(entry["command"]).is_absolute()
    assert os.access(entry["command"], os.X_OK)
    for told in (str(home / PLACES[client, system()]), "ZUDU_API_KEY", "--write"):
        assert told in done.stderr
    assert KEY not in done.stdout + done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert files(home) == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_what_the_client_does_not_resolve_counts_as_not_set(client: str) -> None:
    entry = CLIENTS[client].wire(load("zudu")).entry
    assert read({}, entry.get("env", {})).credentials == {}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_sandbox_needs_no_credentials(client: str, home: Path) -> None:
    done = run(home, client, "--sandbox", "--name", "to-try")
    (servers,) = content(done.stdout).values()
    assert servers["to-try"]["args"] == ["--sandbox"]
    assert "ZUDU" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("options", "name"),
    [
        (["--sandbox"], "phone-number-sandbox"),
        (["--sandbox", "--platform", "retell"], "phone-number-retell-sandbox"),
        (["--sandbox", "--name", "mine"], "mine"),
    ],
)
def test_the_sandbox_does_not_replace_the_real_one(options: list[str], name: str, home: Path) -> None:
    for words in (["--platform", "retell"], [], options):
        assert run(home, "cursor", "--write", *words).returncode == 0
    servers = content((home / ".cursor/mcp.json").read_text())["mcpServers"]
    assert servers.keys() == {"phone-number-retell", "phone-number", name}


def test_retell_has_a_name_and_a_credential_of_its_own(home: Path) -> None:
    done = run(home, "cursor", "--platform", "retell")
    entry = json.loads(done.stdout)["mcpServers"]["phone-number-retell"]
    assert entry["args"] == ["--platform", "retell"]
    assert entry["env"] == {"RETELL_API_KEY": "${env:RETELL_API_KEY}"}


OPTIONS = ["--read-only", "--max-creates", "2", "--platform", "retell"]


@pytest.mark.parametrize(
    "words",
    [
        [*OPTIONS, "install", "claude-code"],
        ["install", "claude-code", *OPTIONS],
        ["install", *OPTIONS, "claude-code"],
        [*OPTIONS[:1], "install", "claude-code", *OPTIONS[1:]],
    ],
)
def test_the_servers_options_before_and_after_the_command_get_into_the_entry(words: list[str], home: Path) -> None:
    done = subprocess.run(
        command(*words), capture_output=True, text=True, env={"HOME": str(home)}, timeout=60, check=True
    )
    entry = json.loads(done.stdout)["mcpServers"]["phone-number-retell"]
    assert entry["args"] == ["--platform", "retell", "--read-only", "--max-creates", "2"]


def test_the_command_is_the_executable_that_runs(home: Path) -> None:
    executable = Path(sys.executable).with_name("phone-number-mcp")
    done = subprocess.run(
        [executable, "install", "cursor"],
        capture_output=True,
        text=True,
        env={"HOME": str(home)},
        timeout=60,
        check=True,
    )
    assert json.loads(done.stdout)["mcpServers"]["phone-number"]["command"] == str(executable)
    link = home / "bin" / "phone-number-mcp"
    link.parent.mkdir()
    link.symlink_to(executable)
    done = subprocess.run(
        ["phone-number-mcp", "install", "cursor"],  # found on the PATH, as from a shell
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PATH": f"{link.parent}:/usr/bin:/bin"},
        timeout=60,
        check=True,
    )
    # As it was called: a link such as pipx makes stays when what it points to moves.
    assert json.loads(done.stdout)["mcpServers"]["phone-number"]["command"] == str(link)


def test_without_an_executable_it_is_python_and_the_module(home: Path) -> None:
    bare = home / "python"
    bare.symlink_to(sys.executable)
    code = "import sys; sys.argv[0] = '-m'; from phone_number_mcp.cli import main; main(['install', 'cursor', '--sandbox'])"
    path = os.pathsep.join(part for part in sys.path if part)
    done = subprocess.run(
        [bare, "-c", code],
        capture_output=True,
        text=True,
        env={"HOME": str(home), "PYTHONPATH": path},
        timeout=60,
        check=True,
    )
    entry = json.loads(done.stdout)["mcpServers"]["phone-number-sandbox"]
    assert entry["command"] == str(bare)
    assert entry["args"] == ["-m", "phone_number_mcp", "--sandbox"]


def test_a_command_that_may_be_gone_tomorrow_is_reported(home: Path) -> None:
    link = home / ".cache" / "phone-number-mcp"
    link.parent.mkdir()
    link.symlink_to(Path(sys.executable).with_name("phone-number-mcp"))
    done = subprocess.run(
        [link, "install", "cursor"], capture_output=True, text=True, env={"HOME": str(home)}, timeout=60, check=True
    )
    assert "temporary directory" in done.stderr
    assert "pipx install" in done.stderr


def test_what_is_printed_is_utf_8_whatever_the_terminal_speaks(home: Path) -> None:
    link = home / "Büro 事務所" / "phone-number-mcp"
    link.parent.mkdir()
    link.symlink_to(Path(sys.executable).with_name("phone-number-mcp"))
    env = {"HOME": str(home), "PYTHONIOENCODING": "ascii"}
    for client in ("cursor", "codex"):
        done = subprocess.run([link, "install", client], capture_output=True, env=env, timeout=60, check=True)
        (servers,) = content(done.stdout.decode()).values()
        assert servers["phone-number"]["command"] == str(link)


def test_a_path_that_is_no_text_is_refused(home: Path) -> None:
    link = home / os.fsdecode(b"\xff") / "phone-number-mcp"
    link.parent.mkdir()
    link.symlink_to(Path(sys.executable).with_name("phone-number-mcp"))
    for options in ([], ["--write"]):
        done = subprocess.run(
            [link, "install", "cursor", *options], capture_output=True, env={"HOME": str(home)}, timeout=60, check=False
        )
        assert (done.returncode, done.stdout) == (1, b"")
        assert b"is not UTF-8 text" in done.stderr
    assert not (home / ".cursor").exists()


def test_a_home_that_may_not_be_searched_is_an_error_of_one_line(home: Path) -> None:
    closed = home / "closed"
    closed.mkdir(mode=0o000)
    done = run(home, "windsurf", env={"HOME": str(closed)}, before=_few_privileges)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "phone-number-mcp install: Permission denied; name the file with --path\n"


# --- asked wrongly ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["emacs"], "must be one of claude-desktop, claude-code, cursor, vscode, windsurf, codex"),
        ([], "required: CLIENT"),
        (["cursor", "--name", "sk_ abc"], "--name: must be of letters, digits, - and _"),
        (["cursor", "--name", ""], "--name: must be of letters, digits, - and _"),
        (["cursor", "--project", "--path", "x"], "argument --path: not allowed with argument --project"),
        (["claude-desktop", "--project"], "--project: Claude Desktop has no file in a project"),
        (["cursor", "--with-secrets"], "--with-secrets: goes with --write only"),
        (["cursor", "--with-secrets", "--write"], "--with-secrets: ZUDU_API_KEY and ZUDU_API_SECRET are not set"),
        (["cursor", "--platform", "sk_abc"], "--platform: must be zudu or retell"),
        (["cursor", "--api-key", "sk_abc"], "there is no option --api-key"),
    ],
)
def test_a_wrong_request_is_refused_with_status_2(options: list[str], words: str, home: Path) -> None:
    done = run(home, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert "sk_" not in done.stderr
    assert files(home) == {}


def test_wrong_options_of_the_server_are_refused_before_they_get_into_an_entry(home: Path) -> None:
    done = subprocess.run(
        command("--platform", "sk_abc", "--timeout", "sk_abc", "install", "cursor"),
        capture_output=True,
        text=True,
        env={"HOME": str(home)},
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "--platform: must be zudu or retell; --timeout: must be a number of seconds" in done.stderr
    assert "sk_abc" not in done.stderr


def test_malformed_credentials_are_not_written(home: Path) -> None:
    done = run(home, "cursor", "--write", "--with-secrets", env={"ZUDU_API_KEY": "sk abc", "ZUDU_API_SECRET": SECRET})
    assert done.returncode == 2
    assert "ZUDU_API_KEY: has a space in it" in done.stderr
    assert "sk abc" not in done.stderr
    assert files(home) == {}


def test_help_names_every_client() -> None:
    shown = subprocess.run(command("install", "--help"), capture_output=True, text=True, env={}, timeout=60, check=True)
    for client in CLIENTS:
        assert client in shown.stdout


def test_what_vs_code_asks_for_is_added_once(home: Path) -> None:
    path = home / "mcp.json"
    path.write_text(VSCODE)
    assert run(home, "vscode", "--path", "mcp.json", "--write").returncode == 0
    assert run(home, "vscode", "--path", "mcp.json", "--write", "--name", "second").returncode == 0
    text = path.read_text()
    assert [each["id"] for each in content(text)["inputs"]] == ["other", "zudu-api-key", "zudu-api-secret"]
    assert content(text)["servers"].keys() == {"other", "phone-number", "second"}
    for comment in ("// What the team uses.", "// kept", "/* the other one */"):
        assert comment in text


def test_inputs_of_another_kind_are_refused(home: Path) -> None:
    (home / "mcp.json").write_text('{"inputs": {}, "servers": {}}')
    done = run(home, "vscode", "--path", "mcp.json", "--write")
    assert done.returncode == 1
    assert 'its "inputs" is not an array' in done.stderr
    assert files(home) == {"mcp.json": b'{"inputs": {}, "servers": {}}'}


# --- onto the disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_a_missing_file_is_made_with_its_directories(client: str, home: Path) -> None:
    done = run(home, client, "--write", env=CREDENTIALS)
    assert (done.returncode, done.stdout) == (0, "")
    where = PLACES[client, system()]
    assert files(home).keys() == {where}
    assert content((home / where).read_text())[CLIENTS[client].key].keys() == {"phone-number"}
    assert f"The entry was written to {home / where}" in done.stderr
    assert KEY not in (home / where).read_text() + done.stderr
    assert SECRET not in (home / where).read_text() + done.stderr


@pytest.mark.parametrize("client", CLIENTS)
def test_the_same_entry_again_writes_nothing(client: str, home: Path) -> None:
    assert run(home, client, "--write").returncode == 0
    held = files(home)
    done = run(home, client, "--write")
    assert (done.returncode, done.stdout) == (0, "")
    assert "nothing was written" in done.stderr
    assert files(home) == held


@pytest.mark.parametrize(
    ("client", "where"), [("cursor", ".cursor/mcp.json"), ("claude-code", ".mcp.json"), ("codex", ".codex/config.toml")]
)
def test_a_projects_file_is_that_of_the_directory(client: str, where: str, home: Path) -> None:
    assert run(home, client, "--project", "--write").returncode == 0
    assert files(home).keys() == {where}


def test_each_change_leaves_a_backup_that_the_next_one_leaves_alone(home: Path) -> None:
    path = home / "mcp.json"
    path.write_text('{"mcpServers": {}}')
    path.chmod(0o640)
    versions = [path.read_bytes()]
    for name in ("one", "two", "three"):
        done = run(home, "cursor", "--path", "mcp.json", "--write", "--name", name)
        assert f"{path}.{len(versions)}.bak" in done.stderr
        versions.append(path.read_bytes())
    assert files(home) == {"mcp.json": versions.pop()} | {
        f"mcp.json.{n}.bak": held for n, held in enumerate(versions, 1)
    }
    assert {stat.S_IMODE(each.stat().st_mode) for each in home.iterdir()} == {0o640}


def test_a_symbolic_link_stays_one_and_its_file_is_changed(home: Path) -> None:
    real = home / "dotfiles" / "cursor.json"
    real.parent.mkdir()
    real.write_text("{}")
    link = home / ".cursor" / "mcp.json"
    link.parent.mkdir()
    link.symlink_to("../dotfiles/cursor.json")
    assert run(home, "cursor", "--write").returncode == 0
    assert link.is_symlink()
    assert content(real.read_text())["mcpServers"].keys() == {"phone-number"}
    assert (real.parent / "cursor.json.1.bak").exists()


def _few_privileges() -> None:
    """Let what may not be read or written hold for root, too: drop CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH (capabilities(7))."""
    if os.geteuid() == 0 and sys.platform == "linux":
        for capability in (1, 2):
            assert ctypes.CDLL(None).prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP


def _no_room() -> None:
    """Let no file grow: every write to one fails."""
    import resource  # not on Windows

    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("trouble", ["a directory that may not be written", "a full disk"])
def test_a_write_that_fails_leaves_everything_as_it_was(trouble: str, home: Path) -> None:
    directory = home / "there"
    directory.mkdir()
    path = directory / "mcp.json"
    path.write_text('{"mcpServers": {}}')
    if trouble == "a full disk":
        before = _no_room
    else:
        before = _few_privileges
        directory.chmod(0o555)
    done = run(home, "cursor", "--path", str(path), "--write", before=before)
    directory.chmod(0o755)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{path} was not changed: it cannot be read or written" in done.stderr
    assert done.stderr.count("\n") == 1
    assert files(home) == {"there/mcp.json": b'{"mcpServers": {}}'}


def test_a_file_that_another_program_changes_meanwhile_is_left_to_it(home: Path) -> None:
    path = home / "mcp.json"
    path.write_text("")

    class Meddling(Entry):
        """An entry for which somebody else writes the file while it is looked at."""

        def document(self) -> dict[str, Any]:
            path.write_text('{"theirs": 1}')
            return super().document()

    with pytest.raises(InstallError, match="run this again"):
        install.write(path, Meddling("mcpServers", "x", ENTRY), CLIENTS["cursor"], force=False, secret=False)
    assert files(home) == {"mcp.json": b'{"theirs": 1}'}


def test_directories_that_were_made_for_nothing_go_again(home: Path) -> None:
    done = run(home, "vscode", "--write", before=_no_room)
    assert done.returncode == 1
    assert list(home.iterdir()) == []


@pytest.mark.parametrize("kind", ["directory", "pipe", "loop", "under a file"])
def test_what_is_no_file_is_refused(kind: str, home: Path) -> None:
    path = home / "mcp.json"
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.write_text("{}")
        path /= "mcp.json"
    done = run(home, "cursor", "--path", str(path), "--write")
    assert (done.returncode, done.stdout) == (1, "")
    assert "was not changed" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_invalid_file_is_refused_and_not_touched(home: Path) -> None:
    path = home / "mcp.json"
    path.write_text('{"mcpServers": {"a": {"env": {"TOKEN": "sk_abc"}},}')
    held = files(home)
    stamp = path.stat().st_mtime_ns
    done = run(home, "claude-code", "--path", "mcp.json", "--write")
    assert done.returncode == 1
    assert f"{path} was not changed: it is not valid: line 1" in done.stderr
    assert "sk_abc" not in done.stderr
    assert files(home) == held
    assert path.stat().st_mtime_ns == stamp


def test_force_replaces_an_entry_and_says_where_the_old_one_is(home: Path) -> None:
    path = home / "mcp.json"
    path.write_text('{"mcpServers": {"phone-number": {"command": "old"}}}')
    refused = run(home, "cursor", "--path", "mcp.json", "--write")
    assert refused.returncode == 1
    assert "--force" in refused.stderr
    done = run(home, "cursor", "--path", "mcp.json", "--write", "--force")
    assert done.returncode == 0
    assert content(path.read_text())["mcpServers"]["phone-number"]["args"] == []
    assert "old" in (home / "mcp.json.1.bak").read_text()


@pytest.mark.parametrize("client", CLIENTS)
def test_running_it_again_with_other_options_replaces_our_entry_and_names_the_guards_that_are_gone(
    client: str, home: Path
) -> None:
    assert run(home, client, "--write", "--read-only", "--max-creates", "2").returncode == 0
    done = run(home, client, "--write", "--max-creates", "3")
    assert (done.returncode, done.stdout) == (0, "")
    path = home / PLACES[client, system()]
    assert content(path.read_text())[CLIENTS[client].key]["phone-number"]["args"] == ["--max-creates", "3"]
    assert "It had --read-only, which the new one does not have." in done.stderr
    assert "--read-only" in Path(f"{path}.1.bak").read_text()


def test_with_secrets_works_after_a_first_write_as_its_message_says(home: Path) -> None:
    first = run(home, "claude-desktop", "--write")
    assert "run again with --write --with-secrets" in first.stderr
    again = run(home, "claude-desktop", "--write", "--with-secrets", env=CREDENTIALS)
    assert again.returncode == 0, again.stderr
    path = home / PLACES["claude-desktop", system()]
    assert content(path.read_text())["mcpServers"]["phone-number"]["env"] == CREDENTIALS


def test_credentials_that_took_the_place_of_placeholders_stay_when_options_change(home: Path) -> None:
    assert run(home, "claude-desktop", "--write", "--with-secrets", env=CREDENTIALS).returncode == 0
    assert run(home, "claude-desktop", "--write", "--read-only").returncode == 0
    entry = content((home / PLACES["claude-desktop", system()]).read_text())["mcpServers"]["phone-number"]
    assert (entry["args"], entry["env"]) == (["--read-only"], CREDENTIALS)


@pytest.mark.parametrize("name", ["install", "uninstall"])
def test_a_file_that_its_owner_made_read_only_needs_force(name: str, home: Path) -> None:
    path = home / "mcp.json"
    assert run(home, "cursor", "--path", "mcp.json", "--write").returncode == 0
    path.chmod(0o444)
    held = files(home)
    words = ["cursor", "--path", "mcp.json", "--write", *(["--read-only"] if name == "install" else [])]
    refused = run(home, *words, name=name)
    assert refused.returncode == 1
    assert "its mode 0444: make it writable, or replace it with --force" in refused.stderr
    assert files(home) == held
    assert run(home, *words, "--force", name=name).returncode == 0
    assert files(home) != held
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


# --- uninstall --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("client", "before"),
    [
        ("vscode", VSCODE),
        ("vscode", '{ "servers": { "a": { "command": "a" } }, "inputs": [] }'),
        ("cursor", CURSOR),
        ("windsurf", VSCODE.replace("servers", "mcpServers")),
        ("claude-code", '{"mcpServers":{"a":{}},"more":1}\n'),
        ("claude-desktop", '{\n  "mcpServers": {\n    "a": {\n      "command": "a"\n    }\n  }\n}\n'),
        ("codex", CODEX),
    ],
)
@pytest.mark.parametrize("eol", ["\n", "\r\n"])
def test_what_install_put_in_uninstall_takes_out_byte_for_byte(client: str, before: str, eol: str, home: Path) -> None:
    path = home / "file"
    path.write_bytes(before.replace("\n", eol).encode())
    held = path.read_bytes()
    assert run(home, client, "--path", "file", "--write").returncode == 0
    after = path.read_bytes()
    shown = run(home, client, "--path", "file", name="uninstall")
    assert shown.returncode == 0
    assert content(shown.stdout)[CLIENTS[client].key].keys() == {"phone-number"}
    assert "run again with --write" in shown.stderr
    assert path.read_bytes() == after
    done = run(home, client, "--path", "file", "--write", name="uninstall")
    assert (done.returncode, done.stdout) == (0, "")
    assert path.read_bytes() == held
    assert (home / "file.2.bak").read_bytes() == after
    assert "file.2.bak" in done.stderr


@pytest.mark.parametrize("client", CLIENTS)
def test_uninstall_finds_the_entry_where_install_puts_it(client: str, home: Path) -> None:
    for words in (["--sandbox"], ["--platform", "retell"], ["--name", "mine"], []):
        assert run(home, client, "--write", *words).returncode == 0
    path = home / PLACES[client, system()]
    left = ["phone-number-sandbox", "phone-number-retell", "mine", "phone-number"]
    for words in (["--sandbox"], ["--platform", "retell"], ["--name", "mine"], []):
        assert run(home, client, "--write", *words, name="uninstall").returncode == 0
        left.pop(0)
        assert list(content(path.read_text()).get(CLIENTS[client].key, {})) == left
    if client == "vscode":
        assert content(path.read_text())["inputs"] == []


def test_uninstall_takes_it_out_of_a_project(home: Path) -> None:
    for name in ("install", "uninstall"):
        assert run(home, "cursor", "--project", "--write", name=name).returncode == 0
    assert content((home / ".cursor/mcp.json").read_text()) == {"mcpServers": {}}


def test_what_another_server_asks_for_stays(home: Path) -> None:
    for name in ("one", "two"):
        assert run(home, "vscode", "--path", "mcp.json", "--write", "--name", name).returncode == 0
    assert run(home, "vscode", "--path", "mcp.json", "--write", "--name", "one", name="uninstall").returncode == 0
    document = content((home / "mcp.json").read_text())
    assert [each["id"] for each in document["inputs"]] == ["zudu-api-key", "zudu-api-secret"]
    assert document["servers"].keys() == {"two"}


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (None, "does not exist, so there is no entry to remove"),
        ("{}", 'has no entry "phone-number"'),
        ("", 'has no entry "phone-number"'),
        ('{"mcpServers": {"a": {"command": "a"}}}', 'has no entry "phone-number"'),
        ('{"mcpServers": {"b": {"command": "phone-number-mcp"}}}', 'this server\'s are "b": choose one with --name'),
        ('{"mcpServers": {"phone-number": {"command": "mine"}}}', "does not run phone-number-mcp"),
        ('{"mcpServers": {', "it is not valid"),
    ],
)
@pytest.mark.parametrize("write", [[], ["--write"]])
def test_what_cannot_be_removed_is_said_and_left(before: str | None, words: str, write: list[str], home: Path) -> None:
    if before is not None:
        (home / "mcp.json").write_text(before)
    held = files(home)
    done = run(home, "cursor", "--path", "mcp.json", *write, name="uninstall")
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert files(home) == held


def test_with_force_the_entry_of_somebody_else_is_removed(home: Path) -> None:
    (home / "mcp.json").write_text('{"mcpServers": {"phone-number": {"command": "mine"}}}')
    assert run(home, "cursor", "--path", "mcp.json", "--write", "--force", name="uninstall").returncode == 0
    assert content((home / "mcp.json").read_text()) == {"mcpServers": {}}


def test_what_would_be_removed_is_shown_without_credentials(home: Path) -> None:
    assert run(home, "claude-desktop", "--write", "--with-secrets", env=CREDENTIALS).returncode == 0
    path = home / PLACES["claude-desktop", system()]
    document = content(path.read_text())
    document["mcpServers"]["phone-number"]["args"] = ["-e", f"ZUDU_API_KEY={KEY}"]
    path.write_text(json.dumps(document))
    done = run(home, "claude-desktop", name="uninstall")
    assert done.returncode == 0
    assert "ZUDU_API_SECRET" in done.stdout
    for secret in (KEY, SECRET):
        assert secret not in done.stdout + done.stderr


# --- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_credentials_are_written_only_when_told_to_and_for_the_owner_alone(client: str, home: Path) -> None:
    done = run(home, client, "--write", "--with-secrets", env=CREDENTIALS)
    assert (done.returncode, done.stdout) == (0, "")
    path = home / PLACES[client, system()]
    assert content(path.read_text())[CLIENTS[client].key]["phone-number"]["env"] == CREDENTIALS
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "out of version control" in done.stderr
    assert KEY not in done.stderr
    assert SECRET not in done.stderr


def test_of_a_credential_in_a_file_the_path_is_written(home: Path) -> None:
    (home / "secret").write_text(SECRET + "\n")
    done = run(home, "cursor", "--write", "--with-secrets", env={"ZUDU_API_KEY": KEY, "ZUDU_API_SECRET_FILE": "secret"})
    assert done.returncode == 0
    env = content((home / ".cursor/mcp.json").read_text())["mcpServers"]["phone-number"]["env"]
    assert env == {"ZUDU_API_KEY": KEY, "ZUDU_API_SECRET_FILE": str(home / "secret")}


def test_a_file_that_others_can_read_keeps_its_mode_and_that_is_reported(home: Path) -> None:
    path = home / "mcp.json"
    path.write_text("{}")
    path.chmod(0o644)
    done = run(home, "cursor", "--path", "mcp.json", "--write", "--with-secrets", env=CREDENTIALS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert f"chmod 600 {path}" in done.stderr


# --- as the client does it --------------------------------------------------------------------------------------------


def resolved(client: str, document: dict[str, Any], environ: dict[str, str]) -> StdioServerParameters:
    """Return what a client starts: its references resolved in the way that its documentation describes."""
    entry = document[CLIENTS[client].key]["phone-number"]
    answers = {each["id"]: environ[each["description"]] for each in document.get("inputs", [])}  # what the person types

    def value(text: str) -> str:
        if client == "vscode":
            return re.sub(r"\$\{input:([\w-]+)\}", lambda found: answers[found[1]], text)
        pattern = {"claude-code": r"\$\{(\w+)\}", "cursor": r"\$\{env:(\w+)\}", "windsurf": r"\$\{env:(\w+)\}"}.get(
            client
        )
        return re.sub(pattern, lambda found: environ[found[1]], text) if pattern else text

    env = {name: value(text) for name, text in entry.get("env", {}).items()}
    env |= {name: environ[name] for name in entry.get("env_vars", [])}
    return StdioServerParameters(command=entry["command"], args=entry["args"], env=env)


@pytest.mark.anyio
@pytest.mark.parametrize("client", CLIENTS)
async def test_the_written_entry_starts_the_server_with_the_credentials(
    client: str, home: Path, upstream: Upstream, own_journal: dict[str, str]
) -> None:
    by_hand = client == "claude-desktop"  # which resolves nothing
    options = ["--with-secrets"] if by_hand else []
    assert run(home, client, "--write", *options, env=CREDENTIALS if by_hand else {}).returncode == 0
    document = content((home / PLACES[client, system()]).read_text())
    parameters = resolved(client, document, CREDENTIALS)
    parameters.env = (parameters.env or {}) | own_journal | {"ZUDU_BASE_URL": upstream.url}
    upstream.answer = reply(200, envelope({"phone_number": "+14155550100"}))
    async with MCPClient(parameters) as server:
        listed = await server.list_tools()
        assert "create_phone_number" in [tool.name for tool in listed.tools]
        result = await server.call_tool("get_phone_number", {"phone_number": "+14155550100"})
    assert result.structured_content == {"data": {"phone_number": "+14155550100"}}
    sent = upstream.requests[-1].headers
    expected = load("zudu").authorize(CREDENTIALS)
    assert {name: sent[name.lower()] for name in expected} == expected
