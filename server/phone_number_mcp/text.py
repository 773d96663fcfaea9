"""Text from outside, made safe to show: platforms' replies may hold anything, and a terminal or a model reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

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
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff"  # zero-width, bidi marks, embeddings, isolates
    "\ufff9-\ufffb"  # interlinear annotation
    "\ufe00-\ufe0f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U00013430-\U0001343f"  # selectors, format controls
    "\U000e0000-\U000e0fff"  # tag characters and supplementary variation selectors
    "]+"
)
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
        known = {secret for secret in secrets if len(secret) >= MIN_SECRET_LENGTH}
        # As they are, and as they stand in JSON inside a text and in a URL.
        known |= {json.dumps(secret)[1:-1] for secret in known} | {quote(secret, safe="") for secret in known}
        known |= {json.dumps(form)[1:-1] for form in known}
        known |= {form.replace("/", "\\/") for form in known}  # as PHP writes JSON
        # Longest first: where one secret holds another, the whole of it goes.
        self._secrets = sorted(known, key=len, reverse=True)

    def also(self, secrets: Iterable[str]) -> Sanitizer:
        """Return one that keeps more secrets out."""
        both = Sanitizer(secrets)
        both._secrets = sorted({*self._secrets, *both._secrets}, key=len, reverse=True)
        return both

    def __call__(self, text: str, limit: int) -> str:
        """Return `text` on one line, with nothing hidden and no secret in it, at most `limit` characters long.

        Line breaks and tabs become one space; escape sequences, control characters, bidirectional, zero-width and tag
        characters go (Unicode TR 36, section 2; TR 55, section 3); lone surrogates become U+FFFD. A cut ends in "…".
        """
        if not (text.isascii() and text.isprintable()):
            text = _ESCAPES.sub("", text)
            text = _SPACES.sub(" ", text)
            text = _HIDDEN.sub("", text)
            text = _SURROGATES.sub("\ufffd", text)
        text = self.redact(
            text
        )  # after the cleaning, which may join what was kept apart; before the cut, which may part it
        return text if len(text) <= limit else text[: limit - 1] + "…"

    def redact(self, text: str) -> str:
        """Return `text` with every secret in it replaced, and otherwise as it is."""
        for secret in self._secrets:
            if secret in text:
                text = text.replace(secret, REPLACED)
        return text
