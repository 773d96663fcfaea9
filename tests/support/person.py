"""The person at the client, who answers questions."""

from __future__ import annotations

import anyio
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestFormParams, ElicitRequestParams, ElicitResult


class Person:
    """Answers every question alike, after some seconds, and remembers them."""

    def __init__(self, answer: ElicitResult, takes: float = 0) -> None:
        self._answer = answer
        self._takes = takes
        self.asked: list[str] = []

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        assert context is not None
        assert isinstance(params, ElicitRequestFormParams)
        self.asked.append(params.message)
        await anyio.sleep(self._takes)
        return self._answer
