"""Trace context: what arrives in `_meta` reaches the platform as HTTP headers, and spans say how a call ended."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from support.server import Open, credentials
from support.upstream import Upstream, envelope, reply
from support.wire import RawClient

pytestmark = pytest.mark.anyio
TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"
NUMBER = {"phone_number": "+14155550100"}
FOUND = reply(200, envelope(NUMBER))


async def ask(client: RawClient, tool: str, arguments: dict[str, Any], **meta: Any) -> Any:
    return await client.ask("tools/call", {"name": tool, "arguments": arguments, "_meta": meta})


async def test_what_arrives_is_passed_on_as_headers_and_is_in_no_log(raw: Open, upstream: Upstream) -> None:
    upstream.answer = FOUND
    async with raw("--log-level", "debug", env=credentials(upstream)) as client:
        await client.initialize()
        await ask(client, "get_phone_number", NUMBER, traceparent=PARENT, tracestate="vendor=t61rcWkgMzE")
        await ask(client, "get_phone_number", NUMBER, traceparent=PARENT)
        await ask(client, "get_phone_number", NUMBER)
        await ask(client, "create_phone_number", NUMBER, traceparent=PARENT)
    seen = [(each.headers.get("traceparent"), each.headers.get("tracestate")) for each in upstream.requests]
    assert seen == [(PARENT, "vendor=t61rcWkgMzE"), (PARENT, None), (None, None), (PARENT, None)]
    assert TRACE.encode() not in client.stderr
    assert b"t61rcWkgMzE" not in client.stderr


@pytest.mark.parametrize(
    "meta",
    [
        {"traceparent": "x"},
        {"traceparent": 7},
        {"traceparent": f"{PARENT}\r\nX-API-KEY: other"},
        {"traceparent": f"00-{'0' * 32}-b7ad6b7169203331-01"},
        {"traceparent": f"00-{TRACE}-{'0' * 16}-01"},
        {"traceparent": PARENT.replace("00-", "ff-", 1)},
        {"tracestate": "vendor=1"},
    ],
)
async def test_what_is_malformed_is_not_passed_on(raw: Open, upstream: Upstream, meta: dict[str, Any]) -> None:
    upstream.answer = FOUND
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        assert "result" in await ask(client, "get_phone_number", NUMBER, **meta)
    (request,) = upstream.requests
    assert not {"traceparent", "tracestate"} & request.headers.keys()
    assert request.headers["x-api-key"] == credentials(upstream)["ZUDU_API_KEY"]


@pytest.mark.parametrize("state", [f"a={'x' * 250},b={'x' * 250},c={'x' * 250}", "a=b\r\nX-API-KEY: other", "=,=", 7])
async def test_a_state_that_is_malformed_or_too_long_is_left_out(raw: Open, upstream: Upstream, state: Any) -> None:
    upstream.answer = FOUND
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        await ask(client, "get_phone_number", NUMBER, traceparent=PARENT, tracestate=state)
    (request,) = upstream.requests
    assert "tracestate" not in request.headers
    assert request.headers["x-api-key"] == credentials(upstream)["ZUDU_API_KEY"]


@asynccontextmanager
async def traced(upstream: Upstream, journal: dict[str, str], spans: Path) -> AsyncIterator[RawClient]:
    """The real server, its spans exported to a file by OpenTelemetry's SDK."""
    program = [sys.executable, str(Path(__file__).parent / "support" / "traced.py"), str(spans)]
    async with RawClient.started(program, credentials(upstream) | journal) as client:
        await client.initialize()
        yield client


async def test_the_spans_say_how_a_call_ended_and_the_platform_is_their_child(
    upstream: Upstream, own_journal: dict[str, str], tmp_path: Path
) -> None:
    async with traced(upstream, own_journal, tmp_path / "spans") as client:
        upstream.answer = reply(404, envelope(status="error", message="Phone number not found"))
        await ask(client, "get_phone_number", NUMBER, traceparent=PARENT)
        upstream.answer = FOUND
        await ask(client, "get_phone_number", NUMBER, traceparent=PARENT)
        upstream.answer = reply(402, envelope(status="error", message="No credit"))
        await ask(client, "create_phone_number", NUMBER)
        upstream.answer = FOUND
        await ask(client, "create_phone_number", NUMBER | {"dry_run": True})
        await ask(client, "create_phone_number", NUMBER)
    spans = [json.loads(line) for line in (tmp_path / "spans").read_text(encoding="utf-8").splitlines()]
    calls = [span for span in spans if span["name"].startswith("tools/call")]
    ours = "phone_number_mcp."
    assert [{key: value for key, value in span["attributes"].items() if key.startswith(ours)} for span in calls] == [
        {f"{ours}code": "not_found"},
        {},
        {f"{ours}code": "payment_required", f"{ours}outcome": "not_applied"},
        {},
        {f"{ours}outcome": "applied"},
    ]
    assert [span["parent_id"] for span in calls] == ["0xb7ad6b7169203331"] * 2 + [None] * 3
    sent = [request.headers["traceparent"] for request in upstream.requests]
    span = calls[0]["context"]
    assert sent[0] == f"00-{TRACE}-{span['span_id'].removeprefix('0x')}-01"
    assert len({each.split("-")[1] for each in sent}) >= 3
