"""What is wrong with a set-up, and how to fix it: each check says what it saw, and nothing is changed or created anywhere.

The platform is asked for one number that is reserved and so nobody's: "not found" proves that the credentials are accepted.
"""

from __future__ import annotations

import io
import json
import platform as machine
import re
import shutil
import socket
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import anyio
from pydantic import SecretStr

from phone_number_mcp import __version__
from phone_number_mcp.command_line import UsageError, given, parse
from phone_number_mcp.errors import NotFound, TimedOut, ToolError, Unauthorized, Unreachable, duration
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.sanitize import Sanitizer
from phone_number_mcp.settings import Settings, is_placeholder
from phone_number_mcp.settings import examine as examine_settings
from phone_number_mcp.upstream.api import Api

if TYPE_CHECKING:
    from phone_number_mcp.commands.install import Client
    from phone_number_mcp.platforms import Platform

RESERVED = "+14155550100"
"""A number that no operator gives out: https://www.nanpa.com/numbering/555-line-numbers."""
PATIENCE_SECONDS = 10.0
"""For one check of the network."""
MAX_SHOWN = 1_000
"""Characters of what a check says."""
SKEW_SECONDS = 300.0
"""How far this machine's clock may be off."""


Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What it was.
        level: `ok`; `warning` if it is unusual but may work; `error` if it does not work.
        detail: What was seen. Holds no secret.
        fix: What to do about it; None if there is nothing to do.
    """

    name: str
    level: Level
    detail: str
    fix: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it works, as far as can be seen: a warning is no failure."""
        return self.level != "error"


def _ok(name: str, detail: str) -> Check:
    return Check(name, "ok", detail)


def _error(name: str, detail: str, fix: str) -> Check:
    return Check(name, "error", detail, fix)


