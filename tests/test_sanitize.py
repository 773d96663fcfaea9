"""Text from outside is made safe to show."""

from __future__ import annotations

import html
import json
import time
import unicodedata
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_number_mcp import sanitize
from phone_number_mcp.sanitize import Sanitizer, cleaned


@pytest.mark.parametrize(
    ("raw", "shown"),
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
def test_nothing_hidden_stays_in_a_text(raw: str, shown: str) -> None:
    assert Sanitizer()(raw, 100) == shown


JOINED = [
    pytest.param("\U0001f468\u200d\U0001f469\u200d\U0001f467", id="family"),
    pytest.param("\U0001f469\U0001f3fd\u200d\U0001f4bb", id="woman technologist, medium skin"),
    pytest.param("\u2764\ufe0f\u200d\U0001f525", id="heart on fire"),
    pytest.param("\U0001f642\u200d\u2194\ufe0f", id="head shaking"),
    pytest.param("\U0001f426\u200d\U0001f525 \U0001fae9\u200d\U0001f525", id="newer than the Unicode of this Python"),
    pytest.param("1\ufe0f\u20e3 #\ufe0f\u20e3 *\ufe0f\u20e3", id="keycaps"),
    pytest.param(
        "\u260e\ufe0f \u260e\ufe0e \u2139\ufe0f \u203c\ufe0f \u3297\ufe0f", id="telephone and others, as emoji and text"
    ),
    pytest.param("\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645", id="Persian"),
    pytest.param("\u0647\u200d.\u0642.", id="Arabic letter in its joined form"),
    pytest.param(
        "\u0d9a\u0dca\u200d\u0dbb \u0930\u094d\u200d\u092f \u0915\u094d\u200c\u0937", id="Sinhala, Marathi, Hindi"
    ),
    pytest.param("\u09b0\u200d\u09cd\u09af", id="Bengali"),
    pytest.param("\u845b\U000e0100 \u2229\ufe00 \u1000\ufe00", id="ideograph, symbol and letter with variants"),
]


@pytest.mark.parametrize("text", JOINED)
def test_joiners_and_variation_selectors_stay_where_they_are_needed(text: str) -> None:
    assert Sanitizer()(text, 100) == text


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d", "\ufe00", "\ufe0f", "\U000e0100", "\U000e01ef"])
@pytest.mark.parametrize("before", ["", "a", "Z", "\u00e9", "\u0436", " ", ".", "&", "\u202e"])
def test_joiners_and_variation_selectors_go_where_they_only_hide(before: str, joiner: str) -> None:
    assert Sanitizer()(before + joiner + "b", 100) == before.replace("\u202e", "") + "b"


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\U0001f468\u200d\u200d\U0001f469", "\U0001f468\U0001f469"),
        ("\U0001f468\u200dx", "\U0001f468x"),
        ("\U0001f468\u200c\U0001f469", "\U0001f468\U0001f469"),
        ("\u2764\ufe0f\ufe0f\ufe01", "\u2764"),
        ("\u2764\U000e0100", "\u2764"),
        ("\u0645\u200c\u200d\u062e", "\u0645\u062e"),
        ("\u0665\u200c", "\u0665"),
        ("\u845b\U000e0100\U000e0101", "\u845b"),
        ("\U0001f3f4\U000e0067\U000e0062\U000e007f", "\U0001f3f4"),
        ("\U0001f468\u200d\u202e\U0001f469", "\U0001f468\u200d\U0001f469"),
    ],
)
def test_two_joiners_in_a_row_or_after_what_cannot_use_them_go(raw: str, shown: str) -> None:
    assert Sanitizer()(raw, 100) == shown


def test_a_cut_leaves_no_joiner_behind() -> None:
    assert Sanitizer()("\U0001f468\u200d\U0001f469", 3) == "\U0001f468\u200d\U0001f469"
    assert Sanitizer()("\U0001f468\u200d\U0001f469\U0001f469", 3) == "\U0001f468…"


def test_a_long_text_is_cut_and_says_so() -> None:
    assert Sanitizer()("x" * 50, 10) == "x" * 9 + "…"


