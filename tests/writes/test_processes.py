"""Between processes the journal is the one authority: whoever sends, the others learn of it, and nothing is sent twice.

The servers are real processes; the platform is a real server on a socket that counts what was sent.
"""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import pytest

from support.fork_server import forked
from support.ledger import Gate, Ledger
from support.places import SUPPORT
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
    unsettled,
    until,
)
from support.server import fresh_command
from support.system import POSIX
from support.upstream import Upstream, drop, silence
from support.wire import RawClient

pytestmark = pytest.mark.anyio
NUMBER = "+14155550120"


@pytest.fixture
def platform(upstream: Upstream) -> Ledger:
    return Ledger(upstream)


@pytest.fixture
def journal(own_journal: dict[str, str]) -> Path:
    return Path(own_journal["PHONE_NUMBER_MCP_JOURNAL"])


@pytest.fixture
def env(platform: Ledger, own_journal: dict[str, str]) -> dict[str, str]:
    return own_journal | account(platform.upstream.url)


def assert_told_the_same(told: list[dict[str, Any]]) -> None:
    """All were told the same, except for those who were told that it is in progress."""
    known = [content for content in told if "in progress" not in str(content)]
    assert known
    assert all("data" in content for content in known), told
    assert len({json.dumps(content["data"], sort_keys=True) for content in known}) == 1, told
    assert {code(content) for content in told} <= {None, "outcome_unknown"}


# --- the same intent in several processes ---


async def test_a_key_that_several_processes_use_at_once_is_sent_once(
    platform: Ledger, env: dict[str, str], rounds: int
) -> None:
    async with servers(*[env] * 8) as clients:
        for racing in (clients, clients[:2]):
            for batch in range(rounds // 10):
                wishes = [
                    {
                        "phone_number": f"+1{len(racing)}15555{batch}{number:03}",
                        "idempotency_key": f"{len(racing)} {batch} {number}",
                    }
                    for number in range(10)
                ]
                for told in await at_once(racing, *wishes):
                    assert_told_the_same(told)
                for wish in wishes:
                    assert platform.sent("phone_number", wish["phone_number"]) == 1


async def test_a_key_of_a_purchase_without_a_number_is_sent_once_by_several_processes(
    platform: Ledger, env: dict[str, str], rounds: int
) -> None:
    async with servers(*[env | RETELL] * 8) as clients:
        for racing in (clients, clients[:2]):
            for number in range(rounds):
                intent = f"{len(racing)} {number}"
                (told,) = await at_once(racing, {"area_code": 415, "idempotency_key": intent, "nickname": intent})
                assert_told_the_same(told)
                assert platform.sent("nickname", intent) == 1


@pytest.mark.parametrize("count", [2, 8])
async def test_of_several_processes_that_make_the_journal_at_once_one_has_the_claim(
    tmp_path: Path, count: int, rounds: int
) -> None:
    worker = forked(str(SUPPORT / "claiming.py"))
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(RawClient.started(worker, {}, patience=60)) for _ in range(count)]
        for place in range(rounds):
            for number in (NUMBER, None):
                wanted = {"place": str(tmp_path / f"{place} {number}" / "j"), "phone_number": number, "key": "key"}
                for each in workers:
                    await each.send(wanted)
                answered = sorted([await each.receive() for each in workers])
                assert answered == ["claimed", *["taken"] * (count - 1)]


async def test_the_same_number_without_a_key_in_two_processes_is_sent_once(
    platform: Ledger, env: dict[str, str], journal: Path
) -> None:
    wishes = [{"phone_number": f"+1415555{number:04}", "nickname": "Desk"} for number in range(100, 110)]
    platform.hold = gate = Gate()
    async with servers(env, env | {"PHONE_NUMBER_MCP_TIMEOUT": "2"}) as (first, second):
        sent = [await first.send_call(CREATE, wish) for wish in wishes]
        await until(lambda: len(platform.posts) == len(wishes))
        before = rows(journal)
        for (content,) in await at_once([second], *wishes):
            assert "in progress" in content["error"]["message"]
            assert (content["error"]["code"], content["error"]["outcome"]) == ("outcome_unknown", "unknown")
        assert rows(journal) == before  # a live owner's write is its own
        # One that waits, and was seen to: its key is that write's now.
        waiting = await second.send_call(CREATE, wishes[0] | {"idempotency_key": "mine"})
        await until(lambda: ("mine",) in rows(journal, "idempotency_key"))
        gate.opened.set()
        told = await answers(first, sent)
        assert all("data" in content for content in told)
        (other,) = await answers(second, [waiting])
    assert other["data"] == told[0]["data"]
    assert "Another process" in other["warning"]
    assert len(platform.posts) == len(wishes)


