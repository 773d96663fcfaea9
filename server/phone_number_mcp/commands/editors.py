"""Adds an entry to the content of a client's file, finds it or removes it, in the file's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from phone_number_mcp.commands import json_editor
from phone_number_mcp.commands.errors import InstallError

if TYPE_CHECKING:
    from phone_number_mcp.commands.clients import Client
    from phone_number_mcp.commands.entries import Entry


class Editor(Protocol):
    """The functions of the module for one format."""

    def merge(self, text: str, entry: Entry, client: Client, *, force: bool) -> str:
        """Return the text with the entry added or replaced."""

    def without(self, text: str, name: str, client: Client) -> tuple[Any, str]:
        """Return an entry's value, and the text without the entry."""

    def render(self, document: dict[str, Any]) -> str:
        """Return a document as text."""


def _editor(client: Client) -> Editor:
    if client.format != "toml":
        return json_editor
    from phone_number_mcp.commands import toml_editor  # imports tomlkit, which Codex alone needs

    return toml_editor


def render(entry: Entry, client: Client) -> bytes:
    """Return the content of a file that holds the entry only."""
    return _encode(_editor(client).render(entry.document()))


def merge(content: bytes, entry: Entry, client: Client, *, force: bool) -> bytes | None:
    """Return a file's content with the entry added or replaced, and everything else unchanged; None if nothing changes.

    Raises:
        InstallError: The content is not valid, or has another program's entry of that name.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InstallError("it is not UTF-8 text") from None
    changed = _editor(client).merge(text, entry, client, force=force)
    return None if changed == text else _encode(changed)


@dataclass(frozen=True)
class Found:
    """An entry in a client's file: its value, and the file's content without it."""

    value: Any
    without: bytes


def find(content: bytes, name: str, client: Client) -> Found:
    """Return an entry, and the file's content without it and with everything else unchanged.

    VS Code's inputs are removed too if they are as `install` writes them and no other server uses them.

    Raises:
        InstallError: The content is not valid, or there is no such entry.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InstallError("it is not UTF-8 text") from None
    value, changed = _editor(client).without(text, name, client)
    return Found(value, _encode(changed))


def _encode(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:  # a path that is not UTF-8, which Unix allows
        raise InstallError("the path of the command is not UTF-8 text: no client could read it") from None
