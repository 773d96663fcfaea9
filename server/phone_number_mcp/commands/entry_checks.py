"""The checks of the entries in MCP clients' files: would the client start a server that works?"""

from __future__ import annotations

import io
import re
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phone_number_mcp.command_line import UsageError, given, parse
from phone_number_mcp.commands import jsonc
from phone_number_mcp.commands.checks import Check, credential_forms, failed, fault_check, passed
from phone_number_mcp.commands.clients import CLIENTS, place, system
from phone_number_mcp.commands.entries import command, is_ours
from phone_number_mcp.commands.errors import InstallError
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.settings import examine, is_placeholder

if TYPE_CHECKING:
    from phone_number_mcp.commands.clients import Client
    from phone_number_mcp.platforms import Platform


@dataclass(frozen=True)
class ClientEntry:
    """An entry for this server in a client's file; `value` None if the file cannot be read, and `problem` says why."""

    client: str
    path: Path
    name: str = ""
    value: Mapping[str, Any] | None = None
    problem: str = ""

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that it sets."""
        env = (self.value or {}).get("env")
        return {str(name): str(value) for name, value in env.items()} if isinstance(env, dict) else {}

    def resolves(self, platform: Platform, variable_name: str) -> bool:
        """Return whether a variable holds a reference that the client resolves."""
        form = CLIENTS[self.client].wire(platform).entry.get("env", {}).get(variable_name, "<")
        return not form.startswith("<") and self.env.get(variable_name) == form

    def credentials(self, platform: Platform) -> dict[str, str]:
        """Return the credentials whose values are in the entry."""
        return {
            name: self.env[name]
            for name in platform.credentials
            if self.env.get(name, "").strip() and not is_placeholder(self.env[name])
        }


def find_entries(environ: Mapping[str, str]) -> Iterator[ClientEntry]:
    """Yield each client's entries for this server."""
    for key, client in CLIENTS.items():
        paths = [Path.cwd() / client.project] if client.project else []
        with suppress(InstallError):  # several could be it: `install` says so
            paths.append(place(client, system(), environ))
        for path in paths:
            try:
                servers = _servers(path, client)
            except (OSError, ValueError) as error:
                if _mentions_us(path):
                    yield ClientEntry(key, path, problem=str(error))
                continue
            for name, value in servers.items():
                if _is_ours(name, value):
                    yield ClientEntry(key, path, name, value)


def _mentions_us(path: Path) -> bool:
    with suppress(OSError):
        return re.search(rb"phone[-_]number[-_]mcp", path.read_bytes()) is not None
    return False


def _servers(path: Path, client: Client) -> dict[str, Any]:
    """Return the entries of a client's file; none if there is no file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is not valid.
    """
    if not path.is_file():
        return {}
    text = path.read_text("utf-8-sig")
    if client.format == "toml":
        try:
            document: Any = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            raise ValueError("it is not valid TOML") from None
    else:
        try:
            root = jsonc.parse(text, comments=client.format == "jsonc")
        except jsonc.InvalidJSON as error:
            raise ValueError(str(error)) from None
        document = root.value if root else {}
    servers = document.get(client.key, {}) if isinstance(document, dict) else {}
    return servers if isinstance(servers, dict) else {}


def _is_ours(name: str, entry: Any) -> bool:
    """Return whether an entry is for this server, by its command or, if that is wrong, by its name or variables."""
    if not isinstance(entry, dict):
        return False
    variables = {credential for each in PLATFORMS for credential in load(each).credentials}
    return (
        is_ours(entry)
        or name.startswith("phone-number")
        or (isinstance(env := entry.get("env"), dict) and bool(variables & env.keys()))
    )


def _arguments(entry: Mapping[str, Any]) -> list[Any]:
    arguments = entry.get("args")
    return arguments if isinstance(arguments, list) else []


_PROGRAM = re.compile(r"(^|[/\\])phone[-_]number[-_]mcp(\.exe)?$")


def check_entry(entry: ClientEntry) -> Check:
    """Return whether the client would start a server that works with an entry."""
    title = CLIENTS[entry.client].title
    name = f"client {entry.client}"
    if entry.value is None:
        detail = f"{entry.path} cannot be read: {entry.problem}"
        return failed(name, detail, f"Fix it: {title} cannot read it either.")
    seen = passed(name, f'{entry.path} has "{entry.name}"')
    program = entry.value.get("command")
    arguments = [str(argument) for argument in _arguments(entry.value)]
    if not isinstance(program, str) or shutil.which(program) is None:
        here = " ".join((found := command())[1])
        fix = f"Put {found[0]} there" + (f", and {here} before its other arguments." if here else ".")
        return failed(name, f"{seen.detail}, whose command does not exist: {program}", fix)
    if not any(_PROGRAM.search(word) for word in (program, *arguments)):
        return replace(seen, detail=f"{seen.detail}; that {program} starts this server was not checked")
    return _as_it_runs(entry, arguments, seen)


def _options(words: list[str]) -> dict[str, str]:
    """Return the server's options on a command line.

    Raises:
        UsageError: The server would not start with it.
    """
    try:
        with redirect_stdout(io.StringIO()):
            return given(parse(words))
    except SystemExit:
        raise UsageError("it prints a text and exits", "phone-number-mcp") from None


def _as_it_runs(entry: ClientEntry, arguments: list[str], seen: Check) -> Check:
    """Return the error in an entry's arguments or variables, or `seen` if there is none."""
    place = next((place for place, word in enumerate(arguments) if _PROGRAM.search(word)), -1)  # of `-m` or uvx, say
    own = arguments[place + 1 :]
    no_start = f"{seen.detail}, with which the server does not start: "
    try:
        options = _options(own)
    except UsageError as error:
        return failed(seen.name, no_start + str(error), "Fix its arguments.")
    platform = examine(options, entry.env)[0].platform
    literal = {name: value for name, value in entry.env.items() if not entry.resolves(platform, name)}
    settings, faults = examine(options, literal)
    if faults:
        check = fault_check(faults[0])
        return failed(seen.name, no_start + check.detail, check.fix or "")
    if found := list(settings.placeholders.values()):
        held = f"{' and '.join(found)} {'hold placeholders' if len(found) > 1 else 'holds a placeholder'}"
        named = f" --name {entry.name}" if entry.name != "phone-number" else ""
        fix = f"Put the values there, or run `phone-number-mcp install {entry.client}{named} --write --with-secrets`."
        return failed(seen.name, f"{seen.detail}: {held}, so its calls answer not_configured", fix)
    wrong = next((check for check in credential_forms(settings) if not check.ok), None)
    if wrong and not settings.options.sandbox:
        return failed(seen.name, f"{seen.detail}: {wrong.detail}", wrong.fix or "")
    return seen