@given(st.text(alphabet=st.characters(), max_size=300) | st.text(alphabet=st.characters(codec=None)))
def test_every_text_can_be_shown_and_encoded(text: str) -> None:
    shown = Sanitizer()(text, 200)
    assert len(shown) <= 200
    shown.encode()
    assert not {"Cc", "Cs"} & {unicodedata.category(char) for char in shown}
    assert cleaned(shown) == shown


def test_a_secret_is_replaced_wherever_it_stands() -> None:
    sanitize = Sanitizer(["sk_abc", "sk_abc_long"])
    assert sanitize("Key sk_abc_long is no sk_abc.", 100) == "Key [secret] is no [secret]."


def test_a_secret_that_is_hidden_or_cut_does_not_slip_through() -> None:
    sanitize = Sanitizer(["sk_abcdef"])
    assert sanitize("sk_\u200babc\x1b[1mdef", 100) == "[secret]"
    assert "sk_" not in sanitize("key: sk_abcdef", 10)


SECRET = 'tok"en\\se/kr%t& <ü>\U0001f511'


def _each(spell: Callable[[str], str]) -> Callable[[str], str]:
    return lambda text: "".join(map(spell, text))


def _json(text: str) -> str:
    return json.dumps(text)[1:-1]


SPELLINGS: dict[str, Callable[[str], str]] = {
    "URL": lambda text: quote(text, safe=""),
    "URL, other characters left": lambda text: quote(text, safe="/&<>"),
    "URL, lower case": _each(lambda char: "".join(f"%{byte:02x}" for byte in char.encode())),
    "form": quote_plus,
    "URL twice": lambda text: quote(quote(text, safe=""), safe=""),
    "URL three times": lambda text: quote(quote(quote(text))),
    "JSON": _json,
    "JSON, not ASCII": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON as PHP writes it": lambda text: _json(text).replace("/", "\\/"),
    "JSON as Go writes it": lambda text: _json(text).replace("&", "\\u0026").replace("<", "\\u003c"),
    "JSON, upper case": lambda text: _json(text).replace("&", "\\u0026").replace("\\u00fc", "\\u00FC"),
    "JSON, each character": _each(lambda char: "".join(f"\\u{ord(unit):04X}" for unit in _units(char))),
    "JSON in JSON": lambda text: _json(_json(text)),
    "JSON in JSON in JSON": lambda text: _json(_json(_json(text))),
    "PHP's JSON in PHP's JSON": lambda text: _json(_json(text).replace("/", "\\/")).replace("/", "\\/"),
    "JSON in a URL": lambda text: quote(_json(text), safe=""),
    "HTML": html.escape,
    "HTML in HTML": lambda text: html.escape(html.escape(text)),
    "HTML in Go's JSON": lambda text: _json(html.escape(text)).replace("&", "\\u0026"),
    "HTML, decimal": _each(lambda char: f"&#{ord(char)};"),
    "HTML, hexadecimal": _each(lambda char: f"&#x{ord(char):X};"),
    "HTML, named": lambda text: html.escape(text).replace("/", "&sol;").replace("%", "&percnt;").replace("ü", "&uuml;"),
    "Python": lambda text: ascii(text)[1:-1],
}


def _units(char: str) -> str:
    """UTF-16 as JSON escapes it: one character a unit."""
    return char.encode("utf-16-be").decode("utf-16-be") if ord(char) < 0x10000 else _surrogates(char)


def _surrogates(char: str) -> str:
    high, low = divmod(ord(char) - 0x10000, 0x400)
    return chr(0xD800 + high) + chr(0xDC00 + low)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", [SECRET, "sk_Rk7Zp2Qw9Lx4", "back\\\\slashes\\\\", "&amp;%41\\u0041"])
def test_a_secret_is_found_however_it_is_escaped(secret: str, spelling: str) -> None:
    shown = SPELLINGS[spelling](secret)
    assert Sanitizer([secret])(f"<{shown}>", 1000) == "<[secret]>"


