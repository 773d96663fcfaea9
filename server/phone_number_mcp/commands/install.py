"""`phone-number-mcp install CLIENT` and `uninstall CLIENT`: the entry with which an MCP client starts this server, printed, put
into its file or removed from it.

A client is data: a row of `CLIENTS` says where its file is, which form an entry has, and how credentials get to the server
without being written down. The file is other people's: everything else in it stays as it is, and it is never half written.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from phone_number_mcp.commands import jsonc
from phone_number_mcp.platforms import DEFAULT_PLATFORM, PLATFORMS, Platform, load
from phone_number_mcp.settings import ConfigurationError, Options, is_placeholder, read

System = Literal["linux", "macos", "windows"]

COMMAND = "phone-number-mcp"
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what Claude Code and Codex take; the others take more


class InstallError(Exception):
    """It was not done, and nothing was changed. The message says why, and what to do about it.

    Args:
        message: One sentence.
        status: The exit status: 2 if it was asked wrongly, 1 if it could not be done.
    """

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Wiring:
    """How the credentials get to the server.

    Args:
        entry: What the entry has for it.
        inputs: What the client asks the person for, beside the entry (VS Code alone).
        todo: What is left for the person to do.
    """

    entry: Mapping[str, Any]
    todo: str
    inputs: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Client:
    """An MCP client.

    Args:
        title: As people know it.
        places: By system, where its file for the user is. The first that has a directory wins, else the first without `*`.
        project: Its file in a project, from the project's root; None if it has none.
        key: Under which the servers are.
        format: `json` as the standard has it, `jsonc` with comments and trailing commas, or `toml`.
        wire: A platform → how its credentials get to the server without being written down.
        sources: Where the vendor says so, or where it was seen if the vendor does not.
        restart: What makes it read its file anew.
        fixed: What every entry has beside the command.
        note: What else a person should know.
    """

    title: str
    places: Mapping[System, tuple[str, ...]]
    project: str | None
    key: str
    format: Literal["json", "jsonc", "toml"]
    wire: Callable[[Platform], Wiring]
    sources: tuple[str, ...]
    restart: str
    fixed: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None


# --- how credentials get to the server --------------------------------------------------------------------------------


def _references(form: str, client: str) -> Callable[[Platform], Wiring]:
    """The client replaces references to the environment that it runs in."""

    def wire(platform: Platform) -> Wiring:
        env = {name: form.format(name) for name in platform.credentials}
        return Wiring(
            {"env": env}, f"Set {_and(platform.credentials)} in the environment that {client} is started from."
        )

    return wire


def _passed_on(client: str) -> Callable[[Platform], Wiring]:
    """The client passes variables on that are named to it."""

    def wire(platform: Platform) -> Wiring:
        names = list(platform.credentials)
        return Wiring({"env_vars": names}, f"Set {_and(names)} in the environment that {client} is started from.")

    return wire


def _asked_for(client: str) -> Callable[[Platform], Wiring]:
    """The client asks the person, once, and keeps the answer in its secret store."""

    def wire(platform: Platform) -> Wiring:
        ids = {name: name.lower().replace("_", "-") for name in platform.credentials}
        inputs = [
            {"type": "promptString", "id": ids[name], "description": name, "password": True}
            for name in platform.credentials
        ]
        env = {name: f"${{input:{ids[name]}}}" for name in platform.credentials}
        return Wiring({"env": env}, f"{client} asks for {_and(ids)} at the first start, and keeps them.", inputs)

    return wire


def _written_by_hand(client: str) -> Callable[[Platform], Wiring]:
    """The client can do none of that: the person has to write the values into the file."""

    def wire(platform: Platform) -> Wiring:
        env = {name: f"<your {name}>" for name in platform.credentials}  # counts as not set: see settings.py
        names = _and(platform.credentials)
        return Wiring(
            {"env": env},
            f"{client} reads no environment variables: put {names} into the file in place of the placeholders, "
            "or run again with --write --with-secrets to copy them from this environment.",
        )

    return wire


# --- the clients ------------------------------------------------------------------------------------------------------

_STDIO = {"type": "stdio"}

CLIENTS: dict[str, Client] = {
    "claude-desktop": Client(
        title="Claude Desktop",
        places={
            "linux": ("$XDG_CONFIG_HOME/Claude/claude_desktop_config.json",),
            "macos": ("~/Library/Application Support/Claude/claude_desktop_config.json",),
            # The documentation names %APPDATA% alone. The installers of 2026 are MSIX packages, which do not see it.
            "windows": (
                "%LOCALAPPDATA%/Claude-Data/claude*/claude_desktop_config.json",
                "%LOCALAPPDATA%/Packages/Claude_*/LocalCache/Roaming/Claude/claude_desktop_config.json",
                "%APPDATA%/Claude/claude_desktop_config.json",
            ),
        },
        project=None,
        key="mcpServers",
        format="json",
        wire=_written_by_hand("Claude Desktop"),
        sources=(
            "https://modelcontextprotocol.io/docs/develop/connect-local-servers",
            "https://github.com/anthropics/claude-code/issues/26073",
            "https://github.com/anthropics/claude-code/issues/93152",
        ),
        restart="Quit Claude Desktop before the file is changed (it writes it itself), and start it again.",
    ),
    "claude-code": Client(
        title="Claude Code",
        places={
            "linux": ("$CLAUDE_CONFIG_DIR/.claude.json",),
            "macos": ("$CLAUDE_CONFIG_DIR/.claude.json",),
            "windows": ("$CLAUDE_CONFIG_DIR/.claude.json",),
        },
        project=".mcp.json",
        key="mcpServers",
        format="json",
        # The page promises it of .mcp.json; of ~/.claude.json it was seen with version 2.1.197.
        wire=_references("${{{}}}", "Claude Code"),
        sources=("https://code.claude.com/docs/en/mcp",),
        restart="Quit Claude Code before the file is changed (it writes it itself), and start it again; /mcp shows the server.",
        fixed=_STDIO,
    ),
    "cursor": Client(
        title="Cursor",
        places={
            "linux": ("~/.cursor/mcp.json",),
            "macos": ("~/.cursor/mcp.json",),
            "windows": ("~/.cursor/mcp.json",),
        },
        project=".cursor/mcp.json",
        key="mcpServers",
        format="jsonc",
        wire=_references("${{env:{}}}", "Cursor"),
        sources=("https://cursor.com/docs/mcp",),
        restart="Restart Cursor; its settings list the server among the MCP servers.",
        fixed=_STDIO,
    ),
    "vscode": Client(
        title="VS Code",
        places={
            "linux": ("$XDG_CONFIG_HOME/Code/User/mcp.json",),
            "macos": ("~/Library/Application Support/Code/User/mcp.json",),
            "windows": ("%APPDATA%/Code/User/mcp.json",),
        },
        project=".vscode/mcp.json",
        key="servers",
        format="jsonc",
        wire=_asked_for("VS Code"),
        sources=(
            "https://code.visualstudio.com/docs/copilot/reference/mcp-configuration",
            "https://github.com/microsoft/vscode/blob/main/src/vs/platform/environment/node/userDataPath.ts",
        ),
        restart="Run MCP: List Servers in VS Code, and start the server.",
        fixed=_STDIO,
    ),
    "windsurf": Client(
        title="Windsurf",
        places={
            "linux": ("~/.config/devin/mcp_config.json", "~/.codeium/windsurf/mcp_config.json"),
            "macos": ("~/.config/devin/mcp_config.json", "~/.codeium/windsurf/mcp_config.json"),
            "windows": ("%APPDATA%/devin/mcp_config.json", "~/.codeium/windsurf/mcp_config.json"),
        },
        project=".devin/mcp_config.json",
        key="mcpServers",
        format="jsonc",
        wire=_references("${{env:{}}}", "Windsurf"),
        sources=(
            "https://docs.windsurf.com/windsurf/cascade/mcp",
            "https://docs.devin.ai/desktop/cascade/mcp",
            "https://docs.devin.ai/cli/extensibility/mcp/configuration",
        ),
        restart="Refresh the MCP servers in Windsurf's settings, or restart it.",
        # Interpolation is documented for Cascade; the pages of the newer agent do not say.
        note=(
            "Windsurf is called Devin Desktop since 2026. Its older agent, Cascade, reads ~/.codeium/windsurf/mcp_config.json: "
            "name that with --path if you use it. If the newer one says not_configured although the variables are set, it did "
            "not resolve them: put the values into the file."
        ),
    ),
    "codex": Client(
        title="Codex",
        places={
            "linux": ("$CODEX_HOME/config.toml",),
            "macos": ("$CODEX_HOME/config.toml",),
            "windows": ("$CODEX_HOME/config.toml",),
        },
        project=".codex/config.toml",
        key="mcp_servers",
        format="toml",
        wire=_passed_on("Codex"),
        sources=("https://developers.openai.com/codex/mcp", "https://developers.openai.com/codex/config-reference"),
        restart="Restart Codex; /mcp shows the server. A project's file counts only where Codex trusts the project.",
    ),
}
"""Name → the client. Where a fact is from is in `sources`."""

_ROOTS = {
    "~": (None, ""),
    "%APPDATA%": ("APPDATA", "AppData/Roaming"),
    "%LOCALAPPDATA%": ("LOCALAPPDATA", "AppData/Local"),
    "$XDG_CONFIG_HOME": ("XDG_CONFIG_HOME", ".config"),
    "$CODEX_HOME": ("CODEX_HOME", ".codex"),
    "$CLAUDE_CONFIG_DIR": ("CLAUDE_CONFIG_DIR", ""),
}
"""What a place may begin with: the variable that says where it is, and where it is in the home directory without one."""


def system() -> System:
    """Return the system that this process runs on."""
    return "windows" if sys.platform == "win32" else "macos" if sys.platform == "darwin" else "linux"


def place(client: Client, on: System, environ: Mapping[str, str]) -> Path:
    """Return where a client's file for the user is, whether it exists or not.

    Raises:
        InstallError: Several could be it.
    """
    patterns = client.places[on]
    for pattern in patterns:
        root, rest = _root(pattern, on, environ)
        directory, _, name = rest.rpartition("/")
        found = sorted(root.glob(directory)) if "*" in directory else [root / directory]
        found = [path for path in found if path.is_dir()]
        if len(found) > 1:  # of several packages, the one that has a configuration already
            found = [path for path in found if (path / name).exists()] or found
        if len(found) > 1:
            raise InstallError(f"{client.title} has several places for its file under {root}: name one with --path")
        if found:
            return found[0] / name
    root, rest = _root(next(pattern for pattern in patterns if "*" not in pattern), on, environ)
    return root / rest


def _root(pattern: str, on: System, environ: Mapping[str, str]) -> tuple[Path, str]:
    first, _, rest = pattern.partition("/")
    variable, default = _ROOTS[first]
    given = environ.get(variable) if variable else None
    if given and Path(given).is_absolute():
        return Path(given), rest
    home = environ.get("USERPROFILE" if on == "windows" else "HOME")
    return Path(home or Path.home()) / default, rest


# --- the entry --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What a client's file is to have: `document[key][name] = value`, and for VS Code more `inputs`."""

    key: str
    name: str
    value: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]] = ()

    def document(self) -> dict[str, Any]:
        """Return a whole configuration that has nothing else."""
        inputs = {"inputs": list(self.inputs)} if self.inputs else {}
        return {**inputs, self.key: {self.name: dict(self.value)}}