def run(given: Mapping[str, str], environ: Mapping[str, str], *, as_json: bool) -> int:
    """Examine the set-up and print what was found; return an exit status: 0 only if there is no error.

    Args:
        given: The options from the command line.
        environ: The environment variables.
        as_json: For a machine: `{"ok": bool, "checks": [{"name", "level", "ok", "detail", "fix"}]}`.
    """

    async def examined() -> list[Check]:
        return [check async for check in examine(given, environ)]

    checks = anyio.run(examined)
    well = all(check.ok for check in checks)
    if as_json:
        shown = [
            {"name": each.name, "level": each.level, "ok": each.ok, "detail": each.detail, "fix": each.fix}
            for each in checks
        ]
        sys.stdout.write(json.dumps({"ok": well, "checks": shown}, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(_lines(checks))
    return 0 if well else 1


def _lines(checks: list[Check]) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    marks = {"ok": "ok  ", "warning": "WARN", "error": "FAIL"}
    for check in checks:
        yield f"{marks[check.level]}  {check.name:{width}}  {check.detail}\n"
        if check.fix:
            yield f"      {'':{width}}  → {check.fix}\n"
    errors, warnings = (sum(check.level == level for check in checks) for level in ("error", "warning"))
    counted = f"{warnings} warning{'s' if warnings != 1 else ''}"
    if errors:
        yield f"\n{errors} of {len(checks)} checks failed{f', {counted}' if warnings else ''}.\n"
    else:
        yield f"\nAll is well{f', with {counted}' if warnings else ''}.\n"


async def examine(given: Mapping[str, str], environ: Mapping[str, str]) -> AsyncIterator[Check]:
    """Yield what is found, in the order in which one thing needs the other.

    Args:
        given: The options from the command line.
        environ: The environment variables.
    """
    packages = ", ".join(f"{name} {version(name)}" for name in ("mcp", "httpx", "pydantic"))
    yield _ok("version", f"{__version__}, Python {machine.python_version()}, {packages}")
    entries = list(_entries(environ))
    settings, faults, whose = _settings(given, environ, entries)
    for fault in faults:
        yield _fault(fault)
    if not faults:
        yield _ok("settings", _described(settings) + whose)
    if settings.options.sandbox:
        yield _ok("platform", "simulated: no credentials, no network")
    elif faults:
        for check in _unset(settings, faults):
            yield check
    else:
        sanitize = Sanitizer(settings.secrets())  # what follows repeats the platform's words
        async for check in _platform(settings):
            yield replace(check, detail=sanitize(check.detail, MAX_SHOWN))
    yield _journal(settings)
    for entry in entries:
        yield _client(entry)


def _settings(
    given: Mapping[str, str], environ: Mapping[str, str], entries: list[_Entry]
) -> tuple[Settings, list[str], str]:
    """Return what can be used of the settings, every fault in them, and whose credentials they have if not this environment's."""
    settings, faults = examine_settings(given, environ)
    credentials = settings.platform.credentials
    if settings.options.sandbox or any(
        environ.get(each, "").strip() for name in credentials for each in (name, f"{name}_FILE")
    ):
        return settings, faults, ""
    for entry in entries:
        if found := entry.credentials(settings.platform):
            settings, faults = examine_settings(given, {**environ, **found})
            return settings, faults, f", with the credentials of {entry.path}"
    return settings, faults, ""


def _fault(fault: str) -> Check:
    detail, _, fix = fault.partition("; ")
    return _error("settings", detail, _sentence(fix) or "Correct it where it is set.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".?!" else ".")


def _described(settings: Settings) -> str:
    options = settings.options.model_dump(exclude_defaults=True, exclude={"platform", "sandbox"})
    changed = "".join(f", {name} {value}" for name, value in options.items())
    where = "simulated" if settings.options.sandbox else f"at {settings.base_url}"
    return f"{settings.platform.title} {where}{changed}"


# --- the platform -----------------------------------------------------------------------------------------------------


async def _platform(settings: Settings) -> AsyncIterator[Check]:
    credentials = [*_unset(settings), *_forms(settings)]
    for check in credentials:
        yield check
    reached = True
    async for check in _way(settings):
        reached = reached and check.ok
        yield check
    if reached and all(check.ok for check in credentials):
        async for check in _question(settings):
            yield check


def _unset(settings: Settings, faults: Sequence[str] = ()) -> Iterator[Check]:
    """Yield which credentials are missing, but for those of which a fault says why."""
    for name in settings.platform.credentials:
        if name in settings.credentials or any(re.match(rf"{name}(_FILE)?\b", fault) for fault in faults):
            continue
        if found := settings.placeholders.get(name):
            yield _error("credentials", f"{found} holds a placeholder, not a value", _FILL_IN)
        else:
            fix = f"Set {name}, or {name}_FILE with the path of a file: under `env` in the client's configuration, and here."
            yield _error("credentials", f"{name} is not set", fix)


_FILL_IN = "Put the value itself there, or the form of reference that your client resolves: `phone-number-mcp install` shows it."


def _forms(settings: Settings) -> Iterator[Check]:
    forms = settings.platform.credentials
    values = {name: secret.get_secret_value() for name, secret in settings.credentials.items()}
    swapped = [
        name
        for name, value in values.items()
        if not value.startswith(forms[name]) and any(value.startswith(form) for form in forms.values())
    ]
    if swapped:
        yield _error(
            "credentials", f"{' and '.join(swapped)} looks like the other credential", f"Swap {' and '.join(forms)}."
        )
        return
    for name, value in values.items():
        detail = f"{name} is set, {len(value)} characters"
        if value.startswith(forms[name]):
            yield _ok("credentials", detail)
        else:
            detail += f", but does not begin with {forms[name]} as documented"
            fix = f"If {settings.platform.title} refuses it, copy it again: it may be another value."
            yield Check("credentials", "warning", detail, fix)


async def _way(settings: Settings) -> AsyncIterator[Check]:
    """Look for the host, then open a connection."""
    variable = settings.platform.base_url_variable
    url = urlsplit(settings.base_url)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    try:
        with anyio.fail_after(PATIENCE_SECONDS):
            found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no answer" if isinstance(error, OSError) else "not a host name"
        fix = f"Check {variable} and this machine's network: is there a typo in the name, or no connection?"
        yield _error("host", f"{host} cannot be found: {why}", fix)
        return
    addresses = sorted({str(entry[4][0]) for entry in found})
    yield _ok("host", f"{host} is {'an address' if addresses == [host] else ', '.join(addresses)}")
    started = time.perf_counter()
    try:
        async with _api(settings) as api:
            await api.connect()
    except (Unreachable, TimedOut) as error:
        detail = error.message.removesuffix(". Nothing was sent")
        if isinstance(error, TimedOut):
            detail = f"No connection to {settings.base_url} within {duration(PATIENCE_SECONDS)}"
        fix = f"Check {variable}: is anything there? A firewall may be in the way; proxies are not used."
        if "certificate" in detail.lower():
            fix = (
                f"Check {variable}. If a proxy of your organization reads TLS, set SSL_CERT_FILE to its certificate "
                "authority; else somebody is in between, and nothing should be sent."
            )
        yield _error("connection", detail, fix)
        return
    how = "TLS, certificate verified" if url.scheme == "https" else "plain, on this machine"
    milliseconds = (time.perf_counter() - started) * 1000
    yield _ok("connection", f"port {port} answers in {milliseconds:.0f} ms ({how})")


async def _question(settings: Settings) -> AsyncIterator[Check]:
    """Ask for a number that is nobody's."""
    async with _api(settings) as api:
        try:
            await settings.platform.fetch_number(api.call(settings.account()), RESERVED)
            detail = f"The credentials are accepted; {RESERVED} is there"
        except NotFound:
            detail = f"The credentials are accepted: {RESERVED} is not found, as it should be"
        except Unauthorized as error:
            fix = _about_credentials(settings.platform, swapped=await _accepted_if_swapped(settings))
            yield _error("platform", f"The credentials are refused: {error.message}", fix)
            return
        except ToolError as error:
            detail = f"{error.code}: {error.message}"
            yield _error("platform", detail, _about_trouble(error, settings.platform))
            return
        answer = api.last
        if answer is None or not _speaks(answer.body):
            detail = f"{settings.base_url} answers {answer.status if answer else ''}, but not as {settings.platform.title} does"
            yield _error("platform", detail, _about_address(settings.platform))
            return
        yield _ok("platform", detail)
        if answer.date:
            yield _clock(answer.date)


def _speaks(body: Any) -> bool:
    """Whether an answer has the form of a platform's: a gateway, too, can say 404 in JSON."""
    return isinstance(body, dict) and (
        body.get("status") in {"success", "error"} or body.get("phone_number") == RESERVED
    )


def _about_trouble(error: ToolError, platform: Platform) -> str:
    known = {
        "forbidden": f"Look at the permissions of these credentials on {platform.title}.",
        "payment_required": f"Look at the account's balance on {platform.title}.",
        "rate_limited": "Wait a while, and run doctor again.",
        "invalid_reply": _about_address(platform),
    }
    return known.get(error.code) or f"Run doctor again in a while: if it stays, {platform.title} has trouble."


def _about_address(platform: Platform) -> str:
    return f"Check {platform.base_url_variable}: the published address is {platform.base_url}."


def _about_credentials(platform: Platform, *, swapped: bool) -> str:
    names = " and ".join(platform.credentials)
    if swapped:
        return f"Swap {names}: the other way round, they are accepted."
    return f"Copy {names} again from {platform.title}: are they of this organization, and not revoked?"


async def _accepted_if_swapped(settings: Settings) -> bool:
    if len(settings.credentials) < 2:  # a pair
        return False
    values = [value.get_secret_value() for value in settings.credentials.values()]
    swapped = {name: SecretStr(value) for name, value in zip(settings.credentials, reversed(values), strict=True)}
    account = replace(settings, credentials=swapped).account()
    async with _api(settings) as api:
        try:
            await settings.platform.fetch_number(api.call(account), RESERVED)
        except NotFound:
            return True
        except ToolError:
            return False
        return True


def _api(settings: Settings) -> Api:
    return Api(
        base_url=settings.base_url,
        decipher=settings.platform.decipher,
        timeout=min(PATIENCE_SECONDS, settings.options.timeout),
    )


def _clock(date: str) -> Check:
    try:
        skew = time.time() - parsedate_to_datetime(date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return _ok("clock", "The platform does not say what time it is")
    if abs(skew) > SKEW_SECONDS:
        detail = f"This machine's clock is {duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the platform's"
        return _error("clock", detail, "Set it: certificates and the journal's days depend on it.")
    return _ok("clock", f"within {duration(max(1, round(abs(skew))))} of the platform's")


# --- this machine -----------------------------------------------------------------------------------------------------


def _journal(settings: Settings) -> Check:
    from phone_number_mcp.writes.database import MEMORY, default_place, problem  # SQLite

    place = settings.options.journal or default_place()
    if place == MEMORY:
        return _ok("journal", "in memory: what is unresolved at a crash is forgotten")
    if why := problem(place):
        what = "Move it away" if "no journal" in why else "Make it writable for this user, and restore what is missing"
        fix = f"{what}, or choose another place with --journal (PHONE_NUMBER_MCP_JOURNAL)."
        return _error("journal", why, fix)
    return _ok("journal", f"{Path(place).expanduser()} can be written")


@dataclass(frozen=True)
class _Entry:
    """An entry for this server in a client's file; `value` None if the file cannot be read, and `problem` says why."""

    client: str
    path: Path
    name: str = ""
    value: Mapping[str, Any] | None = None
    problem: str = ""

    @property
    def env(self) -> dict[str, str]:
        """The variables that it sets."""
        env = (self.value or {}).get("env")
        return {str(name): str(value) for name, value in env.items()} if isinstance(env, dict) else {}

    def resolves(self, platform: Platform, variable_name: str) -> bool:
        """Whether a variable has the form of reference that the client resolves."""
        from phone_number_mcp.commands.install import CLIENTS

        form = CLIENTS[self.client].wire(platform).entry.get("env", {}).get(variable_name, "<")
        return not form.startswith("<") and self.env.get(variable_name) == form

    def credentials(self, platform: Platform) -> dict[str, str]:
        """Return the credentials that stand in it as they are."""
        return {
            name: self.env[name]
            for name in platform.credentials
            if self.env.get(name, "").strip() and not is_placeholder(self.env[name])
        }


def _entries(environ: Mapping[str, str]) -> Iterator[_Entry]:
    """Find each client's entries for this server."""
    from phone_number_mcp.commands.install import CLIENTS, InstallError, place, system  # needed here alone

    for key, client in CLIENTS.items():
        paths = [Path.cwd() / client.project] if client.project else []
        with suppress(InstallError):  # several could be it: `install` says so
            paths.append(place(client, system(), environ))
        for path in paths:
            try:
                servers = _servers(path, client)
            except (OSError, ValueError) as error:
                if _mentions_us(path):
                    yield _Entry(key, path, problem=str(error))
                continue
            for name, value in servers.items():
                if _is_ours(name, value):
                    yield _Entry(key, path, name, value)


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
    from phone_number_mcp.commands import jsonc

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
    """Whether an entry is for this server: by its command, or, where that is wrong, by its name or its variables."""
    from phone_number_mcp.commands.install import is_ours  # needed here alone

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


def _client(entry: _Entry) -> Check:
    """Look at an entry: would its client start a server that works?"""
    from phone_number_mcp.commands.install import CLIENTS, command

    title = CLIENTS[entry.client].title
    name = f"client {entry.client}"
    if entry.value is None:
        detail = f"{entry.path} cannot be read: {entry.problem}"
        return _error(name, detail, f"Correct it: {title} cannot read it either.")
    seen = _ok(name, f'{entry.path} has "{entry.name}"')
    program = entry.value.get("command")
    arguments = [str(argument) for argument in _arguments(entry.value)]
    if not isinstance(program, str) or shutil.which(program) is None:
        here = " ".join((found := command())[1])
        fix = f"Put {found[0]} there" + (f", and {here} before its other arguments." if here else ".")
        return _error(name, f"{seen.detail}, whose command is not there: {program}", fix)
    if not any(_PROGRAM.search(word) for word in (program, *arguments)):
        return replace(seen, detail=f"{seen.detail}; that {program} starts this server was not checked")
    return _as_it_runs(entry, arguments, seen)


def _options(words: list[str]) -> dict[str, str]:
    """Return the server's options that a command line has.

    Raises:
        UsageError: The server would not start with it.
    """
    try:
        with redirect_stdout(io.StringIO()):
            return given(parse(words))
    except SystemExit:
        raise UsageError("it prints a text and ends", "phone-number-mcp") from None


def _as_it_runs(entry: _Entry, arguments: list[str], seen: Check) -> Check:
    """Return what is wrong with an entry's arguments and variables, or `seen`."""
    place = next((place for place, word in enumerate(arguments) if _PROGRAM.search(word)), -1)  # of `-m` or uvx, say
    own = arguments[place + 1 :]
    no_start = f"{seen.detail}, with which the server does not start: "
    try:
        options = _options(own)
    except UsageError as error:
        return _error(seen.name, no_start + str(error), "Correct its arguments.")
    platform = examine_settings(options, entry.env)[0].platform
    literal = {name: value for name, value in entry.env.items() if not entry.resolves(platform, name)}
    settings, faults = examine_settings(options, literal)
    if faults:
        check = _fault(faults[0])
        return _error(seen.name, no_start + check.detail, check.fix or "")
    if found := list(settings.placeholders.values()):
        held = f"{' and '.join(found)} {'hold placeholders' if len(found) > 1 else 'holds a placeholder'}"
        named = f" --name {entry.name}" if entry.name != "phone-number" else ""
        fix = f"Put the values there, or run `phone-number-mcp install {entry.client}{named} --write --with-secrets`."
        return _error(seen.name, f"{seen.detail}: {held}, so its calls answer not_configured", fix)
    wrong = next((check for check in _forms(settings) if not check.ok), None)
    if wrong and not settings.options.sandbox:
        return _error(seen.name, f"{seen.detail}: {wrong.detail}", wrong.fix or "")
    return seen
