"""What became known after a write is written down, now or later, while another process holds the journal's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest

from phone_number_mcp.transports import AfterResponse
from phone_number_mcp.writes import recorder
from phone_number_mcp.writes.journal import Claimed, Entry
from phone_number_mcp.writes.recorder import Recorder
from phone_number_mcp.writes.sqlite import SqliteJournal
from support.intents import INTENT

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(tmp_path: Path) -> str:
    return str(tmp_path / "journal.sqlite3")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "RECORD_SECONDS", 0.05)


@contextmanager
def held(place: str) -> Iterator[None]:
    with closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def claimed(journal: SqliteJournal) -> int:
    claim = await journal.claim(INTENT, anyio.current_time() + 5)
    assert isinstance(claim, Claimed)
    return claim.id


async def found(place: str, id_: int) -> Entry:
    reader = SqliteJournal(place)
    try:
        entry = await reader.entry(id_, anyio.current_time() + 5)
    finally:
        await reader.close()
    assert entry is not None
    return entry


async def test_what_cannot_be_written_down_at_once_is_tried_until_it_is(place: str) -> None:
    async with anyio.create_task_group() as tasks:
        notes = Recorder(lambda: SqliteJournal(place), tasks)
        assert isinstance(notes.journal, SqliteJournal)
        id_ = await claimed(notes.journal)
        with anyio.fail_after(20):
            with held(place):
                await notes.end(id_, "applied", anyio.current_time() + 5, phone_number="+14155550121")
            while (entry := await found(place, id_)).outcome is None:
                await anyio.sleep(0.02)
            assert (entry.outcome, entry.acknowledged) == ("applied", False)
            with held(place):
                await notes.acknowledge(id_, None)
            while not (await found(place, id_)).acknowledged:
                await anyio.sleep(0.02)
        tasks.cancel_scope.cancel()
    await notes.close()


async def test_whoever_waits_for_an_answer_does_not_wait_for_the_journal_any_longer(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "RECORD_SECONDS", 30.0)
    async with anyio.create_task_group() as tasks:
        notes = Recorder(lambda: SqliteJournal(place), tasks)
        assert isinstance(notes.journal, SqliteJournal)
        id_ = await claimed(notes.journal)
        with held(place), anyio.fail_after(20):
            await notes.end(id_, "applied", anyio.current_time() + 0.1)
        tasks.cancel_scope.cancel()
    await notes.close()
    assert (await found(place, id_)).outcome == "applied"  # at the end, what is left is written


async def test_an_outcome_counts_as_known_once_its_answer_was_handed_over(place: str) -> None:
    after = AfterResponse()
    async with anyio.create_task_group() as tasks:
        notes = Recorder(lambda: SqliteJournal(place), tasks)
        assert isinstance(notes.journal, SqliteJournal)
        id_ = await claimed(notes.journal)
        await notes.end(id_, "applied", anyio.current_time() + 5)
        await notes.acknowledge(None, after)
        assert not after
        await notes.acknowledge(id_, after)
        assert not (await found(place, id_)).acknowledged
        after.run()
        tasks.cancel_scope.cancel()  # the server ends before it is written down
    await notes.close()
    assert (await found(place, id_)).acknowledged


async def test_a_journal_that_nobody_asked_for_is_not_made(place: str) -> None:
    async with anyio.create_task_group() as tasks:
        await Recorder(lambda: SqliteJournal(place), tasks).close()
    assert not Path(place).exists()
