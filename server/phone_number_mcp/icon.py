"""The server's icon. Tools have none: an SVG takes over 100 bytes, in each of the tools, and says nothing to a model."""

from __future__ import annotations

from typing import Any

import mcp_types as types

ICON = types.Icon(
    src=(
        "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24'%3E"
        "%3Cpath d='M7 3l3 5-2 2a13 13 0 0 0 6 6l2-2 5 3c0 3-2 4-4 4A14 14 0 0 1 3 7c0-2 1-4 4-4'/%3E%3C/svg%3E"
    ),
    mime_type="image/svg+xml",
    sizes=["any"],
)
"""A handset."""
SINCE = "2025-11-25"
"""The first protocol version with icons."""


def with_icon(result: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to `initialize` or `server/discover` with an icon beside the server's name.

    The SDK is not given it: from 2026-07-28 on it would repeat it in every result.
    """
    if result.get("protocolVersion", SINCE) < SINCE:
        return result
    icons = {"icons": [ICON.model_dump(by_alias=True, exclude_none=True)]}
    if "serverInfo" in result:
        return {**result, "serverInfo": {**result["serverInfo"], **icons}}
    meta = result["_meta"]
    named = {**meta[types.SERVER_INFO_META_KEY], **icons}
    return {**result, "_meta": {**meta, types.SERVER_INFO_META_KEY: named}}