def command() -> tuple[str, list[str]]:
    """Return the command that starts this server, by full path: a client started from a dock has another PATH.

    The executable that runs now; the one of the running Python if this is `python -m`; else Python itself.
    """
    argument = Path(sys.argv[0])
    beside = Path(sys.executable).with_name(COMMAND)
    for candidate in ([str(argument)] if argument.stem == COMMAND else []) + [str(beside)]:
        if (found := shutil.which(candidate)) is not None:
            return str(Path(found).absolute()), []  # symbolic links are kept: pipx's stays when what it points to moves
    return sys.executable, ["-m", "phone_number_mcp"]


_PROGRAM = re.compile(r"""(^|[/\\'"])(-m)?phone[-_]number[-_]mcp(\.exe|\.git)?(['"]|$|[@=:\[])""", re.IGNORECASE)


def is_ours(entry: Any) -> bool:
    """Return whether an entry runs this server, however it was written: by its path, `-m`, uvx, a container or a shell."""
    if not isinstance(entry, dict):
        return False
    arguments = entry.get("args")
    words = [entry.get("command"), *(arguments if isinstance(arguments, list) else [])]
    return any(_PROGRAM.search(part) for word in words if isinstance(word, str) for part in word.split())


def is_temporary(program: str) -> bool:
    """Tell whether a command is where things are cleared away: uvx and `pipx run` make environments in a cache."""
    caches = {".cache", "cache", "caches", "archive-v0", "builds-v0"}
    temporary = Path(os.path.realpath(tempfile.gettempdir()))
    paths = [Path(program).absolute(), Path(os.path.realpath(program))]
    return any(caches & {part.lower() for part in path.parts} or path.is_relative_to(temporary) for path in paths)


