"""A journal that cannot be trusted or written refuses writes: no used key is sent again, and no limit is forgotten.

Each fault strikes a real server, before its first write or between two, and is taken away again while the server runs.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from itertools import count, islice
from pathlib import Path
from typing import Any

import anyio
import pytest

from phone_number_mcp.writes.clock import Clock
from phone_number_mcp.writes.journal import Claimed, Intent, Taken
from phone_number_mcp.writes.scope import normalized
from phone_number_mcp.writes.sqlite import SqliteJournal
from support.ledger import Gate, Ledger
from support.processes import (
    CREATE,
    RETELL,
    account,
    answers,
    at_once,
    code,
    command_line,
    create,
    edited,
    kill,
    rows,
    servers,
    until,
)
from support.upstream import Upstream
from support.wire import RawClient

pytestmark = pytest.mark.anyio
USED = {"phone_number": "+14155550120", "idempotency_key": "used"}
NEW = {"phone_number": "+14155550121", "idempotency_key": "new"}
MORE = {"phone_number": "+14155550122"}
LIMIT = {"PHONE_NUMBER_MCP_MAX_CREATES": "2", "PHONE_NUMBER_MCP_TIMEOUT": "3"}


@pytest.fixture
def platform(upstream: Upstream) -> Ledger:
    return Ledger(upstream)


@pytest.fixture
def journal(own_journal: dict[str, str]) -> Path:
    return Path(own_journal["PHONE_NUMBER_MCP_JOURNAL"])


@pytest.fixture
def env(platform: Ledger, own_journal: dict[str, str]) -> dict[str, str]:
    return own_journal | LIMIT | account(platform.upstream.url)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal in which a server wrote the create of `USED`."""
    place = tmp_path_factory.mktemp("written") / "journal.sqlite3"

    async def write() -> None:
        async with Upstream.listening() as upstream:
            Ledger(upstream)
            env = {"PHONE_NUMBER_MCP_JOURNAL": str(place)} | account(upstream.url)
            async with servers(env) as (client,):
                assert "data" in await create(client, **USED)
                await until(lambda: rows(place, "acknowledged") == [(1,)])

    anyio.run(write)
    return place.parent


def have_written(written: Path, journal: Path, platform: Ledger, env: dict[str, str]) -> None:
    """Have the journal and the platform as they are after the create of `USED`."""
    shutil.copytree(written, journal.parent, dirs_exist_ok=True)
    with edited(journal) as database:
        database.execute("UPDATE writes SET address = ?", (normalized(platform.upstream.url),))
    platform.numbers[env["ZUDU_API_KEY"]] = {USED["phone_number"]: dict(USED)}


def files_of(journal: Path) -> list[Path]:
    return [path for path in journal.parent.iterdir() if path.is_file() and path.name.startswith(journal.name)]


def put_back(kept: Path, journal: Path) -> None:
    """Restore the journal's files from where they were kept, as from a backup."""
    journal.parent.mkdir(exist_ok=True)
    for path in files_of(journal):
        path.unlink()
    for path in files_of(kept / journal.name):
        shutil.copy2(path, journal.parent)


# --- what may befall it ---


def garble_the_start(journal: Path) -> None:
    with journal.open("r+b") as file:
        file.write(b"garbage " * 16)


