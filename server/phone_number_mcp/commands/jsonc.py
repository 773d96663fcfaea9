"""Edits in JSON that people keep by hand: one value is put in or taken out, every other byte stays, comments included.

No library that is alive does this (json-five has had no release since 2024; the others parse comments away), and it is little:
a parser that remembers where things stand (RFC 8259, and for JSONC the comments and trailing commas that VS Code's own
parser takes), and an insertion at the end of an object or array.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from json.decoder import scanstring  # type: ignore[attr-defined]  # what json itself reads strings with; typeshed omits it
from typing import Any

_EOL = re.compile(r"\r\n|\n|\r")
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_REST_OF_LINE = re.compile(r"[ \t]*(?:\r\n|\n|\r)")
_COMMENT_IN_LINE = re.compile(r"[ \t]*(?:/\*(?:(?!\*/)[^\r\n])*\*/|//[^\r\n]*)")
_WORDS = {"true": True, "false": False, "null": None}
_DEPTH = 200
"""How deep values may be nested; a configuration is not, and Python's stack ends at some depth."""


class InvalidJSON(ValueError):
    """The text is not JSON. The message says where and why, and repeats nothing of the text."""


@dataclass(frozen=True)
class Value:
    """A value and where it stands: `text[start:end]`.

    Args:
        start: Its first character.
        end: Past its last one.
        value: What it means. Of a key that is there twice the last one counts, as everywhere.
        members: For an object, each key with its place and value, also those that are there twice; for an array its items,
            with the empty string as key.
        comma: Past the trailing comma, if there is one.
    """

    start: int
    end: int
    value: Any
    members: tuple[tuple[str, int, Value], ...] = ()
    comma: int | None = None

    def get(self, key: str) -> Value | None:
        """Return the member of that name, or None.

        Raises:
            InvalidJSON: It is there more than once, so that nobody can say which one counts.
        """
        found = [value for name, _start, value in self.members if name == key]
        if len(found) > 1:
            raise InvalidJSON(f'"{key}" is there {len(found)} times in one object; keep one')
        return found[0] if found else None


def parse(text: str, *, comments: bool) -> Value | None:
    """Return what a text says and where.

    Args:
        text: The whole document; a byte order mark may stand before it.
        comments: Whether comments and trailing commas are allowed, as in VS Code's files.

    Returns:
        Its value, or None if there is none: nothing but blanks and comments.

    Raises:
        InvalidJSON: It is not JSON.
    """
    parser = _Parser(text, comments=comments)
    start = parser.skip(1 if text.startswith("\ufeff") else 0)
    if start == len(text):
        return None
    value = parser.value(start, 0)
    if (end := parser.skip(value.end)) != len(text):
        raise parser.fault(end, "something follows the end")
    return value


class _Parser:
    def __init__(self, text: str, *, comments: bool) -> None:
        self.text = text
        self.comments = comments

    def fault(self, at: int, why: str) -> InvalidJSON:
        lines = _EOL.split(self.text[:at].removeprefix("\ufeff"))
        return InvalidJSON(f"line {len(lines)}, column {len(lines[-1]) + 1}: {why}")

    def skip(self, at: int) -> int:
        """Return where the next token begins: past blanks and comments."""
        while True:
            at = self._after(_SPACE, at)
            if self.text[at : at + 1] != "/":
                return at
            if not self.comments:
                raise self.fault(at, "a comment, which this file may not have")
            if (found := _COMMENT.match(self.text, at)) is None:
                raise self.fault(at, "a comment that does not end")
            at = found.end()

    def _after(self, pattern: re.Pattern[str], at: int) -> int:
        found = pattern.match(self.text, at)
        return found.end() if found else at

    def value(self, start: int, depth: int) -> Value:
        char = self.text[start : start + 1]
        if depth > _DEPTH:
            raise self.fault(start, "nested too deeply")
        if char in ("{", "["):
            return self._container(start, depth, "}" if char == "{" else "]")
        if char == '"':
            string, end = self._string(start)
            return Value(start, end, string)
        for word, meaning in _WORDS.items():
            if self.text.startswith(word, start):
                return Value(start, start + len(word), meaning)
        if (end := self._after(_NUMBER, start)) > start:
            try:
                return Value(start, end, json.loads(self.text[start:end]))
            except ValueError:  # Python reads no number of more than 4,300 digits
                raise self.fault(start, "a number that is too long") from None
        raise self.fault(start, "a value is missing" if char else "the text ends too early")

    def _string(self, start: int) -> tuple[str, int]:
        try:
            string, end = scanstring(self.text, start + 1, True)  # noqa: FBT003  (a C function without keywords)
        except json.JSONDecodeError as error:
            raise self.fault(error.pos, "a string that is not closed, or has a wrong escape in it") from None
        return string, end

    def _container(self, start: int, depth: int, close: str) -> Value:
        members: list[tuple[str, int, Value]] = []
        comma: int | None = None
        at = self.skip(start + 1)
        while self.text[at : at + 1] != close:
            if members and comma is None:
                raise self.fault(at, f"a comma or {close} is missing")
            key, key_start = "", at
            if close == "}":
                if self.text[at : at + 1] != '"':
                    raise self.fault(
                        at, "a key in quotes is missing" if at < len(self.text) else "the text ends too early"
                    )
                key, at = self._string(at)
                at = self.skip(at)
                if self.text[at : at + 1] != ":":
                    raise self.fault(at, "a colon is missing")
                at = self.skip(at + 1)
            item = self.value(at, depth + 1)
            members.append((key, key_start, item))
            at, comma = self.skip(item.end), None
            if self.text[at : at + 1] == ",":
                comma = at + 1
                at = self.skip(comma)
        if comma is not None and not self.comments:
            raise self.fault(comma - 1, "a comma before the end, which this file may not have")
        values = [item.value for _key, _start, item in members]
        meaning = dict(zip((key for key, _s, _v in members), values, strict=True)) if close == "}" else values
        return Value(start, at + 1, meaning, tuple(members), comma)


