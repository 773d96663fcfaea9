"""The simulated platforms on a real socket, with every request written down as it came."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from evals.served import listening
from phone_number_mcp.platforms import load
from phone_number_mcp.sandbox import create_app


@dataclass(frozen=True)
class Recorded:
    method: str
    path: str
    """Still percent-encoded."""
    query: str
    headers: dict[str, str]
    body: Any
    """The JSON; None if there was none."""


@dataclass
class Platform:
    url: str
    requests: list[Recorded] = field(default_factory=list)


@contextmanager
def recorded(platform: str) -> Iterator[Platform]:
    """Serve one simulated platform, new and on a free port."""
    app = create_app(load(platform).sandbox())
    served = Platform("")

    async def recording(scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        assert not message.get("more_body")
        served.requests.append(
            Recorded(
                method=scope["method"],
                path=scope["raw_path"].decode(),
                query=scope["query_string"].decode(),
                headers={name.decode(): value.decode() for name, value in scope["headers"]},
                body=json.loads(message["body"]) if message["body"] else None,
            )
        )
        replayed = [message]

        async def replay() -> Any:
            return replayed.pop() if replayed else await receive()

        await app(scope, replay, send)

    with listening(recording) as served.url:
        yield served
