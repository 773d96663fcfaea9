"""The phone number as a type: E.164 out, and in whatever way people and models really write one.

What is certain is read: spaces, dots, dashes, brackets, `tel:`, full-width digits. What would have to be guessed is
refused with the likely fix: a number costs money and rings at somebody's desk.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

# ITU-T E.164, section 6: at most 15 digits, the first of a country code is never 0. Seven is the shortest in use.
# `fullmatch` and `[0-9]`, because `$` lets a newline through and `\d` takes other scripts' digits.
PATTERN = r"^\+[1-9][0-9]{6,14}$"
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_NANP = re.compile(r"[2-9](?!11)[0-8][0-9][2-9][0-9]{6}")
_LONGEST = 64  # characters; the most generous spelling of 15 digits is far below
_FEW_DIGITS = 3  # "Front desk 2" has fewer, "1-800-FLOWERS" has more

A_NAME = "a_name"
"""The type of the error for a text that looks like a name, such as "Front desk"."""


def parse(value: object) -> str:
    """Return the E.164 form of a phone number.

    Args:
        value: A string in international form, as people write it: with `+` and the country code.

    Raises:
        ValueError: It is no phone number, or it could be read in more than one way. The message says how to write it.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"must be a string, not a number{_suggest(str(value))}")
    if not isinstance(value, str):  # pydantic reports a ValueError, and lets a TypeError through as a bug
        raise ValueError('must be a string such as "+14155550100"')
    if _E164.fullmatch(value) and "0" not in value[2:5]:  # a 0 there may be a trunk prefix, as in +44 020
        return _plausible(value)
    if len(value) > _LONGEST:
        raise ValueError('is too long for a phone number; write it as in "+14155550100"')
    return _parse_leniently(value)


def _parse_leniently(value: str) -> str:
    text = re.sub(r"^tel:", "", value.strip(), flags=re.IGNORECASE).strip()
    if re.search(r"(?:\bext\.?|\bextension|[;,#]|x)\s*=?\s*[0-9]+\s*$", text, re.IGNORECASE) or ";" in text:
        raise ValueError(
            "has an extension, which E.164 does not have: leave it out, or ask the user which number is meant"
        )
    if any(char.isalpha() for char in text):
        if text[0].isalnum() and sum(char.isdecimal() for char in text) < _FEW_DIGITS:
            raise PydanticCustomError(A_NAME, "has letters in it: it looks like a name, not a phone number")
        raise ValueError("has letters in it: write the digits that they stand for, after asking the user")
    if any(char in "/#*" for char in text):
        raise ValueError("holds more than one number, or a code; write one number, after asking the user which")
    digits = "".join(str(int(char)) for char in text if char.isdecimal())
    first = next((char for char in text if char.isprintable() and not char.isspace() and char not in "(["), "")
    if first not in {"+", "\N{FULLWIDTH PLUS SIGN}"}:
        raise ValueError(f"has no country code: E.164 starts with + and the country code{_suggest(digits)}")

    import phonenumbers  # 25 ms that most numbers, which come in E.164, never need

    try:
        number = str(phonenumbers.format_number(phonenumbers.parse(text, None), phonenumbers.PhoneNumberFormat.E164))
    except phonenumbers.NumberParseException:
        if _E164.fullmatch(value):  # a country code that the library does not know yet
            return value
        raise ValueError('is not a phone number; write it in E.164, as in "+14155550100"') from None
    if not _E164.fullmatch(number):
        raise ValueError("must have 7 to 15 digits, the country code included")
    if number[1:] != digits:  # something was dropped or put in, such as the (0) of +44 (0)20
        likely = f'; did you mean "{number}"?' if len(digits) - len(number[1:]) <= 1 else "."
        raise ValueError(f"can be read in more than one way{likely} Ask the user")
    return _plausible(number)


def _plausible(number: str) -> str:
    """Return a number, if its country code is one whose form never varies or is not known to be wrong."""
    if number.startswith("+1") and not _NANP.fullmatch(number[2:]):  # https://www.nanpa.com: NPA-NXX-XXXX
        raise ValueError(
            "is no number of the US, Canada or the Caribbean: after +1 there are ten digits, area code first"
        )
    return number


def _suggest(digits: str) -> str:
    """Return the end of a refusal: the likely number, where there is one."""
    if digits.startswith("00") and _E164.fullmatch(f"+{digits[2:]}"):
        return f'. Did you mean "+{digits[2:]}"?'
    if digits.startswith("011") and _E164.fullmatch(f"+{digits[3:]}"):
        return f'. Did you mean "+{digits[3:]}"?'
    if _NANP.fullmatch(digits):
        return f'. If it is a number in the US or Canada, it is "+1{digits}"'
    if _E164.fullmatch(f"+{digits}"):
        return f'. If it starts with its country code, it is "+{digits}"'
    return ', as in "+14155550100"'


E164 = Annotated[str, Field(pattern=PATTERN), BeforeValidator(parse)]
"""A phone number in E.164. As an argument it takes everything that `parse` takes."""
