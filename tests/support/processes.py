"""Several real servers at once, as several clients of one user start them, with one journal."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from support.fork_server import gone
from support.server import KEY, SECRET, Program, command
from support.wire import RawClient

PATIENCE = 120.0
CREATE = "create_phone_number"


RETELL = {"PHONE_NUMBER_MCP_PLATFORM": "retell"}


def account(url: str, name: str = "") -> dict[str, str]:
    """The environment of an account on both platforms, whose address is `url`."""
    return {
        "ZUDU_API_KEY": KEY + name,
        "ZUDU_API_SECRET": SECRET + name,
        "ZUDU_BASE_URL": url,
        "RETELL_API_KEY": f"key_{KEY}{name}",
        "RETELL_BASE_URL": url,
    }


@asynccontextmanager
async def servers(*environments: dict[str, str], program: Program = command) -> AsyncIterator[list[RawClient]]:
    """Start a server for each environment, all at once, and end them all."""
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(RawClient.started(program(), env, patience=PATIENCE))
            for env in environments
        ]
        async with anyio.create_task_group() as tasks:
            for client in clients:
                tasks.start_soon(client.initialize)
        yield clients
        for client in clients:
            await client.close_stdin()


async def kill(client: RawClient) -> None:
    """End a server as the kernel does when memory is short: nothing of it runs any more."""
    client.process.kill()
    await client.process.wait()
    await anyio.to_thread.run_sync(gone, client.process.pid)


async def answers(client: RawClient, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return what calls came to, whichever is answered first."""
    found: dict[int, dict[str, Any]] = {}
    while not found.keys() >= set(ids):
        message = await client.receive()
        if "result" in message:
            found[message["id"]] = message["result"]["structuredContent"]
    return [found[id_] for id_ in ids]


async def create(client: RawClient, **arguments: Any) -> dict[str, Any]:
    """Create a number, and return what it came to."""
    content = (await client.call(CREATE, **arguments))["structuredContent"]
    assert isinstance(content, dict)
    return content


async def at_once(clients: Sequence[RawClient], *wishes: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """Have every server create all that is wished for at once; return what each wish came to, by server."""
    results: dict[int, list[dict[str, Any]]] = {}

    async def all_of(place: int) -> None:
        ids = [await clients[place].send_call(CREATE, wish) for wish in wishes]
        results[place] = await answers(clients[place], ids)

    async with anyio.create_task_group() as tasks:
        for place in range(len(clients)):
            tasks.start_soon(all_of, place)
    return [[results[place][wish] for place in range(len(clients))] for wish in range(len(wishes))]


def code(content: dict[str, Any]) -> str | None:
    """The code of an error; None of a success."""
    found: str | None = content["error"]["code"] if "error" in content else None
    return found


async def command_line(*words: str, env: dict[str, str]) -> tuple[int, str, str]:
    """Run a command for people; return its exit status and what it printed."""
    done = await anyio.run_process(command(*words), env=env, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


async def unsettled(env: dict[str, str]) -> list[dict[str, Any]]:
    """What `journal --unsettled` shows."""
    status, shown, said = await command_line("journal", "--json", "--unsettled", env=env)
    assert status == 0, said
    found = json.loads(shown)
    assert isinstance(found, list)
    return found


@contextmanager
def edited(place: Path) -> Iterator[sqlite3.Connection]:
    """Open a journal to change it as no server does."""
    with closing(sqlite3.connect(place, isolation_level=None)) as database:
        yield database


async def until(condition: Callable[[], bool]) -> None:
    """Return as soon as a condition holds."""
    with anyio.fail_after(PATIENCE / 4):
        while not condition():  # it is another process that changes
            await anyio.sleep(0.01)


def rows(place: Path, what: str = "*") -> list[tuple[Any, ...]]:
    """What a journal on disk holds, in the order of the claims."""
    with closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as database:
        return database.execute(f"SELECT {what} FROM writes ORDER BY id").fetchall()