@given(st.data())
def test_a_secret_is_found_whichever_of_its_characters_are_escaped(data: st.DataObject) -> None:
    secret = data.draw(st.text(st.sampled_from("ab5/&\"' +=<>#;:_-%\\ü"), min_size=4, max_size=12).filter(str.strip))
    spellings: list[Callable[[str], str]] = [
        *(
            SPELLINGS[name]
            for name in ("URL, lower case", "JSON, each character", "HTML, decimal", "HTML, hexadecimal")
        ),
        str,
    ]
    shown = "".join(data.draw(st.sampled_from(spellings))(char) for char in secret)
    assert secret not in Sanitizer([secret])(shown, 1000)
    if not set(secret) & set("%&\\"):  # those may be read as the start of an escape
        assert Sanitizer([secret])(shown, 1000) == "[secret]"


@pytest.mark.parametrize(
    "text", ["\\", "%", "%25", "&amp;", "&", "\\u005c", "%5C", "a", "aaaa\\", "&#0000000", "%5c\\"]
)
@pytest.mark.parametrize(
    "secret", ["aaaaaaaaaaaaaaaaaaaaaaaa", "\\\\\\\\\\\\\\\\x", "%%%%%%%%x", "&&&&&&&&x", "\\%\\%\\%\\&x"]
)
def test_no_text_takes_long_to_search(secret: str, text: str) -> None:
    started = time.perf_counter()
    Sanitizer([secret])(text * (20_000 // len(text)) + "%", 100)
    assert time.perf_counter() - started < 2


@pytest.mark.parametrize("secret", ["two\nlines of it", "zero\u200bwidth"])
def test_a_secret_with_what_is_cleaned_away_is_found_all_the_same(secret: str) -> None:
    assert Sanitizer([secret])(f"<{secret}>", 100) == "<[secret]>"
    assert Sanitizer([secret])(f"<{_json(secret)}>", 100) == "<[secret]>"


def test_one_more_secret_is_hidden_by_the_one_that_is_returned_alone() -> None:
    sanitize = Sanitizer(["sk_abcdef"])
    assert sanitize.also(["token-12345"])("sk_abcdef token-12345", 100) == "[secret] [secret]"
    assert sanitize("sk_abcdef token-12345", 100) == "[secret] token-12345"


def test_in_json_every_text_is_cleaned_and_capped_and_the_rest_stays() -> None:
    value = {"a": ["\u202eb", 1, 1.5, True, None, {"c": "x" * 20}], "d": "sk_abcdef"}
    shown = {"a": ["b", 1, 1.5, True, None, {"c": "x" * 9 + "…"}], "d": "[secret]"}
    assert Sanitizer(["sk_abcdef"]).json(value, 10) == shown


@pytest.mark.parametrize(
    ("secret", "number", "shown"),
    [
        ("12345678", 12345678, "[secret]"),
        ("12345678", 12345678.0, "[secret]"),
        ("12345678", 123456789, 123456789),
        ("0000", 0, 0),
        ("001", 1, 1),
        ("1" * 30, 1, 1),
    ],
)
def test_a_secret_of_digits_is_found_as_a_number(secret: str, number: Any, shown: Any) -> None:
    assert Sanitizer([secret]).json({"a": [number]}, 100) == {"a": [shown]}


def test_no_key_is_renamed_and_none_tells_a_secret() -> None:
    sanitize = Sanitizer(["nickname", "sk_abcdef"])
    value = {"nickname": "a nickname", "other": 1, "old_nickname": 2, "sk_abcdef": 3, "hid\u200bden": 4, "\ud800": 5}
    assert sanitize.json([value, value], 100, {"nickname"}) == [{"nickname": "a [secret]", "other": 1}] * 2


def test_lines_keep_their_breaks_and_hide_what_texts_do() -> None:
    assert Sanitizer(["sk_abcdef"]).lines("a\n\tsk_\x07abc\u200bdef\x1b[31m\r\nb") == "a\n\t[secret] \nb"


def test_a_secret_too_short_to_be_one_does_not_blank_out_ordinary_text() -> None:
    assert Sanitizer(["a", ""])("a banana", 100) == "a banana"


# --- the work is bounded ---


def parts(value: Any) -> int:
    """How many values a JSON has inside."""
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return len(inside) + sum(map(parts, inside))


def depth(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(depth, inside), default=0) if isinstance(value, dict | list) else 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40),
    lambda inside: st.lists(inside, max_size=8) | st.dictionaries(st.text("abc", max_size=8), inside, max_size=8),
)


