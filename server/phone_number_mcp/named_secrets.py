"""Secrets by name: an argument that is a secret may say `secret:NAME`, so that its value passes through no model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import SecretStr

from phone_number_mcp.errors import FieldProblem, InvalidArguments

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "secret:"
"""How a reference begins, in any case."""
_NAME = re.compile("[A-Za-z0-9_-]{1,100}")


class NamedSecret(SecretStr):
    """A secret that was given by its name. The name may be shown, the value not."""

    def __init__(self, value: str, name: str) -> None:
        super().__init__(value)
        self.name = name


def shown_name(name: str) -> str:
    """Return a name as people and models see it, however it is written: case and `-` for `_` make no difference."""
    return name.lower().replace("-", "_")


def resolve_secret(field: str, given: SecretStr, named: Mapping[str, SecretStr]) -> SecretStr:
    """Return the secret that an argument means: the one of that name if it is a reference, else the argument itself.

    Args:
        field: The argument's name.
        given: Its value.
        named: The secrets that there are, each by its `shown_name`.

    Raises:
        InvalidArguments: There is none of that name. What was given is not repeated: it may be a secret after all.
    """
    text = given.get_secret_value().strip()
    if not text.lower().startswith(PREFIX):
        return given
    name = text[len(PREFIX) :].strip()
    key = shown_name(name)
    if not _NAME.fullmatch(name) or key not in named:
        known = f"the names are {', '.join(named)}" if named else "this server has no named secrets"
        raise InvalidArguments(
            f"{field} names a secret that does not exist; {known}",
            fields=[
                FieldProblem(field=field, problem=f"must be one of the named secrets, or the value itself; {known}")
            ],
            hint=_HINT,
        )
    return NamedSecret(named[key].get_secret_value(), key)


_HINT = (
    "Nothing was sent. Use a name that exists; else ask the person who runs this server to set "
    "PHONE_NUMBER_MCP_SECRET_NAME, or PHONE_NUMBER_MCP_SECRET_NAME_FILE with the path of a file. Never ask the user for the value."
)
