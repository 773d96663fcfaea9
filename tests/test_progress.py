"""Whoever waits for a question that is asked again is told."""

from __future__ import annotations

import re

import pytest

from support.server import Connect, content, credentials
from support.upstream import Upstream, reply

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_client_that_asked_for_progress_is_told_of_each_further_try(
    connect: Connect, upstream: Upstream, mode: str
) -> None:
    told: list[tuple[float, float | None, str]] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, re.sub(r"[0-9.]+ s", "… s", message or "")))

    upstream.answer = reply(503, {"status": "error", "message": "Down"})
    async with connect(mode=mode, env=credentials(upstream)) as client:
        result = await client.call_tool(
            "get_phone_number", {"phone_number": "+14155550100"}, progress_callback=progress
        )
    assert content(result)["error"]["code"] == "platform_error"
    assert told == [(2, 3, "waiting … s: 503, try 2 of 3"), (3, 3, "waiting … s: 503, try 3 of 3")]
