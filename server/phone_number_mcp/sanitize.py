"""Text from outside, made safe to show: platforms' replies may hold anything, and a terminal or a model reads them."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Collection, Iterable
from functools import cache, cached_property
from itertools import groupby
from typing import Any

# What may hide in text or take a terminal over. Whole escape sequences go first, so that "\x1b[31m" leaves no "[31m".
_ESCAPES = re.compile(
    r"""
      (?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]            # CSI (ECMA-48, 5.4): colours, cursor, erase
    | (?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])        # OSC, DCS, SOS, PM, APC: titles, links, clipboard, ...
      [^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?       #   ... up to their terminator
    | \x1b[ -/]*[0-~]?                            # any other escape
    """,
    re.VERBOSE,
)
_SPACES = re.compile(r"[\t\n\r\u2028\u2029]+")
_HIDDEN = re.compile(
    "["
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # invisible by design
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero-width, bidi marks, embeddings, isolates
    "\ufff9-\ufffb"  # interlinear annotation
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U00013430-\U0001343f"  # format controls
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # tag characters, and the unassigned rest of their plane's start
    "]+"
)
_JOINERS = "\u200c\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"  # ZWNJ, ZWJ, variation selectors
_JOINERS_RUN = re.compile(f"[{_JOINERS}]+")
_TRAILING_JOINERS = re.compile(f"[{_JOINERS}]+$")
# What can be part of an emoji sequence, the unassigned code points of the emoji blocks included (UTS #51, 1.4).
_EMOJI = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f"
    "\u2b00-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)
# Blocks of the scripts whose letters join or form conjuncts: ZWJ and ZWNJ change how they look (UAX #31, 2.3.1).
_JOINING_SCRIPTS = re.compile(
    "[\u0620-\u085f\u0860-\u0dff\u1000-\u109f\u1780-\u18af\u1a20-\u1aaf\u1b00-\u1bff"  # Arabic to Sinhala, Khmer, ...
    "\ua800-\ua9ff\uaa60-\uaaff\uabc0-\uabff"  # Syloti Nagri to Javanese, Meetei Mayek
    "\U00010a00-\U00010aff\U00010d00-\U00010d3f\U00010f30-\U00010fdf\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
_IDEOGRAPHS = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")

REPLACED = "[secret]"
MIN_SECRET_LENGTH = 4
"""A shorter "secret" would blank out ordinary text."""


class Sanitizer:
    """Makes text safe to show, and keeps known secrets out of it.

    Args:
        secrets: The values that no output may hold. Values under four characters are left alone.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # A secret with a line break in it, say, is looked for in text that has been cleaned.
        known = {
            form
            for secret in secrets
            for form in (secret, cleaned(secret), secret.replace(" ", "+"))
            if len(form) >= MIN_SECRET_LENGTH
        }
        self._hide([_Secret(form) for form in known])

    def _hide(self, secrets: Iterable[_Secret]) -> None:
        # Longest first: where one secret holds another, the whole of it goes.
        self._secrets = sorted(secrets, key=lambda secret: (-len(secret.text), secret.text))
        self._shortest = len(self._secrets[-1].text) if self._secrets else sys.maxsize
        self._numbers = {secret.number for secret in self._secrets} - {None}

    def also(self, secrets: Iterable[str]) -> Sanitizer:
        """Return one that keeps more secrets out."""
        both = Sanitizer(secrets)
        if not both._secrets:
            return self
        both._hide({secret.text: secret for secret in (*both._secrets, *self._secrets)}.values())
        return both

    def __call__(self, text: str, limit: int) -> str:
        """Return `text` as `cleaned` does, without secrets, at most `limit` characters long. A cut ends in "…"."""
        text = self.redact(cleaned(text))  # the cleaning may join a secret; the cut may part it
        return text if len(text) <= limit else _TRAILING_JOINERS.sub("", text[: limit - 1]) + "…"

    def redact(self, text: str) -> str:
        """Return `text` with every secret in it replaced, however it is escaped, and otherwise as it is."""
        if len(text) < self._shortest:  # no spelling is shorter than the secret
            return text
        escaped = "%" in text or "\\" in text or "&" in text
        for secret in self._secrets:
            text = text.replace(secret.text, REPLACED)
            if escaped:
                text = secret.spellings.sub(REPLACED, text)
        return text

    def lines(self, text: str) -> str:
        """Return `text` cleaned and without secrets, with its line breaks and tabs."""
        return self.redact("".join(part if part in {"\n", "\t"} else cleaned(part) for part in _LINES.split(text)))

    def json(self, value: Any, limit: int, names: Collection[str] = ()) -> Any:
        """Return JSON whose texts are safe to show, each at most `limit` characters long, and which holds no secret.

        No key is renamed: an entry is left out if its key is not safe to show as it is.

        Args:
            value: What `json.loads` returns, nested no deeper than the interpreter allows a recursion.
            limit: Of each text.
            names: Keys that are always kept: they are ours or documented, so they tell no secret, even if one is the same.
        """
        kept = set(names)

        def keeps(key: str) -> bool:
            if key not in kept:
                if self(key, limit) != key:
                    return False
                kept.add(key)  # a list has the same keys in each entry
            return True

        def safe(value: Any) -> Any:
            if isinstance(value, str):
                return self(value, limit)
            if isinstance(value, dict):
                return {key: safe(item) for key, item in value.items() if key in kept or keeps(key)}
            if isinstance(value, list):
                return [safe(item) for item in value]
            if isinstance(value, int | float) and value in self._numbers:
                return REPLACED
            return value

        return safe(value)


def cleaned(text: str) -> str:
    """Return `text` on one line, with nothing hidden in it.

    Line breaks and tabs become one space; escape sequences, control characters, bidirectional, zero-width and tag
    characters go (Unicode TR 36, section 2; TR 55, section 3); lone surrogates become U+FFFD. ZWJ, ZWNJ and variation
    selectors stay where a script or an emoji needs them: see `_needed`.
    """
    if text.isascii() and text.isprintable():
        return text
    text = _ESCAPES.sub("", text)
    text = _SPACES.sub(" ", text)
    text = _HIDDEN.sub("", text)
    text = _JOINERS_RUN.sub(_needed, text)
    return _SURROGATES.sub("\ufffd", text)


def _needed(run: re.Match[str]) -> str:
    """Return a run of joiners and variation selectors if what is before it can use it, else "".

    - ZWJ between two emoji, after VS16 or not (UTS #51, ED-16);
    - one ZWJ or ZWNJ after a letter or mark of a script that joins letters or forms conjuncts (UAX #31, 2.3.1);
    - one variation selector after a base that has variants: VS1 to VS16 after a symbol, a digit, # and *, punctuation
      outside ASCII, and letters without case; VS17 to VS256 after an ideograph (UTS #37).

    Two in a row, or one after a Latin letter, have no meaning there and could spell out a hidden text.
    """
    text, joiners = run.string, run[0]
    before, after = text[max(0, run.start() - 1) : run.start()], text[run.end() : run.end() + 1]
    if joiners in {"\u200d", "\ufe0f\u200d"} and _EMOJI.match(before) and _EMOJI.match(after):
        return joiners
    if not before or len(joiners) > 1:
        return ""
    if joiners in {"\u200c", "\u200d"}:
        needed = _JOINING_SCRIPTS.match(before) is not None and unicodedata.category(before)[0] in {"L", "M"}
    elif joiners > "\ufe0f":
        needed = _IDEOGRAPHS.match(before) is not None
    else:
        needed = _has_variants(before)
    return joiners if needed else ""


def _has_variants(char: str) -> bool:
    if char.isascii():
        return char in "0123456789#*"
    category = unicodedata.category(char)
    return category == "Lo" or category[0] in {"N", "P", "S"} or _EMOJI.match(char) is not None


# --- a secret, however it is spelled ----------------------------------------------------------------------------------


class _Secret:
    """A value to hide, and what it looks like in text that escapes it."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.number = int(text) if _NUMBER.fullmatch(text) else None
        """The number that it is in JSON, if it can be one."""

    @cached_property
    def spellings(self) -> re.Pattern[str]:
        """Matches it percent-encoded, escaped as in JSON, or as in HTML; each character once, several times or not at all."""
        parts = []
        for char, run in groupby(self.text):
            count = len([*run])
            parts += [_backslashes(count)] if char == "\\" else [_spelled(char)] * count
        if self.text[0] != "\\":
            parts[0] = _spelled_first(self.text[0])
        return re.compile("".join(parts))


_NUMBER = re.compile("[1-9][0-9]{3,19}")
_LINES = re.compile(r"([\n\t])")

# In what follows, repeats are bounded and no two in a row match the same text, so that no text takes long to search.
_PERCENT = r"%(?:25)*"  # "%", encoded any number of times
_ESCAPE = rf"(?:\\|{_PERCENT}5[cC]){{0,8}}"  # JSON in JSON in JSON has seven
_JSON_LETTERS = {"\b": "b", "\f": "f", "\n": "n", "\r": "r", "\t": "t"}


def _spelled(char: str) -> str:
    return _ESCAPE + _unescaped(char)


def _spelled_first(char: str) -> str:
    """Return the same pattern such that each alternative begins with a literal: those `re` finds quickly."""
    percent, rest = _percent(char), _spelled(char)
    return rf"(?:{re.escape(char)}|\\{rest}|{_PERCENT}(?:{percent.removeprefix(_PERCENT)}|5[cC]{rest})|&{_html(char)})"


def _unescaped(char: str) -> str:
    """Return the pattern of a character in any spelling, less the backslashes before it."""
    forms = [re.escape(char), _unicode(char), _percent(char), f"(?:&|u0026){_html(char)}"]
    if ord(char) <= 0xFF:  # noqa: PLR2004  (as Python and JavaScript show it)
        forms.append(f"x{_hexadecimal(ord(char), 2)}")
    else:
        forms.append(f"U{_hexadecimal(ord(char), 8)}")
    if char in _JSON_LETTERS:
        forms.append(_JSON_LETTERS[char])
    if char == " ":  # in a form
        forms.append(r"\+")
    return f"(?:{'|'.join(forms)})"


def _backslashes(count: int) -> str:
    """Return the pattern of backslashes in a row, each in any spelling: possessive, because what follows may begin with them."""
    spelled = rf"(?:\\?u005[cC]|\\?x5[cC]|\\|{_PERCENT}5[cC]|&{_html(chr(92))})"
    return f"{spelled}{{{count},{8 * count}}}+"


def _percent(char: str) -> str:
    return "".join(_PERCENT + _hexadecimal(byte, 2) for byte in char.encode("utf-8", "surrogatepass"))


def _unicode(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass").hex()
    return _ESCAPE.join(f"u{_hexadecimal(int(units[at : at + 4], 16), 4)}" for at in range(0, len(units), 4))


def _html(char: str) -> str:
    """Return the pattern of an entity, less its "&"; browsers read it without ";" as well."""
    code = ord(char)
    numbers = rf"#0{{0,6}}{code}(?:;|(?![0-9]))|#[xX]0{{0,6}}{_hexadecimal(code, 1)}(?:;|(?![0-9a-fA-F]))"
    return f"(?:amp;){{0,3}}(?:{'|'.join([numbers, *(f'{name};?' for name in _entities().get(char, ()))])})"


def _hexadecimal(value: int, width: int) -> str:
    return "".join(f"[{digit}{digit.upper()}]" if digit.isalpha() else digit for digit in f"{value:0{width}x}")


@cache
def _entities() -> dict[str, list[str]]:
    """Return the names of characters in HTML, less "&" and ";"."""
    from html.entities import html5  # noqa: PLC0415  (rarely needed)

    names: dict[str, set[str]] = {}
    for name, char in html5.items():
        names.setdefault(char, set()).add(name.removesuffix(";"))
    return {char: sorted(found, key=len, reverse=True) for char, found in names.items()}
