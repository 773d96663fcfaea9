"""The simulated platform: served on a socket as the documentation's curl expects it, and embedded in the server."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from phone_number_mcp.platforms.zudu import CreatedPhoneNumber, PhoneNumber
from phone_number_mcp.sandbox.trouble import REHEARSALS
from support.documented import DOCUMENTED_CREATE, DOCUMENTED_CREATED, DOCUMENTED_GET
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
async def test_each_rehearsed_trouble_is_told_with_its_code(connect: Connect) -> None:
    assert CODES.keys() == REHEARSALS.keys()
    async with connect("--sandbox", "--timeout", "0.5") as client:
        for number, codes in CODES.items():
            for tool, code in zip(("get_phone_number", "create_phone_number"), codes, strict=True):
                result = content(await client.call_tool(tool, {"phone_number": number}))
                assert result.get("error", {}).get("code") == code, (number, tool)
                assert result.get("reconciled", False) == (code is None)
        after = content(await client.call_tool("get_phone_number", {"phone_number": "+14155550154"}))
        assert after["data"]["phone_number"] == "+14155550154"
        gone = content(await client.call_tool("get_phone_number", {"phone_number": "+14155550153"}))
        assert gone["error"]["code"] == "unreachable"
