"""What is sent to a platform: a request, whose it is, and what has left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: the path starts with `/` and is percent-encoded already; the body is encoded as the platform wants it."""

    method: str
    path: str
    query: Mapping[str, str | int] | None = None
    body: Mapping[str, Any] | None = None
    changes: bool = False
    """It is a write: it goes out once, and not any more once the server is ending."""


@dataclass(frozen=True, slots=True)
class Account:
    """Whose call it is: credentials belong to a call, not to the process.

    Args:
        headers: Carry the credentials, and the trace that the call belongs to.
        credentials: The values, in the platform's order.
    """

    headers: Mapping[str, str] = field(repr=False)
    credentials: tuple[str, ...] = field(repr=False)


@dataclass(slots=True)
class Trail:
    """What a call has left at the platform."""

    write_sent: bool = False
    """Something that changes something was sent."""
    exchanges: int = 0
    """How many requests the call has made so far, repeated ones included."""


def as_json(body: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the content type and the bytes of a body as JSON."""
    return "application/json", json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def as_form(body: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return the content type and the bytes of a body as a form: a list repeats its name, and null is an empty value."""
    pairs = [
        (name, _form_value(each))
        for name, value in body.items()
        for each in (value if isinstance(value, list) else [value])
    ]
    return "application/x-www-form-urlencoded", urlencode(pairs).encode("ascii")


def _form_value(value: Any) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
