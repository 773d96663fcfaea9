"""Handlers of requests whose failures are protocol errors that say what is wrong, and never show the text of a crash."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import mcp_types as types
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from phone_number_mcp.errors import CRASHES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    Context: TypeAlias = ServerRequestContext[Any, Any]

log = logging.getLogger(__name__)
T = TypeVar("T")
P = TypeVar("P")

MAX_FAULTS = 3
"""How many malformed parameters an error names."""
EARLY = (
    "This connection is not initialized: send `initialize` first. (In protocol version 2026-07-28 there is no handshake: the first "
    f"request of a connection already has params._meta with {types.PROTOCOL_VERSION_META_KEY} and {types.CLIENT_CAPABILITIES_META_KEY}.)"
)
_SDK_EARLY = types.ErrorData(code=types.INVALID_PARAMS, message="Invalid request parameters", data="")
"""What the SDK says to a request before `initialize`; malformed parameters are a `ValidationError`."""


def guarded(handler: Callable[[Context, P], Awaitable[T]]) -> Callable[[Context, P], Awaitable[T]]:
    """Return a handler whose crash is answered without its text: the SDK would show the client the exception's text."""

    async def safe(ctx: Context, params: P) -> T:
        try:
            return await handler(ctx, params)
        except MCPError:
            raise
        except CRASHES as error:
            log.exception("%s failed", ctx.method)
            raise MCPError(code=types.INTERNAL_ERROR, message="Internal error: the server's log says more") from error

    return safe


async def explained(ctx: Context, call_next: CallNext) -> HandlerResult:
    """Handle a request; say what is wrong with one that is malformed, and what to do before one that came too early."""
    try:
        return await call_next(ctx)
    except MCPError as error:
        if error.error == _SDK_EARLY:
            raise MCPError(code=types.INVALID_PARAMS, message=EARLY) from error
        raise
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)[:MAX_FAULTS]
        faults = "; ".join(f"{'.'.join(map(str, each['loc']))[:100]}: {each['msg']}" for each in found)
        raise MCPError(code=types.INVALID_PARAMS, message=f"Invalid request parameters: {faults}") from None


def one_page(params: types.PaginatedRequestParams | None) -> None:
    """Refuse the cursor of a second page: every list of this server has one.

    Raises:
        MCPError: There is a cursor.
    """
    if params is not None and params.cursor is not None:
        raise MCPError(code=types.INVALID_PARAMS, message="Invalid cursor: this list has one page")