def garble_the_middle(journal: Path) -> None:
    """Write over all pages but the first, which says that there was a change: as disk and another process together do."""
    content = bytearray(journal.read_bytes())
    size = int.from_bytes(content[16:18], "big")
    content[size:] = b"garbage " * (len(content[size:]) // 8)
    for counter in (slice(24, 28), slice(92, 96)):  # https://www.sqlite.org/fileformat.html: 1.3.7, 1.3.16
        content[counter] = (int.from_bytes(content[counter], "big") + 1).to_bytes(4, "big")
    with journal.open("r+b") as file:
        file.write(content)


def empty(journal: Path) -> None:
    with journal.open("r+b") as file:
        file.truncate()


def delete(journal: Path) -> None:
    journal.unlink()


def delete_the_folder(journal: Path) -> None:
    shutil.rmtree(journal.parent)


def put_a_folder_there(journal: Path) -> None:
    journal.unlink()
    journal.mkdir()


def raise_the_schema(journal: Path) -> None:
    with edited(journal) as database:
        database.execute("PRAGMA user_version = 99")


def delete_the_key(journal: Path) -> None:
    journal.with_name(journal.name + ".key").unlink()


def put_another_key_there(journal: Path) -> None:
    journal.with_name(journal.name + ".key").write_text("ab" * 32 + "\nin use\n")


def garble_the_key(journal: Path) -> None:
    journal.with_name(journal.name + ".key").write_text("garbage")


def block_the_rollback_journal(journal: Path) -> None:
    beside = journal.with_name(journal.name + "-journal")
    beside.unlink(missing_ok=True)
    beside.mkdir()


def put_another_journal_there(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as database:
        database.execute("UPDATE about SET value = 'another' WHERE name = 'id'")
        database.execute("DELETE FROM writes")
        database.commit()


def put_an_older_one_there(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as database:
        database.execute("DELETE FROM writes")
        database.commit()


BEFORE: list[Callable[[Path], None]] = [
    garble_the_start, garble_the_middle, empty, delete, put_a_folder_there, raise_the_schema, delete_the_key,
    put_another_key_there, garble_the_key, block_the_rollback_journal,
]  # fmt: skip
MEANWHILE: list[Callable[[Path], None]] = [
    garble_the_start, garble_the_middle, empty, delete, delete_the_folder, put_a_folder_there, raise_the_schema,
    put_another_journal_there, put_an_older_one_there,
]  # fmt: skip


async def refuses(client: RawClient, platform: Ledger) -> None:
    """Assert that no write goes out, and that reads go on."""
    sent = len(platform.posts)
    for wish in (USED, NEW, MORE):
        told = await create(client, **wish)
        assert (code(told), told["error"]["outcome"]) == ("journal_unavailable", "not_applied"), told
    assert len(platform.posts) == sent
    read = await client.call("get_phone_number", phone_number=USED["phone_number"])
    assert read["structuredContent"]["data"]["phone_number"] == USED["phone_number"]


async def has_recovered(client: RawClient, platform: Ledger) -> None:
    """Assert that the used key and the limit hold, and that writes go out again."""
    sent = len(platform.posts)
    assert "Nothing was sent" in (await create(client, **USED))["warning"]
    assert "data" in await create(client, **NEW)
    assert code(await create(client, **MORE)) == "limit_reached"
    assert len(platform.posts) == sent + 1


@pytest.mark.parametrize("strike", BEFORE, ids=lambda strike: strike.__name__)
async def test_a_journal_that_is_broken_before_the_start_refuses_writes_until_it_is_restored(
    platform: Ledger,
    env: dict[str, str],
    journal: Path,
    written: Path,
    tmp_path_factory: pytest.TempPathFactory,
    strike: Callable[[Path], None],
) -> None:
    have_written(written, journal, platform, env)
    kept = tmp_path_factory.mktemp("kept")
    shutil.copytree(journal.parent, kept, dirs_exist_ok=True)
    strike(journal)
    async with servers(env) as (client,):
        await refuses(client, platform)
        for path in journal.parent.iterdir():
            if path.is_dir() and not path.name.endswith(".owners"):
                path.rmdir()
        put_back(kept, journal)
        await has_recovered(client, platform)


async def test_a_journal_that_breaks_between_two_writes_refuses_writes_until_it_is_restored(
    platform: Ledger, env: dict[str, str], journal: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with servers(env) as (client,):
        assert "data" in await create(client, **USED)
        await until(lambda: rows(journal, "acknowledged") == [(1,)])
        kept = tmp_path_factory.mktemp("kept")
        shutil.copytree(journal.parent, kept, dirs_exist_ok=True)
        for strike in MEANWHILE:
            strike(journal)
            await refuses(client, platform)
            if journal.is_dir():
                journal.rmdir()
            put_back(kept, journal)
            told = await create(client, **USED)
            assert "Nothing was sent" in told.get("warning", ""), (strike, told)
        await has_recovered(client, platform)


@pytest.mark.parametrize("strike", [delete_the_key, put_another_key_there], ids=lambda strike: strike.__name__)
async def test_a_key_file_that_is_gone_while_a_server_runs_changes_nothing_for_it_and_stops_others(
    platform: Ledger,
    env: dict[str, str],
    journal: Path,
    tmp_path_factory: pytest.TempPathFactory,
    strike: Callable[[Path], None],
) -> None:
    async with servers(env, env) as (client, other):
        assert "data" in await create(client, **USED)
        await until(lambda: rows(journal, "acknowledged") == [(1,)])
        kept = tmp_path_factory.mktemp("kept")
        shutil.copytree(journal.parent, kept, dirs_exist_ok=True)
        strike(journal)
        await refuses(other, platform)
        assert "Nothing was sent" in (await create(client, **USED))["warning"]
        shutil.copy2(kept / f"{journal.name}.key", journal.parent)
        await has_recovered(other, platform)
    assert len(platform.posts) == 2


@pytest.mark.parametrize("strike", [garble_the_start, delete, raise_the_schema], ids=lambda strike: strike.__name__)
async def test_a_default_journal_with_rows_that_is_broken_is_not_forgotten(
    platform: Ledger, env: dict[str, str], tmp_path: Path, written: Path, strike: Callable[[Path], None]
) -> None:
    journal = tmp_path / "phone-number-mcp" / "journal.sqlite3"
    have_written(written, journal, platform, env)
    strike(journal)
    del env["PHONE_NUMBER_MCP_JOURNAL"]
    async with servers(env | {"XDG_STATE_HOME": str(tmp_path)}) as (client,):
        await refuses(client, platform)


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
async def test_garbage_beside_the_journal_hides_nothing_of_it(
    platform: Ledger, env: dict[str, str], journal: Path, written: Path, suffix: str
) -> None:
    have_written(written, journal, platform, env)
    journal.with_name(journal.name + suffix).write_bytes(b"garbage " * 1024)
    async with servers(env) as (client,):
        await has_recovered(client, platform)


async def test_an_index_that_is_damaged_while_two_servers_run_hides_no_key(
    platform: Ledger, env: dict[str, str], journal: Path
) -> None:
    """One byte of the key in the index: SQLite itself takes it for another key."""
    env |= {"PHONE_NUMBER_MCP_MAX_CREATES": "100"}
    async with servers(env, env) as (client, other):
        wishes = [{"phone_number": f"+1415555{last:04}", "idempotency_key": f"key-{last}"} for last in range(200, 240)]
        for wish in wishes:
            assert "data" in await create(client, **wish)
        assert "data" in await create(other, phone_number="+14155550120")
        await until(lambda: set(rows(journal, "acknowledged")) == {(1,)})
        content = journal.read_bytes()
        in_index = max(range(0, len(content), 4096), key=lambda page: _keys_in_index(content, page))
        at = content.index(b"key-220", in_index)
        with journal.open("r+b") as file:
            file.seek(at)
            file.write(b"z")
        await create(other, phone_number="+14155550121")  # it changes the file, so that the first reads it again
        for wish in wishes:
            told = await create(client, **wish)
            assert "Nothing was sent" in str(told), told
            assert code(told) in {None, "journal_unavailable"}
        with journal.open("r+b") as file:
            file.seek(at)
            file.write(b"k")
        for wish in wishes:
            assert "Nothing was sent" in (await create(client, **wish))["warning"]
    for wish in wishes:
        assert platform.sent("phone_number", wish["phone_number"]) == 1


def _keys_in_index(content: bytes, page: int) -> int:
    leaf = content[page] == 10  # https://www.sqlite.org/fileformat.html, 1.6: a leaf of an index
    return content[page : page + 4096].count(b"key-") if leaf else 0


# --- a process that dies while it commits ---


@pytest.mark.parametrize("rollback", ["whole", "garbled", "gone"])
async def test_a_commit_that_was_cut_off_hides_no_key(
    platform: Ledger, env: dict[str, str], journal: Path, written: Path, tmp_path: Path, rollback: str
) -> None:
    have_written(written, journal, platform, env)
    cut = tmp_path / "cut"
    cut.mkdir()
    with edited(journal) as database:
        for last in range(200):  # more than the smallest cache holds
            database.execute(
                f"INSERT INTO writes SELECT {last + 2}, platform, address, tenant, owner, operation, '+1{last}', "
                "fingerprint, NULL, 0, 0, 1, 0, 0, 'applied', NULL, 0, 1, NULL, NULL FROM writes WHERE id = 1"
            )
        database.execute("PRAGMA cache_size = 1")
        database.execute("BEGIN IMMEDIATE")
        database.execute("UPDATE writes SET fingerprint = hex(randomblob(100)), key_claim = NULL, started_at = 0")
        for path in files_of(journal):
            shutil.copy2(path, cut)
        database.execute("ROLLBACK")
    place = cut / journal.name
    beside = cut / f"{journal.name}-journal"
    assert place.read_bytes() != journal.read_bytes()
    if rollback == "garbled":
        with beside.open("r+b") as file:
            file.seek(600)
            file.write(b"garbage " * 2048)
    if rollback == "gone":
        beside.unlink()
    env |= {"PHONE_NUMBER_MCP_JOURNAL": str(place)}
    if rollback == "whole":
        shown_from = tmp_path / "shown"
        shutil.copytree(cut, shown_from)
        elsewhere = {"PHONE_NUMBER_MCP_JOURNAL": str(shown_from / journal.name)}
        status, shown, said = await command_line("journal", "--json", env=elsewhere)
        assert (status, said) == (0, "")
        assert USED["phone_number"] in shown
    async with servers(env) as (client,):
        if rollback == "whole":
            await has_recovered(client, platform)
        else:
            await refuses(client, platform)


# --- the disk ---


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    place = tmp_path / "disk"
    place.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", place],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk of its own needs mount(8), and the right to use it")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path) -> Path:
    """Fill a disk, and return the file to delete."""
    filler = disk / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"x" * size)
    return filler


async def test_a_full_disk_refuses_writes_until_there_is_room(
    platform: Ledger, env: dict[str, str], disk: Path
) -> None:
    env |= {"PHONE_NUMBER_MCP_JOURNAL": str(disk / "journal.sqlite3")}
    platform.numbers[env["ZUDU_API_KEY"]] = {USED["phone_number"]: dict(USED)}
    async with servers(env) as (client,):
        filler = fill(disk)
        await refuses(client, platform)  # before the first write
        filler.unlink()
        platform.numbers.clear()
        assert "data" in await create(client, **USED)
        filler = fill(disk)
        sent = len(platform.posts)
        for wish in (USED, NEW, MORE):
            told = await create(client, **wish)
            assert "data" not in told or "Nothing was sent" in told["warning"], told
            assert code(told) in {None, "journal_unavailable"}
        assert len(platform.posts) == sent
        filler.unlink()
        await has_recovered(client, platform)


async def test_a_disk_that_fills_up_in_the_middle_of_a_commit_stops_nothing_for_good(
    platform: Ledger, env: dict[str, str], disk: Path
) -> None:
    journal = disk / "journal.sqlite3"
    env |= {"PHONE_NUMBER_MCP_JOURNAL": str(journal), "PHONE_NUMBER_MCP_MAX_CREATES": "1000"}
    numbers = (f"+1415555{last:04}" for last in count(200))
    async with servers(env) as (client,):
        assert "data" in await create(client, phone_number=next(numbers))
        for pages in range(1, 10):
            filler = fill(disk)
            os.truncate(filler, filler.stat().st_size - pages * 4096)
            for number in islice(numbers, 12):
                told = await create(client, phone_number=number)
                assert code(told) in {None, "journal_unavailable"}
                assert platform.sent("phone_number", number) == ("data" in told)
            filler.unlink()
            assert "data" in await create(client, phone_number=next(numbers))
    assert rows(journal, "count(*), sum(outcome = 'applied')") == [(len(platform.posts), len(platform.posts))]


async def test_a_disk_that_fills_up_while_a_write_is_sent_loses_nothing_of_it(
    platform: Ledger, env: dict[str, str], disk: Path
) -> None:
    journal = disk / "journal.sqlite3"
    env |= {"PHONE_NUMBER_MCP_JOURNAL": str(journal)}
    platform.hold = gate = Gate()
    async with servers(env, env) as (client, other):
        sent = await client.send_call(CREATE, USED)
        await gate.reached.wait()
        filler = fill(disk)
        gate.opened.set()
        (told,) = await answers(client, [sent])
        assert "data" in told
        await kill(client)  # what it knows is written down nowhere
        platform.work()
        assert code(await create(other, **MORE)) in {"journal_unavailable", None}
        filler.unlink()
        assert (await create(other, **USED))["data"] == told["data"]
    assert platform.sent("phone_number", USED["phone_number"]) == 1


async def test_a_disk_that_becomes_read_only_while_a_server_runs_refuses_writes_until_it_can_be_written(
    platform: Ledger, env: dict[str, str], disk: Path
) -> None:
    env |= {"PHONE_NUMBER_MCP_JOURNAL": str(disk / "journal.sqlite3")}
    async with servers(env) as (client,):
        assert "data" in await create(client, **USED)
        # The same files, read-only to whoever opens them from now on: SQLite opens one for each commit.
        for words in (["--bind", disk, disk], ["-o", "remount,ro,bind", disk]):
            await anyio.run_process(["mount", *map(str, words)])
        try:
            sent = len(platform.posts)
            for wish in (USED, NEW, MORE):
                assert code(await create(client, **wish)) == "journal_unavailable"
            assert len(platform.posts) == sent
        finally:
            await anyio.run_process(["umount", str(disk)])
        await has_recovered(client, platform)


async def test_a_read_only_disk_refuses_writes_until_it_can_be_written(
    platform: Ledger, env: dict[str, str], disk: Path, written: Path
) -> None:
    def remount(how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)

    journal = disk / "journal.sqlite3"
    env |= {"PHONE_NUMBER_MCP_JOURNAL": str(journal)}
    have_written(written, journal, platform, env)
    remount("ro")
    async with servers(env) as (client,):
        await refuses(client, platform)
        remount("rw")
        await has_recovered(client, platform)


# --- a journal of version 1 ---

VERSION_1 = """
CREATE TABLE writes (
    id INTEGER PRIMARY KEY, platform TEXT NOT NULL, address TEXT NOT NULL, operation TEXT NOT NULL, phone_number TEXT,
    fingerprint TEXT NOT NULL, idempotency_key TEXT, started_at REAL NOT NULL, ended_at REAL, outcome TEXT, code TEXT,
    chosen INTEGER NOT NULL, told INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX writes_by_number ON writes (platform, address, phone_number);
CREATE INDEX writes_by_key ON writes (platform, address, idempotency_key);
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
"""


def as_of_version_1(journal: Path, url: str) -> None:
    """Write a journal's rows as version 1 had them; its fingerprints are the same."""
    columns = (
        "id, platform, ?, operation, phone_number, fingerprint, idempotency_key, started_at, ended_at, outcome, code, "
        "chosen, acknowledged"
    )
    with edited(journal) as database:
        held = database.execute(f"SELECT {columns} FROM writes", (url,)).fetchall()
    shutil.rmtree(journal.parent)
    journal.parent.mkdir()
    with edited(journal) as database:
        database.executescript(VERSION_1)
        database.executemany(f"INSERT INTO writes VALUES ({', '.join('?' * 13)})", held)


@pytest.mark.parametrize("how_many", [1, 4])
async def test_keys_open_writes_and_limits_hold_after_an_upgrade(
    platform: Ledger, own_journal: dict[str, str], tmp_path: Path, how_many: int
) -> None:
    url = platform.upstream.url
    journal = tmp_path / "state" / "journal.sqlite3"
    env = account(url) | {"PHONE_NUMBER_MCP_JOURNAL": str(journal), "PHONE_NUMBER_MCP_TIMEOUT": "5"}
    cut = {"phone_number": "+14155550123", "idempotency_key": "cut"}
    absent = {"phone_number": "+14155550124"}
    async with servers(env) as (client,):
        assert "data" in await create(client, **USED)
        platform.hold = gate = Gate()
        await client.send_call(CREATE, cut)
        await until(lambda: len(platform.posts) == 2)
        platform.commits = False
        await client.send_call(CREATE, absent)
        await until(lambda: len(platform.posts) == 3)
        await until(lambda: rows(journal, "acknowledged")[0] == (1,))
        await kill(client)
        gate.opened.set()
        platform.work()
    as_of_version_1(journal, url + "/")
    limited = env | {"PHONE_NUMBER_MCP_MAX_CREATES": "4"}
    async with servers(*[limited] * how_many) as clients:
        results: list[list[dict[str, Any]]] = []

        async def repeat(client: RawClient) -> None:
            ids = [await client.send_call(CREATE, wish) for wish in (USED, cut, absent, USED | MORE)]
            results.append(await answers(client, ids))

        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(repeat, client)
        for used, found, open_, reused in results:
            assert "Nothing was sent" in used["warning"]
            assert found["data"]["phone_number"] == cut["phone_number"]
            assert code(open_) == "outcome_unknown"
            assert open_["error"]["retry_after_seconds"] <= 60
            assert code(reused) == "invalid_arguments"
        assert len(platform.posts) == 3
        assert "data" in await create(clients[0], **NEW)
        assert code(await create(clients[-1], **MORE)) == "limit_reached"
    assert len(platform.posts) == 4
    assert rows(journal, "count(*)") == [(4,)]
    status, shown, _ = await command_line("journal", "--json", "--unsettled", env=own_journal | env)
    assert status == 0
    assert "+14155550124" in shown


async def test_a_purchase_that_is_open_at_an_upgrade_is_not_sent_again(
    platform: Ledger, own_journal: dict[str, str], tmp_path: Path
) -> None:
    journal = tmp_path / "state" / "journal.sqlite3"
    env = own_journal | account(platform.upstream.url) | RETELL | {"PHONE_NUMBER_MCP_JOURNAL": str(journal)}
    wish = {"area_code": 415, "idempotency_key": "cut"}
    platform.hold = gate = Gate()
    async with servers(env) as (client,):
        await client.send_call(CREATE, wish)
        await gate.reached.wait()
        await kill(client)
        gate.opened.set()
        platform.work()
    as_of_version_1(journal, platform.upstream.url)
    async with servers(env, env) as clients:
        for told in await at_once(clients, wish, wish):
            for content in told:
                assert code(content) == "outcome_unknown"
                assert "list_phone_numbers" in content["error"]["hint"]
    assert len(platform.posts) == 1


# --- the clock ---


async def test_claims_in_one_tick_of_the_clock_keep_their_order(tmp_path: Path) -> None:
    place = str(tmp_path / "journal.sqlite3")
    clock = Clock(now=lambda: 1_800_000_000.0, tick=lambda: 1000.0)
    journals = [SqliteJournal(place, clock=clock) for _ in range(2)]
    deadline = anyio.current_time() + 10
    newest = 0
    for last in range(20):
        intent = Intent(
            platform="test",
            address="https://platform.test",
            credentials=("secret",),
            operation="create_phone_number",
            phone_number=f"+1415555{last:04}",
            fingerprint="the same",
            budget=5.0,
            idempotency_key=f"key {last}",
            creates=True,
        )
        first, second = journals[last % 2], journals[1 - last % 2]
        claimed, taken = await first.claim(intent, deadline), await second.claim(intent, deadline)
        assert isinstance(claimed, Claimed)
        assert isinstance(taken, Taken)
        assert newest < claimed.id == taken.entry.id
        assert taken.by == "key"
        newest = claimed.id
        assert taken.entry.running
    for journal in journals:
        await journal.close()
