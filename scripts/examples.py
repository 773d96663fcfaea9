"""docs/tools.md: each tool by example, with the JSON that the real server answers over stdio against the sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from mcp import Client

from phone_number_mcp.platforms import PLATFORMS, load

Example: TypeAlias = tuple[str, str, Mapping[str, Any]]
"""What it shows, the tool, its arguments."""

EXAMPLES: Mapping[str, tuple[Example, ...]] = {
    "zudu": (
        ("Look one number up.", "get_phone_number", {"phone_number": "+14155550100"}),
        (
            "Written otherwise, where the meaning is certain.",
            "get_phone_number",
            {"phone_number": "tel:+1-415-555-0101"},
        ),
        (
            "A number that nobody holds.",
            "get_phone_number",
            {"phone_number": "+14155550120"},
        ),
        (
            "Create one, and route it. It may cost money.",
            "create_phone_number",
            {
                "phone_number": "+14155550120",
                "nickname": "Side door",
                "inbound_agent_id": "agent_reception",
                "inbound_webhook_url": "https://example.com/calls",
            },
        ),
        ("The same again: it is there, and shown.", "create_phone_number", {"phone_number": "+14155550120"}),
        (
            "Arguments that do not fit: each is named, and nothing is sent.",
            "create_phone_number",
            {"phone_number": "4155550121", "area_code": "41", "nick": "Side door"},
        ),
        (
            "A page of the list.",
            "list_phone_numbers",
            {"limit": 2, "sort_by": "phone_number", "sort_order": "ascending"},
        ),
        ("Numbers without agents.", "list_available_phone_numbers", {}),
        ("Is it answered, and what is there to fix?", "check_phone_number", {"phone_number": "+14155550102"}),
        (
            "A number that another carrier holds. The token goes to the platform and appears nowhere else.",
            "import_phone_number",
            {
                "phone_number": "+14155550130",
                "provider": "twilio",
                "account_sid": "AC00000000000000000000000000000000",
                "auth_token": "0123456789abcdef0123456789abcdef",
                "nickname": "From Twilio",
            },
        ),
        (
            "Change what is given, and nothing else.",
            "update_phone_number",
            {"phone_number": "+14155550120", "nickname": "Back door", "clear_fields": ["inbound_agent_id"]},
        ),
        (
            "Agents are still bound to it: it is not released by accident.",
            "delete_phone_number",
            {"phone_number": "+14155550100", "confirm_phone_number": "+14155550100"},
        ),
        (
            "Release one for good (offered only with `--allow-delete`).",
            "delete_phone_number",
            {"phone_number": "+14155550120", "confirm_phone_number": "+14155550120"},
        ),
        ("The agents that calls can be routed to.", "list_agents", {"limit": 2}),
        (
            "A write whose answer is lost: reconciled by reading back.",
            "create_phone_number",
            {"phone_number": "+14155550154"},
        ),
        ("A platform that fails.", "get_phone_number", {"phone_number": "+14155550150"}),
        (
            "A create that fails: reading back shows that nothing was created.",
            "create_phone_number",
            {"phone_number": "+14155550150"},
        ),
        (
            "A create whose answer is lost, and that is not there: it may still arrive.",
            "create_phone_number",
            {"phone_number": "+14155550153"},
        ),
        ("A later look: it is not there.", "get_phone_number", {"phone_number": "+14155550153"}),
    ),
    "retell": (
        ("Look one number up.", "get_phone_number", {"phone_number": "+14155550100"}),
        (
            "Buy one in an area. Agents share calls by weights that sum to 1.",
            "create_phone_number",
            {
                "area_code": 415,
                "nickname": "Side door",
                "inbound_agents": [{"agent_id": "agent_reception", "weight": 1}],
            },
        ),
        ("A page of the list.", "list_phone_numbers", {"limit": 1}),
        ("Who answers, and what is there to fix?", "check_phone_number", {"phone_number": "+14155550101"}),
        (
            "A number of your own SIP trunk.",
            "import_phone_number",
            {
                "phone_number": "+14155550130",
                "termination_uri": "trunk.example.com",
                "sip_trunk_auth_username": "front-desk",
                "sip_trunk_auth_password": "0123456789abcdef",
            },
        ),
        (
            "Change what is given, and nothing else.",
            "update_phone_number",
            {"phone_number": "+14155550130", "nickname": "From the trunk", "fallback_number": "+14155550101"},
        ),
        (
            "Release one for good (offered only with `--allow-delete`).",
            "delete_phone_number",
            {"phone_number": "+14155550130", "confirm_phone_number": "+14155550130"},
        ),
        ("The agents that calls can be routed to.", "list_agents", {"limit": 1}),
    ),
}

REFUSED = {
    "A number that nobody holds.",
    "The same again: it is there, and shown.",
    "Arguments that do not fit: each is named, and nothing is sent.",
    "Agents are still bound to it: it is not released by accident.",
    "A platform that fails.",
    "A create that fails: reading back shows that nothing was created.",
    "A create whose answer is lost, and that is not there: it may still arrive.",
    "A later look: it is not there.",
}
"""What ends as an error; all else must not."""

_HEAD = """\
# Tools by example

What each tool answers, as the real server answers it against the sandbox: `phone-number-mcp --sandbox --allow-delete`. Only the times are
made the same. A client gets the JSON twice: as text, and as `structuredContent`; an `error` has `isError: true` beside it.
Made by `make goldens`, and held by a test.
"""


async def page(clients: Mapping[str, Client]) -> str:
    """Return docs/tools.md.

    Args:
        clients: One for each platform, whose sandbox nobody has changed.
    """
    parts = [_HEAD]
    for platform in PLATFORMS:
        parts.append(f"## {load(platform).title}\n")
        for what, tool, arguments in EXAMPLES[platform]:
            result = await clients[platform].call_tool(tool, dict(arguments))
            assert result.is_error == (what in REFUSED), f"{what} {result.structured_content}"
            call = json.dumps({"name": tool, "arguments": arguments}, indent=2, ensure_ascii=False)
            answer = _the_same_every_time(json.dumps(result.structured_content, indent=2, ensure_ascii=False))
            parts.append(f"### `{tool}`\n\n{what}\n\n```json\n{call}\n```\n\n```json\n{answer}\n```\n")
    return "\n".join(parts)


def _the_same_every_time(text: str) -> str:
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|\+00:00)", "2026-01-15T10:30:00Z", text)
    return re.sub(r"\b1[6-9]\d{11}\b", "1768473000000", text)  # milliseconds since 1970