def insert(text: str, root: Value, container: Value, key: str, value: Any) -> str:
    """Return the text with one more member at the end of an object, or one more item at the end of an array.

    Args:
        text: The document.
        root: What it says.
        container: The object or array in it.
        key: Of the member; not used for an array.
        value: Of the member or item.
    """
    style = _Style.of(text, root)
    inside = text[container.start : container.end]
    flat = not style.lines or (bool(container.members) and not _EOL.search(inside))
    # A document in one line stays one; an empty `{}` in one that has lines gets some.
    last = container.members[-1] if container.members else None
    outer = style.indentation(text, container.start)
    indent = outer + style.unit
    if last is not None and not text[_line_start(text, last[1]) : last[1]].strip():
        indent = style.indentation(text, last[1])
    head = f"{json.dumps(key, ensure_ascii=False)}: " if text[container.start] == "{" else ""
    body = head + (json.dumps(value, ensure_ascii=False) if flat else style.render(value, indent))
    if last is None:
        return _insert_first(text, container, body, None if flat else (style.eol, indent, outer))
    after = container.comma or last[2].end
    at = after
    while (found := _COMMENT_IN_LINE.match(text, at)) is not None:  # a comment behind the last member stays behind it
        at = found.end()
    comma_before = "" if container.comma else ","
    comma_after = "," if container.comma else ""
    separator = " " if flat else style.eol + indent
    return text[:after] + comma_before + text[after:at] + separator + body + comma_after + text[at:]


def _insert_first(text: str, container: Value, body: str, lines: tuple[str, str, str] | None) -> str:
    """Return the text with the first member of a container that may hold comments."""
    close = container.end - 1
    at = close
    while at > container.start + 1 and text[at - 1] in " \t\r\n":
        at -= 1
    if lines is None:
        blank = " " if at > container.start + 1 else ""
        return text[:at] + blank + body + text[at:]
    eol, indent, outer = lines
    if _EOL.search(text, at, close):  # the line that the closing bracket is on stays
        return text[:at] + eol + indent + body + text[at:]
    return text[:close] + eol + indent + body + eol + outer + text[close:]


def replace(text: str, root: Value, old: Value, value: Any) -> str:
    """Return the text with one value in place of another, in the style of the document."""
    style = _Style.of(text, root)
    new = (
        style.render(value, style.indentation(text, old.start))
        if style.lines
        else json.dumps(value, ensure_ascii=False)
    )
    return text[: old.start] + new + text[old.end :]


def remove(text: str, container: Value, index: int) -> str:
    """Return the text without one member of an object or item of an array, and without its comma.

    A comment behind it goes with it if both have their lines to themselves; every other comment stays.

    Args:
        text: The document.
        container: The object or array in it.
        index: Of the member.
    """
    members = container.members
    _key, start, value = members[index]
    end = value.end
    following = members[index + 1][1] if index + 1 < len(members) else container.end - 1
    if index + 1 < len(members) or container.comma:  # the comma behind it goes with it
        end = _comma(text, end, following) + 1
    elif index:  # it was the last: the comma before it goes
        comma = _comma(text, members[index - 1][2].end, start)
        text = text[:comma] + text[comma + 1 :]
        start, end = start - 1, end - 1
    line, after = _line_start(text, start), end
    while (found := _COMMENT_IN_LINE.match(text, after)) is not None:
        after = found.end()
    if not text[line:start].strip(" \t") and (rest := _REST_OF_LINE.match(text, after)):
        return text[:line] + text[rest.end() :]
    if index:
        start = len(text[:start].rstrip(" \t"))
    else:
        end += len(text[end:]) - len(text[end:].lstrip(" \t"))
    return text[:start] + text[end:]


def _comma(text: str, start: int, end: int) -> int:
    """Return where the comma between two values is: not one in a comment."""
    at = start
    while at < end and text[at] != ",":
        found = _COMMENT.match(text, at)
        at = found.end() if found else at + 1
    return at


def render(value: Any) -> str:
    """Return a value as a document of its own, in the form that is usual for configurations."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class _Style:
    """How a document is written: its line ends, what it indents with, and whether it has lines at all."""

    eol: str
    unit: str
    lines: bool

    @classmethod
    def of(cls, text: str, root: Value) -> _Style:
        found = _EOL.search(text)
        unit = "  "
        for _key, start, _value in root.members[:1]:
            before = text[_line_start(text, start) : start]
            if before and not before.strip():
                unit = before
        return cls(found.group() if found else "\n", unit, found is not None and found.start() < root.end)

    def indentation(self, text: str, at: int) -> str:
        """Return the blanks that the line of a place begins with."""
        line = text[_line_start(text, at) :]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def render(self, value: Any, indent: str) -> str:
        return json.dumps(value, indent=self.unit, ensure_ascii=False).replace("\n", self.eol + indent)


def _line_start(text: str, at: int) -> int:
    start = max(text.rfind("\n", 0, at), text.rfind("\r", 0, at)) + 1
    return start + 1 if text[start : start + 1] == "\ufeff" else start
