"""Phone numbers: what is certain is read, what would be a guess is refused with the likely fix."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phone_number_mcp.e164 import parse

E164 = st.from_regex(r"\+(?:[2-9][1-9]{3}[0-9]{3,11}|1[2-9][0-8][02-9][2-9][0-9]{6})", fullmatch=True)


@pytest.mark.parametrize(
    "written",
    [
        "+14155550100",
        "+1 (415) 555-0100",
        "+1-415-555-0100",
        "+1.415.555.0100",
        "(+1) 415 555 0100",
        "  +1 415 555 0100\n",
        "tel:+1-415-555-0100",
        "TEL:+14155550100",
        "\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10",  # full-width
        "\u202a+1 415 555 0100\u202c",  # as copied from a right-to-left page
        "+1\u00a0415\u00a0555\u00a00100",
        "+14155550100".rjust(64),  # as long as a spelling may be
    ],
)
def test_a_number_with_its_country_code_is_read_however_it_is_written(written: str) -> None:
    assert parse(written) == "+14155550100"


@pytest.mark.parametrize("reserved", ["+442079460000", "+447700900123", "+14155550199", "+390612345678"])
def test_reserved_test_ranges_are_numbers_too(reserved: str) -> None:
    assert parse(reserved) == reserved


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("4155550100", 'If it is a number in the US or Canada, it is "+14155550100"'),
        ("(415) 555-0100", 'If it is a number in the US or Canada, it is "+14155550100"'),
        ("14155550100", 'If it starts with its country code, it is "+14155550100"'),
        (14155550100, 'must be a string, not a number. If it starts with its country code, it is "+14155550100"'),
        ("00442079460000", 'Did you mean "+442079460000"?'),
        ("011 44 20 7946 0000", 'Did you mean "+442079460000"?'),
        ("002234567", 'Did you mean "+2234567"?'),
        ("0112234567", 'Did you mean "+2234567"?'),
        ("002234567890123456", 'has no country code: E.164 starts with + and the country code, as in "+14155550100"'),
        ("0112234567890123456", 'has no country code: E.164 starts with + and the country code, as in "+14155550100"'),
        ("020 7946 0000", 'has no country code: E.164 starts with + and the country code, as in "+14155550100"'),
        ("tel:415-555-0100", "has no country code"),
        ("+1 415 555 0100 ext. 5", "has an extension"),
        ("+1 415 555 0100 EXT. 5", "has an extension"),
        ("+14155550100x5", "has an extension"),
        ("+14155550100,5", "has an extension"),
        ("tel:+14155550100;ext=5", "has an extension"),
        ("tel:+14155550100;phone-context=example.com", "has an extension"),
        ("+1 415 555 CALL", "has letters in it"),
        ("+44 (0)20 7946 0000", 'can be read in more than one way; did you mean "+442079460000"?'),
        ("+57 0 3 1 2345678", "can be read in more than one way. Ask"),  # much is left out: a trunk prefix, a carrier
        ("+14155550100 / +14155550101", "more than one number"),
        ("+4402079460000", 'did you mean "+442079460000"?'),
        ("+1 (0) 415 555 0100", "after +1 there are ten digits"),
        ("+1 415 555 0100 / 2", "more than one number"),
        ("+1 555-0100", "after +1 there are ten digits"),
        ("+1415555010", "after +1 there are ten digits"),
        ("+11155550100", "after +1 there are ten digits"),
        ("+1 415 555 0100#", "more than one number, or a code"),
        ("+1415", "must have 7 to 15 digits"),
        ("+2234567890123456", "must have 7 to 15 digits"),
        ("+", "is not a phone number"),
        ("", 'has no country code: E.164 starts with + and the country code, as in "+14155550100"'),
        ("+14155550100".rjust(65), "is too long"),
        ("+1" + "0" * 100, "is too long"),
        (None, "must be a string"),
        (True, "must be a string"),
        (["+14155550100"], "must be a string"),
        ("../../agents", "has letters in it"),
        ("create", "has letters in it"),
        ("Front desk", "has letters in it: it looks like a name, not a phone number"),
        ("Front desk 2", "has letters in it: it looks like a name, not a phone number"),
        ("Suite 100", "has letters in it: write the digits that they stand for"),
        ("1-800-FLOWERS", "has letters in it: write the digits that they stand for"),
        ("+1 FLOWERS", "has letters in it: write the digits that they stand for"),
        ("+0155550100", "is not a phone number"),
    ],
)
def test_what_would_be_a_guess_is_refused_with_the_likely_fix(written: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        parse(written)


@given(E164)
def test_what_is_e164_comes_back_as_it_is(number: str) -> None:
    assert parse(number) == number


@given(st.text(max_size=70) | st.from_regex(r"\+?[0-9٠-٩ ().x/-]{5,20}", fullmatch=True))
def test_no_text_is_read_as_a_number_with_other_digits(text: str) -> None:
    try:
        number = parse(text)
    except ValueError:
        return
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number)
    assert number[1:] == "".join(str(int(char)) for char in text if char.isdecimal())
