"""A process that claims writes in journals, as it is told line by line, and sends nothing."""

from __future__ import annotations

import json
import sys
from typing import Any

import anyio

from phone_number_mcp.writes.journal import Claimed, Intent, JournalUnavailableError
from phone_number_mcp.writes.sqlite import SqliteJournal


async def claim(place: str, phone_number: str | None, key: str | None) -> str:
    """Claim one write in a journal that this process opens for it."""
    intent = Intent(
        platform="test",
        address="https://platform.test",
        credentials=("secret",),
        operation="create_phone_number",
        phone_number=phone_number,
        fingerprint="the same",
        budget=5.0,
        idempotency_key=key,
        creates=True,
    )
    journal = SqliteJournal(place)
    try:
        claimed = await journal.claim(intent, anyio.current_time() + 10)
        if isinstance(claimed, Claimed):
            await journal.end(claimed.id, "applied", anyio.current_time() + 10, phone_number=phone_number)
    except JournalUnavailableError as error:
        return str(error)
    finally:
        await journal.close()
    return "claimed" if isinstance(claimed, Claimed) else "taken"


if __name__ == "__main__":
    for line in sys.stdin:
        wanted: dict[str, Any] = json.loads(line)
        print(json.dumps(anyio.run(claim, wanted["place"], wanted["phone_number"], wanted["key"])), flush=True)
