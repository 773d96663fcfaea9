"""The real server as a process: its command, its environment, and how tests start it."""

from __future__ import annotations

import json
import os
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from mcp import Client
from mcp_types import CallToolResult, TextContent

from phone_number_mcp.platforms import load
from support.fork_server import forked, fresh
from support.upstream import Upstream
from support.wire import RawClient

KEY = "sk_Rk7Zp2Qw9Lx4Vb6Nm1Ts8Jd3Hf5Gc0"
SECRET = "s3cr3t_Yt6Ue1Oi8Pa3Sd5Fg7Hj2Kl9Zx"
TOOLS = [tool.name for tool in load("zudu").tools if not tool.deletes]


class Connect(Protocol):
    def __call__(self, *options: str, mode: str = ..., env: dict[str, str] | None = ...) -> Client: ...


class Open(Protocol):
    def __call__(self, *options: str, env: dict[str, str] | None = ...) -> AbstractAsyncContextManager[RawClient]: ...


class Program(Protocol):
    def __call__(self, *options: str) -> list[str]: ...


def command(*options: str) -> list[str]:
    """Return a command line that starts the server without importing everything anew: see `fork_server.py`."""
    return forked("-m", "phone_number_mcp", *options)


def fresh_command(*options: str) -> list[str]:
    """Return the command line that starts the server as a client does, for tests of the process itself."""
    return fresh("-m", "phone_number_mcp", *options)


def credentials(upstream: Upstream) -> dict[str, str]:
    """The environment of a server that is configured, and whose platform is `upstream`."""
    return {"ZUDU_API_KEY": KEY, "ZUDU_API_SECRET": SECRET, "ZUDU_BASE_URL": upstream.url}


def environment(own_journal: dict[str, str], **more: str) -> dict[str, str]:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
    return inherited | own_journal | more


def content(result: CallToolResult) -> dict[str, Any]:
    """The JSON of a result; the same in the text and in the structure."""
    (text,) = result.content
    assert isinstance(text, TextContent)
    assert json.loads(text.text) == result.structured_content
    assert "\n" not in text.text
    assert isinstance(result.structured_content, dict)
    return result.structured_content
