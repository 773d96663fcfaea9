"""A third platform is one module, its sandbox and one line: the real command serves it, over stdio, as it serves the others."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from descriptions import manifest, server_json
from phone_number_mcp.platforms import PLATFORMS
from support.fork_server import forked
from support.odd import PLATFORM
from support.places import SUPPORT
from support.wire import RawClient

pytestmark = pytest.mark.anyio
HELD, FREE = "+14155550100", "+14155550120"


def served(own_journal: dict[str, str], *options: str, **env: str) -> AbstractAsyncContextManager[RawClient]:
    program = forked(str(SUPPORT / "odd_server.py"), "--platform", "odd", *options)
    return RawClient.started(program, own_journal | env)


async def call(client: RawClient, tool: str, **arguments: Any) -> dict[str, Any]:
    content: dict[str, Any] = (await client.call(tool, **arguments))["structuredContent"]
    return content


async def test_every_tool_works_over_stdio(own_journal: dict[str, str]) -> None:
    async with served(own_journal, "--sandbox", "--allow-delete") as client:
        await client.initialize()
        listed = await client.ask("tools/list")
        assert [tool["name"] for tool in listed["result"]["tools"]] == [tool.name for tool in PLATFORM.tools]
        created = await call(client, "create_phone_number", phone_number=FREE, nickname="Side door & co")
        assert created["data"]["friendlyName"] == "Side door & co"
        again = await call(client, "create_phone_number", phone_number=FREE, nickname="Side door & co")
        assert (again["error"]["code"], again["error"]["existing"]) == ("already_exists", created["data"])
        updated = await call(client, "update_phone_number", phone_number=FREE, nickname="Back door")
        assert updated["data"] == created["data"] | {"friendlyName": "Back door"}
        assert (await call(client, "get_phone_number", phone_number=FREE))["data"] == updated["data"]
        cleared = await call(client, "update_phone_number", phone_number=FREE, clear_fields=["nickname"])
        assert cleared["data"] == created["data"] | {"friendlyName": None}
        whole = (await call(client, "list_phone_numbers", detail="full"))["data"]
        assert cleared["data"] in whole["phone_numbers"]
        named = (await call(client, "list_phone_numbers", nickname="front", area_code=415, limit=1))["data"]
        assert named["phone_numbers"] == [{"phone_number": "+14155550100", "nickname": "Front desk"}]
        assert named["next"]
        sure = {"phone_number": FREE, "confirm_phone_number": FREE}
        assert (await call(client, "delete_phone_number", **sure))["data"] == {}
        assert (await call(client, "delete_phone_number", **sure))["error"]["code"] == "not_found"


async def test_a_lost_answer_is_reconciled_under_the_platforms_own_names(own_journal: dict[str, str]) -> None:
    async with served(own_journal, "--sandbox") as client:
        await client.initialize()
        lost = await call(client, "create_phone_number", phone_number="+14155550154", nickname="Side door")
        assert (lost["reconciled"], lost["data"]["friendlyName"]) == (True, "Side door")
        failed = await call(client, "create_phone_number", phone_number="+14155550150", nickname="Side door")
        assert (failed["error"]["code"], failed["error"]["outcome"]) == ("platform_error", "not_applied")


async def test_missing_credentials_are_named(own_journal: dict[str, str]) -> None:
    async with served(own_journal, ODD_ACCOUNT="AC1") as client:
        await client.initialize()
        error = (await call(client, "get_phone_number", phone_number=HELD))["error"]
    assert error["code"] == "not_configured"
    assert "ODD_TOKEN is not set" in error["message"]
    assert "Oddphone" in error["message"]


def test_packages_ask_for_its_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLATFORMS, "odd", "support.odd")
    bundle, entry = manifest(), server_json()
    assert bundle["user_config"]["odd_token"]["title"] == "Oddphone token"
    assert bundle["server"]["mcp_config"]["env"]["ODD_ACCOUNT"] == "${user_config.odd_account}"
    assert "Zudu and Retell and Oddphone" in bundle["long_description"]
    names = {each["name"] for each in entry["packages"][0]["environmentVariables"]}
    assert {"ODD_ACCOUNT", "ODD_TOKEN", "ODD_BASE_URL"} <= names
    assert "odd" in entry["packages"][0]["packageArguments"][0]["choices"]
