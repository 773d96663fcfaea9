"""Whether a number that a platform holds is as it was asked for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from phone_number_mcp.sanitize import cleaned

_SAME_WEIGHT = 1e-6


def as_asked(
    asked: Mapping[str, Any], held: Mapping[str, Any], *, loosely_spelled: AbstractSet[str] = frozenset()
) -> bool:
    """Return whether a number is as it was asked for, as far as the platform shows it; see `not_shown`.

    Args:
        asked: What was sent, less secrets.
        held: What the platform holds.
        loosely_spelled: Fields whose case, hyphens and underscores the platform changes.
    """
    return all(
        _same(value, held[name], loosely=name in loosely_spelled) for name, value in asked.items() if name in held
    )


def not_shown(sent: Iterable[str], asked: Mapping[str, Any], held: Mapping[str, Any]) -> list[str]:
    """Return what cannot be compared: secrets, and what the platform does not show."""
    return [name for name in sent if name not in asked or name not in held]


def _same(asked: Any, held: Any, *, loosely: bool = False) -> bool:
    if not asked and not held and asked != 0 and held != 0:  # False is 0, too
        return True  # nothing is null, "" or []
    if isinstance(asked, list) and isinstance(held, list):
        left = list(held)  # in any order
        for one in asked:
            found = next((place for place, other in enumerate(left) if _same(one, other)), None)
            if found is None:
                return False
            del left[found]
        return not left
    if isinstance(asked, dict) and isinstance(held, dict):
        return all(_same(value, held.get(name)) for name, value in asked.items())
    if isinstance(asked, int | float) and isinstance(held, int | float):
        return abs(asked - held) <= _SAME_WEIGHT
    one, other = str(asked), str(held)  # a version may come back as "3"
    if loosely:
        one, other = (text.lower().replace("_", "-") for text in (one, other))
    return one == other or _as_shown(one) == _as_shown(other)


def _as_shown(text: str) -> str:
    """Return a text as people see it: a platform may drop what is hidden in it, and fold its white space."""
    return " ".join(cleaned(text).split())
