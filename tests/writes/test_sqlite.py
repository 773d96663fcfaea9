"""The journal in SQLite, in one process: who gets a claim, how many a day, and what an entry says later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest

from phone_number_mcp.writes.clock import Clock
from phone_number_mcp.writes.journal import (
    Claimed,
    ClaimedBy,
    Entry,
    Intent,
    JournalUnavailableError,
    LimitExceededError,
    Taken,
)
from phone_number_mcp.writes.sqlite import SqliteJournal
from support.intents import INTENT

pytestmark = pytest.mark.anyio
DAY = 86_400.0
MIDNIGHT = 20_000 * DAY


@dataclass
class Time:
    now: float = MIDNIGHT + 100.0
    tick: float = 1_000.0

    def passes(self, seconds: float) -> None:
        self.now += seconds
        self.tick += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
async def journal(tmp_path: Path, time: Time) -> AsyncIterator[SqliteJournal]:
    clock = Clock(now=lambda: time.now, tick=lambda: time.tick)
    opened = SqliteJournal(str(tmp_path / "journal.sqlite3"), clock=clock)
    yield opened
    await opened.close()


def soon() -> float:
    return anyio.current_time() + 5


def intent(last: int = 0, **changed: Any) -> Intent:
    return replace(INTENT, phone_number=f"+1415555012{last}", fingerprint=f"of {last}", **changed)


async def claim(journal: SqliteJournal, wanted: Intent, limit: int | None = None) -> int:
    claimed = await journal.claim(wanted, soon(), limit)
    assert isinstance(claimed, Claimed)
    return claimed.id


async def taken(journal: SqliteJournal, wanted: Intent) -> tuple[ClaimedBy, Entry]:
    answer = await journal.claim(wanted, soon())
    assert isinstance(answer, Taken)
    return answer.by, answer.entry


async def entry(journal: SqliteJournal, id_: int) -> Entry:
    found = await journal.entry(id_, soon())
    assert found is not None
    return found


async def test_an_entry_says_what_was_claimed_and_how_it_ended(journal: SqliteJournal, time: Time) -> None:
    id_ = await claim(journal, intent(idempotency_key="k"))
    open_ = await entry(journal, id_)
    assert (open_.platform, open_.address, open_.operation) == ("test", "https://platform.test", "create_phone_number")
    assert (open_.phone_number, open_.fingerprint, open_.idempotency_key) == ("+14155550120", "of 0", "k")
    assert (open_.started_at, open_.ended_at, open_.outcome) == (time.now, None, None)
    assert (open_.running, open_.chosen, open_.acknowledged, open_.resolved) == (True, False, False, False)
    time.passes(7)
    assert (await entry(journal, id_)).age == 7.0
    await journal.end(id_, "applied", soon())
    ended = await entry(journal, id_)
    assert (ended.ended_at, ended.outcome, ended.running, ended.resolved) == (time.now, "applied", False, True)
    await journal.acknowledge(id_, soon())
    assert (await entry(journal, id_)).acknowledged
    assert await journal.entry(id_ + 1, soon()) is None


async def test_a_number_that_is_being_created_is_nobody_elses(journal: SqliteJournal) -> None:
    id_ = await claim(journal, intent())
    by, earlier = await taken(journal, replace(intent(), fingerprint="another", operation="import_phone_number"))
    assert (by, earlier.id) == ("subject", id_)
    await claim(journal, intent(1))
    await claim(journal, intent(credentials=("another",)))
    await claim(journal, intent(platform="another"))
    await claim(journal, intent(address="https://another.test"))
    await claim(journal, intent(creates=False))
    await journal.end(id_, "not_applied", soon())
    await claim(journal, intent())


async def test_a_key_belongs_to_one_write_for_seven_days(journal: SqliteJournal, time: Time) -> None:
    id_ = await claim(journal, intent(idempotency_key="k"))
    await journal.end(id_, "applied", soon())
    await journal.acknowledge(id_, soon())
    time.passes(7 * DAY - 1)
    by, earlier = await taken(journal, intent(1, idempotency_key="k"))
    assert (by, earlier.id) == ("key", id_)
    time.passes(2)
    await claim(journal, intent(1, idempotency_key="k"))


async def test_a_key_of_a_write_that_had_no_effect_is_free(journal: SqliteJournal) -> None:
    await journal.end(await claim(journal, intent(idempotency_key="k")), "not_applied", soon())
    await claim(journal, intent(1, idempotency_key="k"))


async def test_a_key_that_comes_to_wait_for_the_same_write_is_used_up_by_it(journal: SqliteJournal) -> None:
    id_ = await claim(journal, intent())
    await taken(journal, intent(idempotency_key="k"))
    assert (await entry(journal, id_)).idempotency_key == "k"
    assert (await taken(journal, intent(1, idempotency_key="k")))[0] == "key"


async def test_a_limit_counts_what_was_or_may_have_been_created_today(journal: SqliteJournal, time: Time) -> None:
    first, second = await claim(journal, intent(0), 2), await claim(journal, intent(1), 2)
    with pytest.raises(LimitExceededError) as raised:
        await claim(journal, intent(2), 2)
    assert raised.value.count == await journal.count_today(intent(2), soon()) == 2
    await journal.end(first, "applied", soon())
    await journal.end(second, "unknown", soon())
    with pytest.raises(LimitExceededError):
        await claim(journal, intent(2), 2)
    assert await journal.resolve(second, "not_applied", soon())
    assert await journal.count_today(intent(2), soon()) == 1
    for other in (intent(3, credentials=("another",)), intent(3, operation="import_phone_number")):
        assert await journal.count_today(other, soon()) == 0
    await claim(journal, intent(3, credentials=("another",)), 1)
    await claim(journal, intent(2), 2)
    time.passes(MIDNIGHT + DAY - time.now)
    assert await journal.count_today(intent(4), soon()) == 0
    await claim(journal, intent(4), 1)


async def test_only_what_is_unknown_is_resolved(journal: SqliteJournal) -> None:
    id_ = await claim(journal, intent())
    await journal.end(id_, "unknown", soon(), code="outcome_unknown")
    assert (await entry(journal, id_)).code == "outcome_unknown"
    assert await journal.resolve(id_, "applied", soon())
    assert not await journal.resolve(id_, "not_applied", soon())
    assert (await entry(journal, id_)).outcome == "applied"


async def test_a_write_whose_process_is_gone_is_adopted_once(
    journal: SqliteJournal, tmp_path: Path, time: Time
) -> None:
    id_ = await claim(journal, intent())
    assert not await journal.adopt(await entry(journal, id_), soon())  # its process is this one, and lives
    await journal.close()
    clock = Clock(now=lambda: time.now, tick=lambda: time.tick)
    others = [SqliteJournal(str(tmp_path / "journal.sqlite3"), clock=clock) for _ in range(2)]
    left = await entry(others[0], id_)
    assert (left.running, left.outcome) == (False, None)
    assert await others[0].adopt(left, soon())
    assert not await others[1].adopt(left, soon())
    adopted = await entry(others[1], id_)
    assert (adopted.outcome, adopted.running) == ("unknown", False)
    for other in others:
        await other.close()


@pytest.mark.parametrize("left", [[], ["journal.sqlite3"]], ids=["nothing", "an empty file"])
async def test_a_journal_that_was_used_is_never_created_anew(
    journal: SqliteJournal, tmp_path: Path, left: list[str]
) -> None:
    await claim(journal, intent())
    (tmp_path / "journal.sqlite3").write_bytes(b"garbage" * 1_000)
    with pytest.raises(JournalUnavailableError, match="damaged"):
        await journal.claim(intent(1), soon())
    files = [path for path in tmp_path.iterdir() if path.is_file()]
    for path in files:
        path.unlink()
    for name in left:
        (tmp_path / name).touch()
    with pytest.raises(JournalUnavailableError, match="deleted while the server ran"):
        await journal.claim(intent(1), soon())
    assert [path.name for path in tmp_path.iterdir() if path.is_file() and path.stat().st_size] == []
