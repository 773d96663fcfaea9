"""`phone-number-mcp doctor` as a process, with set-ups that are broken one way each: it names what is wrong and the fix."""

from __future__ import annotations

import json
import os
import ssl
import sys
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from phone_number_mcp.commands.clients import CLIENTS, place, system
from phone_number_mcp.platforms import PLATFORMS, load
from support.places import README
from support.server import KEY, SECRET, command, credentials, fresh_command
from support.upstream import Answer, Request, Upstream, envelope, reply

pytestmark = pytest.mark.anyio
RETELL_KEY = "key_Rk7Zp2Qw9Lx4Vb6Nm1Ts8"
UNKNOWN = reply(404, envelope(status="error", message="Phone number not found", error="It does not exist"))
REFUSED = reply(401, envelope(status="error", message="Missing or invalid API key/secret"))


def accepting(key: str, secret: str) -> Answer:
    """A platform that knows one pair of credentials, and no number."""

    async def answer(request: Request, stream: Any) -> None:
        known = (request.headers["x-api-key"], request.headers["x-api-secret"]) == (key, secret)
        await (UNKNOWN if known else REFUSED)(request, stream)

    return answer


@pytest.fixture
def home(tmp_path: Path, own_journal: dict[str, str]) -> dict[str, str]:
    """The environment of a user who has nothing yet."""
    place = tmp_path / "home"
    place.mkdir()
    own = {"PATH": os.environ["PATH"], "HOME": str(place), "USERPROFILE": str(place), "APPDATA": str(place)}
    return own | own_journal


