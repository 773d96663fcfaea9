"""What is wrong with a set-up, and how to mend it: each check says what it saw, and nothing is changed or created anywhere.

The platform is asked for one number that is reserved and so nobody's: "not found" proves that the credentials are accepted.
"""

from __future__ import annotations

import json
import platform as machine
import re
import shutil
import socket
import sys
import time
import tomllib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from email.utils import parsedate_to_datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import anyio
from pydantic import SecretStr

from phone_number_mcp import __version__
from phone_number_mcp.errors import NotFound, TimedOut, ToolError, Unauthorized, Unreachable, duration
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.sanitize import Sanitizer
from phone_number_mcp.settings import ConfigurationError, Settings, read, unfilled, variable
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


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Args:
        name: What it was.
        ok: Whether it is as it should be.
        detail: What was seen. Holds no secret.
        mend: What to do about it; None if there is nothing to do.
    """

    name: str
    ok: bool
    detail: str
    mend: str | None = None


def run(given: Mapping[str, str], environ: Mapping[str, str], *, as_json: bool) -> int:
    """Examine the set-up and print what was found; return an exit status: 0 only if all is well.

    Args:
        given: The options from the command line.
        environ: The environment variables.
        as_json: For a machine: `{"ok": bool, "checks": [{"name", "ok", "detail", "mend"}]}`.
    """

    async def examined() -> list[Check]:
        return [check async for check in examine(given, environ)]

    checks = anyio.run(examined)
    well = all(check.ok for check in checks)
    if as_json:
        found = {"ok": well, "checks": [asdict(check) for check in checks]}
        sys.stdout.write(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(_lines(checks))
    return 0 if well else 1


def _lines(checks: list[Check]) -> Iterator[str]:
    width = max(len(check.name) for check in checks)
    for check in checks:
        yield f"{'ok  ' if check.ok else 'FAIL'}  {check.name:{width}}  {check.detail}\n"
        if check.mend:
            yield f"      {'':{width}}  → {check.mend}\n"
    failed = sum(not check.ok for check in checks)
    yield "\nAll is well.\n" if not failed else f"\n{failed} of {len(checks)} need mending.\n"


async def examine(given: Mapping[str, str], environ: Mapping[str, str]) -> AsyncIterator[Check]:
    """Yield what is found, in the order in which one thing needs the other.

    Args:
        given: The options from the command line.
        environ: The environment variables.
    """
    packages = ", ".join(f"{name} {version(name)}" for name in ("mcp", "httpx", "pydantic"))
    yield Check("version", ok=True, detail=f"{__version__}, Python {machine.python_version()}, {packages}")
    entries = list(_entries(environ))
    environ, whose = _with_credentials(_chosen(given, environ), environ, entries)
    try:
        settings = read(given, environ)
    except ConfigurationError as error:
        for fault in error.faults:
            yield _fault(fault)
        for check in _unset(_chosen(given, environ), environ):
            yield check
        settings = _what_is_left(given, environ)
    else:
        yield Check("settings", ok=True, detail=_told(settings) + whose)
        if settings.options.sandbox:
            yield Check("platform", ok=True, detail="simulated: no credentials, no network")
        else:
            sanitize = Sanitizer(settings.secrets())  # what follows repeats the platform's words
            async for check in _platform(settings, environ):
                yield replace(check, detail=sanitize(check.detail, MAX_SHOWN))
    yield _journal(settings)
    for entry in entries:
        yield _client(entry)


def _fault(fault: str) -> Check:
    detail, _, mend = fault.partition("; ")
    return Check("settings", ok=False, detail=detail, mend=_sentence(mend) or "Correct it where it is set.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".?!" else ".")


def _what_is_left(given: Mapping[str, str], environ: Mapping[str, str]) -> Settings:
    """Return settings with which the rest can be looked at although some are wrong: the journal's place, if that is right."""
    journal = given.get("journal") or environ.get(variable("journal"))
    try:
        return read({"sandbox": "true", **({"journal": journal} if journal else {})}, {})
    except ConfigurationError:
        return read({"sandbox": "true"}, {})


def _chosen(given: Mapping[str, str], environ: Mapping[str, str]) -> Platform:
    """Return the platform that is meant, whatever else is wrong."""
    name = (given.get("platform") or environ.get(variable("platform"), "")).strip().lower()
    return load(name if name in PLATFORMS else next(iter(PLATFORMS)))


def _with_credentials(
    platform: Platform, environ: Mapping[str, str], entries: list[_Entry]
) -> tuple[Mapping[str, str], str]:
    """Return the environment, with a client's credentials if it has none itself, and a word on whose they are."""
    if any(environ.get(each, "").strip() for name in platform.credentials for each in (name, f"{name}_FILE")):
        return environ, ""
    for entry in entries:
        if found := entry.credentials(platform):
            return {**environ, **found}, f", with the credentials of {entry.path}"
    return environ, ""