# --- the owner of a write ---


@pytest.mark.parametrize("commits", [True, False])
async def test_a_write_whose_owner_is_killed_is_adopted_and_read_back(
    platform: Ledger, env: dict[str, str], journal: Path, commits: bool
) -> None:
    wish = {"phone_number": NUMBER, "nickname": "Desk"}
    platform.hold, platform.commits = Gate(), commits
    async with servers(env, env) as (first, second):
        await first.send_call(CREATE, wish)
        await platform.hold.reached.wait()
        waiting = await second.send_call(CREATE, wish | {"idempotency_key": "mine"})
        await until(lambda: rows(journal, "idempotency_key") == [("mine",)])
        await kill(first)
        (told,) = await answers(second, [waiting])
        again = await create(second, **wish, idempotency_key="mine")
    for content in (told, again):
        if commits:
            assert content["data"]["phone_number"] == NUMBER
        else:  # so soon after, it may still be on its way
            assert content["error"]["code"] == "outcome_unknown"
            assert 0 < content["error"]["retry_after_seconds"] <= 60
    assert len(platform.posts) == 1
    assert rows(journal, "outcome") == [("applied" if commits else "unknown",)]


async def test_a_purchase_without_a_number_whose_owner_is_killed_is_not_sent_again(
    platform: Ledger, env: dict[str, str], journal: Path
) -> None:
    wish = {"area_code": 415, "idempotency_key": "mine"}
    platform.hold = gate = Gate()
    async with servers(env | RETELL, env | RETELL) as (first, second):
        await first.send_call(CREATE, wish)
        await gate.reached.wait()
        await kill(first)
        gate.opened.set()
        for _ in range(2):
            told = (await create(second, **wish))["error"]
            assert (told["code"], told["outcome"]) == ("outcome_unknown", "unknown")
            assert "list_phone_numbers" in told["hint"]
    assert len(platform.posts) == 1
    assert rows(journal, "outcome") == [("unknown",)]


@pytest.mark.parametrize("platform_name", ["zudu", "retell"])
async def test_a_slow_write_of_a_live_owner_is_in_progress_to_others_and_is_not_touched(
    platform: Ledger, env: dict[str, str], journal: Path, platform_name: str
) -> None:
    env |= {"PHONE_NUMBER_MCP_PLATFORM": platform_name}
    wish: dict[str, Any] = {"phone_number": NUMBER} if platform_name == "zudu" else {"area_code": 415}
    wish["idempotency_key"] = "mine"
    platform.hold = gate = Gate()
    async with servers(env, env | {"PHONE_NUMBER_MCP_TIMEOUT": "1"}) as (slow, hasty):
        sent = await slow.send_call(CREATE, wish)
        await gate.reached.wait()
        before = rows(journal)
        told = (await create(hasty, **wish))["error"]
        other = (await create(hasty, **wish | {"idempotency_key": "another", "nickname": "Another"}))["error"]
        assert (told["code"], told["outcome"]) == ("outcome_unknown", "unknown")
        assert "in progress" in told["message"]
        assert told["retry_after_seconds"] <= 60
        assert (other["code"], other["outcome"]) == ("timeout", "not_applied")
        assert rows(journal) == before
        gate.opened.set()
        (done,) = await answers(slow, [sent])
        assert (await create(hasty, **wish))["data"] == done["data"]
    assert len(platform.posts) == 1


