"""The simulated platform: served on a socket as the documentation's curl expects it, and embedded in the server."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from phone_number_mcp.errors import OutcomeUnknown, ToolError
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.platforms.zudu import CreatedPhoneNumber, PhoneNumber
from phone_number_mcp.sandbox import create_app
from phone_number_mcp.sandbox.trouble import REHEARSALS
from phone_number_mcp.tool import Success
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.writes import earlier
from support import harness
from support.documented import DOCUMENTED_CREATE, DOCUMENTED_CREATED, DOCUMENTED_GET
from support.places import DOCUMENTS, README
from support.server import Connect, command, content

CREDENTIALS = {"X-API-KEY": "<api-key>", "X-API-SECRET": "<api-key>"}  # as the documentation's curl has them


@pytest.fixture
def served() -> Iterator[httpx.Client]:
    """The command `phone-number-mcp sandbox`, on a free port."""
    with subprocess.Popen(
        command("sandbox", "--port", "0"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        address = re.search(r"http://127\.0\.0\.1:[0-9]+", process.stdout.readline())
        assert address
        with httpx.Client(base_url=address[0], trust_env=False) as client:
            yield client
        process.terminate()
        process.wait(timeout=30)
        assert process.stderr.read() == ""


def test_the_create_of_the_documentation_works_as_printed(served: httpx.Client) -> None:
    created = served.post("/api/phone-numbers/create", json=DOCUMENTED_CREATE, headers=CREDENTIALS)
    body = created.json()
    assert (created.status_code, body["status"], body["error"]) == (200, "success", None)
    assert body["message"] == "Phone number created successfully"
    assert body["data"].keys() == DOCUMENTED_CREATED.keys()
    assert DOCUMENTED_CREATE.items() <= body["data"].items()
    assert body["data"]["phone_number_pretty"] == "+1 (415) 777-4444"

    again = served.post("/api/phone-numbers/create", json=DOCUMENTED_CREATE, headers=CREDENTIALS)
    assert (again.status_code, again.json()["status"]) == (409, "error")

    for spelled in ("%2B14157774444", "+14157774444"):
        got = served.get(f"/api/phone-numbers/{spelled}", headers=CREDENTIALS)
        assert got.status_code == 200
        assert got.json()["data"].keys() == DOCUMENTED_GET.keys()


def test_it_refuses_as_the_documentation_says(served: httpx.Client) -> None:
    create, get = "/api/phone-numbers/create", "/api/phone-numbers/%2B14155550177"
    assert served.get(get).status_code == 401
    assert served.get(get, headers={"X-API-KEY": "sk_a"}).status_code == 401
    assert served.post(create, json={}, headers=CREDENTIALS | {"X-API-KEY": "sk_invalid"}).status_code == 401
    missing = served.get(get, headers=CREDENTIALS)
    assert missing.status_code == 404
    assert missing.json() == {
        "message": "Phone number not found",
        "status": "error",
        "error": "Phone number '+14155550177' does not exist in organization 'org_sandbox'",
    }
    number = {"phone_number": "+14155550177"}
    bodies: list[Any] = [
        [],
        {},
        {"phone_number": "4155550100"},
        number | {"area_code": "415"},
        number | {"nickname": 1},
    ]
    for bad in bodies:
        refused = served.post(create, json=bad, headers=CREDENTIALS)
        assert (refused.status_code, refused.json()["status"]) == (400, "error")
    assert served.post(create, content=b"{", headers=CREDENTIALS).status_code == 400
    assert served.get("/api/nothing", headers=CREDENTIALS).status_code == 404


def test_over_http_a_rehearsed_drop_really_drops(served: httpx.Client) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        served.get("/api/phone-numbers/%2B14155550153", headers=CREDENTIALS)
    with pytest.raises(httpx.RemoteProtocolError):
        served.post("/api/phone-numbers/create", json={"phone_number": "+14155550154"}, headers=CREDENTIALS)
    assert served.get("/api/phone-numbers/%2B14155550154", headers=CREDENTIALS).status_code == 200


def test_a_port_that_is_taken_is_said_so(served: httpx.Client) -> None:
    port = str(served.base_url.port)
    done = subprocess.run(command("sandbox", "--port", port), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert f"port {port} cannot be used" in done.stderr


@pytest.mark.anyio
async def test_a_fresh_sandbox_holds_three_numbers_and_every_field_the_models_name(connect: Connect) -> None:
    async with connect("--sandbox") as client:
        for number in ("+14155550100", "+14155550101", "+14155550102"):
            result = content(await client.call_tool("get_phone_number", {"phone_number": number}))
            assert result["data"].keys() == PhoneNumber.model_fields.keys()
            PhoneNumber.model_validate(result["data"])
        created = content(await client.call_tool("create_phone_number", {"phone_number": "+442079460000"}))
        assert created["data"].keys() == CreatedPhoneNumber.model_fields.keys()
        CreatedPhoneNumber.model_validate(created["data"])


CODES = {
    "+14155550150": ("platform_error", "platform_error"),
    "+14155550151": ("rate_limited", "rate_limited"),
    "+14155550152": ("timeout", "outcome_unknown"),
    "+14155550153": ("unreachable", "outcome_unknown"),
    "+14155550154": ("not_found", None),
    "+14155550155": ("platform_error", "outcome_unknown"),
    "+14155550156": ("invalid_reply", "outcome_unknown"),
    "+14155550157": ("platform_error", "platform_error"),
    "+14155550158": ("invalid_reply", "outcome_unknown"),
    "+14155550159": ("rejected", "rejected"),
}


@pytest.mark.anyio
async def test_each_rehearsed_trouble_is_reported_with_its_code(connect: Connect) -> None:
    assert CODES.keys() == REHEARSALS.keys()
    async with connect("--sandbox", "--timeout", "0.5") as client:
        for number, codes in CODES.items():
            for tool, code in zip(("get_phone_number", "create_phone_number"), codes, strict=True):
                result = content(await client.call_tool(tool, {"phone_number": number}))
                assert result.get("error", {}).get("code") == code, (number, tool)
                assert result.get("reconciled", False) == (code is None)
        after = content(await client.call_tool("get_phone_number", {"phone_number": "+14155550154"}))
        assert after["data"]["phone_number"] == "+14155550154"


@pytest.mark.anyio
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_after_a_500_it_is_seen_that_nothing_was_created_and_a_repeat_creates_it(
    connect: Connect, platform: str
) -> None:
    number = {"phone_number": "+14155550150"}
    async with connect("--sandbox", "--platform", platform) as client:
        failed = content(await client.call_tool("create_phone_number", number))["error"]
        assert (failed["code"], failed["http_status"]) == ("platform_error", 500)
        assert (failed["outcome"], failed["retryable"]) == ("not_applied", True)
        assert content(await client.call_tool("get_phone_number", number))["error"]["code"] == "not_found"
        assert number.items() <= content(await client.call_tool("create_phone_number", number))["data"].items()


@pytest.mark.anyio
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_after_a_lost_answer_the_outcome_is_unknown_and_reported_in_one_sentence(
    connect: Connect, platform: str
) -> None:
    number = {"phone_number": "+14155550153"}
    async with connect("--sandbox", "--platform", platform) as client:
        lost = content(await client.call_tool("create_phone_number", number))["error"]
        assert (lost["code"], lost["outcome"], lost["retryable"]) == ("outcome_unknown", "unknown", False)
        assert lost["message"] == (
            "The outcome of the write to +14155550153 is unknown: The connection broke before the platform's answer was "
            "whole; the change is not visible, but may still take effect"
        )
        assert "detail" not in lost
        assert content(await client.call_tool("get_phone_number", number))["error"]["code"] == "not_found"
        again = content(await client.call_tool("create_phone_number", number))["error"]
    assert re.fullmatch(
        r"An earlier create_phone_number, started [0-9.]+ s ago, ended with its outcome unknown: the number does not exist yet, "
        r"but may still be created\. Nothing was sent now",
        again["message"],
    )


@pytest.mark.anyio
async def test_the_platforms_message_is_reported_once_where_reading_back_fails_as_well(connect: Connect) -> None:
    async with connect("--sandbox", "--timeout", "5") as client:
        lost = content(await client.call_tool("create_phone_number", {"phone_number": "+14155550155"}))["error"]
    assert lost["message"].endswith("; the change is not visible, but may still take effect")
    assert lost["message"].count("502") == 1


@pytest.mark.anyio
@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("name", PLATFORMS)
async def test_a_later_look_resolves_a_lost_answer_and_a_repeat_creates_the_number(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(earlier, "ARRIVAL_SECONDS", 0)  # else 60 s
    platform = load(name)
    (tool,) = [tool for tool in platform.tools if tool.name == "create_phone_number"]
    number = tool.read({"phone_number": "+14155550153"})
    app = create_app(platform.sandbox())
    outcomes: list[Success | ToolError] = []
    async with (
        Api(base_url="http://sandbox.test", decipher=platform.decipher, timeout=5, app=app) as api,
        harness.writes(platform, api) as writes,
    ):
        for _ in range(2):
            try:
                outcomes.append(await writes.run(tool, number, harness.account(platform)))
            except ToolError as error:
                outcomes.append(error)
    lost, created = outcomes
    assert isinstance(lost, OutcomeUnknown)
    assert isinstance(created, Success)
    assert created.data["phone_number"] == "+14155550153"
    assert not created.reconciled


AGENT: dict[str, dict[str, Any]] = {
    "zudu": {"inbound_agent_id": "agent_nobody"},
    "retell": {"inbound_agents": [{"agent_id": "agent_nobody", "weight": 1}]},
}


@pytest.mark.anyio
@pytest.mark.parametrize("platform", PLATFORMS)
async def test_an_agent_that_is_not_there_is_refused_with_the_way_to_those_that_are(
    connect: Connect, platform: str
) -> None:
    async with connect("--sandbox", "--platform", platform) as client:
        new = {"phone_number": "+14155550120"} | AGENT[platform]
        created = content(await client.call_tool("create_phone_number", new))["error"]
        held = {"phone_number": "+14155550100"} | AGENT[platform]
        updated = content(await client.call_tool("update_phone_number", held))["error"]
        gone = content(await client.call_tool("get_phone_number", {"phone_number": "+14155550120"}))
    for error in (created, updated):
        assert (error["code"], error["outcome"]) == ("invalid_arguments", "not_applied")
        assert "Nothing was sent." in error["hint"]
        assert "candidates" in error or "list_agents" in error["hint"]
    assert gone["error"]["code"] == "not_found"


def _printed(start: str) -> list[str]:
    """Return the commands of the documentation that start so, each on one line."""
    texts = "".join(document.read_text(encoding="utf-8") for document in DOCUMENTS)
    blocks = re.findall(r"```sh\n(.*?)```", texts, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line for line in lines if line.startswith(start)]


def _by_curl(line: str) -> str:
    done = subprocess.run(
        [*shlex.split(line), "-sS", "--fail"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), line
    return done.stdout


def _by_httpx(line: str) -> str:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-H", action="append")
    parser.add_argument("-d")
    given = parser.parse_args(shlex.split(line)[1:])
    headers = dict(header.split(": ", 1) for header in given.H)
    method = "POST" if given.d else "GET"
    answer = httpx.request(method, given.url, headers=headers, content=given.d, trust_env=False)
    return answer.raise_for_status().text


@pytest.mark.parametrize("send", [_by_httpx, *([_by_curl] if shutil.which("curl") else [])])
def test_every_curl_of_the_documentation_works_as_printed(served: httpx.Client, send: Callable[[str], str]) -> None:
    lines = _printed("curl ")
    assert "curl http://127.0.0.1:8080/" in README.read_text(encoding="utf-8")
    for headers in ("X-API-KEY: ", "X-API-SECRET: ", "Authorization: Bearer "):
        assert any(headers in line for line in lines)
    for line in lines:
        assert "http://127.0.0.1:8080/" in line
        answer = send(line.replace("http://127.0.0.1:8080", str(served.base_url).rstrip("/")))
        assert "+14155550" in json.dumps(json.loads(answer))


@pytest.mark.anyio
async def test_the_documentations_server_on_the_sandbox_works_as_printed(
    served: httpx.Client, connect: Connect
) -> None:
    (line,) = _printed("ZUDU_BASE_URL=http://127.0.0.1:8080 ")
    *assignments, program = shlex.split(line)
    assert program == "phone-number-mcp"
    env = dict(assignment.split("=", 1) for assignment in assignments)
    async with connect(env=env | {"ZUDU_BASE_URL": str(served.base_url).rstrip("/")}) as client:
        found = content(await client.call_tool("get_phone_number", {"phone_number": "+14155550100"}))
    assert found["data"]["nickname"] == "Front desk"
