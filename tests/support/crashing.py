"""The real server, with tools that do what a library deep down might do. As a script it serves; as a module it is the platform."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

from phone_number_mcp import cli
from phone_number_mcp.platforms import PLATFORMS, zudu
from phone_number_mcp.tool import Success, Tool
from phone_number_mcp.upstream.call import Call


async def leave(_call: Call, _arguments: Any) -> Success:
    sys.exit("the handler leaves")


async def crash(_call: Call, _arguments: Any) -> Success:
    raise ZeroDivisionError("what only the log may tell")


async def interrupt(_call: Call, _arguments: Any) -> Success:
    raise KeyboardInterrupt


async def chatter(_call: Call, _arguments: Any) -> Success:
    print("printed by a library")
    os.write(1, b"written to descriptor 1\n")
    subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)  # as a library would
    child = subprocess.run([sys.executable, "-c", "print(len(input()))"], check=False, stderr=subprocess.PIPE)
    return Success({"child_read_nothing": child.returncode != 0})


async def blurt(_call: Call, arguments: zudu.ImportPhoneNumber) -> Success:
    raise ValueError(f"{arguments.auth_token.get_secret_value()}\u202e is no token")


async def halve(_call: Call, _arguments: Any) -> Success:
    return Success({"half": "a character: \ud83d"})


def _tool(name: str, handler: Any, effect: Any = "reads", arguments: Any = zudu.ListAvailablePhoneNumbers) -> Tool[Any]:
    return Tool(
        name=name,
        title=name,
        description=name,
        arguments=arguments,
        data=zudu.TheNumber,
        handler=handler,
        effect=effect,
    )


PLATFORM = replace(
    zudu.PLATFORM,
    tools=(
        *zudu.PLATFORM.tools,
        *(_tool(handler.__name__, handler) for handler in (leave, crash, interrupt, chatter, halve)),
        _tool("leave_in_a_write", leave, "updates"),
        _tool("blurt", blurt, "reads", zudu.ImportPhoneNumber),
        _tool("blurt_in_a_write", blurt, "updates", zudu.ImportPhoneNumber),
    ),
)

if __name__ == "__main__":
    PLATFORMS["zudu"] = "crashing"
    sys.exit(cli.main())
