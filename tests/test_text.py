"""Text from outside is made safe to show."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_number_mcp.text import Sanitizer


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        ("Front desk", "Front desk"),
        ("Empfang – Zürich 東京 🏢", "Empfang – Zürich 東京 🏢"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;title\x07shown", "shown"),
        ("\x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1bc\x07\x08", ""),
        ("one\r\ntwo\tthree\u2028four", "one two three four"),
        ("a\u202eb\u2066c\u200bd\ufeffe\u00adf", "abcdef"),
        ("a\ufe0fb\U0001d173c", "abc"),
        ("a\U000e0041\U000e0042b", "ab"),
        ("a\ud800b", "a\ufffdb"),
    ],
)
def test_nothing_hidden_stays_in_a_text(raw: str, cleaned: str) -> None:
    assert Sanitizer()(raw, 100) == cleaned


def test_a_long_text_is_cut_and_says_so() -> None:
    assert Sanitizer()("x" * 50, 10) == "x" * 9 + "…"


@given(st.text(alphabet=st.characters(), max_size=300) | st.text(alphabet=st.characters(codec=None)))
def test_every_text_can_be_shown_and_encoded(text: str) -> None:
    cleaned = Sanitizer()(text, 200)
    assert len(cleaned) <= 200
    cleaned.encode()
    assert not {"Cc", "Cs"} & {unicodedata.category(char) for char in cleaned}


def test_a_secret_is_replaced_wherever_it_stands() -> None:
    sanitize = Sanitizer(["sk_abc", "sk_abc_long"])
    assert sanitize("Key sk_abc_long is no sk_abc.", 100) == "Key [secret] is no [secret]."


def test_a_secret_that_is_hidden_or_cut_does_not_slip_through() -> None:
    sanitize = Sanitizer(["sk_abcdef"])
    assert sanitize("sk_\u200babc\x1b[1mdef", 100) == "[secret]"
    assert "sk_" not in sanitize("key: sk_abcdef", 10)


@pytest.mark.parametrize("shown", ['tok"en\\se/kret', 'tok\\"en\\\\se/kret', "tok%22en%5Cse%2Fkret"])
def test_a_secret_is_found_as_it_stands_in_json_and_in_a_url(shown: str) -> None:
    assert Sanitizer(['tok"en\\se/kret'])(f"<{shown}>", 100) == "<[secret]>"


def test_a_secret_too_short_to_be_one_does_not_blank_out_ordinary_text() -> None:
    assert Sanitizer(["a", ""])("a banana", 100) == "a banana"