async def doctor(env: dict[str, str], *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Run it for a machine and for a person; return the exit status and the checks."""
    asked = await anyio.run_process(command("doctor", "--json", *options), env=env, check=False)
    told = await anyio.run_process(command("doctor", *options), env=env, check=False)
    found = json.loads(asked.stdout)
    assert found.keys() == {"ok", "checks"}
    assert (asked.returncode == 0) == (told.returncode == 0) == found["ok"] == all(c["ok"] for c in found["checks"])
    assert (asked.stderr, told.stderr) == (b"", b"")
    for check in found["checks"]:
        assert check.keys() == {"name", "level", "ok", "detail", "fix"}
        assert check["ok"] == (check["level"] != "error")
        assert (check["level"] == "ok") == (check["fix"] is None)
        if check["name"] not in {"connection", "clock"}:  # they hold times
            assert check["detail"] in told.stdout.decode()
        assert (check["fix"] or "") in told.stdout.decode()
    for secret in (KEY, SECRET, RETELL_KEY):
        assert secret not in asked.stdout.decode() + told.stdout.decode()
    return asked.returncode, found["checks"]


def failed(checks: list[dict[str, Any]]) -> dict[str, Any]:
    """The one check that failed."""
    (only,) = [check for check in checks if not check["ok"]]
    return only


async def test_a_set_up_that_works_is_well(home: dict[str, str], upstream: Upstream) -> None:
    upstream.answer = accepting(KEY, SECRET)
    status, checks = await doctor(home | credentials(upstream))
    assert status == 0
    names = ["version", "settings", "credentials", "credentials", "host", "connection", "platform", "journal"]
    assert [check["name"] for check in checks] == names
    assert "+14155550100 is not found, as it should be" in checks[6]["detail"]
    assert {request.method for request in upstream.requests} == {"GET"}


@pytest.mark.parametrize("status", [401, 403])
async def test_what_the_platform_says_is_shown_cleaned(home: dict[str, str], upstream: Upstream, status: int) -> None:
    upstream.answer = reply(status, envelope(status="error", message=f"No\u202e\ud800 {KEY}" + "!" * 2_000))
    _, checks = await doctor(home | credentials(upstream))
    assert "No\ufffd [secret]!" in failed(checks)["detail"]
    assert len(failed(checks)["detail"]) == 1_000


async def test_a_retell_set_up_that_works_is_well(home: dict[str, str], upstream: Upstream) -> None:
    upstream.answer = reply(422, {"status": "error", "message": "Phone number not found"})
    env = home | {"RETELL_API_KEY": RETELL_KEY, "RETELL_BASE_URL": upstream.url}
    status, checks = await doctor(env, "--platform", "retell")
    assert (status, "Retell at" in checks[1]["detail"]) == (0, True)


async def test_the_sandbox_needs_nothing_and_names_no_real_address(home: dict[str, str]) -> None:
    status, checks = await doctor(home, "--sandbox")
    assert status == 0
    assert "api.zudu.ai" not in json.dumps(checks)


@pytest.mark.parametrize("sandbox", [["--sandbox"], []])
async def test_another_wrong_setting_does_not_make_the_sandbox_need_credentials(
    home: dict[str, str], sandbox: list[str]
) -> None:
    env = home | {"PHONE_NUMBER_MCP_TIMEOUT": "abc"} | ({} if sandbox else {"PHONE_NUMBER_MCP_SANDBOX": "true"})
    status, checks = await doctor(env, *sandbox)
    assert (status, failed(checks)["detail"].partition(":")[0]) == (1, "PHONE_NUMBER_MCP_TIMEOUT")
    assert [check["name"] for check in checks] == ["version", "settings", "platform", "journal"]
    assert "api.zudu.ai" not in json.dumps(checks)


async def test_a_credential_of_another_form_than_documented_is_a_warning_and_no_failure(
    home: dict[str, str], upstream: Upstream
) -> None:
    upstream.answer = accepting("other-0123456789", SECRET)
    status, checks = await doctor(home | credentials(upstream) | {"ZUDU_API_KEY": "other-0123456789"})
    (check,) = [check for check in checks if check["level"] == "warning"]
    assert check["detail"] == "ZUDU_API_KEY is set, 16 characters, but does not begin with sk_ as documented"
    assert "copy it again" in check["fix"]
    assert status == 0
    assert any(check["name"] == "platform" for check in checks)  # it was tried
    told = await anyio.run_process(
        command("doctor"), env=home | credentials(upstream) | {"ZUDU_API_KEY": "other-0123456789"}, check=False
    )
    assert "\nWARN  credentials" in told.stdout.decode()
    assert told.stdout.decode().endswith("All checks passed, with 1 warning.\n")


@pytest.mark.parametrize("empty", ["null", "undefined", "NaN", " "])
async def test_what_a_client_writes_for_an_empty_field_is_not_set(
    home: dict[str, str], upstream: Upstream, empty: str
) -> None:
    _, checks = await doctor(home | credentials(upstream) | {"ZUDU_API_KEY": empty})
    assert failed(checks)["detail"] == "ZUDU_API_KEY is not set"


async def test_a_missing_key_is_named(home: dict[str, str], upstream: Upstream) -> None:
    env = home | credentials(upstream)
    del env["ZUDU_API_KEY"]
    _, checks = await doctor(env)
    check = failed(checks)
    assert (check["name"], check["detail"]) == ("credentials", "ZUDU_API_KEY is not set")
    assert "Set ZUDU_API_KEY" in check["fix"]
    assert upstream.requests == []


async def test_a_swapped_pair_is_seen_by_its_form(home: dict[str, str], upstream: Upstream) -> None:
    env = home | credentials(upstream) | {"ZUDU_API_KEY": SECRET, "ZUDU_API_SECRET": KEY}
    _, checks = await doctor(env)
    assert failed(checks)["fix"] == "Swap ZUDU_API_KEY and ZUDU_API_SECRET."
    assert upstream.requests == []


async def test_a_swapped_pair_without_the_documented_form_is_found_by_trying(
    home: dict[str, str], upstream: Upstream
) -> None:
    upstream.answer = accepting("first-0123456789", "second-0123456789")
    pair = {"ZUDU_API_KEY": "second-0123456789", "ZUDU_API_SECRET": "first-0123456789"}
    _, checks = await doctor(home | credentials(upstream) | pair)
    assert failed(checks)["fix"] == "Swap ZUDU_API_KEY and ZUDU_API_SECRET: the other way round, they are accepted."


async def test_a_line_break_at_the_end_is_seen(home: dict[str, str], upstream: Upstream) -> None:
    _, checks = await doctor(home | credentials(upstream) | {"ZUDU_API_SECRET": SECRET + "\n"})
    check = failed(checks)
    assert check["detail"] == "ZUDU_API_SECRET: has a line break in it"
    assert check["fix"] == "Copy it again, without the end of the line."


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(reply(404, b"<html>No such page</html>", content_type="text/html"), id="404 in HTML"),
        pytest.param(reply(200, b"<html>Welcome</html>", content_type="text/html"), id="200 in HTML"),
        pytest.param(reply(301, b"", location="https://example.com/"), id="redirect"),
        pytest.param(reply(404, b""), id="404 without a word"),
        pytest.param(reply(404, {"detail": "Not Found"}), id="404 of FastAPI"),
        pytest.param(reply(404, {"message": "no Route matched with those values"}), id="404 of Kong"),
        pytest.param(reply(404, {"error": "Not Found", "status": 404, "path": "/"}), id="404 of Spring"),
    ],
)
async def test_an_address_where_something_else_answers_is_seen(
    home: dict[str, str], upstream: Upstream, answer: Answer
) -> None:
    upstream.answer = answer
    _, checks = await doctor(home | credentials(upstream))
    check = failed(checks)
    assert check["name"] == "platform"
    assert check["fix"] == "Check ZUDU_BASE_URL: the published address is https://api.zudu.ai."


@pytest.mark.parametrize("address", ["http://platform.test", "ftp://platform.test", "platform.test"])
async def test_an_address_that_is_not_https_is_seen(home: dict[str, str], upstream: Upstream, address: str) -> None:
    _, checks = await doctor(home | credentials(upstream) | {"ZUDU_BASE_URL": address})
    check = failed(checks)
    assert check["name"] == "settings"
    assert check["detail"].startswith("ZUDU_BASE_URL: must be ")


async def test_a_host_that_does_not_exist_is_seen(home: dict[str, str], upstream: Upstream) -> None:
    _, checks = await doctor(home | credentials(upstream) | {"ZUDU_BASE_URL": "https://platform.invalid"})
    check = failed(checks)
    assert (check["name"], "platform.invalid cannot be found" in check["detail"]) == ("host", True)
    assert "Check ZUDU_BASE_URL" in check["fix"]


async def test_a_port_where_nobody_is_is_seen(home: dict[str, str], upstream: Upstream) -> None:
    _, checks = await doctor(home | credentials(upstream) | {"ZUDU_BASE_URL": "http://127.0.0.1:1"})
    check = failed(checks)
    assert (check["name"], "No connection to http://127.0.0.1:1" in check["detail"]) == ("connection", True)


async def test_a_certificate_that_cannot_be_verified_is_seen(home: dict[str, str]) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("localhost").configure_cert(context)
    async with Upstream.listening(context) as upstream:
        _, checks = await doctor(home | credentials(upstream))
        assert upstream.requests == []
    check = failed(checks)
    assert (check["name"], "SSL_CERT_FILE" in check["fix"]) == ("connection", True)


async def test_credentials_that_are_refused_are_reported(home: dict[str, str], upstream: Upstream) -> None:
    upstream.answer = REFUSED
    _, checks = await doctor(home | credentials(upstream))
    check = failed(checks)
    assert check["detail"] == "The credentials are refused: Missing or invalid API key/secret"
    assert check["fix"].startswith("Copy ZUDU_API_KEY and ZUDU_API_SECRET again from Zudu")


@pytest.mark.parametrize(
    ("status", "code"), [(402, "payment_required"), (403, "forbidden"), (429, "rate_limited"), (500, "platform_error")]
)
async def test_what_else_the_platform_says_is_reported(
    home: dict[str, str], upstream: Upstream, status: int, code: str
) -> None:
    upstream.answer = reply(status, envelope(status="error", message="Said so"), retry_after="100")
    _, checks = await doctor(home | credentials(upstream))
    assert failed(checks)["detail"] == f"{code}: Said so"


@pytest.mark.parametrize("placeholder", ["${ZUDU_API_KEY}", "${env:ZUDU_API_KEY}", "<your key>", "sk_…"])
async def test_a_placeholder_that_nobody_filled_in_is_seen(
    home: dict[str, str], upstream: Upstream, placeholder: str
) -> None:
    _, checks = await doctor(home | credentials(upstream) | {"ZUDU_API_KEY": placeholder})
    check = failed(checks)
    assert check["detail"] == "ZUDU_API_KEY holds a placeholder, not a value"
    assert "reference that your client resolves" in check["fix"]


async def test_a_journal_that_cannot_be_written_is_seen(
    home: dict[str, str], upstream: Upstream, tmp_path: Path
) -> None:
    upstream.answer = UNKNOWN
    (tmp_path / "file").write_text("in the way")
    for journal in (tmp_path / "file" / "journal.sqlite3", tmp_path / "file"):
        env = home | credentials(upstream) | {"PHONE_NUMBER_MCP_JOURNAL": str(journal)}
        _, checks = await doctor(env)
        check = failed(checks)
        assert (check["name"], "--journal" in check["fix"]) == ("journal", True)
    assert (tmp_path / "file").read_text() == "in the way"


async def test_a_journal_is_looked_at_also_where_another_setting_is_wrong(home: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    place = str(tmp_path / "file" / "journal.sqlite3")
    _, checks = await doctor(
        home | {"PHONE_NUMBER_MCP_JOURNAL": place, "PHONE_NUMBER_MCP_TIMEOUT": "soon"}, "--sandbox"
    )
    assert place in next(check for check in checks if check["name"] == "journal")["detail"]


async def test_a_journal_of_which_the_place_cannot_be_is_reported(home: dict[str, str]) -> None:
    _, checks = await doctor(home, "--sandbox", "--journal", "https://journal.test")
    assert any(check["detail"].startswith("--journal: ") for check in checks if not check["ok"])


async def test_a_journal_that_is_not_there_yet_is_not_made(home: dict[str, str]) -> None:
    await doctor(home, "--sandbox")
    assert not Path(home["PHONE_NUMBER_MCP_JOURNAL"]).exists()


@pytest.mark.parametrize(("hours", "well"), [(0, True), (3, False), (-3, False)])
async def test_a_clock_that_is_off_is_seen(home: dict[str, str], upstream: Upstream, hours: int, well: bool) -> None:
    there = format_datetime(datetime.now(UTC) + timedelta(hours=hours), usegmt=True)
    upstream.answer = reply(404, envelope(status="error", message="Phone number not found"), date=there)
    _, checks = await doctor(home | credentials(upstream))
    (clock,) = [check for check in checks if check["name"] == "clock"]
    assert clock["ok"] is well


def entered(home: dict[str, str], entry: Any, name: str = "numbers") -> Path:
    """Put an entry into the file of Claude Desktop."""
    client = CLIENTS["claude-desktop"]
    path = place(client, system(), home)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"mcpServers": {"other": {"command": "elsewhere"}, name: entry}}))
    return path


async def test_an_entry_whose_command_is_not_there_is_seen(home: dict[str, str], tmp_path: Path) -> None:
    path = entered(home, {"command": str(tmp_path / "gone" / "phone-number-mcp"), "args": []})
    _, checks = await doctor(home, "--sandbox")
    check = failed(checks)
    assert check["name"] == "client claude-desktop"
    assert check["detail"].startswith(f'{path} has "numbers", whose command does not exist: {tmp_path}')
    assert check["fix"].startswith("Put /")  # nothing else of the entry is lost
    assert Path(check["fix"].split()[1]).name == "phone-number-mcp"


@pytest.mark.parametrize("command_", ["phone-numbr-mcp", "phone-number", str(README)])
async def test_an_entry_is_known_by_its_name_where_its_command_is_wrong(home: dict[str, str], command_: str) -> None:
    path = entered(home, {"command": command_}, name="phone-number")
    _, checks = await doctor(home, "--sandbox")
    assert failed(checks)["detail"] == f'{path} has "phone-number", whose command does not exist: {command_}'


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"args": ["--sandbx"]}, "there is no option --sandbx"),
        ({"env": {"ZUDU_API_KEY": SECRET, "ZUDU_API_SECRET": KEY}}, "looks like the other credential"),
        ({"env": {"ZUDU_API_SECRET": SECRET + "\n"}}, "ZUDU_API_SECRET: has a line break in it"),
        ({"env": {"ZUDU_BASE_URL": "http://platform.test"}}, "ZUDU_BASE_URL: must be https"),
        ({"env": {"PHONE_NUMBER_MCP_READONLY": "true"}}, "PHONE_NUMBER_MCP_READONLY: is no setting"),
        (
            {"args": ["--platform", "retell"], "env": {"RETELL_API_KEY": "<your RETELL_API_KEY>"}},
            '"numbers": RETELL_API_KEY holds a placeholder, so its calls answer not_configured',
        ),
    ],
)
async def test_an_entry_with_which_the_server_would_not_work_is_seen(
    home: dict[str, str], more: dict[str, Any], words: str
) -> None:
    program, *arguments = fresh_command()
    entered(home, {"command": program, **more, "args": [*arguments, *more.get("args", [])]})
    _, checks = await doctor(home, "--sandbox")
    assert words in failed(checks)["detail"]


async def test_the_credentials_of_a_clients_file_are_tried_where_there_are_no_others(
    home: dict[str, str], upstream: Upstream
) -> None:
    upstream.answer = accepting(KEY, SECRET)
    program, *arguments = fresh_command()
    path = entered(
        home, {"command": program, "args": arguments, "env": {"ZUDU_API_KEY": KEY, "ZUDU_API_SECRET": SECRET}}
    )
    status, checks = await doctor(home | {"ZUDU_BASE_URL": upstream.url})
    assert status == 0
    assert f"with the credentials of {path}" in checks[1]["detail"]


async def test_an_entry_with_a_reference_that_its_client_does_not_resolve_is_seen(home: dict[str, str]) -> None:
    entered(
        home,
        {"command": sys.executable, "args": ["-m", "phone_number_mcp"], "env": {"ZUDU_API_KEY": "${ZUDU_API_KEY}"}},
    )
    _, checks = await doctor(home, "--sandbox")
    check = failed(checks)
    assert check["detail"].endswith('"numbers": ZUDU_API_KEY holds a placeholder, so its calls answer not_configured')
    assert "install claude-desktop --name numbers --write --with-secrets`" in check["fix"]


@pytest.mark.parametrize(
    "odd", [{"args": 5}, {"env": [{}]}, {"env": 5, "args": {"a": 1}}, {"command": 7}, 5, None, [1]]
)
async def test_what_other_entries_are_does_not_matter(home: dict[str, str], odd: Any) -> None:
    entered(home, odd)
    assert (await doctor(home, "--sandbox"))[0] == 0


async def test_an_entry_that_works_is_well(home: dict[str, str]) -> None:
    env = {"ZUDU_API_KEY": KEY, "ZUDU_API_SECRET": SECRET}
    entered(home, {"command": sys.executable, "args": ["-m", "phone_number_mcp"], "env": env})
    status, checks = await doctor(home, "--sandbox")
    assert (status, checks[-1]["name"]) == (0, "client claude-desktop")


@pytest.mark.parametrize("client", CLIENTS)
async def test_what_install_writes_is_well_but_for_what_it_leaves_to_the_person(
    home: dict[str, str], client: str
) -> None:
    written = await anyio.run_process(command("install", client, "--write"), env=home, check=False)
    assert written.returncode == 0, written.stderr
    _, checks = await doctor(home, "--sandbox")
    assert checks[-1]["name"] == f"client {client}"
    assert checks[-1]["ok"] == (client != "claude-desktop")


async def test_a_file_that_no_client_could_read_is_seen_if_it_is_about_us(home: dict[str, str]) -> None:
    path = entered(home, {"command": "phone-number-mcp"})
    path.write_text(path.read_text()[:-1])
    _, checks = await doctor(home, "--sandbox")
    assert failed(checks)["fix"] == "Fix it: Claude Desktop cannot read it either."
    path.write_text("{")
    assert (await doctor(home, "--sandbox"))[0] == 0


async def test_all_faults_are_reported_at_once(home: dict[str, str]) -> None:
    env = {"ZUDU_API_KEY": "${ZUDU_API_KEY}", "ZUDU_API_SECRET": "s3cr3t_\n", "PHONE_NUMBER_MCP_TIMEOUT": "soon"}
    _, checks = await doctor(home | env)
    details = [check["detail"] for check in checks if not check["ok"]]
    assert [detail.partition(" ")[0].strip(":") for detail in details] == [
        "PHONE_NUMBER_MCP_TIMEOUT",
        "ZUDU_API_SECRET",
        "ZUDU_API_KEY",
    ]


def test_every_platform_says_how_its_credentials_begin() -> None:
    for name in PLATFORMS:
        assert all(load(name).credentials.values())
