"""One HTTP exchange, against a real server on a socket that misbehaves."""

from __future__ import annotations

import gzip
import json
import re
import threading
import tracemalloc
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from phone_number_mcp import errors
from phone_number_mcp.app import MAX_TEXT
from phone_number_mcp.errors import InvalidReply, TimedOut, ToolError, Unreachable
from phone_number_mcp.sanitize import Sanitizer
from phone_number_mcp.upstream import call as call_module
from phone_number_mcp.upstream.api import Api, ASGIApp, Message
from phone_number_mcp.upstream.reply import MAX_REPLY_BYTES, Reply
from phone_number_mcp.upstream.request import Account
from support.upstream import Upstream, drip, drop, http, reply, silence

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("quick")]
HEADERS = {"X-API-KEY": "sk_abcdef", "X-API-SECRET": "s3cr3t_ghijkl"}
ACCOUNT = Account(HEADERS, tuple(HEADERS.values()))


def api(url: str, timeout: float = 5.0, app: ASGIApp | None = None) -> Api:
    """An Api that returns replies as they were read, without any platform's judgement."""
    return Api(
        base_url=url,
        decipher=lambda answer: answer,
        timeout=timeout,
        app=app,
    )


async def ask(upstream: Upstream, timeout: float = 5.0) -> Reply:
    async with api(upstream.url, timeout) as client:
        answer = await client.call(ACCOUNT).read("/api/phone-numbers/%2B14155550100")
        assert isinstance(answer, Reply)
        return answer


async def write(client: Api, body: dict[str, Any] | None = None) -> None:
    await client.call(ACCOUNT).write("POST", "/api/phone-numbers/create", body or {})


async def test_a_request_carries_both_headers_and_the_path_as_it_was_encoded(upstream: Upstream) -> None:
    upstream.answer = reply(200, {})
    async with api(upstream.url + "/") as client:
        await client.call(ACCOUNT).read("/api/phone-numbers/%2B14155550100", {"limit": 5})
        await write(client, {"nickname": "Zürich"})
        await client.call(ACCOUNT).read("/v2/list-agents", {"limit": 5}, post=True)
    get, post, question = upstream.requests
    assert (question.method, question.target, question.json) == ("POST", "/v2/list-agents?limit=5", {})
    assert (get.method, get.target) == ("GET", "/api/phone-numbers/%2B14155550100?limit=5")
    assert (post.method, post.target, post.json) == ("POST", "/api/phone-numbers/create", {"nickname": "Zürich"})
    for request in (get, post):
        assert request.headers["x-api-key"] == "sk_abcdef"
        assert request.headers["x-api-secret"] == "s3cr3t_ghijkl"
        assert request.headers["user-agent"].startswith("phone-number-mcp/")
    assert post.headers["content-type"] == "application/json"


async def test_nobody_listening_means_nothing_was_sent() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    await listener.aclose()
    async with api(f"http://127.0.0.1:{port}") as client:
        with pytest.raises(Unreachable) as raised:
            await write(client)
    assert raised.value.write_outcome == "not_applied"


async def test_an_unknown_host_means_nothing_was_sent() -> None:
    async with api("https://nobody.invalid") as client:
        with pytest.raises(Unreachable) as raised:
            await write(client)
    assert raised.value.write_outcome == "not_applied"


async def test_a_write_goes_out_once_whatever_comes_back(upstream: Upstream) -> None:
    def judge(answer: Reply) -> Reply:
        if answer.status >= 400 or answer.unreadable:
            raise answer.refusal(errors.refusal(answer.status), "no")
        return answer

    for trouble in (
        drop(),
        reply(500),
        reply(502),
        reply(503),
        reply(429, b"", retry_after="0"),
        reply(200, b"<html>"),
    ):
        upstream.requests.clear()
        upstream.answer = trouble
        async with Api(base_url=upstream.url, decipher=judge, timeout=5) as client:
            with pytest.raises(ToolError):
                await write(client)
        assert len(upstream.requests) == 1


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_question_is_asked_up_to_three_times(upstream: Upstream, status: int) -> None:
    told: list[str] = []

    async def progress(_number: int, why: str) -> None:
        told.append(why)

    def judge(answer: Reply) -> Reply:
        if answer.status >= 400:
            raise answer.refusal(errors.refusal(answer.status), "no")
        return answer

    upstream.answer = reply(status)
    async with Api(base_url=upstream.url, decipher=judge, timeout=5) as client:
        with pytest.raises(errors.refusal(status)):
            await client.call(ACCOUNT, progress).read("/")
    assert len(upstream.requests) == 3
    assert [re.sub(r"[0-9.]+ s", "… s", why) for why in told] == [
        f"waiting … s: {status}, try 2 of 3",
        f"waiting … s: {status}, try 3 of 3",
    ]


