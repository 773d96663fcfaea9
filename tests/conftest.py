"""What the tests share: the event loop, a platform on a real socket, and the real server as a subprocess."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from hypothesis import settings
from mcp import Client
from mcp.client.stdio import StdioServerParameters

from phone_number_mcp.upstream import call
from phone_number_mcp.writes import reconcile
from support.fork_server import end
from support.server import Connect, Open, command
from support.upstream import Upstream
from support.wire import RawClient

# CI draws the same examples every time: what is found there can be found again. Elsewhere each run draws new ones.
settings.register_profile("ci", derandomize=True)
settings.register_profile("quick", max_examples=10, derandomize=True)  # what `make mutants` runs for each mutant
settings.register_profile("thorough", max_examples=200)  # --hypothesis-profile=thorough
if os.environ.get("CI"):
    settings.load_profile("ci")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-goldens", action="store_true", help="write the goldens and the documentation's tables anew"
    )
    parser.addoption(
        "--rounds", type=int, default=10, help="how often several processes attack the journal, a multiple of 10"
    )
    parser.addoption("--fuzz-seconds", default=0, help="how long to go on with inputs that are no messages")
    parser.addoption("--in-process", action="store_true", help="leave out the tests that start a server")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--in-process"):
        starting = [item for item in items if "own_journal" in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=starting)
        items[:] = [item for item in items if item not in starting]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def fork_server() -> Iterator[None]:
    """End what starts servers, if any was started."""
    yield
    end()


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--rounds"))


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream.listening() as listening:
        yield listening


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait hardly at all before trying again or looking again; what is tried and looked at stays the same."""
    monkeypatch.setattr(call, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(reconcile, "LOOK_AGAIN_SECONDS", 0.01)


@pytest.fixture
def own_journal(tmp_path: Path) -> dict[str, str]:
    """The environment that keeps a server's journal out of the user's own."""
    return {"PHONE_NUMBER_MCP_JOURNAL": str(tmp_path / "journal.sqlite3")}


@pytest.fixture
def connect(own_journal: dict[str, str]) -> Connect:
    """Start the real server with the official client, as in `async with connect("--sandbox") as client`."""

    def start(*options: str, mode: str = "auto", env: dict[str, str] | None = None) -> Client:
        program, *arguments = command(*options)
        parameters = StdioServerParameters(command=program, args=arguments, env=own_journal | (env or {}))
        return Client(parameters, mode=mode)

    return start


@pytest.fixture
def raw(own_journal: dict[str, str]) -> Open:
    """Start the real server to speak raw JSON lines, as in `async with raw("--sandbox") as client`."""

    def start(*options: str, env: dict[str, str] | None = None) -> AbstractAsyncContextManager[RawClient]:
        return RawClient.started(command(*options), own_journal | (env or {}))

    return start