@POSIX
async def test_a_write_of_an_owner_that_is_stopped_for_longer_than_its_own_time_is_not_adopted(
    platform: Ledger, env: dict[str, str], journal: Path
) -> None:
    wish = {"phone_number": NUMBER, "idempotency_key": "mine"}
    platform.hold = gate = Gate()
    env |= {"PHONE_NUMBER_MCP_TIMEOUT": "1.5"}
    async with servers(env, env, program=fresh_command) as (stopped, other):
        sent = await stopped.send_call(CREATE, wish)
        await gate.reached.wait()
        before = rows(journal)
        stopped.process.send_signal(signal.SIGSTOP)
        try:
            for _ in range(2):
                told = (await create(other, **wish))["error"]
                assert "in progress" in told["message"]
                assert rows(journal) == before
        finally:
            stopped.process.send_signal(signal.SIGCONT)
        gate.opened.set()
        await answers(stopped, [sent])
        assert (await create(other, **wish))["data"]["phone_number"] == NUMBER
    assert len(platform.posts) == 1


async def test_a_live_owner_that_nobody_can_see_any_more_is_not_sent_twice(
    platform: Ledger, env: dict[str, str], journal: Path
) -> None:
    wish = {"phone_number": NUMBER, "idempotency_key": "mine"}
    platform.hold, platform.commits = Gate(), False
    async with servers(env, env) as (first, second):
        sent = await first.send_call(CREATE, wish)
        await platform.hold.reached.wait()
        shutil.rmtree(journal.with_name(f"{journal.name}.owners"))
        told = (await create(second, **wish))["error"]
        assert told["code"] == "outcome_unknown"
        assert 0 < told["retry_after_seconds"] <= 60
        platform.numbers[env["ZUDU_API_KEY"]] = {NUMBER: wish}
        platform.hold.opened.set()
        (done,) = await answers(first, [sent])
        assert "data" in done
        assert (await create(second, **wish))["data"]["phone_number"] == NUMBER
        # From its next write on, it is seen again.
        platform.work()
        platform.hold = gate = Gate()
        sent = await first.send_call(CREATE, {"phone_number": "+14155550121"})
        await gate.reached.wait()
        hasty = await second.send_call(CREATE, {"phone_number": "+14155550121", "idempotency_key": "seen"})
        await until(lambda: ("seen",) in rows(journal, "idempotency_key"))
        gate.opened.set()
        (done,), (shared,) = await answers(first, [sent]), await answers(second, [hasty])
        assert done["data"] == shared["data"]
    assert len(platform.posts) == 2


# --- a locked journal ---

MARGIN = 1.0
"""Seconds by which a slow machine may be late."""


def twelve(series: int = 0) -> list[dict[str, Any]]:
    return [{"phone_number": f"+1415555{series}{last:03}", "idempotency_key": f"{series} {last}"} for last in range(12)]


async def timed(client: RawClient, wishes: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], float]:
    """What calls that are made at once come to, and how long the last of them took."""
    started = anyio.current_time()
    ids = [await client.send_call(CREATE, wish) for wish in wishes]
    return await answers(client, ids), anyio.current_time() - started


@pytest.mark.parametrize("kind", ["IMMEDIATE", "EXCLUSIVE", "DEFERRED"])
async def test_a_journal_that_is_locked_lets_no_write_out_and_keeps_nobody_waiting(
    platform: Ledger, env: dict[str, str], journal: Path, kind: str
) -> None:
    async with servers(env | {"PHONE_NUMBER_MCP_TIMEOUT": "2"}) as (client,):
        for opened in (0, 1):  # before the first write, and later
            wishes = twelve(opened)
            with edited(journal) as database:
                database.execute(f"BEGIN {kind}")
                database.execute("SELECT count(*) FROM sqlite_master").fetchone()  # a reader lets nobody commit
                told, seconds = await timed(client, wishes)
                database.execute("ROLLBACK")
            for content in told:
                assert (code(content), content["error"]["outcome"]) == ("journal_unavailable", "not_applied")
                assert "locked" in content["error"]["message"]
            assert seconds < 2 + MARGIN
            assert len(platform.posts) == opened * 12
            told, _ = await timed(client, wishes)
            assert all("data" in content for content in told)
    assert len(platform.posts) == 24


