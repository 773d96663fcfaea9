"""The simulated platforms, over HTTP: for curl, for trying things, and for tests on a real socket."""

from __future__ import annotations

import socket
import sys


def serve(port: int) -> int:
    """Serve the simulated platform on 127.0.0.1 until interrupted; return an exit status.

    Args:
        port: 0 takes a free one. The address is printed on stdout once connections are accepted.
    """
    import uvicorn  # noqa: PLC0415  (the embedded sandbox has no server)

    from phone_number_mcp.sandbox.zudu import create_app  # noqa: PLC0415

    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        sys.stderr.write(f"phone-number-mcp sandbox: port {port} cannot be used: {error.strerror}. Try --port\n")
        return 1
    listener.listen()
    # The socket is in the listening state already: whoever reads the address can connect.
    sys.stdout.write(
        f"The sandbox is at http://127.0.0.1:{listener.getsockname()[1]} (ctrl-c ends it). Any X-API-KEY and X-API-SECRET will do.\n"
    )
    sys.stdout.flush()
    config = uvicorn.Config(create_app(), log_level="critical", lifespan="off", access_log=False)
    uvicorn.Server(config).run(sockets=[listener])
    return 0