async def test_retry_after_is_kept_and_a_wait_beyond_the_deadline_is_not_begun(upstream: Upstream) -> None:
    def judge(answer: Reply) -> Reply:
        raise answer.refusal(errors.refusal(answer.status), "no")

    upstream.answer = reply(503, b"", retry_after="30")
    async with Api(base_url=upstream.url, decipher=judge, timeout=5) as client:
        with anyio.fail_after(4), pytest.raises(errors.PlatformError) as raised:
            await client.call(ACCOUNT).read("/")
    assert raised.value.facts["retry_after_seconds"] == 30
    assert len(upstream.requests) == 1


async def test_a_question_that_fails_once_is_answered_the_second_time(upstream: Upstream) -> None:
    async def answer(request: Any, stream: Any) -> None:
        await (drop() if len(upstream.requests) == 1 else reply(200, {"a": 1}))(request, stream)

    upstream.answer = answer
    assert (await ask(upstream)).body == {"a": 1}
    assert len(upstream.requests) == 2


async def test_a_write_of_which_no_byte_left_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: Any) -> None:  # its name there
            pass

    posts: list[str] = []
    waits: list[float] = []
    server = HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.server_bind()  # bound but not listening: connections are refused
    thread = threading.Thread(target=server.serve_forever)

    def refused_twice_then_listening(_low: float, high: float) -> float:
        waits.append(high)
        if len(waits) == 2:
            server.server_activate()
            thread.start()
        return 0.0

    monkeypatch.setattr("random.uniform", refused_twice_then_listening)
    try:
        async with api(f"http://127.0.0.1:{server.server_port}") as client:
            await write(client)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert len(posts) == 1
    assert waits == [call_module._FIRST_WAIT, 2 * call_module._FIRST_WAIT]  # full jitter below a limit that doubles


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{", b"HTTP/1.1 2"])
async def test_a_connection_that_breaks_after_the_request_leaves_the_outcome_open(
    upstream: Upstream, after: bytes
) -> None:
    upstream.answer = drop(after)
    with pytest.raises(Unreachable) as raised:
        await ask(upstream)
    assert raised.value.write_outcome == "unknown"


async def test_no_answer_in_time_is_a_timeout_whose_outcome_is_open(upstream: Upstream) -> None:
    upstream.answer = silence()
    with pytest.raises(TimedOut, match=r"within 0\.2 s") as raised:
        await ask(upstream, timeout=0.2)
    assert raised.value.write_outcome == "unknown"


async def test_an_answer_that_drips_meets_the_same_deadline(upstream: Upstream) -> None:
    upstream.answer = drip(200, b'{"message"')
    with pytest.raises(TimedOut):
        await ask(upstream, timeout=0.3)


async def test_a_redirect_is_never_followed(upstream: Upstream) -> None:
    async with Upstream.listening() as elsewhere:
        upstream.answer = reply(302, b"", location=f"{elsewhere.url}/steal")
        with pytest.raises(InvalidReply, match="redirect"):
            await ask(upstream)
        assert elsewhere.requests == []
    assert len(upstream.requests) == 1


async def test_a_proxy_from_the_environment_sees_nothing(upstream: Upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Upstream.listening() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        upstream.answer = reply(200, {})
        await ask(upstream)
        assert proxy.requests == []
    assert len(upstream.requests) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"<html>Bad gateway</html>", "it is not JSON"),
        (b'{"message": "Phone', "it is not JSON"),
        (b'{"a": NaN}', "it holds NaN"),
        (b'{"a": -Infinity}', "it holds -Infinity"),
        (b'{"a": 1e999}', "out of range"),
        (b'{"a": ' + b"9" * 100 + b"}", "out of range"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "it is not JSON"),
        (b"[" * 100 + b"]" * 100, "nested too deeply"),
        (b"[" * 200_000 + b"]" * 200_000, "it is not JSON"),
        (b"x" * (MAX_REPLY_BYTES + 1), "larger than 1024 KiB"),
    ],
)
async def test_what_is_no_sound_json_is_unreadable_and_nothing_worse(upstream: Upstream, body: bytes, why: str) -> None:
    upstream.answer = reply(200, body)
    answer = await ask(upstream)
    assert answer.body is None
    assert why in str(answer.unreadable)


async def test_a_reply_of_just_the_limit_is_read(upstream: Upstream) -> None:
    upstream.answer = reply(200, b'"' + b"x" * (MAX_REPLY_BYTES - 2) + b'"')
    assert (await ask(upstream)).unreadable is None