@pytest.mark.parametrize(("kind", "ends"), [("IMMEDIATE", "unlocked"), ("EXCLUSIVE", "killed")])
async def test_a_journal_that_is_locked_while_writes_are_sent_learns_of_their_end_later(
    platform: Ledger, env: dict[str, str], journal: Path, kind: str, ends: str
) -> None:
    platform.hold = gate = Gate()
    wishes = twelve()
    async with servers(env | {"PHONE_NUMBER_MCP_TIMEOUT": "3"}, env) as (client, other):
        ids = [await client.send_call(CREATE, wish) for wish in wishes]
        await until(lambda: len(platform.posts) == len(wishes))
        with edited(journal) as database:
            database.execute(f"BEGIN {kind}")
            started = anyio.current_time()
            gate.opened.set()
            told = await answers(client, ids)
            assert anyio.current_time() - started < 3 + MARGIN
            assert all("data" in content for content in told)
            again, seconds = await timed(client, wishes)
            assert seconds < 3 + MARGIN
            assert {code(content) for content in again} == {"journal_unavailable"}
            if ends == "killed":
                await kill(client)
            database.execute("ROLLBACK")
        if ends == "unlocked":
            await until(lambda: rows(journal, "outcome, acknowledged") == [("applied", 1)] * 12)
        (*shared,) = await at_once([other], *wishes)
    for (content,), first in zip(shared, told, strict=True):
        assert content["data"] == first["data"]
    assert len(platform.posts) == len(wishes)
    assert rows(journal, "outcome") == [("applied",)] * 12


# --- accounts and addresses ---


async def test_two_accounts_do_not_learn_of_each_other(
    platform: Ledger, own_journal: dict[str, str], journal: Path
) -> None:
    one, two = account(platform.upstream.url), account(platform.upstream.url, "2")
    wishes: list[dict[str, Any]] = [
        {"phone_number": NUMBER, "idempotency_key": "key"},
        {"phone_number": "+14155550121"},
    ]
    platform.hold = gate = Gate()
    async with servers(own_journal | one, own_journal | two) as (first, second):
        for wish in wishes:
            await first.send_call(CREATE, wish | {"nickname": "One"})
        await until(lambda: len(platform.posts) == len(wishes))
        platform.hold = None
        for wish in wishes:
            theirs = await create(second, **wish, nickname="Two")
            assert theirs["data"]["nickname"] == "Two"
            assert theirs.keys() == {"data"}
        await kill(first)
        for wish in wishes:
            again = await create(second, **wish, nickname="Two")
            assert (again.get("data") or again["error"]["existing"])["nickname"] == "Two"
            assert "One" not in str(again)
        gate.opened.set()
    async with servers(own_journal | one) as (first,):
        for wish in wishes:
            mine = await create(first, **wish, nickname="One")
            assert mine["data"]["nickname"] == "One"
            assert "took effect" in mine["warning"]
    assert len(set(rows(journal, "tenant"))) == 2
    assert platform.sent("nickname", "One") == len(wishes)
    assert {post.account for post in platform.posts[:2]} == {one["ZUDU_API_KEY"]}


async def test_a_limit_holds_for_all_processes_of_an_account_and_for_no_other(
    platform: Ledger, own_journal: dict[str, str]
) -> None:
    limit, url = {"PHONE_NUMBER_MCP_MAX_CREATES": "1"} | own_journal, platform.upstream.url
    async with servers(limit | account(url), limit | account(url), limit | account(url, "2")) as (*two, other):
        wishes = [{"phone_number": f"+1415555{number:04}"} for number in range(100, 104)]
        told = [content for contents in await at_once(two, *wishes) for content in contents]
        assert {code(content) for content in told} <= {None, "limit_reached", "already_exists"}
        assert len(platform.posts) == 1
        assert "data" in await create(other, phone_number=NUMBER)
        assert code(await create(other, phone_number="+14155550121")) == "limit_reached"
    assert len(platform.posts) == 2


