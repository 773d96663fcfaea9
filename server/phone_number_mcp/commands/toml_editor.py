"""Adds an entry to TOML text or removes it; everything else is left unchanged."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from phone_number_mcp.commands.entries import Entry, absent, replacement
from phone_number_mcp.commands.errors import InstallError

if TYPE_CHECKING:
    from phone_number_mcp.commands.clients import Client


def merge(text: str, entry: Entry, client: Client, *, force: bool) -> str:
    """Return the text with the entry added or replaced, and everything else unchanged.

    Raises:
        InstallError: The text is not valid, or has another program's entry of that name.
    """
    mark, body, document, servers = _read_toml(text, entry.key)
    existing = servers.get(entry.name)
    value = dict(entry.value) if existing is None else replacement(existing, entry, client, force=force)
    if existing == value:
        return text
    expected = {**document, entry.key: {**servers, entry.name: value}}

    def is_right(candidate: str) -> bool:
        return _says(candidate, expected)

    eol = "\r\n" if "\r\n" in body else "\n"
    table = tomlkit.dumps(entry.document()).replace("\n", eol)
    # A table can be appended to any document, which leaves everything before it unchanged.
    gap = "" if not body else eol if body.endswith("\n") else eol + eol
    if existing is None and is_right(body + gap + table):
        return mark + body + gap + table
    try:
        edited = tomlkit.parse(body)
        edited[entry.key][entry.name] = value  # a table, as tomllib has just said
        changed = tomlkit.dumps(edited)
    except TOMLKitError:
        changed = ""
    if eol == "\r\n" and not re.search(r"(?<!\r)\n", body):
        changed = re.sub(r"(?<!\r)\n", eol, changed)
    if not is_right(changed):
        raise InstallError("its layout cannot be edited safely: add the entry by hand")
    return mark + changed


def _read_toml(text: str, key: str) -> tuple[str, str, dict[str, Any], dict[str, Any]]:
    """Return a document's byte order mark, its text without the mark, its value, and the servers in it."""
    mark, body = ("\ufeff", text[1:]) if text.startswith("\ufeff") else ("", text)
    try:
        document = tomllib.loads(body)
    except tomllib.TOMLDecodeError as error:
        # The message quotes characters of the file, possibly of a secret: only the position is repeated.
        where = re.search(r"\(at (.*)\)$", str(error))
        raise InstallError(f"it is not valid TOML: {where[1] if where else 'it ends too early'}") from None
    servers = document.get(key, {})
    if not isinstance(servers, dict):
        raise InstallError(f'its "{key}" is not a table')
    return mark, body, document, servers


def _says(text: str, expected: Mapping[str, Any]) -> bool:
    """Return whether a text is TOML with the expected value."""
    with suppress(tomllib.TOMLDecodeError):
        return tomllib.loads(text) == expected
    return False


def without(text: str, name: str, client: Client) -> tuple[Any, str]:
    """Return an entry's value, and the text without the entry and with everything else unchanged.

    Raises:
        InstallError: The text is not valid, or there is no such entry.
    """
    mark, body, document, servers = _read_toml(text, client.key)
    if name not in servers:
        raise absent(name, servers)
    rest = {other: value for other, value in servers.items() if other != name}
    others = {key: value for key, value in document.items() if key != client.key}
    right = [{**document, client.key: rest}] + ([] if rest else [others])
    changed = _without_tables(body, client.key, name)
    if not any(_says(changed, each) for each in right):  # it is not a table with a heading of its own
        try:
            edited = tomlkit.parse(body)
            del edited[client.key][name]  # a table, as tomllib has just said
            changed = tomlkit.dumps(edited)
        except TOMLKitError:
            changed = ""
        if not any(_says(changed, each) for each in right):
            raise InstallError("its layout cannot be edited safely: remove the entry by hand")
    return servers[name], mark + changed


def _without_tables(body: str, key: str, name: str) -> str:
    """Return a TOML text without a table and its subtables; comments directly before the next table are kept."""
    ours = re.compile(rf"""[ \t]*\[\s*["']?{re.escape(key)}["']?\s*\.\s*["']?{re.escape(name)}["']?\s*[.\]]""")
    lines = body.splitlines(keepends=True)
    headings = _headings(lines)
    kept: list[str] = []
    inside = False
    for index, line in enumerate(lines):
        if index in headings:
            inside = ours.match(line) is not None
        end = next((heading for heading in headings if heading > index), len(lines))
        about_next = not any(each.strip() and not each.lstrip().startswith("#") for each in lines[index:end])
        if not inside or about_next:
            kept.append(line)
        elif kept and not kept[-1].strip() and (index + 1 == len(lines) or not lines[index + 1].strip()):
            kept.pop()  # of the blank lines around it, one is kept
    return "".join(kept)


def _headings(lines: Sequence[str]) -> list[int]:
    """Return the indexes of the lines that are table headings; lines inside multi-line strings are not."""
    found: list[int] = []
    quotes = ""
    for index, line in enumerate(lines):
        if not quotes and _HEADING.match(line):
            found.append(index)
        for each in re.findall(r"\"{3}|'{3}", line):
            quotes = each if not quotes else "" if each == quotes else quotes
    return found


_HEADING = re.compile(r"[ \t]*\[.*\]\s*(#.*)?$")


def render(document: dict[str, Any]) -> str:
    """Return a document as text."""
    return tomlkit.dumps(document)