def _arguments(options: Mapping[str, str]) -> list[str]:
    """Return the server's options as its command line has them."""
    arguments: list[str] = []
    for name, value in options.items():
        if Options.model_fields[name].annotation is bool:
            arguments.append(f"--{name.replace('_', '-')}")
        elif (name, value) != ("platform", DEFAULT_PLATFORM):
            arguments += [f"--{name.replace('_', '-')}", value]
    return arguments


def _values(platform: Platform, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the credentials of this environment by variable; of one that is in a file, the file's path.

    Raises:
        InstallError: One is missing or malformed.
    """
    mine = {
        name: value
        for credential in platform.credentials
        for name in (credential, f"{credential}_FILE")
        if (value := environ.get(name)) is not None
    }
    try:
        credentials = read({"platform": platform.name}, mine).credentials
    except ConfigurationError as error:
        raise InstallError("; ".join(error.faults), 2) from None
    if missing := [name for name in platform.credentials if name not in credentials]:
        raise InstallError(
            f"--with-secrets: {_and(missing)} {'are' if len(missing) > 1 else 'is'} not set in this environment", 2
        )
    return dict(
        (name, mine[name])
        if mine.get(name) == secret.get_secret_value()
        else (f"{name}_FILE", str(Path(mine[f"{name}_FILE"].strip()).absolute()))
        for name, secret in credentials.items()
    )


def _and(names: Sequence[str] | Mapping[str, Any]) -> str:
    return " and ".join(names)


# --- into a file ------------------------------------------------------------------------------------------------------


def merge(content: bytes, entry: Entry, client: Client, *, force: bool) -> bytes | None:
    """Return a file's content with the entry in it and everything else as it was; None if the entry is there already.

    Raises:
        InstallError: The content is not valid, or has something else in the entry's place.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InstallError("it is not UTF-8 text") from None
    change = _merge_toml if client.format == "toml" else _merge_json
    changed = change(text, entry, client, force)
    return None if changed == text else _encoded(changed)


def _other(name: str, client: Client, do: str) -> InstallError:
    return InstallError(
        f'its entry "{name}" under {client.key} does not run {COMMAND}: choose another name with --name, or {do} it with --force'
    )


def _replaced(old: Any, entry: Entry, client: Client, force: bool) -> dict[str, Any]:  # noqa: FBT001  (passed on)
    """Return what takes the place of an entry: credentials that a person put in place of placeholders stay.

    Raises:
        InstallError: The old entry is somebody else's.
    """
    new = dict(entry.value)
    if not is_ours(old):
        if not force:
            raise _other(entry.name, client, "replace")
        return new
    env, before = new.get("env", {}), old.get("env")
    if isinstance(before, dict):
        kept = {
            name: before[name]
            for name, value in env.items()
            if is_placeholder(value) and value.startswith("<") and isinstance(before.get(name), str)
        }
        if kept:
            new["env"] = {**env, **kept}
    return new


def _merge_json(text: str, entry: Entry, client: Client, force: bool) -> str:  # noqa: FBT001  (one of two of a kind)
    comments = client.format == "jsonc"
    try:
        root = jsonc.parse(text, comments=comments)
        if root is None:
            gap = "\n" if text.strip("\ufeff \t\r\n") and not text.endswith("\n") else ""
            return text + gap + jsonc.render(entry.document())
        changed = _with_entry(text, root, entry, client, force)
        missing = _missing_inputs(root, entry)
        for each in missing:
            changed = _with_input(changed, each)
        after = jsonc.parse(changed, comments=comments)
    except jsonc.InvalidJSON as error:
        raise InstallError(f"it is not valid: {error}") from None
    servers = root.value.get(entry.key, {})
    value = _replaced(servers[entry.name], entry, client, force) if entry.name in servers else dict(entry.value)
    expected = {**root.value, entry.key: {**servers, entry.name: value}}
    if missing:
        expected["inputs"] = [*root.value.get("inputs", []), *missing]
    if after is None or after.value != expected:
        raise InstallError("it is written in a way that cannot be changed safely: put the entry in by hand")
    return changed


def _with_entry(text: str, root: jsonc.Value, entry: Entry, client: Client, force: bool) -> str:  # noqa: FBT001  (passed on)
    if not isinstance(root.value, dict):
        raise InstallError("it is not a JSON object")
    value = dict(entry.value)
    servers = root.get(entry.key)
    if servers is None:
        return jsonc.insert(text, root, root, entry.key, {entry.name: value})
    if not isinstance(servers.value, dict):
        raise InstallError(f'its "{entry.key}" is not an object')
    existing = servers.get(entry.name)
    if existing is None:
        return jsonc.insert(text, root, servers, entry.name, value)
    value = _replaced(existing.value, entry, client, force)
    return text if existing.value == value else jsonc.replace(text, root, existing, value)


def _missing_inputs(root: jsonc.Value, entry: Entry) -> list[dict[str, Any]]:
    """Return what the client does not ask for yet; whatever has the id already stays as it is."""
    inputs = root.get("inputs") if entry.inputs else None
    if inputs is not None and not isinstance(inputs.value, list):
        raise InstallError('its "inputs" is not an array')
    known = [each.get("id") for each in inputs.value if isinstance(each, dict)] if inputs is not None else []
    return [dict(each) for each in entry.inputs if each["id"] not in known]


def _with_input(text: str, value: dict[str, Any]) -> str:
    root = jsonc.parse(text, comments=True)
    assert root is not None  # noqa: S101  (it was an object before)
    inputs = root.get("inputs")
    if inputs is None:
        return jsonc.insert(text, root, root, "inputs", [value])
    return jsonc.insert(text, root, inputs, "", value)


def _merge_toml(text: str, entry: Entry, client: Client, force: bool) -> str:  # noqa: FBT001  (one of two of a kind)
    import tomlkit  # nobody else needs it
    from tomlkit.exceptions import TOMLKitError

    mark, body, document, servers = _read_toml(text, entry.key)
    existing = servers.get(entry.name)
    value = dict(entry.value) if existing is None else _replaced(existing, entry, client, force)
    if existing == value:
        return text
    expected = {**document, entry.key: {**servers, entry.name: value}}

    def is_right(candidate: str) -> bool:
        return _says(candidate, expected)

    eol = "\r\n" if "\r\n" in body else "\n"
    table = tomlkit.dumps(entry.document()).replace("\n", eol)
    # A table may stand at the end of any document: so everything before it stays byte for byte.
    gap = "" if not body else eol if body.endswith("\n") else eol + eol
    if existing is None and is_right(body + gap + table):
        return mark + body + gap + table
    try:
        edited = tomlkit.parse(body)
        edited[entry.key][entry.name] = value  # a table, as tomllib has just said
        changed = tomlkit.dumps(edited)
    except TOMLKitError:
        changed = ""
    if eol == "\r\n" and not re.search(r"(?<!\r)\n", body):
        changed = re.sub(r"(?<!\r)\n", eol, changed)
    if not is_right(changed):
        raise InstallError("it is written in a way that cannot be changed safely: put the entry in by hand")
    return mark + changed


def _read_toml(text: str, key: str) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
    """Return a document's byte order mark, its text without it, what that says, and the servers in it."""
    mark, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    try:
        document = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        # Its words name characters of the file, which may be of a secret: only the place is told.
        where = re.search(r"\(at (.*)\)$", str(error))
        raise InstallError(f"it is not valid TOML: {where[1] if where else 'it ends too early'}") from None
    servers = document.get(key, {})
    if not isinstance(servers, dict):
        raise InstallError(f'its "{key}" is not a table')
    return mark, body, document, servers


def _says(text: str, expected: Mapping[str, Any]) -> bool:
    """Return whether a text is TOML that says what is expected."""
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(text) == expected
    return False


# --- out of a file ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """An entry in a client's file: what it is, and the file's content without it."""

    value: Any
    without: bytes


def find(content: bytes, name: str, client: Client) -> Found:
    """Return an entry, and a file's content without it and with everything else as it was.

    What VS Code asks for goes too, if it is as `install` writes it and no other server uses it.

    Raises:
        InstallError: The content is not valid, or there is no such entry.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InstallError("it is not UTF-8 text") from None
    value, changed = (_without_toml if client.format == "toml" else _without_json)(text, name, client)
    return Found(value, _encoded(changed))


def _absent(name: str, servers: Mapping[str, Any]) -> InstallError:
    others = [f'"{other}"' for other, value in servers.items() if is_ours(value)]
    hint = f"; this server's are {_and(others)}: choose one with --name" if others else ""
    return InstallError(f'it has no entry "{name}"{hint}')


def _unsafe() -> InstallError:
    return InstallError("it is written in a way that cannot be changed safely: take the entry out by hand")


def _without_json(text: str, name: str, client: Client) -> tuple[Any, str]:
    comments = client.format == "jsonc"
    try:
        root = jsonc.parse(text, comments=comments)
        servers = root.get(client.key) if root is not None and isinstance(root.value, dict) else None
        if root is None or servers is None or not isinstance(servers.value, dict):
            raise _absent(name, {})
        entry = servers.get(name)
        if entry is None:
            raise _absent(name, servers.value)
        changed = jsonc.remove(text, servers, [key for key, _start, _value in servers.members].index(name))
        rest = {other: value for other, value in servers.value.items() if other != name}
        expected = {**root.value, client.key: rest}
        if isinstance(entry.value, dict):
            changed, expected = _without_inputs(changed, expected, client)
        after = jsonc.parse(changed, comments=comments)
    except jsonc.InvalidJSON as error:
        raise InstallError(f"it is not valid: {error}") from None
    if after is None or after.value != expected:
        raise _unsafe()
    return entry.value, changed


def _without_inputs(text: str, document: dict[str, Any], client: Client) -> tuple[str, dict[str, Any]]:
    """Return a text and what it says without the questions that `install` added and that no server uses any more."""
    ours = [dict(each) for name in PLATFORMS for each in client.wire(load(name)).inputs]
    inputs = document.get("inputs")
    if not isinstance(inputs, list):
        return text, document
    servers = str(document[client.key])
    for each in [each for each in inputs if each in ours and f"${{input:{each['id']}}}" not in servers]:
        root = jsonc.parse(text, comments=client.format == "jsonc")
        container = root.get("inputs") if root else None
        if container is None:
            break
        text = jsonc.remove(text, container, container.value.index(each))
        document = {**document, "inputs": [other for other in document["inputs"] if other != each]}
    return text, document


def _without_toml(text: str, name: str, client: Client) -> tuple[Any, str]:
    import tomlkit  # nobody else needs it
    from tomlkit.exceptions import TOMLKitError

    mark, body, document, servers = _read_toml(text, client.key)
    if name not in servers:
        raise _absent(name, servers)
    rest = {other: value for other, value in servers.items() if other != name}
    others = {key: value for key, value in document.items() if key != client.key}
    right = [{**document, client.key: rest}] + ([] if rest else [others])
    changed = _without_tables(body, client.key, name)
    if not any(_says(changed, each) for each in right):  # it is no table under a heading of its own
        try:
            edited = tomlkit.parse(body)
            del edited[client.key][name]  # a table, as tomllib has just said
            changed = tomlkit.dumps(edited)
        except TOMLKitError:
            changed = ""
        if not any(_says(changed, each) for each in right):
            raise _unsafe()
    return servers[name], mark + changed


def _without_tables(body: str, key: str, name: str) -> str:
    """Return a TOML text without a table and those in it; comments before the next table are about that, and stay."""
    ours = re.compile(rf"""[ \t]*\[\s*["']?{re.escape(key)}["']?\s*\.\s*["']?{re.escape(name)}["']?\s*[.\]]""")
    lines = body.splitlines(keepends=True)
    headings = _headings(lines)
    kept: list[str] = []
    inside = False
    for index, line in enumerate(lines):
        if index in headings:
            inside = ours.match(line) is not None
        end = next((heading for heading in headings if heading > index), len(lines))
        about_next = not any(each.strip() and not each.lstrip().startswith("#") for each in lines[index:end])
        if not inside or about_next:
            kept.append(line)
        elif kept and not kept[-1].strip() and (index + 1 == len(lines) or not lines[index + 1].strip()):
            kept.pop()  # of the blank lines around it one stays
    return "".join(kept)


def _headings(lines: Sequence[str]) -> list[int]:
    """Return which lines of a TOML text are headings of tables: none within a string of several lines."""
    found: list[int] = []
    quotes = ""
    for index, line in enumerate(lines):
        if not quotes and _HEADING.match(line):
            found.append(index)
        for each in re.findall(r"\"{3}|'{3}", line):
            quotes = each if not quotes else "" if each == quotes else quotes
    return found


_HEADING = re.compile(r"[ \t]*\[.*\]\s*(#.*)?$")


@dataclass(frozen=True)
class Written:
    """What was done: whether the file had to be changed, where its backup is, and what it held before, if it was there."""

    changed: bool
    backup: Path | None = None
    before: bytes | None = None


def write(path: Path, entry: Entry, client: Client, *, force: bool, secret: bool) -> Written:
    """Put the entry into a client's file, wholly or not at all.

    Args:
        path: The file; a symbolic link is followed. It and its directories are made if they do not exist.
        entry: What to put in.
        client: Whose file it is.
        force: Replace an entry of that name that does not run this server, and a file that may not be written.
        secret: The entry holds credentials: a new file is for its owner alone.

    Raises:
        InstallError: It was not done, and everything is as it was.
    """
    return _edit(path, lambda before: merge(before, entry, client, force=force), force=force, secret=secret)


def _edit(path: Path, change: Callable[[bytes], bytes | None], *, force: bool, secret: bool = False) -> Written:
    target = Path(os.path.realpath(path))
    try:
        before = _read(target)
        after = change(before or b"")
        if after is None:
            return Written(changed=False, before=before)
        if before is not None and not force:
            _check_writable(target)
        with ExitStack() as undo:
            for directory in reversed([parent for parent in target.parents if not parent.exists()]):
                directory.mkdir()
                undo.callback(_remove, directory.rmdir)
            new = target.with_name(f"{target.name}.{os.getpid()}.tmp")
            _create(new, after, 0o600 if secret or before is not None else 0o666)
            undo.callback(_remove, new.unlink)
            backup = None
            if before is not None:
                status = target.stat()
                _make_alike(new, status)
                backup = _back_up(target, before, status)
                undo.callback(_remove, backup.unlink)
            _check_unchanged(target, before)
            new.replace(target)
            undo.pop_all()
            return Written(changed=True, backup=backup, before=before)
    except OSError as error:
        raise InstallError(f"it cannot be read or written: {error.strerror or 'the system refuses'}") from None


def _read(path: Path) -> bytes | None:
    if path.is_symlink():  # all that lead somewhere were followed
        raise InstallError("it is a symbolic link that leads to itself")
    if not path.exists():
        return None
    if not path.is_file():  # a pipe would keep us waiting
        raise InstallError("it is not a file")
    return path.read_bytes()


def _check_writable(path: Path) -> None:
    """Refuse a file that its owner made read-only. It would be replaced, and root may write anything: so look at its mode."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & stat.S_IWUSR or not os.access(path, os.W_OK):
        raise InstallError(
            f"it may not be written, by its mode {mode:04o}: make it writable, or replace it with --force"
        )


def _check_unchanged(path: Path, before: bytes | None) -> None:
    if _read(path) != before:
        raise InstallError("another program has just changed it: run this again")


def _remove(remove: Callable[[], None]) -> None:
    with suppress(OSError):
        remove()


def _create(path: Path, content: bytes, mode: int) -> None:
    """Create a file that was not there, and see that it is on disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def _make_alike(path: Path, status: os.stat_result) -> None:
    """Give a file another's owner, as far as that is allowed, and its mode."""
    if sys.platform != "win32":
        with suppress(OSError):
            os.chown(path, status.st_uid, status.st_gid)
    path.chmod(stat.S_IMODE(status.st_mode))


def _back_up(target: Path, content: bytes, status: os.stat_result) -> Path:
    """Keep what a file holds, beside it, under the first name that is free: earlier backups stay."""
    number = 0
    while True:
        number += 1
        path = target.with_name(f"{target.name}.{number}.bak")
        with suppress(FileExistsError):
            _create(path, content, 0o600)
            _make_alike(path, status)
            return path


# --- the command ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What the person asked for, as on the command line."""

    client: str
    options: Mapping[str, str]
    name: str | None = None
    path: str | None = None
    project: bool = False
    write: bool = False
    force: bool = False
    with_secrets: bool = False


def install(request: Request, environ: Mapping[str, str]) -> int:
    """Print the entry, or put it into the file; return the exit status: 0 done, 1 it could not be done, 2 it was asked wrongly.

    Nothing but the configuration goes to stdout; what to do with it goes to stderr.
    """
    return _carry_out("install", _install, request, environ)


def uninstall(request: Request, environ: Mapping[str, str]) -> int:
    """Print the entry that would be removed, without values of its variables, or remove it; return the exit status as above."""
    return _carry_out("uninstall", _uninstall, request, environ)


def _carry_out(
    command: str, do: Callable[[Request, Mapping[str, str]], None], request: Request, environ: Mapping[str, str]
) -> int:
    try:
        do(request, environ)
    except InstallError as error:
        sys.stderr.write(f"phone-number-mcp {command}: {error}\n")
        return error.status
    except OSError as error:  # the home directory may not be searched, or this directory is gone
        sys.stderr.write(f"phone-number-mcp {command}: {error.strerror}; name the file with --path\n")
        return 1
    return 0


def _name(request: Request, platform: Platform) -> str:
    """Return the name of the entry: the simulated platform has another than the real one, so that neither replaces the other."""
    if request.name is not None:
        if not _NAME.fullmatch(request.name):
            raise InstallError("--name: must be of letters, digits, - and _, at most 64", 2)
        return request.name
    parts = [COMMAND.removesuffix("-mcp")]
    if platform.name != DEFAULT_PLATFORM:
        parts.append(platform.name)
    if "sandbox" in request.options:
        parts.append("sandbox")
    return "-".join(parts)


def _install(request: Request, environ: Mapping[str, str]) -> None:
    client = CLIENTS[request.client]
    platform = _platform(request)
    name = _name(request, platform)
    if request.with_secrets and not request.write:
        raise InstallError("--with-secrets: goes with --write only; credentials are not shown on a screen", 2)
    path = _path(request, client, environ)
    wiring = Wiring({}, "")
    if "sandbox" not in request.options:
        wiring = client.wire(platform)
        if request.with_secrets:
            wiring = Wiring({"env": _values(platform, environ)}, "")
    program, arguments = command()
    entry = Entry(
        client.key,
        name,
        {**client.fixed, "command": program, "args": arguments + _arguments(request.options), **wiring.entry},
        wiring.inputs,
    )
    if request.write:
        lines = _written(path, entry, client, request)
    else:
        _show(entry, client)
        lines = [f"Add this to {path}, or run again with --write."]
    if is_temporary(program):
        lines.append(
            f"{program} is in a temporary place: it may be gone tomorrow. "
            "Install with `pipx install` or `uv tool install`, and run this from there."
        )
    if request.project:
        lines.append("The command's path is of this machine: it may be another one on a colleague's.")
    lines += [line for line in (wiring.todo, client.restart, client.note) if line]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _platform(request: Request) -> Platform:
    try:
        # Faults of the options only: what the environment says does not get into the entry.
        read({**request.options, "sandbox": "true"}, {})
    except ConfigurationError as error:
        raise InstallError("; ".join(error.faults), 2) from None
    return load(request.options.get("platform", DEFAULT_PLATFORM).strip().lower())


def _path(request: Request, client: Client, environ: Mapping[str, str]) -> Path:
    if request.path is not None:
        return Path(request.path).absolute()
    if not request.project:
        return place(client, system(), environ)
    if client.project is None:
        raise InstallError(f"--project: {client.title} has no file in a project", 2)
    return Path.cwd() / client.project


def _show(entry: Entry, client: Client) -> None:
    if client.format == "toml":
        import tomlkit  # nobody else needs it

        text = tomlkit.dumps(entry.document())
    else:
        text = jsonc.render(entry.document())
    # The clients read UTF-8, whatever this terminal speaks.
    sys.stdout.buffer.write(_encoded(text))
    sys.stdout.flush()


def _encoded(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # of a path that is not UTF-8, as Unix allows
        raise InstallError("the path of the command is not UTF-8 text: no client could read it") from None


def _written(path: Path, entry: Entry, client: Client, request: Request) -> list[str]:
    try:
        written = write(path, entry, client, force=request.force, secret=request.with_secrets)
    except InstallError as error:
        raise InstallError(f"{path} was not changed: {error}", error.status) from None
    if not written.changed:
        return [f"{path} has this entry already: nothing was written."]
    lines = [f"{path} has the entry now."]
    if written.backup is not None:
        lines.append(f"What it was before is in {written.backup}.")
        lines += _about_replaced(written.before or b"", entry, client)
    if request.with_secrets:
        lines.append("It holds your credentials now: keep it out of version control.")
        if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            lines.append(f"Others on this machine can read it: chmod 600 {path}")
    return lines


def _about_replaced(before: bytes, entry: Entry, client: Client) -> list[str]:
    """Return what to know of the entry that was there before, if there was one: above all, which guards are gone."""
    try:
        old = find(before, entry.name, client).value
    except InstallError:
        return []
    lines = ["The entry that was there is replaced: variables and arguments of its own are in the backup alone."]
    arguments = old.get("args") if isinstance(old, dict) else None
    given = [str(argument) for argument in arguments] if isinstance(arguments, list) else []
    known = [f"--{name.replace('_', '-')}" for name in Options.model_fields]
    if gone := [option for option in known if option in given and option not in entry.value["args"]]:
        lines.append(f"It had {_and(gone)}, which the new one does not have.")
    return lines


def _uninstall(request: Request, environ: Mapping[str, str]) -> None:
    client = CLIENTS[request.client]
    name = _name(request, _platform(request))
    path = _path(request, client, environ)

    def without(before: bytes) -> bytes:
        found = find(before, name, client)
        if not is_ours(found.value) and not request.force:
            raise _other(name, client, "remove")
        if not request.write:
            _show(Entry(client.key, name, _without_values(found.value)), client)
        return found.without

    if not path.exists():
        raise InstallError(f"{path} is not there, so it has no entry to remove")
    if not request.write:
        try:
            without(_read(Path(os.path.realpath(path))) or b"")
        except InstallError as error:
            raise InstallError(f"{path}: {error}", error.status) from None
        lines = [f"This is in {path}: run again with --write to remove it. Values of its variables are not shown."]
    else:
        try:
            edited = _edit(path, without, force=request.force)
        except InstallError as error:
            raise InstallError(f"{path} was not changed: {error}", error.status) from None
        lines = [
            f'{path} has no entry "{name}" any more.',
            f"What it was before is in {edited.backup}.",
            client.restart,
        ]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _without_values(entry: Any) -> dict[str, Any]:
    """Return an entry to be shown: what may be a credential is left out."""
    if not isinstance(entry, dict):
        return {}
    shown = {key: value for key, value in entry.items() if key in {"type", "command", "args", "env_vars"}}
    if isinstance(arguments := shown.get("args"), list):
        shown["args"] = [re.sub(r"(?<==).+", "…", each) if isinstance(each, str) else each for each in arguments]
    if isinstance(env := entry.get("env"), dict):
        shown["env"] = {
            name: value if isinstance(value, str) and is_placeholder(value) else "…" for name, value in env.items()
        }
    return shown