def _told(settings: Settings) -> str:
    options = settings.options.model_dump(exclude_defaults=True, exclude={"platform", "sandbox"})
    changed = "".join(f", {name} {value}" for name, value in options.items())
    return f"{settings.platform.title} at {settings.base_url}{changed}"


# --- the platform -----------------------------------------------------------------------------------------------------


async def _platform(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Check]:
    credentials = list(_credentials(settings, environ))
    for check in credentials:
        yield check
    reached = True
    async for check in _way(settings):
        reached = reached and check.ok
        yield check
    if reached and all(check.ok for check in credentials):
        async for check in _question(settings):
            yield check


def _unset(platform: Platform, environ: Mapping[str, str]) -> Iterator[Check]:
    for name in platform.credentials:
        given = [each for each in (name, f"{name}_FILE") if environ.get(each, "").strip()]
        if not given:
            mend = f"Set {name}, or {name}_FILE with the path of a file: under `env` in the client's configuration, and here."
            yield Check("credentials", ok=False, detail=f"{name} is not set", mend=mend)
        elif all(unfilled(each, environ) for each in given):
            detail = f"{given[0]} holds a placeholder that nobody has filled in"
            mend = "Put the value itself there, or use the form of reference that your client resolves."
            yield Check("credentials", ok=False, detail=detail, mend=mend)


