"""The stdio transport as it is: the real process, at pipes, files, sockets and terminals, with clients that do what they should not."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest
from anyio.abc import SocketStream

from phone_number_mcp.writes.maintenance import entries
from support.fork_server import forked, fresh
from support.messages import INITIALIZE, INITIALIZED, NUMBER, answers, get, lines, request, session, started
from support.places import SUPPORT
from support.processes import until
from support.server import Open, Program, command, credentials, environment, fresh_command
from support.upstream import Request, Upstream, envelope, reply
from support.wire import RawClient

if sys.platform == "win32":
    pytest.skip("what is tested are signals, descriptors and pipes of a POSIX system", allow_module_level=True)

pytestmark = pytest.mark.anyio
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
MIB = 1024 * 1024


SERVER = ("-m", "phone_number_mcp")


@pytest.fixture(params=[(), (str(SUPPORT / "threaded.py"),)], ids=["loop", "threads"])
def before(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """What stands before a program's arguments, so that the event loop waits for the pipes, or threads do, as on Windows."""
    words: tuple[str, ...] = request.param
    return words


@pytest.fixture
def program(before: tuple[str, ...]) -> Program:
    """The server's command line."""
    return lambda *options: forked(*before, *SERVER, *options)


@pytest.fixture
def fresh_program(before: tuple[str, ...]) -> Program:
    """The same, started as a client starts it: for what a process inherits, its memory, and its start."""
    return lambda *options: fresh(*before, *SERVER, *options)


@pytest.fixture
def raw(program: Program, own_journal: dict[str, str]) -> Open:
    """As the fixture of this name elsewhere, in either way."""
    return lambda *options, env=None: RawClient.started(program(*options), own_journal | (env or {}))


@pytest.fixture
def fresh_raw(fresh_program: Program, own_journal: dict[str, str]) -> Open:
    """The same, started as a client starts it."""
    return lambda *options, env=None: RawClient.started(fresh_program(*options), own_journal | (env or {}))


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process has a handler for a signal."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt")]
    return bool(int(line.split()[1], 16) & 1 << (number - 1))


class Slow:
    """An upstream that answers after a while."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.reached = anyio.Event()

    async def __call__(self, request: Request, stream: SocketStream) -> None:
        self.reached.set()
        await anyio.sleep(self.seconds)
        number = request.json["phone_number"] if request.body else NUMBER
        await reply(200, envelope({"phone_number": number}))(request, stream)


class Crowd:
    """An upstream that answers nobody until so many requests are there at once, and then after a while."""

    def __init__(self, size: int, seconds: float = 0) -> None:
        self._size = size
        self._seconds = seconds
        self.complete = anyio.Event()
        self._now = 0
        self.most = 0

    async def __call__(self, request: Request, stream: SocketStream) -> None:
        self._now += 1
        self.most = max(self.most, self._now)
        if self._now == self._size:
            self.complete.set()
        await self.complete.wait()
        await anyio.sleep(self._seconds)
        await reply(200, envelope({"phone_number": NUMBER}))(request, stream)
        self._now -= 1


# --- answers and ids that do not fit ----------------------------------------------------------------------------------


async def test_answers_that_nobody_asked_for_are_passed_over(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        await client.send({"jsonrpc": "2.0", "id": 99, "result": {}})
        await client.send({"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "no"}})
        await client.send(request("next"))
        assert (await client.receive())["id"] == "next"


@pytest.mark.parametrize(
    "rest",
    [b"", b', "result": "yes"', b', "error": "no"', b', "result": {"action": "accept", "action": "decline"}'],
)
async def test_a_malformed_answer_ends_the_wait_for_it(raw: Open, upstream: Upstream, rest: bytes) -> None:
    async with raw("--confirm", "always", env=credentials(upstream)) as client:
        await client.initialize(elicitation={})
        call = await client.send_call("create_phone_number", {"phone_number": "+14155550120"})
        question = await client.receive()
        await client.send_line(b'{"jsonrpc": "2.0", "id": %d%s}' % (question["id"], rest))
        refusal = await client.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        assert (await client.response(call))["result"]["structuredContent"]["error"]["code"] == "declined"
    assert upstream.requests == []


async def test_two_requests_with_one_id_are_not_both_run(raw: Open, upstream: Upstream) -> None:
    upstream.answer = Slow(0.3)
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        # The SDK takes "7" for 7: it would cancel the one for the other.
        await client.send_line(lines(get(7), get(7, phone_number="+14155550101"), get("7")).rstrip())
        for _ in range(2):
            refusal = await client.receive()
            assert refusal["id"] is None  # with the id, it would be taken for the answer to the first
            assert refusal["error"]["code"] == -32600
            assert "under way" in refusal["error"]["message"]
        assert "result" in await client.response(7)
        await client.send(get("7"))  # answered: the id is free again
        assert (await client.receive())["id"] == "7"
    assert [asked.target.rpartition("/")[2] for asked in upstream.requests] == ["%2B14155550100"] * 2


# --- too much ---------------------------------------------------------------------------------------------------------


def peak(pid: int) -> int:
    """The most memory that a process has had, in bytes."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


