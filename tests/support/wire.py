"""A client of raw JSON lines: what goes over the pipes, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from tempfile import TemporaryFile
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

HANDSHAKE = "2025-11-25"
MODERN = "2026-07-28"
PATIENCE = 30.0


class RawClient:
    """The server as a subprocess; `stderr` holds its log once it has ended."""

    def __init__(self, process: Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._lines = BufferedByteReceiveStream(process.stdout)
        self._last_id = 0
        self.stderr = b""
        self.received = b""

    @classmethod
    @asynccontextmanager
    async def started(
        cls, command: list[str], env: Mapping[str, str], *, patience: float = PATIENCE
    ) -> AsyncIterator[RawClient]:
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "SYSTEMROOT") if name in os.environ}
        with TemporaryFile() as log:
            async with await anyio.open_process(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=inherited | dict(env)
            ) as process:
                client = cls(process)
                with anyio.fail_after(patience):
                    yield client
                    await client.end()
            log.seek(0)
            client.stderr = log.read()

    async def send(self, message: Any) -> None:
        await self.send_line(json.dumps(message).encode())

    async def send_line(self, line: bytes) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.send(line + b"\n")

    async def receive(self) -> Any:
        line = await self._lines.receive_until(b"\n", 2**24)
        self.received += line + b"\n"
        return json.loads(line)

    async def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send a request and return the response with its id."""
        return await self.response(await self._request(method, params or {}))

    async def _request(self, method: str, params: dict[str, Any]) -> int:
        self._last_id += 1
        await self.send({"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": params})
        return self._last_id

    async def response(self, id_: int | str) -> dict[str, Any]:
        """Return the response to a request, passing over all else."""
        while True:
            message = await self.receive()
            if message.get("id") == id_ and "method" not in message:
                assert isinstance(message, dict)
                return message

    async def send_call(self, tool: str, arguments: dict[str, Any]) -> int:
        """Call a tool without waiting, and return the request's id."""
        return await self._request("tools/call", {"name": tool, "arguments": arguments})

    async def initialize(self, **capabilities: Any) -> dict[str, Any]:
        """Do the handshake of the era up to 2025-11-25, as a client with the given capabilities."""
        client = {"name": "raw", "version": "0"}
        response = await self.ask(
            "initialize", {"protocolVersion": HANDSHAKE, "capabilities": capabilities, "clientInfo": client}
        )
        await self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return response

    async def ask_modern(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask in the era of 2026-07-28: no handshake, every request says who asks."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "0"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        return await self.ask(method, {**(params or {}), "_meta": meta})

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool after the handshake, and return its result."""
        response = await self.ask("tools/call", {"name": tool, "arguments": arguments})
        result = response["result"]
        assert isinstance(result, dict)
        return result

    async def close_stdin(self) -> None:
        assert self.process.stdin is not None
        await self.process.stdin.aclose()

    async def end(self) -> int:
        """Close stdin, wait for the end, and return the exit status."""
        await self.close_stdin()
        return await self.process.wait()
