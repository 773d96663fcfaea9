"""`phone-number-mcp install CLIENT` and `uninstall CLIENT`: print the entry with which an MCP client starts
this server, add it to the client's file, or remove it.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phone_number_mcp.commands.clients import CLIENTS, Client, Wiring, place, system
from phone_number_mcp.commands.editors import find, merge, render
from phone_number_mcp.commands.entries import (
    COMMAND,
    Entry,
    arguments_of,
    command,
    credential_values,
    is_ours,
    is_temporary,
    not_ours,
)
from phone_number_mcp.commands.errors import InstallError
from phone_number_mcp.commands.files import Written, edit, read_file
from phone_number_mcp.options import Options
from phone_number_mcp.platforms import DEFAULT_PLATFORM, Platform, load
from phone_number_mcp.settings import NAMED_SECRET, ConfigurationError, is_placeholder, read

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")  # what Claude Code and Codex accept; the others accept more


@dataclass(frozen=True)
class Request:
    """The command line's arguments."""

    client: str
    options: Mapping[str, str]
    name: str | None = None
    path: str | None = None
    project: bool = False
    write: bool = False
    force: bool = False
    with_secrets: bool = False


def install(request: Request, environ: Mapping[str, str]) -> int:
    """Print the entry or write it into the file; return the exit status: 0 done, 1 failed, 2 wrong arguments.

    The configuration goes to stdout, instructions go to stderr.
    """
    return _carry_out("install", _install, request, environ)


def uninstall(request: Request, environ: Mapping[str, str]) -> int:
    """Print the entry that would be removed, without its variables' values, or remove it; return the exit status as `install`."""
    return _carry_out("uninstall", _uninstall, request, environ)


def _carry_out(
    command: str, do: Callable[[Request, Mapping[str, str]], None], request: Request, environ: Mapping[str, str]
) -> int:
    try:
        do(request, environ)
    except InstallError as error:
        sys.stderr.write(f"phone-number-mcp {command}: {error}\n")
        return error.status
    except OSError as error:  # no permission to search the home directory, or the working directory was removed
        sys.stderr.write(f"phone-number-mcp {command}: {error.strerror}; name the file with --path\n")
        return 1
    return 0


def _name(request: Request, platform: Platform) -> str:
    """Return the entry's name; the sandbox has a different one than the real platform, so that neither replaces the other."""
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
            wiring = Wiring({"env": credential_values(platform, environ)}, "")
    program, arguments = command()
    entry = Entry(
        client.key,
        name,
        {**client.fixed, "command": program, "args": arguments + arguments_of(request.options), **wiring.entry},
        wiring.inputs,
    )
    if request.write:
        lines = _written(path, entry, client, request)
    else:
        _show(entry, client)
        lines = [f"Add this to {path}, or run again with --write."]
    if is_temporary(program):
        lines.append(
            f"{program} is in a temporary directory and may be deleted. "
            "Install with `pipx install` or `uv tool install`, and run this command from there."
        )
    if named := sorted(name for name in environ if name.startswith(NAMED_SECRET)):
        lines.append(
            f"The entry has none of {', '.join(named)}: add what it needs under its variables, best as …_FILE with a path."
        )
    if request.project:
        lines.append("The command's path is that of this machine: on another machine it may differ.")
    lines += [line for line in (wiring.todo, client.restart, client.note) if line]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _platform(request: Request) -> Platform:
    try:
        # Only the options are checked: the environment does not get into the entry.
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
    # The clients read UTF-8, whatever the terminal's encoding is.
    sys.stdout.buffer.write(render(entry, client))
    sys.stdout.flush()


def write(path: Path, entry: Entry, client: Client, *, force: bool, secret: bool) -> Written:
    """Write the entry into a client's file, completely or not at all.

    Args:
        path: The file; a symbolic link is followed. It and its directories are created if they do not exist.
        entry: The entry.
        client: Whose file it is.
        force: Replace an entry of that name that does not run this server, and a read-only file.
        secret: The entry holds credentials: a new file is readable by its owner only.

    Raises:
        InstallError: Nothing was changed.
    """
    return edit(path, lambda before: merge(before, entry, client, force=force), force=force, secret=secret)


def _written(path: Path, entry: Entry, client: Client, request: Request) -> list[str]:
    try:
        written = write(path, entry, client, force=request.force, secret=request.with_secrets)
    except InstallError as error:
        raise InstallError(f"{path} was not changed: {error}", error.status) from None
    if not written.changed:
        return [f"{path} already has this entry: nothing was written."]
    lines = [f"The entry was written to {path}."]
    if written.backup is not None:
        lines.append(f"The previous content is in {written.backup}.")
        lines += _about_replaced(written.before or b"", entry, client)
    if request.with_secrets:
        lines.append("The file now holds your credentials: keep it out of version control.")
        if sys.platform != "win32" and stat.S_IMODE(path.stat().st_mode) & 0o077:
            lines.append(f"Other users of this machine can read it: chmod 600 {path}")
    return lines


def _about_replaced(before: bytes, entry: Entry, client: Client) -> list[str]:
    """Return what the person should know about the replaced entry, if there was one: above all, which options are no longer set."""
    try:
        old = find(before, entry.name, client).value
    except InstallError:
        return []
    lines = ["The previous entry was replaced: its own variables and arguments are only in the backup."]
    arguments = old.get("args") if isinstance(old, dict) else None
    given = [str(argument) for argument in arguments] if isinstance(arguments, list) else []
    known = [f"--{name.replace('_', '-')}" for name in Options.model_fields]
    if gone := [option for option in known if option in given and option not in entry.value["args"]]:
        lines.append(f"It had {' and '.join(gone)}, which the new one does not have.")
    return lines


def _uninstall(request: Request, environ: Mapping[str, str]) -> None:
    client = CLIENTS[request.client]
    name = _name(request, _platform(request))
    path = _path(request, client, environ)

    def without(before: bytes) -> bytes:
        found = find(before, name, client)
        if not is_ours(found.value) and not request.force:
            raise not_ours(name, client, "remove")
        if not request.write:
            _show(Entry(client.key, name, _without_values(found.value)), client)
        return found.without

    if not path.exists():
        raise InstallError(f"{path} does not exist, so there is no entry to remove")
    if not request.write:
        try:
            without(read_file(Path(os.path.realpath(path))) or b"")
        except InstallError as error:
            raise InstallError(f"{path}: {error}", error.status) from None
        lines = [f"This entry is in {path}: run again with --write to remove it. Its variables' values are not shown."]
    else:
        try:
            edited = edit(path, without, force=request.force)
        except InstallError as error:
            raise InstallError(f"{path} was not changed: {error}", error.status) from None
        lines = [
            f'The entry "{name}" was removed from {path}.',
            f"The previous content is in {edited.backup}.",
            client.restart,
        ]
    sys.stderr.write("".join(f"{line}\n" for line in lines))


def _without_values(entry: Any) -> dict[str, Any]:
    """Return an entry without anything that may be a credential."""
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
