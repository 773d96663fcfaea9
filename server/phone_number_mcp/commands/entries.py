"""The entry with which a client starts this server: its command, arguments and credentials, and whether one is ours."""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phone_number_mcp.commands.errors import InstallError
from phone_number_mcp.options import Options
from phone_number_mcp.platforms import DEFAULT_PLATFORM, Platform
from phone_number_mcp.settings import ConfigurationError, is_placeholder, read

if TYPE_CHECKING:
    from phone_number_mcp.commands.clients import Client

COMMAND = "phone-number-mcp"


@dataclass(frozen=True)
class Entry:
    """What is to be in a client's file: `document[key][name] = value`, and for VS Code further `inputs`."""

    key: str
    name: str
    value: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]] = ()

    def document(self) -> dict[str, Any]:
        """Return a configuration that holds this entry only."""
        inputs = {"inputs": list(self.inputs)} if self.inputs else {}
        return {**inputs, self.key: {self.name: dict(self.value)}}


def command() -> tuple[str, list[str]]:
    """Return the command that starts this server, with an absolute path: a client started from a dock has a different PATH.

    The executable that runs now; the one of the running Python if this is `python -m`; else Python itself.
    """
    argument = Path(sys.argv[0])
    beside = Path(sys.executable).with_name(COMMAND)
    for candidate in ([str(argument)] if argument.stem == COMMAND else []) + [str(beside)]:
        if (found := shutil.which(candidate)) is not None:
            return str(
                Path(found).absolute()
            ), []  # not resolved: pipx's symbolic link stays valid when its target moves
    return sys.executable, ["-m", "phone_number_mcp"]


_PROGRAM = re.compile(r"""(^|[/\\'"])(-m)?phone[-_]number[-_]mcp(\.exe|\.git)?(['"]|$|[@=:\[])""", re.IGNORECASE)


def is_ours(entry: Any) -> bool:
    """Return whether an entry runs this server, in any notation: by its path, `-m`, uvx, a container or a shell."""
    if not isinstance(entry, dict):
        return False
    arguments = entry.get("args")
    words = [entry.get("command"), *(arguments if isinstance(arguments, list) else [])]
    return any(_PROGRAM.search(part) for word in words if isinstance(word, str) for part in word.split())


def is_temporary(program: str) -> bool:
    """Return whether a command is in a cache or temporary directory: `uvx` and `pipx run` create environments there."""
    caches = {".cache", "cache", "caches", "archive-v0", "builds-v0"}
    temporary = Path(os.path.realpath(tempfile.gettempdir()))
    paths = [Path(program).absolute(), Path(os.path.realpath(program))]
    return any(caches & {part.lower() for part in path.parts} or path.is_relative_to(temporary) for path in paths)


def arguments_of(options: Mapping[str, str]) -> list[str]:
    """Return the server's options as command-line arguments."""
    arguments: list[str] = []
    for name, value in options.items():
        if Options.model_fields[name].annotation is bool:
            arguments.append(f"--{name.replace('_', '-')}")
        elif (name, value) != ("platform", DEFAULT_PLATFORM):
            arguments += [f"--{name.replace('_', '-')}", value]
    return arguments


def credential_values(platform: Platform, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the credentials of this environment by variable; for one that is in a file, the file's path.

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
            f"--with-secrets: {' and '.join(missing)} {'are' if len(missing) > 1 else 'is'} not set in this environment",
            2,
        )
    return dict(
        (name, mine[name])
        if mine.get(name) == secret.get_secret_value()
        else (f"{name}_FILE", str(Path(mine[f"{name}_FILE"].strip()).absolute()))
        for name, secret in credentials.items()
    )


def not_ours(name: str, client: Client, do: str) -> InstallError:
    """Return the error for an entry that runs another program; `do` is what --force would do with it."""
    return InstallError(
        f'its entry "{name}" under {client.key} does not run {COMMAND}: choose another name with --name, or {do} it with --force'
    )


def replacement(old: Any, entry: Entry, client: Client, *, force: bool) -> dict[str, Any]:
    """Return the value that replaces an entry's; credentials that a person entered over placeholders are kept.

    Raises:
        InstallError: The old entry runs another program.
    """
    new = dict(entry.value)
    if not is_ours(old):
        if not force:
            raise not_ours(entry.name, client, "replace")
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


def absent(name: str, servers: Mapping[str, Any]) -> InstallError:
    """Return the error for an entry that is not in a file; it lists the entries of this server that are."""
    others = [f'"{other}"' for other, value in servers.items() if is_ours(value)]
    hint = f"; this server's are {' and '.join(others)}: choose one with --name" if others else ""
    return InstallError(f'it has no entry "{name}"{hint}')
