"""`phone-number-mcp doctor`: checks a set-up and says how to fix what is wrong. Nothing is changed or created."""

from __future__ import annotations

import json
import platform as machine
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import anyio

from phone_number_mcp import __version__
from phone_number_mcp.commands.checks import Check, failed, fault_check, named_secrets, passed, unset_credentials
from phone_number_mcp.commands.entry_checks import ClientEntry, check_entry, find_entries
from phone_number_mcp.commands.platform_checks import check_platform
from phone_number_mcp.sanitize import Sanitizer
from phone_number_mcp.settings import Settings
from phone_number_mcp.settings import examine as examine_settings

MAX_SHOWN = 1_000
"""Characters of a check's detail."""


def run(given: Mapping[str, str], environ: Mapping[str, str], *, as_json: bool) -> int:
    """Check the set-up and print the result; return the exit status: 0 if there is no error, else 1.

    Args:
        given: The options from the command line.
        environ: The environment variables.
        as_json: Print JSON: `{"ok": bool, "checks": [{"name", "level", "ok", "detail", "fix"}]}`.
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
        yield f"\nAll checks passed{f', with {counted}' if warnings else ''}.\n"


async def examine(given: Mapping[str, str], environ: Mapping[str, str]) -> AsyncIterator[Check]:
    """Yield the checks, each after those that it depends on.

    Args:
        given: The options from the command line.
        environ: The environment variables.
    """
    packages = ", ".join(f"{name} {version(name)}" for name in ("mcp", "httpx", "pydantic"))
    yield passed("version", f"{__version__}, Python {machine.python_version()}, {packages}")
    entries = list(find_entries(environ))
    settings, faults, whose = _settings(given, environ, entries)
    for fault in faults:
        yield fault_check(fault)
    if not faults:
        yield passed("settings", _described(settings) + whose)
    for check in named_secrets(settings):
        yield check
    if settings.options.sandbox:
        yield passed("platform", "simulated: no credentials, no network")
    elif faults:
        for check in unset_credentials(settings, faults):
            yield check
    else:
        sanitize = Sanitizer(settings.secrets())  # these details quote the platform
        async for check in check_platform(settings):
            yield replace(check, detail=sanitize(check.detail, MAX_SHOWN))
    yield _journal(settings)
    for entry in entries:
        yield check_entry(entry)


def _settings(
    given: Mapping[str, str], environ: Mapping[str, str], entries: list[ClientEntry]
) -> tuple[Settings, list[str], str]:
    """Return the usable settings, every fault in them, and where the credentials are from if not from this environment."""
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


def _described(settings: Settings) -> str:
    options = settings.options.model_dump(exclude_defaults=True, exclude={"platform", "sandbox"})
    changed = "".join(f", {name} {value}" for name, value in options.items())
    where = "simulated" if settings.options.sandbox else f"at {settings.base_url}"
    return f"{settings.platform.title} {where}{changed}"


def _journal(settings: Settings) -> Check:
    from phone_number_mcp.writes.database import MEMORY, default_place, problem  # SQLite

    place = settings.options.journal or default_place()
    if place == MEMORY:
        return passed("journal", "in memory: unresolved writes are lost in a crash")
    if why := problem(place):
        what = "Move it away" if "no journal" in why else "Make it writable for this user, and restore what is missing"
        fix = f"{what}, or choose another place with --journal (PHONE_NUMBER_MCP_JOURNAL)."
        return failed("journal", why, fix)
    return passed("journal", f"{Path(place).expanduser()} is writable")