def _credentials(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    yield from _unset(settings.platform, environ)
    yield from _forms(settings)


def _forms(settings: Settings) -> Iterator[Check]:
    forms = settings.platform.credentials
    values = {name: secret.get_secret_value() for name, secret in settings.credentials.items()}
    swapped = [
        name
        for name, value in values.items()
        if not value.startswith(forms[name]) and any(value.startswith(form) for form in forms.values())
    ]
    if swapped:
        names = " and ".join(forms)
        yield Check(
            "credentials", ok=False, detail=f"{' and '.join(swapped)} begins as another should", mend=f"Swap {names}."
        )
        return
    for name, value in values.items():
        unusual = "" if value.startswith(forms[name]) else f", but does not begin with {forms[name]} as documented"
        yield Check("credentials", ok=True, detail=f"{name} is set, {len(value)} characters{unusual}")


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
        mend = f"Check {variable} and this machine's network: is there a typo in the name, or no connection?"
        yield Check("host", ok=False, detail=f"{host} cannot be found: {why}", mend=mend)
        return
    addresses = sorted({str(entry[4][0]) for entry in found})
    yield Check("host", ok=True, detail=f"{host} is {'an address' if addresses == [host] else ', '.join(addresses)}")
    started = time.perf_counter()
    try:
        async with _api(settings) as api:
            await api.connect()
    except (Unreachable, TimedOut) as error:
        detail = error.message.removesuffix(". Nothing was sent")
        if isinstance(error, TimedOut):
            detail = f"No connection to {settings.base_url} within {duration(PATIENCE_SECONDS)}"
        mend = f"Check {variable}: is anything there? A firewall may be in the way; proxies are not used."
        if "certificate" in detail.lower():
            mend = (
                f"Check {variable}. If a proxy of your organization reads TLS, set SSL_CERT_FILE to its certificate "
                "authority; else somebody is in between, and nothing should be sent."
            )
        yield Check("connection", ok=False, detail=detail, mend=mend)
        return
    how = "TLS, certificate verified" if url.scheme == "https" else "plain, on this machine"
    milliseconds = (time.perf_counter() - started) * 1000
    yield Check("connection", ok=True, detail=f"port {port} answers in {milliseconds:.0f} ms ({how})")


async def _question(settings: Settings) -> AsyncIterator[Check]:
    """Ask for a number that is nobody's."""
    async with _api(settings) as api:
        try:
            await settings.platform.fetch_number(api.call(settings.account()), RESERVED)
            detail = f"The credentials are accepted; {RESERVED} is there"
        except NotFound:
            detail = f"The credentials are accepted: {RESERVED} is not found, as it should be"
        except Unauthorized as error:
            mend = _about_credentials(settings.platform, swapped=await _accepted_if_swapped(settings))
            yield Check("platform", ok=False, detail=f"The credentials are refused: {error.message}", mend=mend)
            return
        except ToolError as error:
            detail = f"{error.code}: {error.message}"
            yield Check("platform", ok=False, detail=detail, mend=_about_trouble(error, settings.platform))
            return
        answer = api.last
        if answer is None or not _speaks(answer.body):
            detail = f"{settings.base_url} answers {answer.status if answer else ''}, but not as {settings.platform.title} does"
            yield Check("platform", ok=False, detail=detail, mend=_about_address(settings.platform))
            return
        yield Check("platform", ok=True, detail=detail)
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
    if len(settings.credentials) < 2:  # noqa: PLR2004  (a pair)
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
        return Check("clock", ok=True, detail="The platform does not say what time it is")
    if abs(skew) > SKEW_SECONDS:
        detail = f"This machine's clock is {duration(abs(skew))} {'ahead of' if skew > 0 else 'behind'} the platform's"
        return Check("clock", ok=False, detail=detail, mend="Set it: certificates and the journal's days depend on it.")
    return Check("clock", ok=True, detail=f"within {duration(max(1, round(abs(skew))))} of the platform's")


# --- this machine -----------------------------------------------------------------------------------------------------


def _journal(settings: Settings) -> Check:
    from phone_number_mcp.writes.database import MEMORY, default_place, problem  # noqa: PLC0415  (SQLite)

    place = settings.options.journal or default_place()
    if place == MEMORY:
        return Check("journal", ok=True, detail="in memory: what is unresolved at a crash is forgotten")
    if why := problem(place):
        what = "Move it away" if "no journal" in why else "Make it writable for this user, and restore what is missing"
        mend = f"{what}, or choose another place with --journal (PHONE_NUMBER_MCP_JOURNAL)."
        return Check("journal", ok=False, detail=why, mend=mend)
    return Check("journal", ok=True, detail=f"{Path(place).expanduser()} can be written")


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
        from phone_number_mcp.commands.install import CLIENTS  # noqa: PLC0415

        form = CLIENTS[self.client].wire(platform).entry.get("env", {}).get(variable_name, "<")
        return not form.startswith("<") and self.env.get(variable_name) == form

    def credentials(self, platform: Platform) -> dict[str, str]:
        """Return the credentials that stand in it as they are."""
        return {
            name: self.env[name] for name in platform.credentials if name in self.env and not unfilled(name, self.env)
        }


def _entries(environ: Mapping[str, str]) -> Iterator[_Entry]:
    """Find each client's entries for this server."""
    from phone_number_mcp.commands.install import CLIENTS, InstallError, place, system  # noqa: PLC0415  (needed here alone)

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
    from phone_number_mcp.commands import jsonc  # noqa: PLC0415

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
    if not isinstance(entry, dict):
        return False
    words = [word for word in [entry.get("command"), *_arguments(entry)] if isinstance(word, str)]
    variables = {credential for each in PLATFORMS for credential in load(each).credentials}
    return (
        any(_PROGRAM.search(word) for word in words)
        or name.startswith("phone-number")
        or (isinstance(env := entry.get("env"), dict) and bool(variables & env.keys()))
    )


def _arguments(entry: Mapping[str, Any]) -> list[Any]:
    arguments = entry.get("args")
    return arguments if isinstance(arguments, list) else []


_PROGRAM = re.compile(r"(^|[/\\])phone[-_]number[-_]mcp(\.exe)?$")


def _client(entry: _Entry) -> Check:
    """Look at an entry: would its client start a server that works?"""
    from phone_number_mcp.commands.install import CLIENTS, command  # noqa: PLC0415

    title = CLIENTS[entry.client].title
    name = f"client {entry.client}"
    if entry.value is None:
        detail = f"{entry.path} cannot be read: {entry.problem}"
        return Check(name, ok=False, detail=detail, mend=f"Mend it: {title} cannot read it either.")
    seen = Check(name, ok=True, detail=f'{entry.path} has "{entry.name}"')
    program = entry.value.get("command")
    arguments = [str(argument) for argument in _arguments(entry.value)]
    if not isinstance(program, str) or shutil.which(program) is None:
        here = " ".join((found := command())[1])
        mend = f"Put {found[0]} there" + (f", and {here} before its other arguments." if here else ".")
        return replace(seen, ok=False, detail=f"{seen.detail}, whose command is not there: {program}", mend=mend)
    if not any(_PROGRAM.search(word) for word in (program, *arguments)):
        return replace(seen, detail=f"{seen.detail}; that {program} starts this server was not checked")
    if (problem := _would_not_start(entry, arguments)) is not None:
        return replace(
            seen, ok=False, detail=f"{seen.detail}, with which the server does not start: {problem[0]}", mend=problem[1]
        )
    return seen


def _would_not_start(entry: _Entry, arguments: list[str]) -> tuple[str, str] | None:
    """Return what is wrong with an entry's arguments and variables, and the mend; None if the server would start and work."""
    from phone_number_mcp.cli import given  # noqa: PLC0415

    own = arguments[2:] if arguments[:2] == ["-m", "phone_number_mcp"] else arguments
    try:
        options = given(own)
    except ValueError as error:
        return str(error), "Correct its arguments."
    platform = _chosen(options, entry.env)
    literal = {name: value for name, value in entry.env.items() if not entry.resolves(platform, name)}
    if holding := [name for name in platform.credentials if unfilled(name, literal)]:
        forms = "Put the values themselves there, or the form of reference that `phone-number-mcp install` shows."
        return (
            f"{' and '.join(holding)} {'hold' if len(holding) > 1 else 'holds'} a placeholder that nobody fills in",
            forms,
        )
    try:
        settings = read(options, literal)
    except ConfigurationError as error:
        check = _fault(error.faults[0])
        return check.detail, check.mend or ""
    wrong = next((check for check in _forms(settings) if not check.ok), None)
    return (wrong.detail, wrong.mend or "") if wrong and not settings.options.sandbox else None
