"""What a reply may hold, to the last value: nesting, numbers, size; and what an answer that refuses means."""

from __future__ import annotations

import gc
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from phone_number_mcp.errors import InvalidReply, Rejected
from phone_number_mcp.upstream.reply import MAX_CHECKED, MAX_DEPTH, Reply, UnreadableError, parse, retry_after


def nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


@pytest.mark.parametrize(
    "body",
    [
        nested(MAX_DEPTH),
        b'{"a": ' * MAX_DEPTH + b"1" + b"}" * MAX_DEPTH,
        str(-(2**63)).encode(),
        str(2**64 - 1).encode(),
        b"1.5",
        b'{"a": ["b", 1, null]}',
        json.dumps(["text"] * 2 * MAX_CHECKED).encode(),
        b"[" + b"0," * (MAX_CHECKED - 1) + b"1e999]",  # the list itself is a value as well
        b"\xef\xbb\xbf1",  # with a byte-order mark
    ],
)
def test_what_is_within_the_limits_is_read(body: bytes) -> None:
    assert parse(body) == json.loads(body)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (nested(MAX_DEPTH + 1), "nested too deeply"),
        (b'{"a": ' * MAX_DEPTH + b"[]" + b"}" * MAX_DEPTH, "nested too deeply"),
        (str(-(2**63) - 1).encode(), "out of range"),
        (str(2**64).encode(), "out of range"),
        (b"[[], {}, 1e999]", "out of range"),
        (b'[{"a": "b"}, {"a": -1e999}]', "out of range"),
        (b"[" + b"0," * (MAX_CHECKED - 2) + b"1e999]", "out of range"),
        (b'{"a": NaN}', "holds NaN"),
        (b"", "not JSON"),
    ],
)
def test_what_is_beyond_them_is_not(body: bytes, why: str) -> None:
    with pytest.raises(UnreadableError, match=why):
        parse(body)


@pytest.mark.parametrize("body", [b"[]", b"[", b"[NaN]"])
def test_parsing_leaves_the_collection_of_garbage_as_it_was(body: bytes) -> None:
    for collects in (True, False):
        (gc.enable if collects else gc.disable)()
        try:
            parse(body)
        except UnreadableError:
            pass
        finally:
            left = gc.isenabled()
            gc.enable()
        assert left is collects


def test_a_refusal_keeps_what_is_known_of_it() -> None:
    reply = Reply("POST", 400, {}, retry_after_seconds=7.0, request_id="req-1")
    error = reply.refusal(Rejected, "No", "Never")
    assert isinstance(error, Rejected)
    assert error.message == "No"
    known: dict[str, Any] = {"http_status": 400, "retry_after_seconds": 7.0, "request_id": "req-1"}
    assert error.facts == known | {"detail": "Never", "outcome": None}
    assert error.write_outcome == "not_applied"
    assert reply.refusal(Rejected, "No").facts == known | {"detail": None, "outcome": None}


def test_a_408_may_come_from_a_proxy_that_passed_the_request_on() -> None:
    assert Reply("POST", 408, None).refusal(Rejected, "").write_outcome == "unknown"


@pytest.mark.parametrize(("unreadable", "words"), [(None, "The platform answered 500"), ("it is not JSON", "not JSON")])
def test_where_the_platform_gave_no_words_the_status_has_to_do(unreadable: str | None, words: str) -> None:
    error = Reply("GET", 500, None, unreadable).refusal(Rejected, "")
    assert error.message.endswith(words)
    assert "500" in error.message


def test_a_success_that_cannot_be_read_says_why() -> None:
    error = Reply("GET", 200, None, "it is not JSON").invalid("no data")
    assert isinstance(error, InvalidReply)
    assert "not JSON" in error.message
    assert "no data" not in error.message
    assert error.facts == {"http_status": 200}
    assert "no data" in Reply("GET", 200, {}).invalid("no data").message


def test_a_date_to_wait_for_is_counted_from_now_and_for_a_day_at_most() -> None:
    def header(**ahead: float) -> str:
        return format_datetime(datetime.now(UTC) + timedelta(**ahead), usegmt=True)

    assert 3590 <= (retry_after(header(hours=1)) or 0) <= 3600
    assert retry_after(header(days=3)) == 86_400.0
    assert retry_after(header(days=-3)) == 0.0
    assert retry_after(" 7 ") == 7.0
    assert retry_after("86401") == 86_400.0
    assert retry_after("٧") is None  # digits, but not ASCII
    assert retry_after(None) is None
