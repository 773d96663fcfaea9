"""Secrets by name: `secret:NAME` reaches the platform as its value, and nothing else as that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp_types import ElicitResult
from pydantic import SecretStr

from phone_number_mcp.errors import InvalidArguments
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.settings import ConfigurationError, read
from phone_number_mcp.tool import Arguments, Secret
from support.faulty import Faulty
from support.person import Person
from support.server import Open, command, content, credentials, environment
from support.upstream import Upstream, envelope, reply
from support.wire import MODERN

pytestmark = pytest.mark.anyio
TWILIO = 'tw1l10 tökén"with\\all'
SIP = "s1p-password-of-the-trunk"
IMPORT = {
    "phone_number": "+14155550120",
    "provider": "twilio",
    "account_sid": "AC0123",
    "auth_token": "secret:twilio",
    "idempotency_key": "key-1",
}


def named(tmp_path: Path) -> dict[str, str]:
    """The environment of a server with two named secrets, one of them in a file."""
    file = tmp_path / "sip"
    file.write_text(f"{SIP}\n", encoding="utf-8")
    return {"PHONE_NUMBER_MCP_SECRET_TWILIO": TWILIO, "PHONE_NUMBER_MCP_SECRET_SIP_TRUNK_FILE": str(file)}


def nowhere_in(*texts: bytes) -> None:
    """Assert that no value is in any of these, however JSON spells it."""
    for secret in (TWILIO, SIP):
        spelled = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]}
        assert not [form for form in spelled for text in texts if form.encode() in text]


# --- the environment --------------------------------------------------------------------------------------------------


def test_named_secrets_are_read_from_variables_and_files_and_are_kept_out_of_output(tmp_path: Path) -> None:
    settings = read({}, named(tmp_path))
    values = {name: secret.get_secret_value() for name, secret in settings.named_secrets.items()}
    assert values == {"sip_trunk": SIP, "twilio": TWILIO}
    assert set(settings.secrets()) == {SIP, TWILIO}
    assert TWILIO not in repr(settings)


@pytest.mark.parametrize("empty", ["", " ", "null", "${TWILIO}", "<your token>"])
def test_what_holds_no_value_is_no_secret(empty: str) -> None:
    settings = read({"sandbox": "true"}, {"PHONE_NUMBER_MCP_SECRET_TWILIO": empty})
    assert (settings.named_secrets, settings.unset_secrets) == ({}, ("PHONE_NUMBER_MCP_SECRET_TWILIO",))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("TWILIO", "abc", "is too short to be a secret"),
        ("TWILIO", "hidden-value ", "has a space or a line break around it"),
        ("TWILIO", "hidden-\nvalue", "has a line break or a control character in it"),
        ("TWILIO_FILE", "/nonexistent/hidden-value", "the file cannot be read: "),
        ("TWILIO_FILE", ".", "is not a file"),
        ("", "hidden-value", "must be PHONE_NUMBER_MCP_SECRET_ and a name in capitals"),
        ("FILE", "hidden-value", "must be PHONE_NUMBER_MCP_SECRET_ and a name in capitals"),
        ("twilio", "hidden-value", "must be PHONE_NUMBER_MCP_SECRET_ and a name in capitals"),
        ("A-B", "hidden-value", "must be PHONE_NUMBER_MCP_SECRET_ and a name in capitals"),
    ],
)
def test_a_malformed_secret_stops_the_start_with_the_other_faults_and_is_not_shown(
    name: str, value: str, words: str
) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read({"timeout": "soon"}, {f"PHONE_NUMBER_MCP_SECRET_{name}": value})
    assert len(raised.value.faults) == 2
    assert raised.value.faults[1].startswith(f"PHONE_NUMBER_MCP_SECRET_{name}: {words}")
    assert "hidden" not in str(raised.value)


def test_a_secret_both_ways_is_one_fault(tmp_path: Path) -> None:
    environ = named(tmp_path) | {"PHONE_NUMBER_MCP_SECRET_SIP_TRUNK": SIP}
    with pytest.raises(ConfigurationError) as raised:
        read({}, environ)
    both = "PHONE_NUMBER_MCP_SECRET_SIP_TRUNK and PHONE_NUMBER_MCP_SECRET_SIP_TRUNK_FILE are both set: keep one"
    assert raised.value.faults == [both]


# --- arguments --------------------------------------------------------------------------------------------------------


class Importing(Arguments):
    phone_number: str
    token: Secret | None = None


KNOWN = {"sip_trunk": SecretStr(SIP), "twilio": SecretStr(TWILIO)}


@pytest.mark.parametrize("written", ["secret:sip_trunk", "secret:sip-trunk", "SECRET:SIP_TRUNK", " Secret: Sip-Trunk "])
def test_a_name_is_read_however_it_is_written(written: str) -> None:
    arguments = Importing(phone_number="x", token=SecretStr(written)).with_secrets(KNOWN)
    assert arguments.body() == {"phone_number": "x", "token": SIP}
    assert arguments.secrets() == [SIP]
    assert arguments.comparable() == arguments.identity() == {"phone_number": "x"}
    assert SIP not in repr(arguments)


@pytest.mark.parametrize("plain", ["t0ken", "my secret:twilio", "secretly"])
def test_a_secret_in_plain_is_taken_as_it_is(plain: str) -> None:
    assert Importing(phone_number="x", token=SecretStr(plain)).with_secrets(KNOWN).secrets() == [plain]


def test_what_is_not_given_stays_so() -> None:
    assert Importing(phone_number="x").with_secrets(KNOWN).body() == {"phone_number": "x"}


@pytest.mark.parametrize("written", ["secret:", "secret:t0ken-that-is-real", "secret:twilio.x", "secret:" + "x" * 5000])
@pytest.mark.parametrize(("known", "words"), [(KNOWN, "the names are sip_trunk, twilio"), ({}, "has no named secrets")])
def test_an_unknown_name_is_refused_with_the_names_that_exist(
    written: str, known: dict[str, SecretStr], words: str
) -> None:
    with pytest.raises(InvalidArguments) as raised:
        Importing(phone_number="x", token=SecretStr(written)).with_secrets(known)
    shown = raised.value.failure(platform="x", operation="y", write=True)
    assert shown.fields
    assert shown.fields[0].field == "token"
    assert words in shown.message
    assert words in shown.fields[0].problem
    assert not any(text in shown.model_dump_json() for text in (SIP, TWILIO, "t0ken", "xxx"))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_argument_that_is_a_secret_says_that_it_takes_a_name(platform: str) -> None:
    secrets = [
        tool.input_schema["properties"][name]["description"]
        for tool in load(platform).tools
        for name, field in tool.arguments.model_fields.items()
        if "SecretStr" in str(field.annotation)
    ]
    assert secrets
    assert all("or secret:NAME" in description for description in secrets)


# --- the real server --------------------------------------------------------------------------------------------------


async def test_the_value_reaches_the_platform_and_nothing_else(raw: Open, upstream: Upstream, tmp_path: Path) -> None:
    said = envelope(status="error", message=f"Bad token {TWILIO}", error=f"not {SIP} either")
    upstream.answer = reply(400, said)
    env = credentials(upstream) | named(tmp_path)
    async with raw("--log-level", "debug", env=env) as client:
        await client.initialize()
        error = (await client.call("import_phone_number", **IMPORT))["structuredContent"]["error"]
        unknown = (await client.call("import_phone_number", **IMPORT | {"auth_token": "secret:plivo"}))[
            "structuredContent"
        ]
        tried = (await client.call("import_phone_number", **IMPORT, dry_run=True))["structuredContent"]
    assert tried["dry_run"]
    (sent,) = [request.json for request in upstream.requests if request.method == "POST"]
    assert sent["auth_token"] == TWILIO
    assert (error["message"], error["detail"]) == ("Bad token [secret]", "not [secret] either")
    assert unknown["error"]["code"] == "invalid_arguments"
    assert unknown["error"]["fields"][0]["field"] == "auth_token"
    assert "the names are sip_trunk, twilio" in unknown["error"]["message"]
    files = [each for each in tmp_path.rglob("journal*") if each.is_file()]
    assert files
    nowhere_in(client.received, client.stderr, *(file.read_bytes() for file in files))


async def test_retell_gets_the_password_of_a_trunk_from_a_file(upstream: Upstream, tmp_path: Path) -> None:
    upstream.answer = reply(201, {"phone_number": "+14155550120", "phone_number_type": "custom"})
    program, *options = command("--platform", "retell")
    env = {"RETELL_API_KEY": "key_abcdef", "RETELL_BASE_URL": upstream.url, "PHONE_NUMBER_MCP_JOURNAL": ":memory:"}
    server = StdioServerParameters(command=program, args=options, env=env | named(tmp_path))
    wish = {
        "phone_number": "+14155550120",
        "termination_uri": "x.pstn.twilio.com",
        "sip_trunk_auth_username": "u",
        "sip_trunk_auth_password": "secret:sip-trunk",
    }
    async with Client(server) as client:
        result = content(await client.call_tool("import_phone_number", wish))
    assert result["data"]["phone_number"] == "+14155550120"
    assert [request.json["sip_trunk_auth_password"] for request in upstream.requests if request.body] == [SIP]


@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_a_person_is_asked_about_the_name_and_never_shown_the_value(
    upstream: Upstream, tmp_path: Path, own_journal: dict[str, str], mode: str
) -> None:
    platform = Faulty(upstream)
    person = Person(ElicitResult(action="accept", content={"confirm": True}))
    program, *options = command("--confirm", "always")
    env = credentials(upstream) | own_journal | named(tmp_path)
    async with Client(
        StdioServerParameters(command=program, args=options, env=env), mode=mode, elicitation_callback=person
    ) as client:
        await client.call_tool("import_phone_number", IMPORT)
    (question,) = person.asked
    assert "\nauth_token: (secret:twilio, its value is not shown)\n" in question
    nowhere_in(question.encode())
    assert platform.posts == 1


async def doctor(env: dict[str, str], *options: str) -> tuple[int, bytes]:
    done = await anyio.run_process(command("doctor", "--sandbox", *options), env=env, check=False)
    assert done.stderr == b""
    return done.returncode, done.stdout


async def test_doctor_lists_the_names_and_says_which_cannot_be_read(
    tmp_path: Path, own_journal: dict[str, str]
) -> None:
    env = environment(own_journal, HOME=str(tmp_path), **named(tmp_path), PHONE_NUMBER_MCP_SECRET_PLIVO="<token>")
    status, shown = await doctor(env, "--json")
    checks: list[dict[str, Any]] = [each for each in json.loads(shown)["checks"] if each["name"] == "secrets"]
    assert [(each["level"], each["detail"]) for each in checks] == [
        ("ok", "an argument may say secret:sip_trunk, secret:twilio"),
        ("warning", "PHONE_NUMBER_MCP_SECRET_PLIVO holds no value"),
    ]
    assert status == 0
    (tmp_path / "sip").unlink()
    broken, told = await doctor(env)
    assert broken == 1
    assert b"PHONE_NUMBER_MCP_SECRET_SIP_TRUNK_FILE: the file cannot be read" in told
    assert b"an argument may say secret:twilio\n" in told
    nowhere_in(shown, told)


async def test_install_copies_no_named_secret_and_says_so(tmp_path: Path, own_journal: dict[str, str]) -> None:
    keys = {"ZUDU_API_KEY": "sk_abcdef", "ZUDU_API_SECRET": "s3cr3t_ghijkl"}
    env = environment(own_journal, HOME=str(tmp_path), **named(tmp_path), **keys)
    file = tmp_path / "cursor.json"
    done = await anyio.run_process(
        command("install", "cursor", "--path", str(file), "--write", "--with-secrets"), env=env
    )
    assert b"sk_abcdef" in file.read_bytes()
    assert b"PHONE_NUMBER_MCP_SECRET_TWILIO" not in file.read_bytes()
    assert (
        b"The entry has none of PHONE_NUMBER_MCP_SECRET_SIP_TRUNK_FILE, PHONE_NUMBER_MCP_SECRET_TWILIO" in done.stderr
    )
    nowhere_in(file.read_bytes(), done.stdout, done.stderr)
