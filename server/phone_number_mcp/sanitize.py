"""Text from outside, made safe to show: platforms' replies may hold anything, and a terminal or a model reads them."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Collection, Iterable
from functools import cache, cached_property, lru_cache
from itertools import chain, groupby, islice
from math import isfinite
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
_ESCAPE_STARTS = re.compile("[\x1b\x90\x98\x9b\x9d-\x9f]")
_SPACES = re.compile(r"[\t\n\r\u2028\u2029]+")
_HIDDEN_CHARACTERS = (
    "\x00-\x1f\x7f-\x9f"  # C0, DEL, C1
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0"  # invisible by design
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero-width, bidi marks, embeddings, isolates
    "\ufff9-\ufffb"  # interlinear annotation
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U00013430-\U0001343f"  # format controls
    "\U000e0000-\U000e00ff\U000e01f0-\U000e0fff"  # tag characters, and the unassigned rest of their plane's start
)
_HIDDEN = re.compile(f"[{_HIDDEN_CHARACTERS}]+")
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
_SUSPECT = re.compile(f"[{_HIDDEN_CHARACTERS}{_JOINERS}\u2028\u2029\ud800-\udfff]")
"""Whatever is changed by the cleaning has one of these in it."""

REPLACED = "[secret]"
CUT = "…"
"""The end of a text that is shown in part, or what stands for a value that is not shown."""
MAX_PARTS = 15_000
"""Values of one JSON that are shown. A page of fifty phone numbers has about 1,500."""
MAX_DEPTH = 40
"""Levels of nesting that are shown."""
MAX_CLOSE_READING = 60_000
"""Characters of one JSON that are read closely, because they are not ASCII, hidden or may be escaped: those take a thousand
times as long as others. They are counted once for each secret, and once for the cleaning."""
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
        self._longest = len(self._secrets[0].text) if self._secrets else 0
        self.numbers = {secret.number for secret in self._secrets} - {None}

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
        return text if len(text) <= limit else _TRAILING_JOINERS.sub("", text[: limit - 1]) + CUT

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
        """Return JSON as `bounded_json` does, without saying whether it is whole."""
        return self.bounded_json(value, limit, names)[0]

    def bounded_json(self, value: Any, limit: int, names: Collection[str] = ()) -> tuple[Any, bool]:
        """Return JSON whose texts are safe to show, each at most `limit` characters long, and which holds no secret.

        The work is bounded, whatever the value: what is beyond the limits of this module is left out, or is "…". No key is
        renamed: an entry is left out if its key is not safe to show as it is.

        Args:
            value: What `json.loads` returns.
            limit: Of each text.
            names: Keys that are always kept: they are ours or documented, so they tell no secret, even if one is the same.

        Returns:
            What is shown, and whether something was left out because of the limits.
        """
        showing = _Showing(self, limit, set(names))
        shown = showing.value(value, MAX_DEPTH)
        return shown, showing.cut

    def _bounded(self, text: str, limit: int, allowed: int) -> tuple[str, int]:
        """Return a text as calling this does, and how many characters of it were read closely: at most `allowed`.

        A text that is not read to its end loses as many characters at its end as a secret can have: so none is shown in part.
        """
        escaped = "%" in text or "\\" in text or "&" in text
        if text.isascii() and text.isprintable() and not (escaped and self._secrets):
            return self(text, limit), 0
        times = 1 + (len(self._secrets) if escaped else 0)
        margin = self._longest * (_LONGEST_SPELLING if escaped else 1)
        head = text[: min(limit + margin, allowed // times)]
        if len(head) == len(text):
            return self(text, limit), len(head) * times
        shown = self.redact(cleaned(head))
        shown = shown[: max(0, min(limit - 1, len(shown) - margin))]
        return _TRAILING_JOINERS.sub("", shown) + CUT, len(head) * times


_CONTAINERS = (dict, list)  # a union would be made anew for each value
_NUMBERS = (int, float)


class _Showing:
    """One JSON as it is made safe to show, and how much of it may still be."""

    def __init__(self, sanitize: Sanitizer, limit: int, kept: set[str]) -> None:
        self._sanitize = sanitize
        self._limit = limit
        self._kept = kept
        self._parts = MAX_PARTS
        self._close_reading = MAX_CLOSE_READING
        self.cut = False
        """Something was left out."""

    def value(self, value: Any, depth: int) -> Any:
        """Return what is shown of a value, nested at most `depth` levels deep."""
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, _CONTAINERS):
            if depth > 0:
                return self._container(value, depth - 1)
            self.cut = True
            return CUT
        if isinstance(value, float) and not isfinite(value):  # JSON has no such number
            self.cut = True
            return CUT
        return REPLACED if isinstance(value, _NUMBERS) and value in self._sanitize.numbers else value

    def _container(self, value: dict[str, Any] | list[Any], depth: int) -> Any:
        if isinstance(value, dict):
            # What the documentation names comes first: the number that was bought must not be lost behind what nobody knows.
            named = [key for key in value if key in self._kept and not isinstance(value[key], _CONTAINERS)]
            shown: dict[str, Any] = {}
            for key in chain(named, islice(value, self._allowed(len(value)))):
                if key not in shown and self._take() and (key in self._kept or self._keeps(key)):
                    shown[key] = self.value(value[key], depth)
            return {key: shown[key] for key in value if key in shown}
        return [self.value(item, depth) for item in islice(value, self._allowed(len(value))) if self._take()]

    def _allowed(self, count: int) -> int:
        """Return how many entries of a container may be looked at, of so many."""
        if count > self._parts:
            self.cut = True
        return self._parts

    def _take(self) -> bool:
        """Count one part; return whether it may be shown."""
        if self._parts == 0:
            self.cut = True
            return False
        self._parts -= 1
        return True

    def _text(self, text: str) -> str:
        shown, read = self._sanitize._bounded(text, self._limit, self._close_reading)  # noqa: SLF001  (one part)
        self._close_reading -= read
        if len(text) > self._limit or (shown.endswith(CUT) and not text.endswith(CUT)):
            self.cut = True
        return shown

    def _keeps(self, key: str) -> bool:
        if len(key) > self._limit or self._text(key) != key:
            return False
        self._kept.add(key)  # a list has the same keys in each entry
        return True


def cleaned(text: str) -> str:
    """Return `text` on one line, with nothing hidden in it.

    Line breaks and tabs become one space; escape sequences, control characters, bidirectional, zero-width and tag
    characters go (Unicode TR 36, section 2; TR 55, section 3); lone surrogates become U+FFFD. ZWJ, ZWNJ and variation
    selectors stay where a script or an emoji needs them: see `_needed`.
    """
    if text.isascii() and text.isprintable():
        return text
    if not _SUSPECT.search(text):
        return text
    if _ESCAPE_STARTS.search(text):  # many times as fast as to look for whole sequences
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
    text = run.string
    return _needed_between(text[max(0, run.start() - 1) : run.start()], run[0][:3], text[run.end() : run.end() + 1])


@lru_cache(maxsize=4096)
def _needed_between(before: str, joiners: str, after: str) -> str:
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
_PERCENT = r"%(?:25){0,8}"  # "%", encoded up to eight times more
# JSON in JSON in JSON has seven backslashes. None is given back: what is spelled begins with no backslash.
_ESCAPE = rf"\\{{0,8}}+(?:{_PERCENT}5[cC]\\{{0,7}}+){{0,7}}+"
_LONGEST_SPELLING = 400
"""More than the characters that one character of a secret may take in any spelling that is looked for."""
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
    if ord(char) <= 0xFF:  # as Python and JavaScript show it
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
    from html.entities import html5  # rarely needed

    names: dict[str, set[str]] = {}
    for name, char in html5.items():
        names.setdefault(char, set()).add(name.removesuffix(";"))
    return {char: sorted(found, key=len, reverse=True) for char, found in names.items()}
