"""What an edit of a text left as it was."""

from __future__ import annotations


def shared(left: str, right: str) -> int:
    """Return how many characters two texts begin with that are the same."""
    return next(
        (n for n, (one, other) in enumerate(zip(left, right, strict=False)) if one != other), min(len(left), len(right))
    )


def only_put_in(old: str, new: str) -> bool:
    """Tell whether `new` is `old` with a comma put in, or none, and something behind it in one place."""

    def in_one_place(old: str, new: str) -> bool:
        return shared(old, new) + shared(old[::-1], new[::-1]) >= len(old)

    start = shared(old, new)
    return in_one_place(old, new) or any(
        new[n] == "," and in_one_place(old[n:], new[n + 1 :]) for n in range(start + 1) if old[:n] == new[:n]
    )
