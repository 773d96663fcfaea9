"""Adds an entry to JSON text or removes it; everything else is left unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phone_number_mcp.commands import jsonc
from phone_number_mcp.commands.entries import Entry, absent, replacement
from phone_number_mcp.commands.errors import InstallError
from phone_number_mcp.platforms import PLATFORMS, load

if TYPE_CHECKING:
    from phone_number_mcp.commands.clients import Client


def merge(text: str, entry: Entry, client: Client, *, force: bool) -> str:
    """Return the text with the entry added or replaced, and everything else unchanged.

    Raises:
        InstallError: The text is not valid, or has another program's entry of that name.
    """
    comments = client.format == "jsonc"
    try:
        root = jsonc.parse(text, comments=comments)
        if root is None:
            gap = "\n" if text.strip("\ufeff \t\r\n") and not text.endswith("\n") else ""
            return text + gap + jsonc.render(entry.document())
        changed = _with_entry(text, root, entry, client, force=force)
        missing = _missing_inputs(root, entry)
        for each in missing:
            changed = _with_input(changed, each)
        after = jsonc.parse(changed, comments=comments)
    except jsonc.InvalidJSON as error:
        raise InstallError(f"it is not valid: {error}") from None
    servers = root.value.get(entry.key, {})
    value = replacement(servers[entry.name], entry, client, force=force) if entry.name in servers else dict(entry.value)
    expected = {**root.value, entry.key: {**servers, entry.name: value}}
    if missing:
        expected["inputs"] = [*root.value.get("inputs", []), *missing]
    if after is None or after.value != expected:
        raise InstallError("its layout cannot be edited safely: add the entry by hand")
    return changed


def _with_entry(text: str, root: jsonc.Value, entry: Entry, client: Client, *, force: bool) -> str:
    if not isinstance(root.value, dict):
        raise InstallError("it is not a JSON object")
    value = dict(entry.value)
    servers = root.get(entry.key)
    if servers is None:
        return jsonc.insert(text, root, root, entry.key, {entry.name: value})
    if not isinstance(servers.value, dict):
        raise InstallError(f'its "{entry.key}" is not an object')
    existing = servers.get(entry.name)
    if existing is None:
        return jsonc.insert(text, root, servers, entry.name, value)
    value = replacement(existing.value, entry, client, force=force)
    return text if existing.value == value else jsonc.replace(text, root, existing, value)


def _missing_inputs(root: jsonc.Value, entry: Entry) -> list[dict[str, Any]]:
    """Return the inputs that the file does not have yet; an existing input with the same id is kept."""
    inputs = root.get("inputs") if entry.inputs else None
    if inputs is not None and not isinstance(inputs.value, list):
        raise InstallError('its "inputs" is not an array')
    known = [each.get("id") for each in inputs.value if isinstance(each, dict)] if inputs is not None else []
    return [dict(each) for each in entry.inputs if each["id"] not in known]


def _with_input(text: str, value: dict[str, Any]) -> str:
    root = jsonc.parse(text, comments=True)
    assert root is not None  # noqa: S101  (it was an object before)
    inputs = root.get("inputs")
    if inputs is None:
        return jsonc.insert(text, root, root, "inputs", [value])
    return jsonc.insert(text, root, inputs, "", value)


def without(text: str, name: str, client: Client) -> tuple[Any, str]:
    """Return an entry's value, and the text without the entry and with everything else unchanged.

    Raises:
        InstallError: The text is not valid, or there is no such entry.
    """
    comments = client.format == "jsonc"
    try:
        root = jsonc.parse(text, comments=comments)
        servers = root.get(client.key) if root is not None and isinstance(root.value, dict) else None
        if root is None or servers is None or not isinstance(servers.value, dict):
            raise absent(name, {})
        entry = servers.get(name)
        if entry is None:
            raise absent(name, servers.value)
        changed = jsonc.remove(text, servers, [key for key, _start, _value in servers.members].index(name))
        rest = {other: value for other, value in servers.value.items() if other != name}
        expected = {**root.value, client.key: rest}
        if isinstance(entry.value, dict):
            changed, expected = _without_inputs(changed, expected, client)
        after = jsonc.parse(changed, comments=comments)
    except jsonc.InvalidJSON as error:
        raise InstallError(f"it is not valid: {error}") from None
    if after is None or after.value != expected:
        raise InstallError("its layout cannot be edited safely: remove the entry by hand")
    return entry.value, changed


def _without_inputs(text: str, document: dict[str, Any], client: Client) -> tuple[str, dict[str, Any]]:
    """Return the text and its value without the inputs that `install` added and that no server uses any longer."""
    ours = [dict(each) for name in PLATFORMS for each in client.wire(load(name)).inputs]
    inputs = document.get("inputs")
    if not isinstance(inputs, list):
        return text, document
    servers = str(document[client.key])
    for each in [each for each in inputs if each in ours and f"${{input:{each['id']}}}" not in servers]:
        root = jsonc.parse(text, comments=client.format == "jsonc")
        container = root.get("inputs") if root else None
        if container is None:
            break
        text = jsonc.remove(text, container, container.value.index(each))
        document = {**document, "inputs": [other for other in document["inputs"] if other != each]}
    return text, document


def render(document: dict[str, Any]) -> str:
    """Return a document as text."""
    return jsonc.render(document)