async def test_a_line_is_served_up_to_the_limit_and_refused_above_it(raw: Open) -> None:
    async with raw("--sandbox") as client:
        await client.initialize()
        line = json.dumps(request("big", pad="")).encode()
        padded = line.replace(b'"pad": "', b'"pad": "' + b"x" * (4 * MIB - len(line)))
        assert len(padded) == 4 * MIB
        await client.send_line(padded)
        assert (await client.receive())["id"] == "big"
        await client.send_line(padded.replace(b"x", b"xx", 1))
        refusal = await client.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        assert "4 MiB" in refusal["error"]["message"]
        assert (await client.ask("ping"))["result"] == {}


@LINUX
@pytest.mark.parametrize("part", ["[]", "{}", "1"])
async def test_a_line_that_would_become_much_more_in_memory_is_refused(fresh_raw: Open, part: str) -> None:
    async with fresh_raw("--sandbox") as client:
        await client.initialize()
        before = peak(client.process.pid)
        await client.send_line(
            f'{{"jsonrpc": "2.0", "id": 1, "method": "ping", "params": {{"x": [{part}'.encode()
            + f",{part}".encode() * MIB
            + b"]}}"
        )
        refusal = await client.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        assert "50,000 parts" in refusal["error"]["message"]
        assert peak(client.process.pid) - before < 40 * MIB


@LINUX
async def test_an_endless_line_is_refused_once_and_not_kept(fresh_raw: Open) -> None:
    async with fresh_raw("--sandbox") as client:
        await client.initialize()
        before = peak(client.process.pid)
        assert client.process.stdin is not None
        for _ in range(200):
            await client.process.stdin.send(b"x" * MIB)
        await client.send_line(b"")
        refusal = await client.receive()
        assert (refusal["id"], refusal["error"]["code"]) == (None, -32600)
        assert (await client.ask("ping"))["result"] == {}
        assert peak(client.process.pid) - before < 20 * MIB


async def test_a_thousand_calls_at_once_are_all_answered_by_at_most_64_connections(
    raw: Open, upstream: Upstream
) -> None:
    upstream.answer = crowd = Crowd(64)
    async with raw(env=credentials(upstream)) as client, anyio.create_task_group() as tasks:
        await client.initialize()
        tasks.start_soon(client.send_line, lines(*(get(n) for n in range(1000))).rstrip())
        ids = set()
        for _ in range(1000):
            answer = await client.receive()
            assert answer["result"]["structuredContent"] == {"data": {"phone_number": NUMBER}}
            ids.add(answer["id"])
    assert ids == set(range(1000))
    assert crowd.most == 64


