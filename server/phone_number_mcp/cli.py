"""The command: arguments → settings → run one thing. What a command needs is imported where it runs."""

from __future__ import annotations

import argparse
import gc
import importlib.util
import io
import logging
import os
import re
import signal
import sys
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from phone_number_mcp import __version__
from phone_number_mcp.platforms import PLATFORMS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from datetime import date

    from mcp.server.lowlevel import Server

    from phone_number_mcp.commands.install import Request
    from phone_number_mcp.platforms import Platform
    from phone_number_mcp.sanitize import Sanitizer
    from phone_number_mcp.settings import Settings
    from phone_number_mcp.upstream.api import ASGIApp
    from phone_number_mcp.writes.journal import Journal

USAGE_ERROR = 2
SECONDS_TO_END = 1.9
"""After this long, the process is gone, whatever hangs: after two seconds, clients kill it."""
AFTER_THE_START = 1.0
"""Seconds until what the first call needs is made ready, if nobody asks for the tools before: the start itself comes first."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 all well, 1 it did not hold, 2 it was asked or configured wrongly."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except KeyboardInterrupt:
        return 130


# --- the commands -----------------------------------------------------------------------------------------------------


def _serve_stdio(arguments: argparse.Namespace) -> int:
    def stdio(_settings: Settings) -> Transport:
        from phone_number_mcp.transports.stdio import Stdio  # noqa: PLC0415

        if os.isatty(0) and sys.stderr is not None:
            sys.stderr.write(_AT_A_TERMINAL)
            sys.stderr.flush()
        return Stdio()

    return _serve(arguments, stdio)


_AT_A_TERMINAL = (
    "phone-number-mcp waits for an MCP client on stdin (ctrl-c ends it). "
    "To check this set-up: phone-number-mcp doctor. To see it work: phone-number-mcp demo\n"
)
"""For whoever starts the server by hand and sees nothing happen."""


def _serve_http(arguments: argparse.Namespace) -> int:
    def http(settings: Settings) -> Transport:
        from phone_number_mcp.settings import HttpOptions  # noqa: PLC0415
        from phone_number_mcp.transports.http import Http, listen  # noqa: PLC0415

        options = settings.http or HttpOptions()
        try:
            return Http(listen(options.host, options.port))
        except OSError as error:
            reason = f"port {options.port} cannot be used: {error.strerror}. Try --port"
            sys.stderr.write(f"phone-number-mcp http: {reason}\n")
            sys.exit(1)

    listening = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
    return _serve(arguments, http, listening)


class Transport(Protocol):
    """How clients reach the server."""

    async def serve(self, server: Server[Any]) -> None:
        """Serve until there is nobody left, or `stop` is called."""

    def quiesce(self) -> None:
        """Begin nothing more; what is under way goes on."""

    def stop(self) -> None:
        """End soon."""


def _serve(
    arguments: argparse.Namespace, open_transport: Callable[[Settings], Transport], http: dict[str, str] | None = None
) -> int:
    for each in _ending_signals():  # until there is something to settle
        signal.signal(each, lambda received, _: os._exit(128 + received))
    _open_standard_streams()
    gc.disable()  # what the imports make lives on: searching it for garbage takes a fifth of the start
    from phone_number_mcp.settings import ConfigurationError, read  # noqa: PLC0415  (--help needs none of it)

    try:
        settings = read(_given(arguments), os.environ, http=http)
    except ConfigurationError as error:
        return _refuse(error.faults)

    import asyncio  # noqa: PLC0415

    import anyio  # noqa: PLC0415

    # What they import for others (the SDK's client, HTTP, its other server) takes 60 ms.
    _import_lazily("mcp")
    _import_lazily("mcp.server")
    from phone_number_mcp.app import build  # noqa: PLC0415
    from phone_number_mcp.sanitize import Sanitizer  # noqa: PLC0415
    from phone_number_mcp.upstream.api import Api  # noqa: PLC0415
    from phone_number_mcp.writes.executor import Writes  # noqa: PLC0415

    options, platform = settings.options, settings.platform
    sanitize = Sanitizer(settings.secrets())
    _log_to_stderr(options.log_level, sanitize)
    transport = open_transport(settings)

    async def run() -> None:
        status = 0
        loop = asyncio.get_running_loop()
        with _signals() as signals:
            async with anyio.create_task_group() as tasks:
                async with (
                    Api(
                        base_url=settings.base_url,
                        decipher=platform.decipher,
                        encode=platform.encode,
                        timeout=options.timeout,
                        app=_embedded(platform) if options.sandbox else None,
                    ) as api,
                    Writes(
                        platform,
                        api,
                        # What is simulated must not be taken for a purchase, where one journal serves both.
                        name=platform.name + (" (sandbox)" if options.sandbox else ""),
                        address=settings.base_url,
                        journal=partial(_journal, settings),
                        max_creates=options.max_creates,
                    ) as writes,
                ):

                    async def end_on_signal() -> None:
                        nonlocal status
                        status = 128 + await anext(signals)
                        loop.call_later(SECONDS_TO_END, os._exit, status)  # whatever may hang
                        transport.quiesce()
                        await writes.drain()
                        transport.stop()

                    tasks.start_soon(end_on_signal)
                    if settings.configured:
                        loop.call_later(AFTER_THE_START, api.prepare)
                    server = build(settings, api, writes, sanitize)
                    gc.freeze()
                    gc.enable()
                    await transport.serve(server)
                    loop.call_later(SECONDS_TO_END, lambda: os._exit(status))
                tasks.cancel_scope.cancel()
            # All is closed. An ordinary exit would wait for a thread that may be looking up a host, or reading a terminal.
            os._exit(status)

    anyio.run(run)
    return 0


def given(words: Sequence[str]) -> dict[str, str]:
    """Return the options of the server that a command line has.

    Raises:
        ValueError: The command would refuse it; the message says why.
    """
    told = io.StringIO()
    try:
        with redirect_stderr(told), redirect_stdout(told):
            arguments = _parser().parse_args(words)
    except SystemExit:
        raise ValueError(told.getvalue().partition(": ")[2].partition(". See")[0].strip()) from None
    return _given(arguments)


def _given(arguments: argparse.Namespace) -> dict[str, str]:
    """Return the options of the server that the command line has."""
    from phone_number_mcp.settings import Options  # noqa: PLC0415

    return {name: value for name in Options.model_fields if (value := getattr(arguments, name)) is not None}


def _refuse(faults: Sequence[str]) -> int:
    listed = "".join(f"\n  {fault}" for fault in faults)
    sys.stderr.write(f"phone-number-mcp cannot start with this configuration:{listed}\n")
    return USAGE_ERROR


def _journal(settings: Settings) -> Journal:
    from phone_number_mcp.writes.database import MEMORY, default_place  # noqa: PLC0415  (the first write needs it)
    from phone_number_mcp.writes.sqlite import SqliteJournal  # noqa: PLC0415  (SQLite)

    place = settings.options.journal
    if place is None and settings.options.sandbox:
        place = MEMORY
    return SqliteJournal(place or default_place(), may_forget=place is None)


def _import_lazily(package: str) -> None:
    """Import a package, but run its `__init__.py` only once somebody asks for one of its own names.

    Its modules can be imported as ever. Works as `importlib.util.LazyLoader` does, which runs a package as soon as one of its
    modules is imported.
    """
    if package in sys.modules or (spec := importlib.util.find_spec(package)) is None or (loader := spec.loader) is None:
        return
    module = importlib.util.module_from_spec(spec)

    def load(name: str) -> object:
        if name.startswith("__"):  # Python itself, looking for what a module may have
            raise AttributeError(name)
        del module.__dict__["__getattr__"]
        loader.exec_module(module)
        return getattr(module, name)

    module.__dict__["__getattr__"] = load
    sys.modules[package] = module
    parent, _, name = package.rpartition(".")
    if parent:
        setattr(sys.modules[parent], name, module)


def _open_standard_streams() -> None:
    """See that descriptors 0 to 2 are taken: whatever is opened next would be taken for stdin, stdout or stderr."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  (stderr)
        pass
    os.close(fd)


