"""A platform's reply: its body read within limits, its JSON parsed strictly, and not judged: a platform does that.

Texts stay as they arrived: they are cleaned where a client is shown them.
"""

from __future__ import annotations

import gc
import json
import math
import time
import zlib
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from phone_number_mcp.errors import InvalidReply, ToolError

if TYPE_CHECKING:
    import httpx

MAX_REPLY_BYTES = 1024 * 1024
"""Of one reply's body, after decompression. A phone number takes about 1 KB, a page of fifty 50 KB."""
MAX_DEPTH = 32
"""Levels of nesting in a reply. The documented ones have five."""
MAX_CHECKED = 20_000
"""Values of a reply that are checked. A page of fifty phone numbers has about 1,500."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A platform's answer, read safely but not judged.

    Args:
        method: Of the request.
        status: The HTTP status.
        body: The JSON as it arrived, with texts that may hold anything; None where there is none.
        unreadable: Why there is no JSON where some was due; None if it was read, or if the body is empty.
        retry_after_seconds: As the platform said, if it did.
        request_id: The platform's name for this exchange, if it gave one.
        date: When it answered, by its own clock: the header as it was sent.
    """

    method: str
    status: int
    body: Any
    unreadable: str | None = None
    retry_after_seconds: float | None = None
    request_id: str | None = None
    date: str | None = None

    def refusal(self, meaning: type[ToolError], message: str, detail: str = "") -> ToolError:
        """Return the error that this answer is.

        Args:
            meaning: What the platform means by it.
            message: The platform's own words; where it gave none, the status has to do.
            detail: What more it said.
        """
        if not message:
            why = f", and its text cannot be read: {self.unreadable}" if self.unreadable else ""
            message = f"The platform answered {self.status}{why}"
        return meaning(
            message,
            detail=detail or None,
            # A proxy says 408 also of a request that it had passed on (RFC 9110, section 15.5.9).
            outcome="unknown" if self.status == 408 else None,
            http_status=self.status,
            retry_after_seconds=self.retry_after_seconds,
            request_id=self.request_id,
        )

    def invalid(self, reason: str) -> InvalidReply:
        """Return the error that this answer is if it should be a success but cannot be read."""
        reason = self.unreadable or reason
        return InvalidReply(f"The platform's answer cannot be read: {reason}", http_status=self.status)


class UnreadableError(Exception):
    """An answer that no client should be shown; the message says why."""


def parse(raw: bytes) -> Any:
    """Return the JSON of a body, as it arrived.

    Raises:
        UnreadableError: It is no JSON, or JSON that would trouble whoever reads it next.
    """
    collects = gc.isenabled()
    gc.disable()  # what is made here is no garbage: to search it again and again takes four times as long as to parse it
    try:
        value = json.loads(raw.decode("utf-8-sig", "replace"), parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise UnreadableError("it is not JSON") from None
    finally:
        if collects:
            gc.enable()
    _check(value)
    return value


def _no_constant(name: str) -> Any:
    raise UnreadableError(f"it holds {name}, which is not JSON")


_CONTAINERS = (dict, list)  # a union would be made anew for each value


def _check(value: Any) -> None:
    """Refuse what is nested too deeply, or a number that others cannot read, among the first `MAX_CHECKED` values.

    What comes behind is judged as it is, and not shown: `Sanitizer.bounded_json`.
    """
    level, checked = [value], 0
    for depth in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for item in islice(level, MAX_CHECKED - checked):
            if isinstance(item, _CONTAINERS):
                if depth == MAX_DEPTH:
                    raise UnreadableError("it is nested too deeply")
                if len(below) < MAX_CHECKED:
                    below += item.values() if isinstance(item, dict) else item
            elif (isinstance(item, float) and not math.isfinite(item)) or (
                isinstance(item, int) and not -(2**63) <= item < 2**64
            ):  # 1e999
                raise UnreadableError("it holds a number that is out of range")
        checked += min(len(level), MAX_CHECKED - checked)
        level = below


async def read_body(response: httpx.Response) -> tuple[bytes, str | None]:
    """Return the body, decompressed, and why it could not be read, if so. Never holds more than the limit."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    inflate = None
    if encoding in {"gzip", "x-gzip", "deflate"}:
        inflate = zlib.decompressobj(wbits=47)  # 32 + 15: the header tells gzip from zlib
    elif encoding != "identity":
        return b"", "it is in an encoding that was not asked for"
    body = bytearray()
    async for chunk in response.stream:  # type: ignore[union-attr]  # an asynchronous transport's
        if inflate is None:
            body += chunk
        else:
            try:
                body += inflate.decompress(chunk, MAX_REPLY_BYTES + 1 - len(body))
            except zlib.error:
                return b"", "its compression is broken"
            if inflate.eof and len(body) <= MAX_REPLY_BYTES:
                break  # whatever comes behind is no part of it
        if len(body) > MAX_REPLY_BYTES:
            return b"", f"it is larger than {MAX_REPLY_BYTES // 1024} KiB"
    if inflate is not None and not inflate.eof:
        return b"", "its compression is broken"
    return bytes(body), None


def retry_after(value: str | None) -> float | None:
    """Return the seconds of a Retry-After header (RFC 9110, section 10.2.3): a number, or an HTTP date."""
    if value is None:
        return None
    if value.strip().isdecimal() and value.isascii():
        return min(float(value), 86_400.0)
    from email.utils import parsedate_to_datetime  # rare

    try:
        when = parsedate_to_datetime(value)
        return min(max(0.0, round(when.timestamp() - time.time(), 1)), 86_400.0)
    except (ValueError, TypeError, OverflowError):
        return None
