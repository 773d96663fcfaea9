"""What is sent to a platform: a request, whose it is, and what has left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: the path starts with `/` and is percent-encoded already; the body goes as JSON."""

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
        headers: Carry the credentials.
        credentials: The values, in the platform's order.
    """

    headers: Mapping[str, str] = field(repr=False)
    credentials: tuple[str, ...] = field(repr=False)


@dataclass(slots=True)
class Trail:
    """What a call has left at the platform."""

    write_sent: bool = False
    """Something that changes something was sent."""
