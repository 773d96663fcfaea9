"""The command line: its commands and options, read into a namespace. Nothing is run here, and no option is validated."""

from __future__ import annotations

import argparse
import re
import sys
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from phone_number_mcp import __version__
from phone_number_mcp.platforms import DEFAULT_PLATFORM, PLATFORMS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

OPTIONS = (
    "platform",
    "sandbox",
    "read_only",
    "tools",
    "allow_delete",
    "confirm",
    "confirm_timeout",
    "max_creates",
    "timeout",
    "log_level",
    "journal",
)
"""The server's options, as attributes of the namespace; `options.Options` says what each may be."""


class UsageError(Exception):
    """A command line that cannot be used. The message holds no value: people do put keys on command lines.

    Args:
        message: What is wrong, without the program's name.
        command: As it is called, such as `phone-number-mcp install`.
    """

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return what a command line asks for: `command` names the command, "" the server over stdio.

    Raises:
        UsageError: It cannot be used.
        SystemExit: It asks for `--help` or `--version`, which is printed.
    """
    return parser().parse_args(words)


def given(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the server's options that the command line has, as text, by name."""
    return {name: value for name in OPTIONS if (value := getattr(arguments, name, None)) is not None}


class _Parser(argparse.ArgumentParser):
    """A parser whose errors never repeat a value: people do put keys on command lines."""

    commands: Sequence[str] = ()
    """Those that it has."""
    _given: Sequence[str] = ()

    def parse_known_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202  (argparse's overloads)
        self._given = sys.argv[1:] if args is None else list(args)
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        command = next((word for word in self._given if word in self.commands), None)
        known = set(re.findall(r"--?[a-z][a-z-]*", self.format_help()))
        unknown = [
            name for part in self._given if (name := part.partition("=")[0]).startswith("-") and name not in known
        ]
        if unknown:
            # Shown only if it can be no secret: a word of letters.
            shown = unknown[0] if re.fullmatch(r"--[a-z]+(?:-[a-z]+)*", unknown[0]) else "that is not in --help"
            message = f"there is no option {shown}"
            if re.search("key|secret|token|password|credential", unknown[0], re.IGNORECASE):
                message += ". Credentials are read from the environment, never from the command line"
        elif "unrecognized" in message and command and (late := [word for word in self._given if word in known]):
            message = f"{command} does not take {late[0]}"
        elif "unrecognized" in message or "invalid choice" in message:
            message = "there is no such command"
        else:
            message = re.split(r"['\"]", message)[0].rstrip(": ")
        where = f"{self.prog} {command}" if command else self.prog
        raise UsageError(message, where)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = _Parser(
        prog="phone-number-mcp",
        description="Phone-number tools for AI agents: an MCP server over stdio. Credentials come from the environment.",
        epilog="Each option is also an environment variable: --log-level is PHONE_NUMBER_MCP_LOG_LEVEL. An option wins.",
        allow_abbrev=False,
    )
    root.add_argument("--version", action="version", version=f"phone-number-mcp {__version__}")
    _add_options(root)
    root.set_defaults(command="")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", description="without one: serve MCP over stdio")

    http = commands.add_parser("http", help="serve MCP over HTTP, to clients on this machine", allow_abbrev=False)
    http.add_argument("--host", metavar="HOST", help="a loopback address (default: 127.0.0.1)")
    http.add_argument("--port", metavar="PORT", help="default: 8000; 0 takes a free one")
    _add_options(http, default=argparse.SUPPRESS)  # what stands before the command counts, too
    http.set_defaults(command="http")

    doctor = commands.add_parser(
        "doctor", help="say what is wrong with this set-up, and how to fix it", allow_abbrev=False
    )
    doctor.add_argument("--json", action="store_true", help="for a machine: one JSON object")
    _add_options(doctor, default=argparse.SUPPRESS)
    doctor.set_defaults(command="doctor")

    demo = commands.add_parser("demo", help="watch a client use the server, against the sandbox", allow_abbrev=False)
    names = " or ".join(PLATFORMS)
    demo.add_argument("--platform", type=_platform, metavar="NAME", default=argparse.SUPPRESS, help=names)
    demo.set_defaults(command="demo")

    _add_install(commands)
    _add_journal(commands)

    sandbox = commands.add_parser("sandbox", help="serve the simulated platforms over HTTP", allow_abbrev=False)
    sandbox.add_argument("--port", type=_port, default=8080, metavar="PORT", help="on 127.0.0.1 (default: 8080)")
    sandbox.set_defaults(command="sandbox")
    root.commands = list(commands.choices)
    return root


def _add_install(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Add `install` and `uninstall`."""
    install = commands.add_parser(
        "install",
        help="print the entry for an MCP client's configuration, or write it there",
        description="The server's options get into the entry.",
        allow_abbrev=False,
    )
    uninstall = commands.add_parser(
        "uninstall",
        help="print the entry that would be removed from an MCP client's configuration, or remove it",
        description="--platform and --sandbox choose the entry as they do for install.",
        allow_abbrev=False,
    )
    clients = "claude-desktop, claude-code, cursor, vscode, windsurf or codex"
    for each, write, force in (
        (
            install,
            "put the entry into the file; a backup is kept",
            "replace also an entry of that name that does not run this server, or a read-only file",
        ),
        (
            uninstall,
            "remove the entry from the file; a backup is kept",
            "remove also an entry that does not run this server, or from a read-only file",
        ),
    ):
        each.add_argument("client", metavar="CLIENT", help=clients)
        each.add_argument(
            "--name", metavar="NAME", help="of the entry (default: phone-number, or phone-number-sandbox)"
        )
        where = each.add_mutually_exclusive_group()
        where.add_argument("--path", metavar="FILE", help="another file than the user's own")
        where.add_argument("--project", action="store_true", help="the file of the project in this directory")
        each.add_argument("--write", action="store_true", help=write)
        each.add_argument("--force", action="store_true", help=force)
        _add_options(each, default=argparse.SUPPRESS)
    install.add_argument(
        "--with-secrets", action="store_true", help="write this environment's credentials into the file, in clear text"
    )
    install.set_defaults(command="install")
    uninstall.set_defaults(command="uninstall")


def _add_journal(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Add `journal` and what can be done with it."""
    journal = commands.add_parser("journal", help="show which writes were sent and how each ended", allow_abbrev=False)
    journal.add_argument("--json", action="store_true", help="for a machine: one JSON array")
    journal.add_argument("--unsettled", action="store_true", help="only writes of which the outcome is not known")
    elsewhere = partial(
        _Parser.add_argument, metavar="PATH", default=argparse.SUPPRESS, help="another journal than the user's own"
    )
    elsewhere(journal, "--journal")
    journal.set_defaults(command="journal")
    on_journal = journal.add_subparsers(title="commands", metavar="COMMAND")
    resolve = on_journal.add_parser(
        "resolve", help="record the outcome of a write that only a person can find out", allow_abbrev=False
    )
    resolve.add_argument("id", type=int, metavar="ID", help="of the write, as `journal --unsettled` shows it")
    outcome = resolve.add_mutually_exclusive_group(required=True)
    for name, help_ in (("applied", "the platform did it"), ("not_applied", "the platform did not do it")):
        outcome.add_argument(
            f"--{name.replace('_', '-')}", dest="outcome", action="store_const", const=name, help=help_
        )
    resolve.add_argument(
        "--phone-number",
        type=_phone_number,
        metavar="NUMBER",
        help="the number that the platform chose, if it chose one",
    )
    elsewhere(resolve, "--journal")
    resolve.set_defaults(command="journal resolve")
    prune = on_journal.add_parser(
        "prune",
        help="remove old entries, never unresolved ones",
        description="Removes entries of writes that were claimed before a date (UTC) and whose outcome is known. A key that is "
        "removed is a key that can buy again: so an idempotency key is kept for the 7 days in which it counts, whatever the "
        "date. Also kept: unresolved writes, creates that were not reported to a client yet, the last 24 hours, by which "
        "--max-creates counts, and the newest entry. Servers may run meanwhile.",
        allow_abbrev=False,
    )
    prune.add_argument(
        "--before", type=_past_day, metavar="DATE", required=True, help="such as 2026-01-31; not in the future"
    )
    elsewhere(prune, "--journal")
    prune.set_defaults(command="journal prune")


def _add_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the server's options, for any transport."""
    add = partial(parser.add_argument, default=default)
    add("--platform", metavar="NAME", help=f"the voice-AI platform: {_platforms()}")
    add("--sandbox", action="store_const", const="true", help="a simulated platform: nothing is real")
    add("--read-only", action="store_const", const="true", help="only tools that change nothing")
    add("--tools", metavar="A,B", help="exactly these tools")
    add("--allow-delete", action="store_const", const="true", help="the tool that releases a number, too")
    add("--confirm", metavar="WHEN", help="never (default), or always: ask the person before every write")
    add("--confirm-timeout", metavar="SECONDS", help="for the person's answer (default: 45)")
    add("--max-creates", metavar="N", help="how many numbers may be created a day")
    add("--timeout", metavar="SECONDS", help="for one tool call (default: 25)")
    add("--log-level", metavar="LEVEL", help="debug, info, warning or error (default: warning)")
    add("--journal", metavar="PATH", help="of the journal of writes")


def _platforms() -> str:
    return " or ".join(f"{name} (default)" if name == DEFAULT_PLATFORM else name for name in PLATFORMS)


def _port(value: str) -> int:
    if not value.isdecimal() or int(value) > 65535:  # a TCP port, RFC 9293
        raise argparse.ArgumentTypeError("must be a port, 0 to 65535")
    return int(value)


def _phone_number(value: str) -> str:
    from phone_number_mcp.e164 import parse  # only this command needs it

    try:
        return parse(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _past_day(value: str) -> date:
    from datetime import UTC, date, datetime  # only this command needs it

    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a date such as 2026-01-31") from None
    if day > datetime.now(UTC).date():
        raise argparse.ArgumentTypeError("must not be in the future")
    return day


def _platform(value: str) -> str:
    if value not in PLATFORMS:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(PLATFORMS)}")
    return value