async def test_every_spelling_of_an_address_has_the_same_claims(
    platform: Ledger, own_journal: dict[str, str], journal: Path
) -> None:
    port = platform.upstream.url.rpartition(":")[2]
    spellings = ["http://127.0.0.1:{}", "http://127.0.0.1:{}/", "HTTP://LocalHost:{}", "http://localhost:{}/"]
    environments = [own_journal | account(spelling.format(port)) for spelling in spellings]
    async with servers(*environments) as clients:
        (told,) = await at_once(clients, {"phone_number": NUMBER, "idempotency_key": "key"})
        assert_told_the_same(told)
        for client in clients:
            assert "Nothing was sent" in (await create(client, phone_number=NUMBER, idempotency_key="key"))["warning"]
    assert len(platform.posts) == 1
    assert len(rows(journal)) == 1


async def test_a_rotated_credential_starts_anew_and_what_is_open_of_the_old_one_is_still_shown(
    platform: Ledger, own_journal: dict[str, str]
) -> None:
    old, new = account(platform.upstream.url), account(platform.upstream.url, "2")
    platform.rotated[new["ZUDU_API_KEY"]] = old["ZUDU_API_KEY"]
    wish = {"phone_number": NUMBER, "idempotency_key": "key"}
    platform.fault, platform.read_fault = drop(), drop()
    async with servers(own_journal | old | {"PHONE_NUMBER_MCP_TIMEOUT": "2"}) as (client,):
        assert code(await create(client, **wish)) == "outcome_unknown"
    platform.work()
    async with servers(own_journal | new) as (client,):
        told = await create(client, **wish)
        assert (code(told), told["error"]["existing"]["phone_number"]) == ("already_exists", NUMBER)
        (entry,) = await unsettled(own_journal)
        assert (entry["phone_number"], entry["outcome"]) == (NUMBER, "unknown")


# --- the clock ---


async def test_a_clock_that_is_set_by_a_day_sends_nothing_again(
    platform: Ledger, env: dict[str, str], journal: Path
) -> None:
    used = {"phone_number": NUMBER, "idempotency_key": "used"}
    lost = {"phone_number": "+14155550121", "idempotency_key": "lost"}
    async with servers(env | {"PHONE_NUMBER_MCP_TIMEOUT": "3"}) as (client,):
        await create(client, **used)
        platform.fault, platform.commits = drop(), False
        assert code(await create(client, **lost)) == "outcome_unknown"
        platform.work()
        for seconds in (86_400, -2 * 86_400):  # ahead, and back
            with edited(journal) as database:
                database.execute("UPDATE writes SET started_at = started_at + ?1, ended_at = ended_at + ?1", (seconds,))
            assert "Nothing was sent" in (await create(client, **used))["warning"]
            told = (await create(client, **lost))["error"]
            assert told["code"] == "outcome_unknown"
            assert 0 < told["retry_after_seconds"] <= 60
    assert len(platform.posts) == 2


# --- a long list ---


async def test_nothing_is_bought_where_the_list_is_too_long_to_reconcile_it(
    platform: Ledger, env: dict[str, str]
) -> None:
    """A page takes a twentieth of the time for the call, as 0.25 s of 5 s."""
    held = platform.numbers[env["RETELL_API_KEY"]]
    async with servers(env | RETELL | {"PHONE_NUMBER_MCP_TIMEOUT": "2"}) as (client,):
        for count in (5_000, 12_000):
            held |= {f"+1212{number:07}": {"phone_number": f"+1212{number:07}"} for number in range(count)}
            platform.page_seconds = 0.1
            told = (await create(client, area_code=415))["error"]
            assert (told["code"], told["outcome"]) == ("timeout", "not_applied")
            assert all(word in told["hint"] for word in ("phone_number", "area_code", "--timeout"))
            assert platform.posts == []
        platform.page_seconds = 0
        assert "data" in await create(client, phone_number="+14155550199")
    assert len(platform.posts) == 1


