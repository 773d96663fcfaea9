"""MCP over stdin and stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcp.server.stdio import stdio_server

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server


async def serve(server: Server) -> None:
    """Serve one client until it closes stdin. While it does, nothing else can write to the protocol's stdout."""
    async with stdio_server() as (read_stream, write_stream):
        await server.run(read_stream, write_stream, server.create_initialization_options())
