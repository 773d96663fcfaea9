"""One check of `doctor`, and the checks of settings and credentials, which need no network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from phone_number_mcp.settings import Settings

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Args:
        name: What was checked.
        level: `ok`; `warning` if it is unusual but may work; `error` if it does not work.
        detail: What was seen. Holds no secret.
        fix: How to fix it; None if there is nothing to fix.
    """

    name: str
    level: Level
    detail: str
    fix: str | None = None

    @property
    def ok(self) -> bool:
        """Whether it works; a warning is not a failure."""
        return self.level != "error"


def passed(name: str, detail: str) -> Check:
    """Return a check that passed."""
    return Check(name, "ok", detail)


def failed(name: str, detail: str, fix: str) -> Check:
    """Return a check that failed."""
    return Check(name, "error", detail, fix)


def fault_check(fault: str) -> Check:
    """Return the check of a setting's fault; the words behind its first semicolon are the fix."""
    detail, _, fix = fault.partition("; ")
    return failed("settings", detail, _sentence(fix) or "Fix it where it is set.")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if not text or text[-1] in ".?!" else ".")


def unset_credentials(settings: Settings, faults: Sequence[str] = ()) -> Iterator[Check]:
    """Yield a check for each missing credential, except those that a fault already names."""
    for name in settings.platform.credentials:
        if name in settings.credentials or any(re.match(rf"{name}(_FILE)?\b", fault) for fault in faults):
            continue
        if found := settings.placeholders.get(name):
            yield failed("credentials", f"{found} holds a placeholder, not a value", _FILL_IN)
        else:
            fix = f"Set {name}, or {name}_FILE with the path of a file: under `env` in the client's configuration, and here."
            yield failed("credentials", f"{name} is not set", fix)


_FILL_IN = "Put the value itself there, or the form of reference that your client resolves: `phone-number-mcp install` shows it."


def named_secrets(settings: Settings) -> Iterator[Check]:
    """Yield which secrets an argument may name, and which variables hold none; one that cannot be read is a fault of the settings."""
    if settings.named_secrets:
        references = ", ".join(f"secret:{name}" for name in settings.named_secrets)
        yield passed("secrets", f"an argument may say {references}")
    for name in settings.unset_secrets:
        yield Check("secrets", "warning", f"{name} holds no value", _FILL_IN_OR_REMOVE)


_FILL_IN_OR_REMOVE = "Put the value there, or the path of a file if the name ends in _FILE; else remove the variable."


def credential_forms(settings: Settings) -> Iterator[Check]:
    """Yield whether each credential begins as the platform documents it, or is likely to be the other one."""
    forms = settings.platform.credentials
    values = {name: secret.get_secret_value() for name, secret in settings.credentials.items()}
    swapped = [
        name
        for name, value in values.items()
        if not value.startswith(forms[name]) and any(value.startswith(form) for form in forms.values())
    ]
    if swapped:
        yield failed(
            "credentials", f"{' and '.join(swapped)} looks like the other credential", f"Swap {' and '.join(forms)}."
        )
        return
    for name, value in values.items():
        detail = f"{name} is set, {len(value)} characters"
        if value.startswith(forms[name]):
            yield passed("credentials", detail)
        else:
            detail += f", but does not begin with {forms[name]} as documented"
            fix = f"If {settings.platform.title} refuses it, copy it again: it may be another value."
            yield Check("credentials", "warning", detail, fix)