async def test_what_is_bought_with_its_answer_lost_can_be_listed_again(platform: Ledger, env: dict[str, str]) -> None:
    """The list takes up to three quarters of the third of the time that it may take."""
    held = platform.numbers[env["RETELL_API_KEY"]]
    platform.page_seconds = 0.25
    platform.fault = silence()
    async with servers(env | RETELL | {"PHONE_NUMBER_MCP_TIMEOUT": "3"}) as (client,):
        for pages in (1, 2, 3):
            held |= {f"+1212{number:07}": {"phone_number": f"+1212{number:07}"} for number in range(pages * 100 - 10)}
            before = set(held)
            told = (await create(client, area_code=415))["error"]
            assert (told["code"], told["outcome"]) == ("outcome_unknown", "unknown")
            (bought,) = held.keys() - before
            assert told["detail"] == f"candidates: {bought}"
            assert len(platform.posts) == pages


# --- limits ---


async def test_a_create_that_calls_share_counts_once_for_all_processes(platform: Ledger, env: dict[str, str]) -> None:
    wish = {"phone_number": NUMBER}
    platform.hold = gate = Gate()
    env |= {"PHONE_NUMBER_MCP_MAX_CREATES": "2"}
    async with servers(env, env) as (first, second):
        shared = [await first.send_call(CREATE, wish) for _ in range(2)]
        await gate.reached.wait()
        await first.ask("ping")  # both have been read
        platform.hold = None
        gate.opened.set()
        told = await answers(first, shared)
        assert told[0] == told[1]
        assert "data" in told[0]
        assert "data" in await create(second, phone_number="+14155550121")
        for client in (first, second):
            assert code(await create(client, phone_number="+14155550122")) == "limit_reached"
    assert len(platform.posts) == 2


# --- `journal resolve` ---


@pytest.mark.parametrize("outcome", ["applied", "not_applied"])
async def test_what_nobody_knows_of_a_purchase_is_resolved_by_a_person(
    platform: Ledger, env: dict[str, str], own_journal: dict[str, str], outcome: str
) -> None:
    wish = {"area_code": 415, "idempotency_key": "key"}
    platform.fault, platform.commits = drop(), outcome == "applied"
    async with servers(env | RETELL | {"PHONE_NUMBER_MCP_TIMEOUT": "2"}) as (client,):
        for _ in range(2):
            assert code(await create(client, **wish)) == "outcome_unknown"
        platform.work()
        assert code(await create(client, **wish)) == "outcome_unknown"
        assert len(platform.posts) == 1
        (entry,) = await unsettled(own_journal)
        bought = next(iter(platform.numbers[env["RETELL_API_KEY"]]), None)
        which = ["--phone-number", bought] if bought else []
        option = f"--{outcome.replace('_', '-')}"
        done = await command_line("journal", "resolve", str(entry["id"]), option, *which, env=own_journal)
        assert done == (0, f"Entry {entry['id']} is {outcome} now\n", "")
        assert await unsettled(own_journal) == []
        told = await create(client, **wish)
        if outcome == "applied":
            assert told["data"]["phone_number"] == bought
            assert "Nothing was sent" in told["warning"]
        else:
            assert told.keys() == {"data"}
        status, _, said = await command_line("journal", "resolve", str(entry["id"]), "--applied", env=own_journal)
        assert (status, f"is {outcome} already" in said) == (1, True)
    assert len(platform.posts) == (1 if outcome == "applied" else 2)


async def test_a_write_in_progress_is_not_resolved_by_a_person(
    platform: Ledger, env: dict[str, str], own_journal: dict[str, str], journal: Path
) -> None:
    platform.hold = gate = Gate()
    async with servers(env, env) as (client, other):
        sent = await client.send_call(CREATE, {"phone_number": NUMBER, "idempotency_key": "key"})
        await gate.reached.wait()
        before = rows(journal)
        for option in ("--applied", "--not-applied"):
            status, _, said = await command_line("journal", "resolve", str(before[0][0]), option, env=own_journal)
            assert status == 1
            assert "in progress" in said
        assert rows(journal) == before
        await kill(client)
        done = await command_line("journal", "resolve", str(before[0][0]), "--not-applied", env=own_journal)
        assert done[0] == 0, done
        platform.work()
        platform.numbers.clear()
        assert (await create(other, phone_number=NUMBER, idempotency_key="key")).keys() == {"data"}
    assert sent
    assert len(platform.posts) == 2
