"""A real HTTP server on a socket that does what a test asks of it, and remembers every request."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import h11
from anyio.abc import SocketStream
from anyio.streams.tls import TLSListener

Answer = Callable[["Request", SocketStream], Awaitable[None]]


@dataclass
class Request:
    method: str
    target: str
    """As it came: still percent-encoded."""
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Upstream:
    """`answer` is what the next request gets; requests are counted when they are whole."""

    url: str
    answer: Answer
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    """That were opened."""
    connected: anyio.Event = field(default_factory=anyio.Event)

    @classmethod
    @asynccontextmanager
    async def listening(cls, tls: ssl.SSLContext | None = None) -> AsyncIterator[Upstream]:
        """Listen on a port that is free; with TLS, as localhost."""
        listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        upstream = cls(
            f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}", reply(500, b"no answer was set")
        )
        if tls:
            listener = TLSListener(listener, tls, standard_compatible=False)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, upstream._serve)
            yield upstream
            tasks.cancel_scope.cancel()
        await listener.aclose()

    async def _serve(self, stream: SocketStream) -> None:
        self.connections += 1
        self.connected.set()
        async with stream:
            while request := await _read_request(stream):
                self.requests.append(request)
                try:
                    await self.answer(request, stream)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    return


async def _read_request(stream: SocketStream) -> Request | None:
    parser = h11.Connection(h11.SERVER)
    head: h11.Request | None = None
    body = b""
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            try:
                parser.receive_data(await stream.receive())
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return None
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            headers = {name.decode().lower(): value.decode() for name, value in head.headers}
            return Request(head.method.decode(), head.target.decode(), headers, body)
        else:
            return None


def http(status: int, body: bytes, **headers: str) -> bytes:
    """The bytes of a whole HTTP/1.1 response; `retry_after="2"` is the header Retry-After."""
    fields = {"content-type": "application/json", "content-length": str(len(body))}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {status} -\r\n{head}\r\n".encode() + body


def reply(status: int, body: Any = b"", **headers: str) -> Answer:
    """Answer with a body: bytes as they are, anything else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def answer(_request: Request, stream: SocketStream) -> None:
        await stream.send(http(status, content, **headers))

    return answer


def drop(after: bytes = b"") -> Answer:
    """Send some bytes and close the connection."""

    async def answer(_request: Request, stream: SocketStream) -> None:
        if after:
            await stream.send(after)
        await stream.aclose()

    return answer


def silence() -> Answer:
    """Never answer."""

    async def answer(_request: Request, _stream: SocketStream) -> None:
        await anyio.sleep_forever()

    return answer


def drip(status: int, body: bytes) -> Answer:
    """Answer one byte at a time, for ever: each read of the client succeeds, and the answer is never whole."""

    async def answer(_request: Request, stream: SocketStream) -> None:
        await stream.send(f"HTTP/1.1 {status} -\r\ncontent-length: 100000\r\n\r\n".encode() + body)
        while True:
            await anyio.sleep(0.02)
            await stream.send(b" ")

    return answer


def having_agents(answer: Answer, *ids: str) -> Answer:
    """Answer Zudu's list of agents with these ids, and all else as given."""
    agents = [{"agent_id": id_, "agent_name": id_} for id_ in ids]
    listed = reply(200, envelope({"agents": agents, "pagination": {"total_pages": 1}}))

    async def answering(request: Request, stream: SocketStream) -> None:
        await (listed if request.target.startswith("/api/agents") else answer)(request, stream)

    return answering


def envelope(
    data: Any = None, *, message: str = "ok", status: str = "success", error: str | None = None
) -> dict[str, Any]:
    """Zudu's envelope."""
    return {"message": message, "status": status, "error": error, "data": data}
