"""The command: what a command line asks for is run. What a command needs is imported where it runs."""

from __future__ import annotations

import gc
import os
import sys
from functools import partial
from typing import TYPE_CHECKING

from phone_number_mcp.command_line import UsageError, given, parse
from phone_number_mcp.ending import end_on_signals
from phone_number_mcp.platforms import DEFAULT_PLATFORM

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from phone_number_mcp.commands.install import Request
    from phone_number_mcp.serve import Transport
    from phone_number_mcp.settings import Settings

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status: 0 success, 1 failure, 2 a wrong command line or configuration."""
    try:
        arguments = parse(sys.argv[1:] if argv is None else argv)
        return _COMMANDS[arguments.command](arguments)
    except UsageError as error:
        sys.stderr.write(f"phone-number-mcp: {error}. See {error.command} --help\n")
        return USAGE_ERROR
    except KeyboardInterrupt:
        return 130


# --- the server -------------------------------------------------------------------------------------------------------


def _serve_stdio(arguments: argparse.Namespace) -> int:
    def stdio(_settings: Settings) -> Transport:
        from phone_number_mcp.transports.stdio import Stdio

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
        from phone_number_mcp.options import HttpOptions
        from phone_number_mcp.transports.http import Http, listen

        options = settings.http or HttpOptions()
        try:
            return Http(listen(options.host, options.port))
        except OSError as error:
            reason = f"port {options.port} cannot be used: {error.strerror}. Try --port"
            sys.stderr.write(f"phone-number-mcp http: {reason}\n")
            sys.exit(1)

    listening = {name: value for name in ("host", "port") if (value := getattr(arguments, name)) is not None}
    return _serve(arguments, http, listening)


def _serve(
    arguments: argparse.Namespace,
    open_transport: Callable[[Settings], Transport],
    http: Mapping[str, str] | None = None,
) -> int:
    end_on_signals()  # until there is something to finish
    _open_standard_streams()
    gc.disable()  # what the imports make lives on: searching it for garbage takes a fifth of the start
    from phone_number_mcp.settings import ConfigurationError, read

    try:
        settings = read(given(arguments), os.environ, http=http)
    except ConfigurationError as error:
        return _refuse(error.faults)
    from phone_number_mcp.serve import serve

    return serve(settings, open_transport(settings))


def _refuse(faults: Sequence[str]) -> int:
    listed = "".join(f"\n  {fault}" for fault in faults)
    sys.stderr.write(f"phone-number-mcp cannot start with this configuration:{listed}\n")
    return USAGE_ERROR


def _open_standard_streams() -> None:
    """Make sure that descriptors 0 to 2 are open: the next file to be opened must not become stdin, stdout or stderr."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:  # the descriptor of stderr
        pass
    os.close(fd)


# --- commands for people ----------------------------------------------------------------------------------------------


def _show_journal(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.journal import show

    return _on_journal(arguments, partial(show, as_json=arguments.json, unresolved=arguments.unsettled))


def _resolve_in_journal(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.journal import resolve

    if arguments.phone_number is not None and arguments.outcome != "applied":
        raise UsageError("argument --phone-number: goes with --applied only", "phone-number-mcp journal resolve")
    return _on_journal(
        arguments,
        lambda place: resolve(place, arguments.id, arguments.outcome, arguments.phone_number),
    )


def _prune_journal(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.journal import prune

    return _on_journal(arguments, lambda place: prune(place, arguments.before))


def _on_journal(arguments: argparse.Namespace, command: Callable[[str | None], int]) -> int:
    """Run a command on the journal that the options and the environment name; None is the default one."""
    from phone_number_mcp.settings import ConfigurationError, read

    try:
        # As the server reads it; what else it needs does not matter here.
        settings = read({"sandbox": "true"} | ({"journal": arguments.journal} if arguments.journal else {}), os.environ)
    except ConfigurationError as error:
        return _refuse(error.faults)
    return command(settings.options.journal)


def _examine(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.doctor import run

    return run(given(arguments), os.environ, as_json=arguments.json)


def _serve_sandbox(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.sandbox import serve

    return serve(port=arguments.port)


def _demo(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.demo import run

    return run(arguments.platform or DEFAULT_PLATFORM)


def _install(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.install import install

    return install(_request(arguments), os.environ)


def _uninstall(arguments: argparse.Namespace) -> int:
    from phone_number_mcp.commands.install import uninstall

    return uninstall(_request(arguments), os.environ)


def _request(arguments: argparse.Namespace) -> Request:
    from phone_number_mcp.commands.clients import CLIENTS
    from phone_number_mcp.commands.install import Request

    if arguments.client not in CLIENTS:
        known = ", ".join(CLIENTS)
        raise UsageError(f"argument CLIENT: must be one of {known}", f"phone-number-mcp {arguments.command}")

    return Request(
        client=arguments.client,
        options=given(arguments),
        name=arguments.name,
        path=arguments.path,
        project=arguments.project,
        write=arguments.write,
        force=arguments.force,
        with_secrets=getattr(arguments, "with_secrets", False),
    )


_COMMANDS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    "": _serve_stdio,
    "http": _serve_http,
    "sandbox": _serve_sandbox,
    "demo": _demo,
    "doctor": _examine,
    "install": _install,
    "uninstall": _uninstall,
    "journal": _show_journal,
    "journal resolve": _resolve_in_journal,
    "journal prune": _prune_journal,
}
