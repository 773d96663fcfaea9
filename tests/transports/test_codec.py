"""What is no message is refused, with a reason, by the real process; the next line is served."""

from __future__ import annotations

import json

import pytest

from support.messages import request
from support.server import Open, credentials
from support.upstream import Upstream

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("line", "code"),
    [
        pytest.param(b"{", -32700, id="cut"),
        pytest.param(b"hello", -32700, id="text"),
        pytest.param(b"\xef\xbb\xbf" + json.dumps(request(7)).encode(), -32700, id="BOM"),
        pytest.param(json.dumps(request(7)).encode("utf-16"), -32700, id="UTF-16"),
        pytest.param(b"\x00" * 100, -32700, id="NUL"),
        pytest.param(b"[" * 40_000, -32700, id="nested"),
        pytest.param(b"[" * 65 + b"]" * 65, -32700, id="nested and closed"),
        pytest.param(b'{"jsonrpc": "2.0", "id": 7, "method": "ping"} {}', -32700, id="two in a line"),
        pytest.param(b"[]", -32600, id="empty batch"),
        pytest.param(json.dumps([request(7), request(8)]).encode(), -32600, id="batch"),
        pytest.param(b"7", -32600, id="number"),
        pytest.param(b"null", -32600, id="null"),
        pytest.param(b"{}", -32600, id="empty"),
        pytest.param(b'{"id": 7, "method": "ping"}', -32600, id="no jsonrpc"),
        pytest.param(b'{"jsonrpc": "1.0", "id": 7, "method": "ping"}', -32600, id="jsonrpc 1.0"),
        pytest.param(b'{"jsonrpc": "2.0", "id": null, "method": "ping"}', -32600, id="id null"),
        pytest.param(b'{"jsonrpc": "2.0", "id": 7.0, "method": "ping"}', -32600, id="id float"),
        pytest.param(b'{"jsonrpc": "2.0", "id": true, "method": "ping"}', -32600, id="id bool"),
        pytest.param(b'{"jsonrpc": "2.0", "id": [7], "method": "ping"}', -32600, id="id list"),
        pytest.param(b'{"jsonrpc": "2.0", "id": 7}', -32600, id="no method"),
        pytest.param(b'{"jsonrpc": "2.0", "id": 7, "result": 1}', -32600, id="broken result"),
    ],
)
async def test_a_line_that_is_no_message_is_refused_and_the_next_one_is_served(
    raw: Open, line: bytes, code: int
) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        await client.send_line(line)
        refusal = await client.receive()
        assert refusal["jsonrpc"] == "2.0"
        assert refusal["id"] is None
        assert refusal["error"]["code"] == code
        assert refusal["error"]["message"]
        assert (await client.ask("ping"))["result"] == {}
    assert client.stderr == b""


async def test_blank_lines_and_windows_line_ends_are_passed_over(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        await client.send_line(b"\n\r\n  \t \n" + json.dumps(request("crlf")).encode() + b"\r")
        assert await client.receive() == {"jsonrpc": "2.0", "id": "crlf", "result": {}}


@pytest.mark.parametrize(
    ("arguments", "code", "why"),
    [
        pytest.param(b'{"phone_number": "+14155550100\xff"}', -32700, "not UTF-8", id="invalid UTF-8"),
        pytest.param(b'{"phone_number": "+14155550100\xed\xa0\x80"}', -32700, "not UTF-8", id="surrogate in UTF-8"),
        pytest.param(b'{"phone_number": "+14155550100", "x": NaN}', -32700, "NaN", id="NaN"),
        pytest.param(b'{"phone_number": "+14155550100", "x": -Infinity}', -32700, "-Infinity", id="Infinity"),
        pytest.param(
            b'{"phone_number": "+14155550100", "phone_number": "+14155550101"}',
            -32600,
            '"phone_number" is there twice',
            id="duplicate key",
        ),
        pytest.param(
            b'{"phone_number": "+14155550100", "n": ' + b"9" * 5000 + b"}", -32700, "too many digits", id="digits"
        ),
    ],
)
@pytest.mark.parametrize("tool", [b"get_phone_number", b"create_phone_number"])
async def test_what_two_parsers_would_read_differently_is_refused_and_nothing_is_sent(
    raw: Open, upstream: Upstream, tool: bytes, arguments: bytes, code: int, why: str
) -> None:
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        await client.send_line(
            b'{"jsonrpc": "2.0", "id": 77, "method": "tools/call", "params": {"name": "%s", "arguments": %s}}'
            % (tool, arguments)
        )
        refusal = await client.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (77, code)  # whoever asked need not wait for a time-out
        assert why in refusal["error"]["message"]
        assert (await client.ask("ping"))["result"] == {}
    assert upstream.requests == []


async def test_params_that_are_no_object_are_refused(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        await client.send({"jsonrpc": "2.0", "id": 5, "method": "tools/call", "params": [1]})
        refusal = await client.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (5, -32600)


async def test_half_a_character_does_not_end_the_process(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        unknown = await client.ask("tools/call", {"name": "\ud800", "arguments": {}})
        assert unknown["error"]["message"].startswith("Unknown tool: \ufffd.")
        await client.send(request("\udfff"))
        assert (await client.receive())["id"] == "\ufffd"
        answered = await client.call("get_phone_number", phone_number="\ud83d", **{"\ud800": "\ud800"})
        assert answered["isError"]
        await client.send(request("🙂"))
        assert (await client.receive())["id"] == "🙂"