async def test_texts_and_keys_come_as_they_arrived(upstream: Upstream) -> None:
    upstream.answer = reply(
        400, b'\xef\xbb\xbf{"message": "\\u001b[31mkey sk_abcdef \\ud800\\u202e\xff", "sk_abcdef": ["s3cr3t_ghijkl"]}'
    )
    answer = await ask(upstream)
    assert answer.body == {"message": "\x1b[31mkey sk_abcdef \ud800\u202e\ufffd", "sk_abcdef": ["s3cr3t_ghijkl"]}


async def test_a_query_with_what_cannot_be_encoded_is_sent_all_the_same(upstream: Upstream) -> None:
    upstream.answer = reply(200, {})
    async with api(upstream.url) as client:
        await client.call(ACCOUNT).read("/v2/list-phone-numbers", {"pagination_key": "a\ud800 b", "limit": 5})
    assert upstream.requests[0].target == "/v2/list-phone-numbers?pagination_key=a%3F+b&limit=5"


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compression_that_was_not_asked_for_is_undone(upstream: Upstream, encoding: str) -> None:
    packed = gzip.compress(b'{"a": 1}') if encoding == "gzip" else zlib.compress(b'{"a": 1}')
    upstream.answer = reply(200, packed, content_encoding=encoding)
    assert (await ask(upstream)).body == {"a": 1}
    assert upstream.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "encoding", "why"),
    [
        (gzip.compress(b'{"a": 1}', mtime=0)[:-4], "gzip", "compression is broken"),
        (b"not gzip", "gzip", "compression is broken"),
        (b"x", "br", "an encoding that was not asked for"),
    ],
)
async def test_compression_that_cannot_be_undone_is_unreadable(
    upstream: Upstream, body: bytes, encoding: str, why: str
) -> None:
    upstream.answer = reply(200, body, content_encoding=encoding)
    assert why in str((await ask(upstream)).unreadable)


async def test_what_comes_behind_the_compressed_answer_is_not_read(upstream: Upstream) -> None:
    upstream.answer = reply(200, gzip.compress(b'{"a": 1}') + b"\0" * 5_000_000, content_encoding="gzip")
    assert (await ask(upstream)).body == {"a": 1}


async def test_a_cookie_is_not_sent_back(upstream: Upstream) -> None:
    upstream.answer = reply(200, {}, set_cookie="session=1")
    async with api(upstream.url) as client:
        await client.call(ACCOUNT).read("/")
        await client.call(ACCOUNT).read("/")
    assert all("cookie" not in request.headers for request in upstream.requests)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH is not HTTP\r\n\r\n",
        b"HTTP/1.1 302 -\r\nlocation: https://ex ample:abc/\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_what_is_not_http_as_it_should_be_is_an_invalid_reply(upstream: Upstream, answer: bytes) -> None:
    upstream.answer = drop(answer)
    with pytest.raises(InvalidReply):
        await ask(upstream)


async def test_an_address_that_cannot_be_means_nothing_was_sent() -> None:
    async with api("https://xn--a") as client:
        with pytest.raises(Unreachable) as raised:
            await write(client)
    assert raised.value.write_outcome == "not_applied"


async def test_a_compression_bomb_is_cut_at_the_limit_and_never_held_in_memory(upstream: Upstream) -> None:
    upstream.answer = reply(200, gzip.compress(b" " * 300_000_000, 9), content_encoding="gzip")
    tracemalloc.start()
    try:
        answer = await ask(upstream)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "larger than" in str(answer.unreadable)
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0", 0.0), ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0), ("soon", None), ("-1", None),
     ("9" * 400, 86_400.0)],
)  # fmt: skip
async def test_retry_after_is_read_as_seconds_or_as_a_date(
    upstream: Upstream, header: str, seconds: float | None
) -> None:
    async def answer(_request: Any, stream: Any) -> None:
        await stream.send(http(429, b"", **{"retry-after": header}))

    upstream.answer = answer
    assert (await ask(upstream)).retry_after_seconds == seconds


async def test_the_platforms_request_id_is_kept(upstream: Upstream) -> None:
    upstream.answer = reply(500, {}, x_request_id="req-123")
    assert (await ask(upstream)).request_id == "req-123"


hostile = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(alphabet=st.characters(codec=None), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # `quick` sets constants, the same for every example
@given(st.integers(200, 599), st.binary(max_size=200) | hostile.map(lambda value: json.dumps(value).encode()))
def test_whatever_comes_back_is_read_or_refused_and_never_crashes(status: int, body: bytes) -> None:
    async def app(_scope: Message, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": body})

    async def exchange() -> None:
        async with api("http://platform.test", app=app) as client:
            try:
                answer = await client.call(ACCOUNT).read("/")
            except ToolError:
                assert 300 <= status < 400
            else:
                assert answer.status == status
                json.dumps(Sanitizer().json(answer.body, MAX_TEXT), ensure_ascii=False).encode()

    anyio.run(exchange)