def _ending_signals() -> list[signal.Signals]:
    """Return the signals that end the server: not those that whoever started it has it ignore, as nohup does."""
    if sys.platform == "win32":  # where the event loop takes none
        return []
    ending = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    return [each for each in ending if signal.getsignal(each) is not signal.SIG_IGN]


@contextmanager
def _signals() -> Iterator[AsyncIterator[int]]:
    """Receive the signals that end the server, until the end: the second must not do what the first could not."""
    import anyio  # noqa: PLC0415

    async def none() -> AsyncIterator[int]:
        await anyio.sleep_forever()
        yield 0

    ending = _ending_signals()
    if not ending:
        yield none()
        return
    with anyio.open_signal_receiver(*ending) as received:
        yield aiter(received)


def _show_journal(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.journal import show  # noqa: PLC0415

    return _on_journal(arguments, partial(show, as_json=arguments.json, unresolved=arguments.unsettled))


def _resolve_in_journal(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.journal import resolve  # noqa: PLC0415

    if arguments.phone_number is not None and arguments.outcome != "applied":
        sys.stderr.write("phone-number-mcp journal resolve: argument --phone-number: goes with --applied only\n")
        return USAGE_ERROR
    return _on_journal(
        arguments,
        lambda place: resolve(place, arguments.id, arguments.outcome, arguments.phone_number),
    )


def _prune_journal(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.journal import prune  # noqa: PLC0415

    return _on_journal(arguments, lambda place: prune(place, arguments.before))


def _on_journal(arguments: argparse.Namespace, command: Callable[[str | None], int]) -> int:
    """Run a command on the journal that the options and the environment name; None is the default one."""
    from phone_number_mcp.settings import ConfigurationError, read  # noqa: PLC0415

    try:
        # As the server reads it; what else it needs does not matter here.
        settings = read({"sandbox": "true"} | ({"journal": arguments.journal} if arguments.journal else {}), os.environ)
    except ConfigurationError as error:
        return _refuse(error.faults)
    return command(settings.options.journal)


def _examine(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.doctor import run  # noqa: PLC0415

    return run(_given(arguments), os.environ, as_json=arguments.json)


def _embedded(platform: Platform) -> ASGIApp:
    from phone_number_mcp.sandbox import create_app  # noqa: PLC0415

    return create_app(platform.sandbox())


def _serve_sandbox(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.sandbox import serve  # noqa: PLC0415

    return serve(port=arguments.port)


def _demo(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.demo import run  # noqa: PLC0415

    return run(arguments.platform or "zudu")


def _install(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.install import install  # noqa: PLC0415

    return install(_request(arguments), os.environ)


def _uninstall(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.install import uninstall  # noqa: PLC0415

    return uninstall(_request(arguments), os.environ)


def _request(arguments: argparse.Namespace) -> Request:
    from phone_number_mcp.commands.install import Request  # noqa: PLC0415

    return Request(
        client=arguments.client,
        options=_given(arguments),
        name=arguments.name,
        path=arguments.path,
        project=arguments.project,
        write=arguments.write,
        force=arguments.force,
        with_secrets=getattr(arguments, "with_secrets", False),
    )


# --- the command line -------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints never repeat a value: people do put keys on command lines."""

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
        self.exit(USAGE_ERROR, f"{self.prog}: {message}. See {where} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="phone-number-mcp",
        description="Phone-number tools for AI agents: an MCP server over stdio. Credentials come from the environment.",
        epilog="Each option is also an environment variable: --log-level is PHONE_NUMBER_MCP_LOG_LEVEL. An option wins.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"phone-number-mcp {__version__}")
    _add_options(parser)
    parser.set_defaults(run=_serve_stdio)
    commands = parser.add_subparsers(
        title="commands", metavar="COMMAND", description="without one: serve MCP over stdio"
    )

    http = commands.add_parser("http", help="serve MCP over HTTP, to clients on this machine", allow_abbrev=False)
    http.add_argument("--host", metavar="HOST", help="a loopback address (default: 127.0.0.1)")
    http.add_argument("--port", metavar="PORT", help="default: 8000; 0 takes a free one")
    _add_options(http, default=argparse.SUPPRESS)  # what stands before the command counts, too
    http.set_defaults(run=_serve_http)

    doctor = commands.add_parser(
        "doctor", help="say what is wrong with this set-up, and how to fix it", allow_abbrev=False
    )
    doctor.add_argument("--json", action="store_true", help="for a machine: one JSON object")
    _add_options(doctor, default=argparse.SUPPRESS)
    doctor.set_defaults(run=_examine)

    demo = commands.add_parser("demo", help="watch a client use the server, against the sandbox", allow_abbrev=False)
    names = " or ".join(PLATFORMS)
    demo.add_argument("--platform", type=_platform, metavar="NAME", default=argparse.SUPPRESS, help=names)
    demo.set_defaults(run=_demo)

    _add_install(commands)
    _add_journal(commands)

    sandbox = commands.add_parser("sandbox", help="serve the simulated platforms over HTTP", allow_abbrev=False)
    sandbox.add_argument("--port", type=_port, default=8080, metavar="PORT", help="on 127.0.0.1 (default: 8080)")
    sandbox.set_defaults(run=_serve_sandbox)
    parser.commands = list(commands.choices)
    return parser


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
        each.add_argument("client", type=_client, metavar="CLIENT", help=clients)
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
    install.set_defaults(run=_install)
    uninstall.set_defaults(run=_uninstall)


def _add_journal(commands: argparse._SubParsersAction[_Parser]) -> None:
    """Add `journal` and what can be done with it."""
    journal = commands.add_parser("journal", help="show which writes were sent and how each ended", allow_abbrev=False)
    journal.add_argument("--json", action="store_true", help="for a machine: one JSON array")
    journal.add_argument("--unsettled", action="store_true", help="only writes of which the outcome is not known")
    elsewhere = partial(
        _Parser.add_argument, metavar="PATH", default=argparse.SUPPRESS, help="another journal than the user's own"
    )
    elsewhere(journal, "--journal")
    journal.set_defaults(run=_show_journal)
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
    resolve.set_defaults(run=_resolve_in_journal)
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
    prune.set_defaults(run=_prune_journal)


def _add_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add what the server can be told, over whatever transport."""
    add = partial(parser.add_argument, default=default)
    add("--platform", metavar="NAME", help="the voice-AI platform: zudu (default) or retell")
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


def _port(value: str) -> int:
    if not value.isdecimal() or int(value) > 65535:  # noqa: PLR2004  (a TCP port, RFC 9293)
        raise argparse.ArgumentTypeError("must be a port, 0 to 65535")
    return int(value)


def _phone_number(value: str) -> str:
    from phone_number_mcp.e164 import parse  # noqa: PLC0415  (only this command needs it)

    try:
        return parse(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _past_day(value: str) -> date:
    from datetime import UTC, date, datetime  # noqa: PLC0415  (only this command needs it)

    try:
        day = date.fromisoformat(value)
    except ValueError:
        raise argparse.ArgumentTypeError("must be a date such as 2026-01-31") from None
    if day > datetime.now(UTC).date():
        raise argparse.ArgumentTypeError("must not be in the future")
    return day


def _client(value: str) -> str:
    from phone_number_mcp.commands.install import CLIENTS  # noqa: PLC0415  (only this command needs it)

    if value not in CLIENTS:
        raise argparse.ArgumentTypeError(f"must be one of {', '.join(CLIENTS)}")
    return value


def _platform(value: str) -> str:
    if value not in PLATFORMS:
        raise argparse.ArgumentTypeError(f"must be {' or '.join(PLATFORMS)}")
    return value


# --- the log ----------------------------------------------------------------------------------------------------------


class _Formatter(logging.Formatter):
    def __init__(self, sanitize: Sanitizer) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._sanitize = sanitize

    def format(self, record: logging.LogRecord) -> str:
        secrets = getattr(record, "secrets", ())  # those among the arguments of the call that crashed
        return self._sanitize.also(secrets).lines(super().format(record))


class _Stderr(logging.Handler):
    """Writes lines to stderr as long as somebody reads it: a log that nobody reads must not stop the server."""

    def __init__(self) -> None:
        super().__init__()
        self._dropped = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001  (a log never brings down what it tells of)
            line = f"{record.name}: a line that cannot be formatted\n"
        if self._dropped:
            line = f"(nobody read {self._dropped} lines before this one)\n{line}"
        self._dropped = 0 if _write_without_waiting(2, line.encode(errors="backslashreplace")) else self._dropped + 1


def _write_without_waiting(fd: int, data: bytes) -> bool:
    """Write data if it is taken at once; return whether all of it was."""
    try:
        if sys.platform == "win32":  # there, nothing tells whether a pipe has room
            os.write(fd, data)
            return True
        import select  # noqa: PLC0415  (only where there is something to log)

        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        # A pipe that is ready takes PIPE_BUF bytes without waiting: pipe(7).
        for start in range(0, len(data), select.PIPE_BUF):
            if not poll.poll(0):
                return False
            os.write(fd, data[start : start + select.PIPE_BUF])
    except OSError:  # closed
        return False
    return True


def _log_to_stderr(level: str, sanitize: Sanitizer) -> None:
    handler = _Stderr()
    handler.setFormatter(_Formatter(sanitize))
    logging.root.addHandler(handler)
    # Others' debug logs show whole messages, arguments and headers included: they speak only when something is wrong.
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("phone_number_mcp").setLevel(level.upper())
