"""The platform that every subject calls: HTTP/1.1 with keep-alive on a bare asyncio protocol, so that it is never the bottleneck.

The path of the base URL says how it behaves: `/` answers at once, `/delay/50` after 50 ms, `/bomb` with a little gzip that
inflates to 300 MB. The number SLOW_NUMBER is answered after SLOW_SECONDS, whatever the base URL.
Run as a program it prints its port and serves until its stdin ends, so it cannot outlive whoever started it.
"""

from __future__ import annotations

import asyncio
import functools
import json
import re
import sys
import zlib
from typing import Any

SLOW_NUMBER = "+14155550199"
SLOW_SECONDS = 5.0
BOMB_BYTES = 300_000_000
"""Of the body once it is inflated."""

_REQUEST = re.compile(
    rb"(GET|POST) (?:/delay/(?P<ms>\d+)|(?P<bomb>/bomb))?/api/phone-numbers/(?P<number>%2B\d+|create) HTTP/1\.1\r\n"
)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def record(number: str) -> dict[str, Any]:
    """Return what the platform holds of a number: every documented field, about as long as real ones are."""
    return {
        "phone_number": number,
        "nickname": "Front desk",
        "organization_id": "org_0123456789abcdef",
        "area_code": 415,
        "phone_number_type": "ZUDU_TWILIO",
        "number_provider": "twilio",
        "inbound_agent_id": "agent_reception",
        "outbound_agent_id": "agent_reception",
        "inbound_agent_version": 1,
        "outbound_agent_version": 1,
        "inbound_webhook_url": "https://example.com/hooks/inbound",
        "inbound_trunk_id": "trunk_0123456789abcdef",
        "outbound_trunk_id": "trunk_fedcba9876543210",
        "dispatch_rule_id": "rule_0123456789abcdef",
        "created_at": "2025-01-15T10:30:00Z",
        "updated_at": "2025-06-20T14:45:00Z",
    }


@functools.cache
def answer(number: str) -> bytes:
    """Return the whole HTTP answer for a number. There are a hundred reserved ones, so each is made once."""
    envelope = {"message": "Phone number retrieved", "status": "success", "error": None, "data": record(number)}
    return _response(b"200 OK", json.dumps(envelope).encode())


@functools.cache
def bomb() -> bytes:
    """Return a whole HTTP answer that is small on the wire and huge once it is inflated."""
    head, tail = b'{"status": "success", "data": {"nickname": "', b'"}}'
    squeeze = zlib.compressobj(level=9, wbits=zlib.MAX_WBITS | 16)
    parts = [squeeze.compress(head)]
    left, piece = BOMB_BYTES - len(head) - len(tail), b"0" * 1_000_000
    while left:
        parts.append(squeeze.compress(piece[:left]))
        left -= min(left, len(piece))
    parts += [squeeze.compress(tail), squeeze.flush()]
    return _response(b"200 OK", b"".join(parts), b"content-encoding: gzip\r\n")


def _response(status: bytes, body: bytes, more: bytes = b"") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n"
    return head % (status, len(body), more) + body


class Connection(asyncio.Protocol):
    """One client's connection: requests one after another."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to listen."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that is here as a whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[: end + 4]
            length = _LENGTH.search(head)
            whole = len(head) + (int(length[1]) if length else 0)
            if len(self._buffer) < whole:
                return
            body, self._buffer = self._buffer[len(head) : whole], self._buffer[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        request = _REQUEST.match(head)
        if request is None:
            self._transport.write(_response(b"404 Not Found", b'{"status": "error", "error": "no such path"}'))
            return
        if request["bomb"]:
            self._transport.write(bomb())
            return
        named = request["number"]
        number = json.loads(body)["phone_number"] if named == b"create" else named.decode().replace("%2B", "+")
        delay = SLOW_SECONDS if number == SLOW_NUMBER else int(request["ms"] or 0) / 1000
        if delay:
            self._loop.call_later(delay, self._transport.write, answer(number))
        else:
            self._transport.write(answer(number))


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_serve())
