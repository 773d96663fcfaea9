"""The simulated platforms: an ASGI app each, for trying things and for tests. Each has a memory of its own."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from starlette.applications import Starlette

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


def create_app(routes: Iterable[BaseRoute]) -> Starlette:
    """Return simulated platforms as an ASGI app. What is created in them lives as long as the app."""
    return Starlette(routes=list(routes))
