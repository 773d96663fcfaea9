"""`phone-number-mcp journal` as a process: what it shows, and that pruning harms no key, no limit and no server that runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from phone_number_mcp.errors import Outcome
from phone_number_mcp.writes.clock import Clock
from phone_number_mcp.writes.journal import Claimed, Intent
from phone_number_mcp.writes.sqlite import SqliteJournal
from support.ledger import Ledger
from support.processes import account, code, command_line, create, edited, rows, servers, until
from support.upstream import Upstream

pytestmark = pytest.mark.anyio
DAY = 86_400.0
TODAY = datetime.now(UTC).date()


@pytest.fixture
def journal(own_journal: dict[str, str]) -> Path:
    return Path(own_journal["PHONE_NUMBER_MCP_JOURNAL"])


async def write(
    place: Path,
    number: str,
    outcome: Outcome | None,
    *,
    operation: str = "create_phone_number",
    days: float = 0,
    key: str | None = None,
    acknowledged: bool = True,
    code: str | None = None,
    platform: str = "zudu",
) -> None:
    """Write an entry as a server did some days ago that has ended since."""
    now = datetime.now(UTC).timestamp() - days * DAY
    writer = SqliteJournal(str(place), clock=Clock(now=lambda: now))
    intent = Intent(
        platform=platform,
        address="https://platform.test",
        credentials=("secret",),
        operation=operation,
        phone_number=number,
        fingerprint=number,
        budget=1.0,
        idempotency_key=key,
        creates="create" in operation or "import" in operation,
    )
    deadline = anyio.current_time() + 10
    claimed = await writer.claim(intent, deadline)
    assert isinstance(claimed, Claimed)
    if outcome:
        await writer.end(claimed.id, outcome, deadline, code=code)
        if acknowledged:
            await writer.acknowledge(claimed.id, deadline)
    await writer.close()


def numbers(place: Path) -> list[str]:
    return [number for (number,) in rows(place, "phone_number")]


# --- what is shown ---

OPERATIONS = ("create_phone_number", "import_phone_number", "update_phone_number", "delete_phone_number")


async def test_every_number_and_operation_is_whole_at_80_columns(journal: Path, own_journal: dict[str, str]) -> None:
    endings: list[tuple[Outcome | None, str | None]] = [
        ("applied", None),
        ("not_applied", "journal_unavailable"),
        ("unknown", "outcome_unknown"),
        (None, None),
    ]
    await write(journal, "+14155550100", "applied")
    with edited(journal) as database:
        database.execute("UPDATE sqlite_sequence SET seq = 99980")  # a journal of some years
    written = []
    for place in range(40):
        operation, (outcome, why) = OPERATIONS[place % 4], endings[place // 4 % 4]
        number = f"+99900{place:010}"  # the 15 digits that E.164 allows
        platform = ("zudu", "retell (sandbox)")[place % 3 == 0]
        await write(journal, number, outcome, operation=operation, code=why, platform=platform)
        written.append((operation, number))
    status, shown, said = await command_line("journal", env=own_journal | {"COLUMNS": "80"})
    assert (status, said) == (0, "")
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80
    for operation, number in written:
        (line,) = [line for line in lines if number in line.split()]
        assert operation in line.split()
    assert "journal_unavailable" in shown
    assert "retell (sandbox)" in shown


async def test_in_a_pipe_an_entry_is_one_line_with_everything(journal: Path, own_journal: dict[str, str]) -> None:
    await write(journal, "+14155550100", "not_applied", code="already_exists")
    await write(journal, "+14155550101", "applied", platform="retell")
    _, shown, _ = await command_line("journal", env=own_journal)
    heading, newest, oldest = shown.splitlines()
    assert heading.split() == ["id", "when", "(UTC)", "operation", "phone", "number", "outcome"]
    assert newest.split()[3:] == ["create_phone_number", "+14155550101", "applied", "retell"]
    assert oldest.split()[3:] == ["create_phone_number", "+14155550100", "not_applied", "zudu,", "already_exists"]


async def test_what_a_platform_named_moves_no_cursor(journal: Path, own_journal: dict[str, str]) -> None:
    await write(journal, "\x1b[2J+14155550100\n", "applied")
    _, shown, _ = await command_line("journal", env=own_journal)
    assert "\ufffd[2J+14155550100\ufffd" in shown


@pytest.mark.parametrize("options", [(), ("--json",), ("--unsettled",)])
async def test_a_path_that_is_not_there_is_an_error(
    own_journal: dict[str, str], tmp_path: Path, options: tuple[str, ...]
) -> None:
    for words, named in (
        ([], own_journal["PHONE_NUMBER_MCP_JOURNAL"]),
        (["--journal", str(tmp_path / "x")], str(tmp_path / "x")),
    ):
        status, shown, said = await command_line("journal", *options, *words, env=own_journal)
        assert (status, shown) == (1, "")
        assert f"there is no journal at {named}" in said


async def test_a_user_who_has_sent_nothing_yet_is_told_so(tmp_path: Path) -> None:
    status, shown, said = await command_line("journal", env={"HOME": str(tmp_path), "LOCALAPPDATA": str(tmp_path)})
    assert (status, said) == (0, "")
    assert shown.startswith("No write was sent yet: ")
    assert list(tmp_path.iterdir()) == []


async def test_a_journal_in_memory_cannot_be_shown() -> None:
    status, shown, said = await command_line("journal", "--journal", ":memory:", env={})
    assert (status, shown, "memory of a server" in said) == (1, "", True)


# --- resolve ---


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "one of the arguments --applied --not-applied is required"),
        (["--applied", "--not-applied"], "not allowed with argument --applied"),
        (["applied"], "one of the arguments --applied --not-applied is required"),
        (["--not-applied", "--phone-number", "+14155550100"], "argument --phone-number: goes with --applied only"),
        (["--applied", "--phone-number", "415 555"], "argument --phone-number: "),
    ],
)
async def test_resolving_needs_exactly_one_outcome(
    journal: Path, own_journal: dict[str, str], words: list[str], told: str
) -> None:
    await write(journal, "+14155550100", "unknown")
    status, shown, said = await command_line("journal", "resolve", "1", *words, env=own_journal)
    assert (status, shown) == (2, "")
    assert told in said
    assert rows(journal, "outcome") == [("unknown",)]


async def test_resolving_with_the_number_of_another_write_changes_nothing(
    journal: Path, own_journal: dict[str, str]
) -> None:
    await write(journal, "+14155550100", "unknown")
    words = ("journal", "resolve", "1", "--applied", "--phone-number")
    status, _, said = await command_line(*words, "+14155550101", env=own_journal)
    assert (status, "entry 1 is about another number, +14155550100" in said) == (1, True)
    assert rows(journal, "outcome") == [("unknown",)]
    assert (await command_line(*words, "+1 (415) 555-0100", env=own_journal))[0] == 0
    assert rows(journal, "outcome, acknowledged, phone_number") == [("applied", 1, "+14155550100")]


@pytest.mark.parametrize("words", [["resolve", "1", "--applied"], ["prune", "--before", "2026-01-01"]])
async def test_a_journal_that_is_not_there_is_not_made(own_journal: dict[str, str], words: list[str]) -> None:
    status, _, said = await command_line("journal", *words, env=own_journal)
    assert (status, "there is no journal at" in said) == (1, True)
    assert not Path(own_journal["PHONE_NUMBER_MCP_JOURNAL"]).exists()


# --- prune ---


async def test_pruning_removes_old_entries_and_keeps_whatever_still_counts(
    journal: Path, own_journal: dict[str, str]
) -> None:
    await write(journal, "+14155550100", "applied", days=100)
    await write(journal, "+14155550101", "not_applied", days=100, key="unused")
    await write(journal, "+14155550102", "unknown", days=100)
    await write(journal, "+14155550103", None, days=100)
    await write(journal, "+14155550104", "applied", days=100, acknowledged=False)
    await write(journal, "+14155550105", "applied", days=100, key="expired")
    await write(journal, "+14155550106", "applied", days=6.9, key="in force")
    await write(journal, "+14155550107", "applied", days=6.9)
    await write(journal, "+14155550108", "applied", days=0.9)
    await write(journal, "+14155550109", "applied", days=100)  # the newest, though the clock was set back
    status, shown, said = await command_line("journal", "prune", "--before", str(TODAY), env=own_journal)
    assert (status, said) == (0, "")
    assert shown.startswith("Removed 4, kept 6\n")
    # The one of 0.9 days ago may be from before today, or not.
    assert shown.splitlines()[1][:30] in {"5 of those kept are from befor", "6 of those kept are from befor"}
    kept = ["02", "03", "04", "06", "08", "09"]
    assert numbers(journal) == [f"+141555501{end}" for end in kept]
    again = await command_line("journal", "prune", "--before", str(TODAY), env=own_journal)
    assert again[1].startswith("Removed 0, kept 6\n")


async def test_pruning_keeps_what_is_not_older_than_the_date(journal: Path, own_journal: dict[str, str]) -> None:
    day = TODAY - timedelta(days=30)
    midnight = datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()
    for number in ("+14155550100", "+14155550101", "+14155550102"):
        await write(journal, number, "applied")
    with edited(journal) as database:
        database.execute("UPDATE writes SET started_at = ? WHERE phone_number = '+14155550100'", (midnight - 0.001,))
        database.execute("UPDATE writes SET started_at = ? WHERE phone_number = '+14155550101'", (midnight,))
    done = await command_line("journal", "prune", "--before", str(day), env=own_journal)
    assert done == (0, "Removed 1, kept 2\n", "")
    assert numbers(journal) == ["+14155550101", "+14155550102"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--before", str(TODAY + timedelta(days=2))], "argument --before: must not be in the future"),
        (["--before", "31.1.2026"], "argument --before: must be a date such as 2026-01-31"),
        ([], "the following arguments are required: --before"),
    ],
)
async def test_pruning_needs_a_date_that_is_past(
    journal: Path, own_journal: dict[str, str], words: list[str], told: str
) -> None:
    await write(journal, "+14155550100", "applied", days=100)
    await write(journal, "+14155550101", "applied", days=100)
    status, shown, said = await command_line("journal", "prune", *words, env=own_journal)
    assert (status, shown) == (2, "")
    assert told in said
    assert len(numbers(journal)) == 2


async def test_the_help_says_what_pruning_means_for_keys() -> None:
    status, shown, _ = await command_line("journal", "prune", "--help", env={"COLUMNS": "200"})
    assert status == 0
    assert "a key that can buy again" in " ".join(shown.split())


async def test_a_journal_that_another_process_holds_is_left_as_it_is(
    journal: Path, own_journal: dict[str, str]
) -> None:
    for number in ("+14155550100", "+14155550101"):
        await write(journal, number, "unknown" if number.endswith("1") else "applied", days=100)
    with edited(journal) as database:
        database.execute("BEGIN EXCLUSIVE")
        for words in (["prune", "--before", str(TODAY)], ["resolve", "2", "--applied"]):
            status, _, said = await command_line("journal", *words, env=own_journal)
            assert (status, "is locked by another process" in said) == (1, True)
        database.execute("ROLLBACK")
    assert rows(journal, "outcome") == [("applied",), ("unknown",)]


async def test_pruning_beside_a_server_that_runs_harms_no_key_and_no_limit(
    upstream: Upstream, journal: Path, own_journal: dict[str, str]
) -> None:
    platform = Ledger(upstream)
    env = own_journal | account(upstream.url) | {"PHONE_NUMBER_MCP_MAX_CREATES": "3"}
    used = {"phone_number": "+14155550121", "idempotency_key": "used"}
    async with servers(env) as (client,):
        for wish in ({"phone_number": "+14155550120"}, used, {"phone_number": "+14155550122"}):
            assert "data" in await create(client, **wish)
        await until(lambda: rows(journal, "acknowledged") == [(1,)] * 3)
        with edited(journal) as database:
            database.execute("UPDATE writes SET started_at = started_at - ? WHERE id <= 2", (3 * DAY,))
        status, shown, _ = await command_line("journal", "prune", "--before", str(TODAY), env=own_journal)
        assert (status, shown.splitlines()[0]) == (0, "Removed 1, kept 2")
        told = await create(client, **used)
        assert "Nothing was sent" in told["warning"]
        assert "data" in await create(client, phone_number="+14155550123")
        assert code(await create(client, phone_number="+14155550124")) is None
        assert code(await create(client, phone_number="+14155550125")) == "limit_reached"
        with edited(journal) as database:
            database.execute("UPDATE writes SET started_at = started_at - ?", (8 * DAY,))
        assert (await command_line("journal", "prune", "--before", str(TODAY), env=own_journal))[1].startswith(
            "Removed 3"
        )
        assert "data" in await create(client, phone_number="+14155550125")  # it is the same journal still
    assert platform.sent("phone_number", used["phone_number"]) == 1