async def test_a_call_that_waits_its_turn_can_be_cancelled_and_is_never_sent(raw: Open, upstream: Upstream) -> None:
    release = anyio.Event()

    async def answer(request: Request, stream: SocketStream) -> None:
        await release.wait()
        await reply(200, envelope({"phone_number": NUMBER}))(request, stream)

    upstream.answer = answer
    many = [get(n) for n in range(300)]  # more than run at once
    create = request("buy", "tools/call", name="create_phone_number", arguments={"phone_number": "+14155550120"})
    cancel = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": "buy"}}
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        await client.send_line(lines(*many, create, cancel) + b"no message")
        assert (await client.receive())["error"]["code"] == -32700  # so all before it was read
        release.set()
        assert {(await client.receive())["id"] for _ in range(300)} == {*range(300)}
        assert (await client.ask("ping"))["result"] == {}
    assert {asked.method for asked in upstream.requests} == {"GET"}


def fill(fd: int, data: bytes) -> int:
    """Write until nothing is taken for a while; return how much was."""
    os.set_blocking(fd, False)
    written = 0
    while written < len(data) and select.select([], [fd], [], 1.0)[1]:
        written += os.write(fd, data[written : written + 65536])
    return written


@contextmanager
def held_back(program: Program, own_journal: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the server with a client that asks and asks, and reads nothing, until the server takes in no more."""
    with started(program, own_journal, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        while not catches(process.pid, signal.SIGHUP):  # it has begun: what is not taken from now on is held back
            assert process.poll() is None
        data = session(*(request(n, "tools/list") for n in range(20_000)))
        written = fill(process.stdin.fileno(), data)
        assert written < len(data) / 2  # the rest stays with the client
        assert peak(process.pid) < 130 * MIB
        yield process


@LINUX
@pytest.mark.parametrize("how", ["it goes", signal.SIGTERM])
def test_a_client_that_reads_nothing_is_held_back_and_does_not_hold_the_server(
    fresh_program: Program, own_journal: dict[str, str], how: Any
) -> None:
    with held_back(fresh_program, own_journal) as process:
        if isinstance(how, signal.Signals):
            process.send_signal(how)
        else:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.close()
            process.stdout.close()
        assert process.wait(30) == (128 + how if isinstance(how, signal.Signals) else 0)


@LINUX
def test_the_end_of_stdin_is_seen_behind_what_is_not_read_where_the_event_loop_sees_it(
    own_journal: dict[str, str],
) -> None:
    with held_back(fresh_command, own_journal) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 0


async def test_a_client_that_reads_slowly_gets_every_answer(program: Program, own_journal: dict[str, str]) -> None:
    count = 300
    with started(program, own_journal, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(session(*(request(n, "tools/list") for n in range(count))))
        process.stdin.flush()
        assert not select.select([process.stdin], [], [], 0)[0]
        received = b""
        while received.count(b"\n") < count + 1:
            received += os.read(process.stdout.fileno(), 4096)
        assert answers(received).keys() == {"init", *range(count)}


def close_stdout(process: subprocess.Popen[bytes], asked: bytes) -> None:
    """Be a client that shakes hands, closes stdout, and asks for something all the same."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines(INITIALIZE))
    process.stdin.flush()
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write(asked)
    process.stdin.flush()


PIPES: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)


def test_a_client_that_closes_stdout_is_gone_at_the_next_answer(program: Program, own_journal: dict[str, str]) -> None:
    with started(program, own_journal, **PIPES) as process:
        close_stdout(process, lines(INITIALIZED, request(1), request(2)))
        assert process.stderr is not None
        assert process.wait(30) == 0  # stdin is still open
        assert process.stderr.read() == b""


def test_a_client_that_closes_stdout_is_gone_at_once_where_the_event_loop_sees_it(own_journal: dict[str, str]) -> None:
    with started(command, own_journal, **PIPES) as process:
        close_stdout(process, b"")
        assert process.stderr is not None
        assert process.wait(30) == 0
        assert process.stderr.read() == b""


