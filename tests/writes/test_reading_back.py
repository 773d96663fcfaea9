"""Reading back compares what was asked for with what the platform holds, whatever is in the texts."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from phone_number_mcp.writes.compare import as_asked
from support.faulty import Faulty
from support.server import KEY, Connect, content, credentials
from support.upstream import Upstream, drop

pytestmark = pytest.mark.anyio
NUMBER = "+14155550120"
NICKNAMES = [
    pytest.param("Caf\u00e9 \u260e\ufe0f", id="variation selector"),
    pytest.param("\U0001f468\u200d\U0001f469\u200d\U0001f467 family line", id="ZWJ"),
    pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", id="ZWNJ"),
    pytest.param("1\ufe0f\u20e3\u200d\u200d and a\u200db", id="joiners that are not needed"),
    pytest.param("Front desk\n2nd\tfloor", id="two lines"),
    pytest.param("\u202eright to left\u202c", id="bidirectional override"),
    pytest.param("long " * 2_500 + "end", id="longer than a client is shown"),
    pytest.param(f"desk of {KEY}", id="a credential"),
]
KEEPING: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in one line": lambda text: " ".join(text.split()),
    "padded": lambda text: f" {text}\r\n",
    "without format characters": lambda text: "".join(
        c for c in text if unicodedata.category(c) != "Cf" or c in "\u200c\u200d"
    ),
}


@pytest.mark.parametrize("keeping", KEEPING)
@pytest.mark.parametrize("nickname", NICKNAMES)
def test_a_text_is_as_asked_however_the_platform_keeps_it(nickname: str, keeping: str) -> None:
    assert as_asked({"nickname": nickname}, {"nickname": KEEPING[keeping](nickname)})


@pytest.mark.parametrize(
    ("asked", "held"),
    [
        ("Front desk", "Front  desk 2"),
        ("Front desk", "front desk"),
        ("x" * 10_000 + "a", "x" * 10_000 + "b"),
        ("desk [secret]", "desk sk_abcdef"),
        ("\u2764", "\u2764\ufe0f"),
    ],
)
def test_another_text_is_not_as_asked(asked: str, held: str) -> None:
    assert not as_asked({"nickname": asked}, {"nickname": held})


@pytest.mark.parametrize("nickname", NICKNAMES)
async def test_a_create_whose_answer_is_lost_is_found_whatever_its_nickname(
    connect: Connect, upstream: Upstream, nickname: str
) -> None:
    platform = Faulty(upstream)
    platform.fail(drop(), commits=True)
    async with connect(env=credentials(upstream)) as client:
        result: dict[str, Any] = content(
            await client.call_tool("create_phone_number", {"phone_number": NUMBER, "nickname": nickname})
        )
    assert platform.numbers[NUMBER]["nickname"] == nickname
    assert result["reconciled"] is True
    assert result["data"]["phone_number"] == NUMBER
    assert len(result["data"]["nickname"]) <= 10_000
    assert platform.posts == 1
