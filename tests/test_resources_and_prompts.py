"""What the server offers beside tools: a number as a resource, and two prompts."""

from __future__ import annotations

import json

import pytest
from mcp import MCPError
from mcp_types import TextContent, TextResourceContents

from phone_number_mcp.platforms import PLATFORMS
from support.server import Connect, content
from support.wire import MODERN

pytestmark = pytest.mark.anyio
EVERY_PLATFORM = pytest.mark.parametrize("platform", PLATFORMS)


@EVERY_PLATFORM
@pytest.mark.parametrize("mode", ["legacy", MODERN])
async def test_a_number_is_a_resource_with_the_json_of_get(connect: Connect, platform: str, mode: str) -> None:
    async with connect("--platform", platform, "--sandbox", mode=mode) as client:
        (template,) = (await client.list_resource_templates()).resource_templates
        assert (template.uri_template, template.mime_type) == ("phone-number://{phone_number}", "application/json")
        assert (await client.list_resources()).resources == []
        got = content(await client.call_tool("get_phone_number", {"phone_number": "+14155550100"}))
        for spelled in ("+14155550100", "%2B14155550100"):
            (resource,) = (await client.read_resource(f"phone-number://{spelled}")).contents
            assert isinstance(resource, TextResourceContents)
            assert resource.mime_type == "application/json"
            assert json.loads(resource.text) == got["data"]


@EVERY_PLATFORM
@pytest.mark.parametrize(
    ("uri", "code", "inside"),
    [
        ("phone-number://+14155550199", -32602, "not_found"),
        ("phone-number://../x", -32602, "invalid_arguments"),
        ("phone-number://+14155550150", -32603, "platform_error"),
        ("file:///etc/passwd", -32602, None),
    ],
)
async def test_a_resource_that_cannot_be_read_is_a_protocol_error(
    connect: Connect, platform: str, uri: str, code: int, inside: str | None
) -> None:
    async with connect("--platform", platform, "--sandbox") as client:
        with pytest.raises(MCPError) as raised:
            await client.read_resource(uri)
    assert raised.value.code == code
    assert (raised.value.data or {"error": {"code": None}})["error"]["code"] == inside


@EVERY_PLATFORM
async def test_the_prompts_walk_a_model_through_setting_up_and_reviewing(connect: Connect, platform: str) -> None:
    async with connect("--platform", platform, "--sandbox") as client:
        listed = (await client.list_prompts()).prompts
        assert [prompt.name for prompt in listed] == ["provision_phone_number", "review_phone_numbers"]
        chosen = {"purpose": "the front desk", "agent": "Reception"}
        (message,) = (await client.get_prompt("provision_phone_number", chosen)).messages
        assert isinstance(message.content, TextContent)
        text = message.content.text
        assert "for the front desk. Calls to it are answered by Reception." in text
        assert text.index("ask me") < text.index("create_phone_number once") < text.rindex("get_phone_number")
        (message,) = (await client.get_prompt("provision_phone_number")).messages
        assert isinstance(message.content, TextContent)
        assert "{" not in message.content.text
        assert (
            "for a purpose that I will tell you. Calls to it are answered by an agent that I will"
            in message.content.text
        )
        (message,) = (await client.get_prompt("review_phone_numbers")).messages
        assert isinstance(message.content, TextContent)
        for finding in ("list_phone_numbers", "without any agent", "not https"):
            assert finding in message.content.text
        with pytest.raises(MCPError, match="The prompts are provision_phone_number, review_phone_numbers") as raised:
            await client.get_prompt("nothing")
        assert raised.value.code == -32602


async def test_what_needs_a_hidden_tool_is_not_offered(connect: Connect) -> None:
    async with connect("--sandbox", "--tools", "list_phone_numbers") as client:
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["review_phone_numbers"]
        assert (await client.list_resource_templates()).resource_templates == []
        with pytest.raises(MCPError):
            await client.read_resource("phone-number://+14155550100")
