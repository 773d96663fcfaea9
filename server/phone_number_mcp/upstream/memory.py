"""A short-lived cache for each account, so that several calls in a row read the same thing once."""

from __future__ import annotations

import hashlib
import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phone_number_mcp.upstream.request import Account

MAX_ENTRIES = 1000
"""Entries kept; the oldest are dropped first."""


class Memory:
    """Values by account and name, each for some seconds. It holds no credentials: of an account it keeps a keyed hash."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)
        self._kept: dict[tuple[bytes, str], tuple[float, Any]] = {}

    def recall(self, account: Account, name: str) -> Any:
        """Return what is kept, None if there is nothing or its time is over."""
        expires, value = self._kept.get((self._hash(account), name), (0.0, None))
        return value if time.monotonic() < expires else None

    def keep(self, account: Account, name: str, value: Any, seconds: float) -> None:
        """Keep a value for some seconds."""
        place = (self._hash(account), name)
        self._kept.pop(place, None)
        while len(self._kept) >= MAX_ENTRIES:
            del self._kept[next(iter(self._kept))]
        self._kept[place] = (time.monotonic() + seconds, value)

    def _hash(self, account: Account) -> bytes:
        digest = hashlib.blake2b(key=self._key, digest_size=16)
        for credential in account.credentials:
            digest.update(len(credential).to_bytes(4, "big") + credential.encode("utf-8", "surrogateescape"))
        return digest.digest()
