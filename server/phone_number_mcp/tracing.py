"""Trace context (https://www.w3.org/TR/trace-context/): passed on to the platform, and what the SDK's spans say of a call.

The SDK opens a span for every message, with the `traceparent` and `tracestate` of its `_meta` as parent. OpenTelemetry is used only
as far as the SDK has imported it; without a provider its spans record nothing, and only carry the context that came in.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_STATE = 512
"""Characters of a `tracestate` that is passed on: what everybody must take (section 3.3.1.5). A longer one is left out."""


def _current_span() -> Any:
    trace = sys.modules.get("opentelemetry.trace")
    return None if trace is None else trace.get_current_span()


def trace_headers() -> dict[str, str]:
    """Return the HTTP headers that make a request to the platform part of the call's trace; none outside of a valid one."""
    span = _current_span()
    context = None if span is None else span.get_span_context()
    if context is None or not context.is_valid:
        return {}
    headers = {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"}
    state = context.trace_state.to_header()
    if state and len(state) <= MAX_STATE and state.isascii() and state.isprintable():
        headers["tracestate"] = state
    return headers


def mark_span(result: Mapping[str, Any], *, writes: bool) -> None:
    """Set on the call's span how it ended: `phone_number_mcp.code` and `phone_number_mcp.outcome`, as in the result.

    Args:
        result: {"data"} or {"error"}, and what is beside it.
        writes: The call was a write.
    """
    span = _current_span()
    if span is None or not span.is_recording():
        return
    error = result.get("error")
    if error is not None:
        span.set_attribute("phone_number_mcp.code", error["code"])
    took_effect = error is None and writes and not result.get("dry_run")
    outcome = "applied" if took_effect else (error or {}).get("outcome")
    if outcome is not None:
        span.set_attribute("phone_number_mcp.outcome", outcome)