@given(JSON, st.integers(0, 20), st.integers(0, 4), st.integers(0, 200))
def test_what_is_shown_of_any_json_is_within_the_limits(value: Any, count: int, levels: int, read: int) -> None:
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(sanitize, "MAX_PARTS", count)
        limits.setattr(sanitize, "MAX_DEPTH", levels)
        limits.setattr(sanitize, "MAX_CLOSE_READING", read)
        shown, cut = Sanitizer(["sk_abcdef"]).bounded_json(value, 20)
    assert parts(shown) <= count
    assert depth(shown) <= levels
    json.dumps(shown, allow_nan=False).encode()
    if parts(value) > count or depth(value) > levels:
        assert cut


class Looked(Sanitizer):
    """One that counts the characters that it looks at closely."""

    read = 0

    def redact(self, text: str) -> str:
        self.read += 0 if text.isascii() and text.isprintable() and not set(text) & set("%&\\") else len(text)
        return super().redact(text)


MIB = 1024 * 1024
HOSTILE: dict[str, Any] = {
    "backslashes": "\\" * MIB,
    "percent signs": ["%25" * 3000] * 100,
    "entities": ["&amp;" * 2000] * 100,
    "joiners": "\u0627\u200d" * (MIB // 4),
    "combining characters": "\u0301" * (MIB // 2),
    "escape sequences": "\x1b[" * (MIB // 7),
    "unterminated sequences": "\x9d" * (MIB // 2),
    "small texts": ["\u00fc"] * (MIB // 5),
    "keys": {f"\u00fc{n}": 1 for n in range(MIB // 12)},
    "near misses": "sk_Rk7Zp2Qw9Lx4Vb6N\\" * (MIB // 20),
    "near misses, escaped": ["\\u0073\\u006b" * 800] * 100,
    "a long key": {"\\" * MIB: 1},
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_no_json_takes_more_close_reading_than_is_allowed(shape: str) -> None:
    looked = Looked(["sk_Rk7Zp2Qw9Lx4Vb6Nm1Ts"])
    _shown, cut = looked.bounded_json(HOSTILE[shape], 10_000)
    assert looked.read <= sanitize.MAX_CLOSE_READING
    assert cut or shape in {"escape sequences", "a long key"}


@given(st.data())
def test_no_part_of_a_secret_is_shown_because_of_a_cut(data: st.DataObject) -> None:
    secret = "sk_Rk7Zp2Qw9"
    spellings: list[Callable[[str], str]] = [str, SPELLINGS["JSON, each character"], SPELLINGS["URL, lower case"]]
    spell = data.draw(st.sampled_from(spellings))
    before = data.draw(st.integers(0, 120))
    allowed = data.draw(st.integers(1, 400))
    text = "\u00e9" * before + spell(secret) + "\\" + "." * data.draw(st.integers(0, 9000))
    with pytest.MonkeyPatch.context() as limits:
        limits.setattr(sanitize, "MAX_CLOSE_READING", allowed)
        shown = Sanitizer([secret]).json([text], 100)[0]
    assert set(shown.replace("[secret]", "").replace("…", "").rstrip("[secrt")) <= {"\u00e9", ".", "\\"}


def test_a_text_that_is_cut_is_reported() -> None:
    assert Sanitizer().bounded_json(["x" * 10], 10) == (["x" * 10], False)
    assert Sanitizer().bounded_json(["x" * 11], 10) == (["x" * 9 + "…"], True)
    assert Sanitizer().bounded_json([float("inf")], 10) == (["…"], True)
