"""The truth about money: whatever goes wrong, a number is bought once, and the agent learns what happened.

The platform is a real server on a socket that keeps numbers and misbehaves on demand; what was sent is counted there.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from phone_number_mcp.errors import JournalUnavailable, LimitReached, OutcomeUnknown, ToolError
from phone_number_mcp.platforms import load
from phone_number_mcp.tool import RECONCILED, Success
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.writes.database import MEMORY
from phone_number_mcp.writes.executor import Writes
from phone_number_mcp.writes.maintenance import entries
from phone_number_mcp.writes.sqlite import SqliteJournal
from support import harness
from support.faulty import Faulty, Held
from support.messages import request, session, started
from support.processes import kill
from support.server import KEY, SECRET, Connect, Open, command, content, credentials
from support.system import STOPS
from support.upstream import Answer, Request, Upstream, drop, envelope, http, reply, silence
from support.wire import RawClient

pytestmark = pytest.mark.anyio
NUMBER = "+14155550120"
WISH = {"phone_number": NUMBER, "nickname": "Side door", "inbound_agent_version": "1", "number_provider": "Twilio"}


@pytest.fixture
def platform(upstream: Upstream) -> Faulty:
    return Faulty(upstream)


def error(message: str = "Database connection failed") -> dict[str, Any]:
    return {"message": message, "status": "error", "error": message}


# --- a write whose answer is lost ---

LOST: dict[str, Answer] = {
    "drop": drop(),
    "drop in the middle": drop(http(200, b"{" + b" " * 200)[:60]),
    "500": reply(500, error()),
    "502": reply(502, b"<html>"),
    "503": reply(503, error()),
    "504": reply(504, b""),
    "HTML": reply(200, b"<html>"),
    "cut JSON": reply(200, b'{"message": "Pho'),
    "no data": reply(200, {"status": "success", "message": "created"}),
    "no answer": silence(),
    "200 that says error": reply(200, error()),
}


@pytest.mark.parametrize("fault", LOST)
async def test_a_create_that_took_effect_is_found_by_reading_back(
    connect: Connect, platform: Faulty, fault: str
) -> None:
    platform.fail(LOST[fault], commits=True)
    async with connect(
        "--timeout", "2" if fault == "no answer" else "10", env=credentials(platform.upstream)
    ) as client:
        result = content(await client.call_tool("create_phone_number", WISH))
    assert result == {"data": platform.numbers[NUMBER], "reconciled": True, "warning": RECONCILED}
    assert platform.posts == 1


@pytest.mark.parametrize("fault", LOST)
async def test_a_create_that_did_not_is_called_not_applied_or_unknown(
    connect: Connect, platform: Faulty, fault: str
) -> None:
    platform.fail(LOST[fault], commits=False)
    async with connect(
        "--timeout", "2" if fault == "no answer" else "10", env=credentials(platform.upstream)
    ) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    told = (failure["code"], failure["outcome"], failure["retryable"])
    if fault in {"500", "503", "200 that says error"}:  # the platform itself says that it failed, and it is not there
        assert told == ("platform_error", "not_applied", True)
    else:  # it may still be on its way
        assert told == ("outcome_unknown", "unknown", False)
        assert NUMBER in failure["hint"]
    assert platform.posts == 1


async def test_a_number_that_is_there_but_not_as_asked_is_shown(connect: Connect, platform: Faulty) -> None:
    platform.numbers[NUMBER] = {"phone_number": NUMBER, "nickname": "Somebody else's"}
    platform.fail(reply(500, error()), commits=False)
    async with connect(env=credentials(platform.upstream)) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert (failure["code"], failure["outcome"], failure["retryable"]) == ("already_exists", "unknown", False)
    assert failure["existing"] == platform.numbers[NUMBER]
    assert "It may be what this very call created" in failure["hint"]
    assert platform.posts == 1


async def test_an_empty_answer_proves_nothing(connect: Connect, platform: Faulty) -> None:
    platform.fail(reply(500, error()), commits=True)
    async with connect(env=credentials(platform.upstream)) as client:
        platform.numbers.clear()

        async def nothing(request: Request, stream: Any) -> None:
            await reply(*((500, error()) if request.method == "POST" else (200, envelope({}))))(request, stream)

        platform.upstream.answer = nothing
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert (failure["code"], failure["outcome"]) == ("outcome_unknown", "unknown")


async def test_what_the_platform_does_not_show_is_said_not_to_be_checked(connect: Connect, platform: Faulty) -> None:
    platform.fail(drop(), commits=True)
    async with connect(env=credentials(platform.upstream)) as client:
        arguments = {"phone_number": NUMBER, "provider": "twilio", "account_sid": "AC1", "auth_token": "hush-hush"}
        platform.hidden = {"provider", "account_sid", "auth_token"}
        result = content(await client.call_tool("import_phone_number", arguments))
    assert result["reconciled"] is True
    assert "does not show provider, account_sid, auth_token" in result["warning"]
    assert "hush-hush" not in str(result)


async def test_a_408_may_hide_a_request_that_was_passed_on(connect: Connect, platform: Faulty) -> None:
    platform.fail(reply(408, b""), commits=True)
    async with connect(env=credentials(platform.upstream)) as client:
        assert content(await client.call_tool("create_phone_number", WISH))["reconciled"] is True


@pytest.mark.parametrize("header", ["7", "Wed, 21 Oct 2099 07:28:00 GMT"])
async def test_a_429_is_reported_with_its_seconds_and_nothing_is_repeated(
    connect: Connect, platform: Faulty, header: str
) -> None:
    platform.fail(reply(429, error("Slow down"), retry_after=header), commits=False)
    async with connect(env=credentials(platform.upstream)) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
    assert (failure["code"], failure["outcome"], failure["retryable"]) == ("rate_limited", "not_applied", True)
    assert failure["retry_after_seconds"] == (7 if header == "7" else 86_400)
    assert platform.methods == ["POST"]


@pytest.mark.parametrize("drift", [{}, {"unheard_of": [1], "area_code": "415"}])
async def test_a_create_that_is_answered_about_its_number_is_a_success_however_the_answer_looks(
    connect: Connect, platform: Faulty, drift: dict[str, Any]
) -> None:
    answered = {"phone_number": NUMBER} | drift
    platform.fail(reply(200, envelope(answered)), commits=True)
    async with connect(env=credentials(platform.upstream)) as client:
        assert content(await client.call_tool("create_phone_number", WISH)) == {"data": answered}
    assert platform.methods == ["POST"]


@pytest.mark.parametrize("answered", [{}, {"nickname": "Side door"}, {"phone_number": "+14155550199"}])
@pytest.mark.parametrize("commits", [True, False])
async def test_a_create_that_is_answered_about_no_number_or_another_is_reconciled_not_believed(
    connect: Connect, platform: Faulty, answered: dict[str, Any], commits: bool
) -> None:
    platform.fail(reply(200, envelope(answered)), commits=commits)
    async with connect(env=credentials(platform.upstream)) as client:
        result = content(await client.call_tool("create_phone_number", WISH))
    if commits:
        assert result == {"data": platform.numbers[NUMBER], "reconciled": True, "warning": RECONCILED}
    else:
        assert (result["error"]["code"], result["error"]["outcome"]) == ("outcome_unknown", "unknown")
    assert platform.posts == 1


# --- the same write twice ---


@pytest.mark.parametrize("times", [2, 20])
async def test_the_same_create_at_once_is_sent_once_and_shares_its_outcome(
    connect: Connect, platform: Faulty, times: int
) -> None:
    answer = Held(0)
    platform.fail(answer, commits=True)
    results: list[dict[str, Any]] = []

    async def create() -> None:
        results.append(content(await client.call_tool("create_phone_number", WISH)))

    async with connect(env=credentials(platform.upstream)) as client, anyio.create_task_group() as tasks:
        for _ in range(times):
            tasks.start_soon(create)
        await answer.reached.wait()
        await client.list_tools()  # whatever was sent before this has been read
        answer.release.set()
    assert platform.posts == 1
    assert len(results) == times
    assert all(result == results[0] for result in results)
    assert results[0]["data"]["phone_number"] == NUMBER


async def test_another_create_of_a_number_under_way_waits_and_is_told_that_it_exists(
    connect: Connect, platform: Faulty
) -> None:
    answer = Held(0)
    platform.fail(answer, commits=True)
    results: dict[str, Any] = {}

    async def create(nickname: str) -> None:
        results[nickname] = content(await client.call_tool("create_phone_number", WISH | {"nickname": nickname}))

    async with connect(env=credentials(platform.upstream)) as client, anyio.create_task_group() as tasks:
        tasks.start_soon(create, "First")
        await answer.reached.wait()
        tasks.start_soon(create, "Second")
        await client.list_tools()
        platform.work()
        answer.release.set()
    assert results["First"]["data"]["nickname"] == "First"
    assert results["Second"]["error"]["code"] == "already_exists"
    assert results["Second"]["error"]["existing"]["nickname"] == "First"


async def test_an_idempotency_key_is_sent_once_also_after_a_restart(connect: Connect, platform: Faulty) -> None:
    wish = WISH | {"idempotency_key": "front-desk-1"}
    async with connect(env=credentials(platform.upstream)) as client:
        first = content(await client.call_tool("create_phone_number", wish))
        platform.numbers[NUMBER]["nickname"] = "Renamed since"
        again = content(await client.call_tool("create_phone_number", wish))
    async with connect(env=credentials(platform.upstream)) as client:
        restarted = content(await client.call_tool("create_phone_number", wish))
        other = content(await client.call_tool("create_phone_number", wish | {"nickname": "Other"}))
        arguments = {"phone_number": NUMBER, "provider": "twilio", "account_sid": "AC1", "auth_token": "hush-hush"}
        elsewhere = content(
            await client.call_tool("import_phone_number", arguments | {"idempotency_key": "front-desk-1"})
        )
    assert elsewhere["error"]["code"] == "invalid_arguments"
    assert first["data"]["nickname"] == "Side door"
    assert again["data"] == restarted["data"] == platform.numbers[NUMBER]
    assert again["warning"].startswith("Nothing was sent: this idempotency_key was used")
    assert (other["error"]["code"], other["error"]["fields"][0]["field"]) == ("invalid_arguments", "idempotency_key")
    assert platform.posts == 1
    assert "idempotency_key" not in platform.upstream.requests[0].json


async def test_an_idempotency_key_of_a_write_that_had_no_effect_may_be_used_again(
    connect: Connect, platform: Faulty
) -> None:
    wish = WISH | {"idempotency_key": "front-desk-2"}
    platform.fail(reply(429, error("Slow down")), commits=False)
    async with connect(env=credentials(platform.upstream)) as client:
        refused = content(await client.call_tool("create_phone_number", wish))["error"]
        assert (refused["outcome"], refused["retryable"]) == ("not_applied", True)
        platform.work()
        assert content(await client.call_tool("create_phone_number", wish))["data"]["phone_number"] == NUMBER
    assert platform.posts == 2
    assert len(platform.numbers) == 1


async def test_a_number_that_is_gone_since_is_said_to_be(connect: Connect, platform: Faulty) -> None:
    wish = WISH | {"idempotency_key": "front-desk-3"}
    async with connect(env=credentials(platform.upstream)) as client:
        await client.call_tool("create_phone_number", wish)
        platform.numbers.clear()
        failure = content(await client.call_tool("create_phone_number", wish))["error"]
    assert (failure["code"], failure["outcome"]) == ("not_found", "applied")
    assert "does not exist any more" in failure["detail"]
    assert platform.posts == 1


# --- whoever asked goes away ---


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
async def test_a_cancelled_create_goes_on_and_the_next_call_tells_the_truth(
    raw: Open, platform: Faulty, share: float
) -> None:
    answer = Held(share)
    platform.fail(answer, commits=True)
    async with raw(env=credentials(platform.upstream)) as client:
        await client.initialize()
        await cancelled_create(client, answer)
        platform.work()
        again = await client.send_call("create_phone_number", WISH)  # the first is still under way: this one shares it
        answer.release.set()
        result = (await client.response(again))["result"]["structuredContent"]
        assert result["data"]["phone_number"] == NUMBER
        got = await client.call("get_phone_number", phone_number=NUMBER)
        assert got["structuredContent"]["data"]["nickname"] == "Side door"
    assert platform.posts == 1


async def cancelled_create(client: RawClient, answer: Held) -> None:
    id_ = await client.send_call("create_phone_number", WISH)
    await answer.reached.wait()
    cancelled = {"requestId": id_, "reason": "the client lost patience"}
    await client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": cancelled})
    assert "result" in await client.ask("ping")


async def end_in_mid_create(client: RawClient, answer: Held, how: Any) -> None:
    """End the server, by a signal or by the end of stdin, while the platform has a create and has not answered it."""
    await client.initialize()
    await client.send_call("create_phone_number", WISH)
    await answer.reached.wait()
    if isinstance(how, signal.Signals):
        client.process.send_signal(how)
    else:
        await client.close_stdin()


@pytest.mark.parametrize("how", ["end of stdin", *STOPS])
async def test_a_server_that_is_ended_lets_a_create_finish(
    raw: Open, platform: Faulty, own_journal: dict[str, str], how: Any
) -> None:
    answer = Held(0.5)
    platform.fail(answer, commits=True)
    async with raw(env=credentials(platform.upstream)) as client:
        await end_in_mid_create(client, answer, how)
        answer.release.set()
        status = await client.process.wait()
    assert status == (128 + how if isinstance(how, signal.Signals) else 0)
    assert b"Traceback" not in client.stderr
    (entry,) = entries(own_journal["PHONE_NUMBER_MCP_JOURNAL"])
    assert (entry.phone_number, entry.outcome) == (NUMBER, "applied")


@pytest.mark.parametrize("how", ["end of stdin", signal.SIGTERM])
async def test_a_server_that_is_ended_does_not_wait_for_a_platform_that_never_answers(
    raw: Open, platform: Faulty, own_journal: dict[str, str], how: Any
) -> None:
    answer = Held(0)
    platform.fail(answer, commits=True)
    async with raw(env=credentials(platform.upstream)) as client:
        await end_in_mid_create(client, answer, how)
        with anyio.fail_after(3 if isinstance(how, signal.Signals) else 5):  # the call would have twenty-five seconds
            await client.process.wait()
    (entry,) = entries(own_journal["PHONE_NUMBER_MCP_JOURNAL"], unresolved=True)
    assert entry.phone_number == NUMBER


@pytest.mark.parametrize("commits", [True, False])
async def test_after_a_kill_in_mid_post_the_next_start_reconciles_it_first(
    raw: Open, connect: Connect, platform: Faulty, own_journal: dict[str, str], commits: bool
) -> None:
    answer = Held(0)
    platform.fail(answer, commits=commits)
    async with raw(env=credentials(platform.upstream)) as client:
        await client.initialize()
        await client.send_call("create_phone_number", WISH)
        await answer.reached.wait()
        await kill(client)
    (entry,) = entries(own_journal["PHONE_NUMBER_MCP_JOURNAL"], unresolved=True)
    assert (entry.phone_number, entry.outcome, entry.ended_at) == (NUMBER, None, None)
    platform.work()
    async with connect(env=credentials(platform.upstream)) as restarted:
        result = content(await restarted.call_tool("create_phone_number", WISH))
    if commits:
        assert (result["data"], result["reconciled"]) == (platform.numbers[NUMBER], True)
        assert "An earlier create_phone_number" in result["warning"]
        assert "cut off" not in result["warning"]
    else:  # so soon after, it may still be on its way
        assert (result["error"]["code"], result["error"]["retryable"]) == ("outcome_unknown", False)
        assert 0 < result["error"]["retry_after_seconds"] <= 60
    assert platform.methods == ["POST", "GET"]


async def test_a_write_that_surely_did_not_land_is_sent_after_a_minute(
    connect: Connect, platform: Faulty, own_journal: dict[str, str]
) -> None:
    platform.fail(drop(), commits=False)
    async with connect(env=credentials(platform.upstream)) as client:
        failure = content(await client.call_tool("create_phone_number", WISH))["error"]
        assert failure["code"] == "outcome_unknown"
        platform.work()
        with sqlite3.connect(own_journal["PHONE_NUMBER_MCP_JOURNAL"]) as database:
            database.execute("UPDATE writes SET ended_tick = ended_tick - 61")
        database.close()
        result = content(await client.call_tool("create_phone_number", WISH))
    assert result == {"data": platform.numbers[NUMBER]}
    assert platform.posts == 2
    assert len(platform.numbers) == 1


# --- the journal ---


async def test_the_journal_holds_no_secret_and_no_argument_but_the_number(
    connect: Connect, platform: Faulty, own_journal: dict[str, str]
) -> None:
    async with connect(env=credentials(platform.upstream)) as client:
        await client.call_tool("create_phone_number", WISH | {"nickname": "Hidden nickname"})
        arguments = {
            "phone_number": "+14155550121",
            "provider": "twilio",
            "account_sid": "AC1",
            "auth_token": "hush-hush",
        }
        await client.call_tool("import_phone_number", arguments)
    place = Path(own_journal["PHONE_NUMBER_MCP_JOURNAL"])
    if sys.platform != "win32":  # whose files have no mode
        assert place.stat().st_mode & 0o077 == 0
    written = b"".join(file.read_bytes() for file in place.parent.iterdir() if file.is_file())
    assert NUMBER.encode() in written
    for hidden in (KEY, SECRET, "hush-hush", "Hidden nickname"):
        assert hidden.encode() not in written


async def test_the_command_shows_the_journal_to_a_person_and_to_a_machine(
    connect: Connect, platform: Faulty, own_journal: dict[str, str]
) -> None:
    def journal(*options: str) -> str:
        done = subprocess.run(
            command("journal", *options), capture_output=True, text=True, env=own_journal, timeout=60, check=True
        )
        assert done.stderr == ""
        return done.stdout

    platform.fail(drop(), commits=False)
    async with connect("--timeout", "1", env=credentials(platform.upstream)) as client:
        await client.call_tool("create_phone_number", WISH)
        platform.work()
        await client.call_tool("create_phone_number", {"phone_number": "+14155550121"})
    newest, oldest = json.loads(journal("--json"))
    assert (newest["phone_number"], newest["outcome"]) == ("+14155550121", "applied")
    assert (oldest["phone_number"], oldest["outcome"], oldest["code"]) == (NUMBER, "unknown", "outcome_unknown")
    (unsettled,) = json.loads(journal("--json", "--unsettled"))
    assert unsettled == oldest
    assert NUMBER in journal()
    assert "+14155550121" not in journal("--unsettled")


async def test_a_journal_that_was_asked_for_and_cannot_be_written_refuses_writes_until_it_can(
    raw: Open, platform: Faulty, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    env = credentials(platform.upstream) | {"PHONE_NUMBER_MCP_JOURNAL": str(tmp_path / "file" / "journal")}
    async with raw(env=env) as client:
        await client.initialize()
        failure = (await client.call("create_phone_number", **WISH))["structuredContent"]["error"]
        assert (failure["code"], failure["outcome"], failure["retryable"]) == (
            "journal_unavailable", "not_applied", True,
        )  # fmt: skip
        read = (await client.call("get_phone_number", phone_number=NUMBER))["structuredContent"]["error"]
        assert read["code"] == "not_found"  # reads go on
        assert platform.posts == 0
        (tmp_path / "file").unlink()
        assert "data" in (await client.call("create_phone_number", **WISH))["structuredContent"]
    assert platform.posts == 1


async def test_a_default_journal_that_never_was_and_cannot_be_is_kept_in_memory_and_each_write_says_so(
    raw: Open, platform: Faulty, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    env = credentials(platform.upstream) | {
        "PHONE_NUMBER_MCP_JOURNAL": "null",  # counts as not set
        "XDG_STATE_HOME": str(tmp_path / "file"),
    }
    async with raw(env=env) as client:
        await client.initialize()
        for number in (NUMBER, "+14155550121"):
            result = await client.call("create_phone_number", phone_number=number, idempotency_key=number)
            assert "data" in result["structuredContent"]
            assert "remembered only until this server ends" in result["structuredContent"]["warning"]
        again = await client.call("create_phone_number", phone_number=NUMBER, idempotency_key=NUMBER)
        assert "Nothing was sent" in again["structuredContent"]["warning"]
    assert platform.posts == 2


async def test_a_file_that_is_no_journal_is_not_overwritten(raw: Open, platform: Faulty, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("a precious text " * 100)
    env = credentials(platform.upstream) | {"PHONE_NUMBER_MCP_JOURNAL": str(precious)}
    async with raw(env=env) as client:
        await client.initialize()
        failure = (await client.call("create_phone_number", **WISH))["structuredContent"]["error"]
        assert failure["code"] == "journal_unavailable"
        assert "no journal" in failure["message"]
    assert platform.posts == 0
    assert precious.read_text() == "a precious text " * 100


async def test_a_journal_that_breaks_while_the_server_runs_keeps_its_limits_and_keys(
    connect: Connect, platform: Faulty, own_journal: dict[str, str]
) -> None:
    wish = WISH | {"idempotency_key": "kept"}
    async with connect("--max-creates", "1", env=credentials(platform.upstream)) as client:
        await client.call_tool("create_phone_number", wish)
        with sqlite3.connect(own_journal["PHONE_NUMBER_MCP_JOURNAL"]) as database:
            database.execute("CREATE TRIGGER full BEFORE INSERT ON writes BEGIN SELECT raise(FAIL, 'disk full'); END")
        database.close()
        again = content(await client.call_tool("create_phone_number", wish))
        more = content(await client.call_tool("create_phone_number", {"phone_number": "+14155550121"}))
    assert again["warning"].startswith("Nothing was sent")
    assert more["error"]["code"] == "limit_reached"
    assert platform.posts == 1


async def test_a_journal_that_is_locked_lets_nothing_out(
    connect: Connect, platform: Faulty, own_journal: dict[str, str]
) -> None:
    async with connect("--timeout", "2", env=credentials(platform.upstream)) as client:
        await client.call_tool("create_phone_number", WISH)
        database = sqlite3.connect(own_journal["PHONE_NUMBER_MCP_JOURNAL"], isolation_level=None)
        database.execute("BEGIN IMMEDIATE")
        failure = content(await client.call_tool("create_phone_number", {"phone_number": "+14155550121"}))["error"]
        database.execute("ROLLBACK")
        database.close()
        assert (failure["code"], failure["outcome"]) == ("journal_unavailable", "not_applied")
        assert "locked" in failure["message"]
        assert platform.posts == 1
        assert "data" in content(await client.call_tool("create_phone_number", {"phone_number": "+14155550121"}))


@pytest.mark.parametrize("key", [{}, {"idempotency_key": "joined"}])
async def test_a_call_that_joins_one_in_flight_gets_the_truth_although_the_journal_is_locked(
    connect: Connect, platform: Faulty, own_journal: dict[str, str], key: dict[str, str]
) -> None:
    answer = Held(0)
    platform.fail(answer, commits=True)
    results: list[dict[str, Any]] = []

    async def create(wish: dict[str, Any]) -> None:
        results.append(content(await client.call_tool("create_phone_number", wish)))

    async with (
        connect("--timeout", "4", env=credentials(platform.upstream)) as client,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(create, WISH)
        await answer.reached.wait()
        database = sqlite3.connect(own_journal["PHONE_NUMBER_MCP_JOURNAL"], isolation_level=None)
        database.execute("BEGIN EXCLUSIVE")
        tasks.start_soon(create, WISH | key)
        await client.list_tools()  # whatever was sent before this has been read
        answer.release.set()
        while len(results) < 2:
            await anyio.lowlevel.checkpoint()
        database.execute("ROLLBACK")
        database.close()
    first, second = results
    assert first["data"] == second["data"]
    assert first["data"]["phone_number"] == NUMBER
    assert ("could not be written down" in second.get("warning", "")) is bool(key)
    assert platform.posts == 1


# --- limits ---


async def test_a_limit_holds_however_many_come_at_once(connect: Connect, platform: Faulty) -> None:
    results: list[dict[str, Any]] = []

    async def create(number: str) -> None:
        results.append(content(await client.call_tool("create_phone_number", {"phone_number": number})))

    async with (
        connect("--max-creates", "3", env=credentials(platform.upstream)) as client,
        anyio.create_task_group() as tasks,
    ):
        for last in range(12):
            tasks.start_soon(create, f"+14155550{110 + last}")
    assert platform.posts == len(platform.numbers) == 3
    assert [result["error"]["code"] for result in results if "error" in result] == ["limit_reached"] * 9


async def test_no_more_numbers_are_created_a_day_than_allowed_also_after_a_restart(
    connect: Connect, platform: Faulty
) -> None:
    numbers = [f"+1415555012{last}" for last in range(4)]
    platform.fail(reply(400, error("no")), commits=False)
    async with connect("--max-creates", "2", env=credentials(platform.upstream)) as client:
        await client.call_tool("create_phone_number", {"phone_number": numbers[3]})  # refused: does not count
        platform.work()
        for number in numbers[:2]:
            assert "data" in content(await client.call_tool("create_phone_number", {"phone_number": number}))
    async with connect("--max-creates", "2", env=credentials(platform.upstream)) as client:
        failure = content(await client.call_tool("create_phone_number", {"phone_number": numbers[2]}))["error"]
    assert (failure["code"], failure["outcome"], failure["retryable"]) == ("limit_reached", "not_applied", False)
    assert platform.posts == 3
    assert sorted(platform.numbers) == numbers[:2]


async def call_once(client: RawClient, arguments: dict[str, Any]) -> dict[str, Any]:
    await client.initialize()
    result = await client.call("create_phone_number", **arguments)
    content = result["structuredContent"]
    assert isinstance(content, dict)
    return content


async def test_an_answer_that_nobody_was_there_to_take_is_reported_after_a_restart(
    raw: Open, platform: Faulty, own_journal: dict[str, str]
) -> None:
    """The client closes stdout while its create is under way: the answer goes nowhere."""
    answer = Held(0)
    platform.fail(answer, commits=True)
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with started(command, own_journal, options=[], env=credentials(platform.upstream), **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(session(request(1, "tools/call", name="create_phone_number", arguments=WISH)))
        process.stdin.flush()
        await answer.reached.wait()
        process.stdout.close()
        answer.release.set()
        assert await anyio.to_thread.run_sync(process.wait, 10) == 0
    platform.work()
    async with raw(env=credentials(platform.upstream)) as client:
        content = await call_once(client, WISH)
    assert content["reconciled"]
    assert "its outcome was not reported" in content["warning"]
    assert platform.posts == 1


async def test_a_create_that_is_cancelled_as_its_answer_arrives_is_never_sent_twice(
    raw: Open, platform: Faulty
) -> None:
    async with raw(env=credentials(platform.upstream)) as client:
        await client.initialize()
        unanswered = 0
        for n in range(100):
            arguments = {"phone_number": f"+1415555{100 + n:04}"}
            seen = platform.posts
            id_ = await client.send_call("create_phone_number", arguments)
            while platform.posts == seen:  # the answer is on its way
                await anyio.lowlevel.checkpoint()
            for _ in range(n):  # a little later each time
                await anyio.lowlevel.checkpoint()
            await client.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id_}})
            repeat = await client.send_call("create_phone_number", arguments)
            messages = {}
            while repeat not in messages:
                message = await client.receive()
                messages[message["id"]] = message["result"]["structuredContent"]
            if id_ in messages:  # it came too late: told, and repeated
                assert messages[repeat]["error"]["code"] == "already_exists"
                continue
            unanswered += 1
            assert "data" in messages[repeat]
            assert platform.posts == seen + 1
        assert unanswered


async def test_what_is_simulated_is_not_taken_for_a_purchase(raw: Open, platform: Faulty) -> None:
    async with raw("--sandbox") as client:
        await call_once(client, WISH)
    async with raw("--max-creates", "1", env=credentials(platform.upstream)) as client:
        assert "data" in await call_once(client, WISH)
    assert platform.posts == 1


# --- in process ---

ZUDU = load("zudu")
TOOLS = {tool.name: tool for tool in ZUDU.tools}
ACCOUNT = harness.account(ZUDU)
CARRIER = {"provider": "twilio", "account_sid": "AC1", "auth_token": "hush-hush"}


@asynccontextmanager
async def executor(
    upstream: Upstream, *, max_creates: int | None = None, place: str = MEMORY, timeout: float = 5
) -> AsyncIterator[Writes]:
    def journal() -> SqliteJournal:
        return SqliteJournal(place)

    async with (
        Api(base_url=upstream.url, decipher=ZUDU.decipher, timeout=timeout) as api,
        Writes(ZUDU, api, name="zudu", address=upstream.url, journal=journal, max_creates=max_creates) as writes,
    ):
        yield writes


async def done(writes: Writes, tool: str, **arguments: Any) -> Success | ToolError:
    try:
        return await writes.run(TOOLS[tool], TOOLS[tool].read(arguments), ACCOUNT)
    except ToolError as failure:
        return failure


@pytest.mark.parametrize("limit", [1, None])
async def test_the_limit_of_a_day_is_for_what_costs_and_is_said_before_a_person_is_asked(
    platform: Faulty, limit: int | None
) -> None:
    first, second = {"phone_number": "+14155550120"}, {"phone_number": "+14155550121"}
    create, bring = TOOLS["create_phone_number"], TOOLS["import_phone_number"]
    async with executor(platform.upstream, max_creates=limit) as writes:
        await writes.check(create, create.read(first), ACCOUNT)
        assert isinstance(await done(writes, "create_phone_number", **first), Success)
        await writes.check(bring, bring.read(second | CARRIER), ACCOUNT)
        if limit is None:
            await writes.check(create, create.read(second), ACCOUNT)
        else:
            with pytest.raises(LimitReached, match="1 numbers were created today, and --max-creates allows 1"):
                await writes.check(create, create.read(second), ACCOUNT)
            refused = await done(writes, "create_phone_number", **second)
            assert isinstance(refused, LimitReached)
            assert "1 numbers were created today" in refused.message
        assert isinstance(await done(writes, "import_phone_number", **second, **CARRIER), Success)
    assert platform.posts == 2


async def test_a_journal_that_cannot_be_written_is_said_before_a_person_is_asked(
    platform: Faulty, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    create = TOOLS["create_phone_number"]
    async with executor(platform.upstream, place=str(tmp_path / "file" / "journal")) as writes:
        with pytest.raises(JournalUnavailable):
            await writes.check(create, create.read(WISH), ACCOUNT)
        assert isinstance(await done(writes, "create_phone_number", **WISH), JournalUnavailable)
    assert platform.methods == []


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    ("answered", "commits", "about"),
    [({}, True, None), ({"phone_number": "+14155550199"}, True, None), ({}, False, "no number"),
     ({"phone_number": "+14155550199"}, False, "another number")],
)  # fmt: skip
async def test_only_an_answer_about_its_number_is_believed(
    platform: Faulty, answered: dict[str, Any], commits: bool, about: str | None
) -> None:
    platform.fail(reply(200, envelope(answered)), commits=commits)
    async with executor(platform.upstream) as writes:
        outcome = await done(writes, "create_phone_number", **WISH)
    if about is None:
        assert outcome == Success(platform.numbers[NUMBER], reconciled=True)
    else:
        assert isinstance(outcome, OutcomeUnknown)
        assert f"is about {about}" in outcome.message
    assert platform.posts == 1


@pytest.mark.usefixtures("quick")
async def test_the_journal_has_how_a_write_ended_before_its_caller_has(platform: Faulty, tmp_path: Path) -> None:
    place = str(tmp_path / "journal.sqlite3")
    async with executor(platform.upstream, place=place) as writes:
        await done(writes, "create_phone_number", **WISH)
        platform.fail(reply(400, error("No")), commits=False)
        await done(writes, "create_phone_number", phone_number="+14155550121")
        platform.fail(drop(), commits=False)
        await done(writes, "create_phone_number", phone_number="+14155550122")
        found = [(entry.phone_number, entry.outcome, entry.code) for entry in entries(place)]
        assert all(entry.acknowledged and not entry.running for entry in entries(place))
    assert sorted(found) == [
        ("+14155550120", "applied", None),
        ("+14155550121", "not_applied", "rejected"),
        ("+14155550122", "unknown", "outcome_unknown"),
    ]


async def test_a_write_leaves_time_to_read_back(platform: Faulty) -> None:
    platform.fail(silence(), commits=True)
    async with executor(platform.upstream, timeout=2) as writes:
        assert await done(writes, "create_phone_number", **WISH) == Success(platform.numbers[NUMBER], reconciled=True)
    assert platform.methods == ["POST", "GET"]


async def test_a_server_that_ends_accepts_no_write_and_lets_one_in_flight_end(platform: Faulty) -> None:
    answer = Held(0)
    platform.fail(answer, commits=True)
    outcomes: list[Success | ToolError] = []

    async def create() -> None:
        outcomes.append(await done(writes, "create_phone_number", **WISH))

    async with executor(platform.upstream) as writes, anyio.create_task_group() as tasks:
        tasks.start_soon(create)
        await answer.reached.wait()
        tasks.start_soon(writes.drain)
        await anyio.wait_all_tasks_blocked()
        late = await done(writes, "create_phone_number", phone_number="+14155550121")
        assert isinstance(late, ToolError)
        assert late.write_outcome == "not_applied"
        answer.release.set()
    (outcome,) = outcomes
    assert isinstance(outcome, Success)
    assert (outcome.data["phone_number"], outcome.reconciled) == (NUMBER, False)
    assert platform.posts == 1
