"""The command of an entry."""

from __future__ import annotations

import sys

import pytest

from phone_number_mcp.commands.entries import is_temporary

if sys.platform == "win32":
    pytest.skip("homes, links and modes are those of a POSIX system", allow_module_level=True)


@pytest.mark.parametrize(
    ("program", "temporary"),
    [
        ("/home/me/.cache/uv/archive-v0/Xy1/bin/phone-number-mcp", True),
        ("/home/me/.local/pipx/.cache/0a1b/bin/phone-number-mcp", True),
        ("/Users/me/Library/Caches/uv/archive-v0/Xy1/bin/phone-number-mcp", True),
        ("/home/me/.local/bin/phone-number-mcp", False),
        ("/home/me/.local/share/uv/tools/phone-number-mcp/bin/phone-number-mcp", False),
    ],
)
def test_a_command_in_a_cache_is_known_as_one(program: str, temporary: bool) -> None:
    assert is_temporary(program) is temporary