def test_a_log_that_nobody_reads_does_not_stop_the_server(program: Program, own_journal: dict[str, str]) -> None:
    options = ["--sandbox", "--log-level", "debug"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with started(program, own_journal, options=options, **pipes) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        for message in [INITIALIZE, *(get(n) for n in range(2000))]:
            process.stdin.write(lines(message))
            process.stdin.flush()
            assert process.stdout.readline()
        begun = os.read(process.stderr.fileno(), 1_000_000)  # what a pipe holds
        assert begun.count(b"GET /api/phone-numbers") < 2000
        process.stdin.write(lines(get("more")))
        process.stdin.flush()
        assert process.stdout.readline()
        process.stdin.close()
        assert process.wait(30) == 0
        assert b"nobody read" in process.stderr.read()


# --- the end ----------------------------------------------------------------------------------------------------------


async def test_what_is_under_way_at_the_end_of_stdin_is_answered(
    program: Program, upstream: Upstream, own_journal: dict[str, str]
) -> None:
    upstream.answer = Slow(0.4)
    create = {"phone_number": "+14155550120"}
    asked = session(get(1), request(2, "tools/call", name="create_phone_number", arguments=create), get(3))
    env = environment(own_journal, **credentials(upstream))
    ended = await anyio.run_process(program(), input=asked.rstrip(b"\n"), env=env, check=False)
    assert (ended.returncode, ended.stderr) == (0, b"")
    replies = answers(ended.stdout)
    assert replies.keys() == {"init", 1, 2, 3}
    assert replies[1]["result"]["structuredContent"] == {"data": {"phone_number": NUMBER}}
    assert replies[3]["result"]["structuredContent"] == {"data": {"phone_number": NUMBER}}


@pytest.mark.parametrize("count", [2, 400, 2500])
async def test_what_takes_too_long_after_the_end_of_stdin_is_given_up(
    program: Program, upstream: Upstream, own_journal: dict[str, str], count: int
) -> None:
    upstream.answer = Slow(60)
    env = environment(own_journal, **credentials(upstream))
    ended = await anyio.run_process(
        program(), input=session(*(get(n) for n in range(count)), request("last")), env=env, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    replies = answers(ended.stdout)
    assert replies.keys() == {"init", *range(count), "last"}  # those that had not begun, too
    assert {replies[n]["error"]["code"] for n in range(count)} == {-32000}


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("at", ["start", "call"])
async def test_a_signal_ends_it_at_once_and_quietly(
    raw: Open, upstream: Upstream, stop: signal.Signals, at: str
) -> None:
    upstream.answer = slow = Slow(60)
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        if at == "call":
            await client.send(get(1))
            await slow.reached.wait()
        client.process.send_signal(stop)
        with anyio.fail_after(20):  # the call would take 25 seconds
            assert await client.process.wait() == 128 + stop
    assert client.stderr == b""


async def test_a_second_signal_does_not_cut_off_what_the_first_lets_finish(raw: Open, upstream: Upstream) -> None:
    upstream.answer = slow = Slow(0.5)
    create = request("buy", "tools/call", name="create_phone_number", arguments={"phone_number": "+14155550120"})
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        await client.send(create)
        await slow.reached.wait()
        for stop in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            client.process.send_signal(stop)
        assert "data" in (await client.response("buy"))["result"]["structuredContent"]
        assert await client.process.wait() in {128 + signal.SIGTERM, 128 + signal.SIGINT, 128 + signal.SIGHUP}
    assert client.stderr == b""


async def test_after_a_signal_nothing_is_begun(raw: Open, upstream: Upstream) -> None:
    upstream.answer = slow = Slow(0.5)

    def create(n: int) -> dict[str, Any]:
        return request(n, "tools/call", name="create_phone_number", arguments={"phone_number": f"+141555501{n:02}"})

    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        await client.send(create(20))
        await slow.reached.wait()
        client.process.send_signal(signal.SIGTERM)
        while "result" in (refusal := await client.ask("ping")):  # until it has noticed
            pass
        assert refusal["error"]["code"] == -32000
        await client.send(create(21))
        by_id = {answer["id"]: answer for answer in [await client.receive(), await client.receive()]}
        assert await client.process.wait() == 128 + signal.SIGTERM
    assert "data" in by_id[20]["result"]["structuredContent"]
    assert by_id[21]["error"]["code"] == -32000
    assert [asked.json["phone_number"] for asked in upstream.requests] == ["+14155550120"]


async def test_writes_that_never_left_when_the_server_ends_are_noted_as_without_effect(
    raw: Open, upstream: Upstream, own_journal: dict[str, str]
) -> None:
    upstream.answer = crowd = Crowd(64, seconds=60)
    creates = [
        request(n, "tools/call", name="create_phone_number", arguments={"phone_number": f"+1415555{n:04}"})
        for n in range(100, 200)
    ]
    async with raw(env=credentials(upstream)) as client:
        await client.initialize()
        await client.send_line(lines(*creates).rstrip())
        with anyio.fail_after(20):
            await crowd.complete.wait()
        client.process.send_signal(signal.SIGTERM)
        assert await client.process.wait() == 128 + signal.SIGTERM
    left = {asked.json["phone_number"] for asked in upstream.requests}
    noted = entries(own_journal["PHONE_NUMBER_MCP_JOURNAL"])
    assert {entry.phone_number for entry in noted if entry.outcome != "not_applied"} == left


@pytest.mark.parametrize("ignored", [signal.SIGHUP, signal.SIGINT])
async def test_a_signal_that_is_ignored_from_the_start_stays_so(
    fresh_program: Program, own_journal: dict[str, str], ignored: signal.Signals
) -> None:
    shell = [
        "/bin/sh",
        "-c",
        f"trap '' {ignored.name.removeprefix('SIG')}; exec \"$@\"",
        "sh",
        *fresh_program("--sandbox"),
    ]
    async with RawClient.started(shell, own_journal) as client:
        await client.initialize()
        client.process.send_signal(ignored)
        assert (await client.ask("ping"))["result"] == {}


@LINUX
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_during_the_start_ends_it_quietly(
    fresh_program: Program, own_journal: dict[str, str], stop: signal.Signals
) -> None:
    with started(
        fresh_program, own_journal, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        while not catches(process.pid, signal.SIGHUP):  # the last one that the command takes, before it loads the rest
            assert process.poll() is None
        process.send_signal(stop)
        assert process.wait(30) == 128 + stop
        assert process.stderr.read() + process.stdout.read() == b""


async def test_what_waits_for_an_answer_of_the_client_does_not_jam_the_rest(raw: Open, upstream: Upstream) -> None:
    """With `--confirm always`, more creates than the server takes in, and then the answers to its questions."""
    creates = [
        request(f"create {n}", "tools/call", name="create_phone_number", arguments={"phone_number": f"+1415555{n:04}"})
        for n in range(2100)
    ]
    hello = json.loads(json.dumps(INITIALIZE))
    hello["params"]["capabilities"] = {"elicitation": {}}
    async with raw("--confirm", "always", env=credentials(upstream)) as client, anyio.create_task_group() as tasks:
        await client.send(hello)
        await client.response("init")
        await client.send(INITIALIZED)
        tasks.start_soon(client.send_line, lines(*creates).rstrip())
        questions = [await client.receive() for _ in range(256)]
        assert {question["method"] for question in questions} == {"elicitation/create"}
        no = [{"jsonrpc": "2.0", "id": each["id"], "result": {"action": "decline"}} for each in questions]
        tasks.start_soon(client.send_line, lines(*no).rstrip())
        answered = 0
        while answered < 256:
            message = await client.receive()
            answered += "result" in message
        await client.close_stdin()
        tasks.cancel_scope.cancel()
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("tool", "told"), [("leave", "SystemExit"), ("crash", "ZeroDivisionError"), ("interrupt", "KeyboardInterrupt")]
)
async def test_a_tool_that_crashes_or_leaves_costs_one_call(
    before: tuple[str, ...], own_journal: dict[str, str], upstream: Upstream, tool: str, told: str
) -> None:
    async with crashing(before, own_journal, upstream) as client:
        await client.initialize()
        error = (await client.call(tool))["structuredContent"]["error"]
        assert (error["code"], error["retryable"]) == ("internal", False)
        assert "only the log" not in json.dumps(error)
        assert (await client.ask("ping"))["result"] == {}
    assert told in client.stderr.decode()


async def test_a_write_that_leaves_costs_one_call(
    before: tuple[str, ...], own_journal: dict[str, str], upstream: Upstream
) -> None:
    async with crashing(before, own_journal, upstream) as client:
        await client.initialize()
        error = (await client.call("leave_in_a_write"))["structuredContent"]["error"]
        assert (error["code"], error["outcome"]) == ("internal", "not_applied")  # it left before it sent anything
        assert (await client.ask("ping"))["result"] == {}


@pytest.mark.parametrize("tool", ["blurt", "blurt_in_a_write"])
async def test_a_crash_that_tells_a_secret_among_the_arguments_is_logged_without_it(
    before: tuple[str, ...], own_journal: dict[str, str], upstream: Upstream, tool: str
) -> None:
    given = {"phone_number": "+14155550120", "provider": "twilio", "account_sid": "AC1", "auth_token": "hush-hush"}
    async with crashing(before, own_journal, upstream) as client:
        await client.initialize()
        await client.call(tool, **given)
    assert "[secret] is no token" in client.stderr.decode()
    assert b"hush-hush" not in client.stderr + client.received


async def test_half_a_character_in_a_result_is_written_as_a_replacement(
    before: tuple[str, ...], own_journal: dict[str, str], upstream: Upstream
) -> None:
    async with crashing(before, own_journal, upstream) as client:
        await client.initialize()
        response = await client.ask("tools/call", {"name": "halve", "arguments": {}})
        assert "\ud83d" not in json.dumps(response)
        assert (await client.ask("ping"))["result"] == {}


async def test_nothing_but_the_protocol_gets_to_stdout(
    before: tuple[str, ...], own_journal: dict[str, str], upstream: Upstream
) -> None:
    async with crashing(before, own_journal, upstream) as client:
        await client.initialize()
        assert (await client.call("chatter"))["structuredContent"]["data"] == {"child_read_nothing": True}
    for text in ("printed by a library", "written to descriptor 1", "printed by a child"):
        assert text in client.stderr.decode()
        assert text not in client.received.decode()


def crashing(before: tuple[str, ...], own_journal: dict[str, str], upstream: Upstream) -> Any:
    return RawClient.started(forked(*before, str(SUPPORT / "crashing.py")), own_journal | credentials(upstream))


# --- what was handed over ---


@contextmanager
def stdout_of(kind: str, tmp_path: Path) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """Yield a descriptor for the server's stdout, and what reads the other end of it."""
    if kind == "file":
        with (tmp_path / "out").open("wb") as file:
            yield file.fileno(), (tmp_path / "out").read_bytes
        return
    ours, theirs = os.openpty() if kind == "terminal" else os.pipe()
    try:
        yield theirs, lambda: os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize("kind", ["pipe", "file", "terminal"])
async def test_a_write_is_acknowledged_once_its_answer_is_handed_over(
    program: Program, upstream: Upstream, own_journal: dict[str, str], tmp_path: Path, kind: str
) -> None:
    upstream.answer = Slow(0)
    create = request("buy", "tools/call", name="create_phone_number", arguments={"phone_number": "+14155550120"})
    journal = own_journal["PHONE_NUMBER_MCP_JOURNAL"]
    with (
        stdout_of(kind, tmp_path) as (sink, read),
        started(
            program,
            own_journal,
            options=[],
            env=credentials(upstream),
            stdin=subprocess.PIPE,
            stdout=sink,
            stderr=subprocess.PIPE,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(session(create))
        process.stdin.flush()
        received = b""
        while b'"buy"' not in received:
            received += await anyio.to_thread.run_sync(read)
        await until(lambda: [entry.acknowledged for entry in entries(journal)] == [True])  # the process goes on
        process.stdin.close()
        assert await anyio.to_thread.run_sync(process.wait, 30) == 0
        assert process.stderr.read() == b""


# --- what stdin and stdout may be -------------------------------------------------------------------------------------


def test_files_are_served(program: Program, own_journal: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(session(*(get(n) for n in range(3000))))
    with (
        (tmp_path / "in").open("rb") as source,
        (tmp_path / "out").open("wb") as sink,
        started(program, own_journal, stdin=source, stdout=sink) as process,
    ):
        assert process.wait(60) == 0
    replies = answers((tmp_path / "out").read_bytes())
    assert replies.keys() == {"init", *range(3000)}


@pytest.mark.parametrize("streams", [("stdin",), ("stdout",), ("stdin", "stdout", "stderr")])
def test_the_null_device_is_nobody(program: Program, own_journal: dict[str, str], streams: tuple[str, ...]) -> None:
    null = dict.fromkeys(streams, subprocess.DEVNULL)
    with started(program, own_journal, **({"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} | null)) as process:
        if process.stdin is not None:
            process.stdin.write(session(request(1)))
            process.stdin.close()
        assert process.wait(30) == 0
        assert process.stdout is None or process.stdout.read() == b""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_from_the_start_do_no_harm(
    fresh_program: Program, own_journal: dict[str, str], closed: str
) -> None:
    line = f"exec {' '.join(fresh_program('--sandbox'))} {closed}"
    ended = subprocess.run(
        ["/bin/sh", "-c", line],
        input=session(request(1)),
        capture_output=True,
        env=environment(own_journal),
        timeout=30,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout == b"" or answers(ended.stdout).keys() == {"init", 1}
    assert bool(ended.stdout) == (closed == "2>&-")


def test_sockets_are_served_and_left_as_they_were(program: Program, own_journal: dict[str, str]) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, started(program, own_journal, stdin=theirs, stdout=theirs) as process:
        ours.sendall(session(*(request(n, "tools/list") for n in range(50))))
        ours.shutdown(socket.SHUT_WR)
        received = b""
        while received.count(b"\n") < 51:
            received += ours.recv(65536)
        assert process.wait(30) == 0
        assert os.get_blocking(theirs.fileno())
    assert answers(received).keys() == {"init", *range(50)}


def test_a_pipe_that_others_share_is_left_as_it_was(program: Program, own_journal: dict[str, str]) -> None:
    reader, writer = os.pipe()
    try:
        with started(program, own_journal, stdin=subprocess.DEVNULL, stdout=writer) as process:
            assert process.wait(30) == 0
        assert os.get_blocking(writer)
    finally:
        os.close(reader)
        os.close(writer)


def test_whoever_starts_it_at_a_terminal_is_told_what_it_waits_for(
    program: Program, own_journal: dict[str, str]
) -> None:
    ours, theirs = os.openpty()
    try:
        with started(
            program,
            own_journal,
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            told = process.stderr.readline()
            assert b"waits for an MCP client" in told
            assert b"phone-number-mcp doctor" in told
            assert b"phone-number-mcp demo" in told
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 143
            assert process.stdout.read() + process.stderr.read() == b""
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_terminal_is_served(program: Program, own_journal: dict[str, str]) -> None:
    import pty  # not on Windows
    import tty

    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    try:
        with started(program, own_journal, stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL) as process:
            os.write(ours, session(request(1)))
            received = b""
            while received.count(b"\n") < 2:
                received += os.read(ours, 65536)
            assert answers(received).keys() == {"init", 1}
            process.send_signal(signal.SIGTERM)  # while it reads the terminal
            assert process.wait(30) == 143
    finally:
        os.close(ours)
        os.close(theirs)
