"""`phone-number-mcp sandbox`: the simulated platforms over HTTP, for curl and for servers that are to be tried."""

from __future__ import annotations

import socket
import sys

import uvicorn

from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.sandbox import create_app


def serve(port: int) -> int:
    """Serve every simulated platform on 127.0.0.1 until interrupted; return an exit status.

    Args:
        port: 0 takes a free one. The address is printed on stdout once connections are accepted.
    """
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        sys.stderr.write(f"phone-number-mcp sandbox: port {port} cannot be used: {error.strerror}. Try --port\n")
        return 1
    listener.listen()  # from here on a connection is taken: whoever reads the address can connect
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    platforms = [load(name) for name in PLATFORMS]
    variables = " or ".join(f"{platform.base_url_variable}={address}" for platform in platforms)
    sys.stdout.write(
        f"The sandbox is at {address} (ctrl-c ends it). Any credentials will do.\nFor the MCP server: {variables}\n"
    )
    sys.stdout.flush()
    app = create_app(route for platform in platforms for route in platform.sandbox())
    uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off", access_log=False)).run(sockets=[listener])
    return 0
