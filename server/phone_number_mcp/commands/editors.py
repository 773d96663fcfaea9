"""The content of a client's file: an entry is put in, found or taken out, in the file's format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from phone_number_mcp.commands import json_editor
from phone_number_mcp.commands.errors import InstallError

if TYPE_CHECKING:
    from phone_number_mcp.commands.clients import Client
    from phone_number_mcp.commands.entries import Entry


class Editor(Protocol):
    """What the module of a format offers."""

    def merge(self, text: str, entry: Entry, client: Client, *, force: bool) -> str:
        """Return a text with the entry in it."""

    def without(self, text: str, name: str, client: Client) -> tuple[Any, str]:
        """Return an entry, and a text without it."""

    def render(self, document: dict[str, Any]) -> str:
        """Return a whole document."""


def _editor(client: Client) -> Editor:
    if client.format != "toml":
        return json_editor
    from phone_number_mcp.commands import toml_editor  # imports tomlkit, which Codex alone needs

    return toml_editor


def render(entry: Entry, client: Client) -> bytes:
    """Return a whole file that has nothing but the entry."""
    return _encode(_editor(client).render(entry.document()))


def merge(content: bytes, entry: Entry, client: Client, *, force: bool) -> bytes | None:
    """Return a file's content with the entry in it and everything else as it was; None if the entry is there already.

    Raises:
        InstallError: The content is not valid, or has something else in the entry's place.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        raise InstallError("it is not UTF-8 text") from None
    changed = _editor(client).merge(text, entry, client, force=force)
    return None if changed == text else _encode(changed)


@dataclass(frozen=True)
class Found:
    """An entry in a client's file: what it is, and the file's content without it."""

    value: Any
    without: bytes


def find(content: bytes, name: str, client: Client) -> Found:
    """Return an entry, and a file's content without it and with everything else as it was.

    What VS Code asks for goes too, if it is as `install` writes it and no other server uses it.

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
    except UnicodeEncodeError:  # of a path that is not UTF-8, as Unix allows
        raise InstallError("the path of the command is not UTF-8 text: no client could read it") from None
