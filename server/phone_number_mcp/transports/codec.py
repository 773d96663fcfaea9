"""JSON-RPC messages as bytes and back, with the checks that both transports apply before the SDK sees a message.

https://www.jsonrpc.org/specification
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any, NoReturn, TypeAlias, TypedDict, TypeGuard

import mcp_types as types
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

MAX_LINE_BYTES = 4 * 1024 * 1024
"""Size of one message. A tool call takes about 300 bytes."""
MAX_PARTS = 50_000
"""Opening brackets, opening braces and commas in one message. Parsed, 4 MB of `[],` take 200 MB of memory."""
MAX_DEPTH = 64
"""Levels of nesting of one message. A tool call has four, its longest argument two more."""

RequestId: TypeAlias = str | int


class RefusedError(Exception):
    """A line or body that is not a valid message. `error` is the JSON-RPC error to send to the client.

    Args:
        code: JSON-RPC's error code.
        message: What is wrong.
        id: The id of the refused request, if it is certain.
        answers: If the line is a malformed answer, the id of the server's own request that it answers, if it is certain.
    """

    def __init__(
        self,
        code: int,
        message: str,
        id: RequestId | None = None,  # noqa: A002  (JSON-RPC's word)
        answers: RequestId | None = None,
    ) -> None:
        super().__init__(message)
        self.error = types.JSONRPCError(jsonrpc="2.0", id=id, error=types.ErrorData(code=code, message=message))
        self.answers = answers


def parse(line: bytes) -> types.JSONRPCMessage:
    """Return the message in a line.

    Stricter than the SDK and most parsers. Input that two parsers may read differently (a duplicate key, NaN, invalid UTF-8)
    is refused: a client that asked a person to confirm a purchase may have shown another value than the one used here.

    Raises:
        RefusedError: The line is not a valid message; -32700 or -32600 as in
            https://www.jsonrpc.org/specification#error_object.
    """
    if sum(map(line.count, (b"[", b"{", b","))) > MAX_PARTS:
        raise invalid_request(f"a message may have {MAX_PARTS:,} parts at most")
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _depth(line) > MAX_DEPTH:
        raise RefusedError(types.PARSE_ERROR, "Parse error: nested too deeply")
    try:
        value = _DECODER.decode(line.decode())
        if _ESCAPED_SURROGATE.search(line):
            value = _without_surrogates(value)
    except UnicodeDecodeError:
        raise RefusedError(types.PARSE_ERROR, "Parse error: not UTF-8", **_find_id(line)) from None
    except json.JSONDecodeError as error:
        raise RefusedError(types.PARSE_ERROR, f"Parse error: {error.msg}, at character {error.pos}") from None
    except _AmbiguousError as error:
        raise RefusedError(error.code, str(error), **_find_id(line)) from None
    except ValueError:  # https://docs.python.org/3/library/stdtypes.html#integer-string-conversion-length-limitation
        raise RefusedError(types.PARSE_ERROR, "Parse error: a number has too many digits", **_find_id(line)) from None
    return _validated(value)


def _depth(line: bytes) -> int:
    """Return how deeply a line is nested. Python 3.14 decodes any depth, older ones raise RecursionError at a depth of their own."""
    depth = deepest = 0
    for bracket in _BRACKET.finditer(line):
        depth += 1 if bracket[1] in {b"[", b"{"} else -1
        if depth < 0:  # the end, or no JSON: the decoder says where
            break
        deepest = max(deepest, depth)
    return deepest


class _AmbiguousError(Exception):
    """JSON that two parsers may read differently."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _with_unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        duplicate = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        shown = f'"{duplicate}"' if re.fullmatch(r"\w{1,64}", duplicate, re.ASCII) else "a key"
        raise _AmbiguousError(types.INVALID_REQUEST, f"Invalid Request: {shown} is there twice in one object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise _AmbiguousError(types.PARSE_ERROR, f"Parse error: {name} is not JSON")


_BRACKET = re.compile(rb'(?:[^\[\]{}"]++|"(?:[^"\\]++|\\.)*+"?)*+([\[\]{}]|\Z)', re.DOTALL)
"""The next bracket that is in no text, or the end. It always matches, without going back: a line costs no more than its length."""
_DECODER = json.JSONDecoder(object_pairs_hook=_with_unique_keys, parse_constant=_refuse_constant)
_MAX_ID_DIGITS = 40
"""Longer integers are not converted when an id is searched for: above some thousand digits, `int` fails."""
_ESCAPED_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_surrogates(value: Any) -> Any:
    """Return JSON with U+FFFD for each lone surrogate, which UTF-8 cannot encode."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    return value


class _Ids(TypedDict, total=False):
    id: RequestId
    answers: RequestId


def _find_id(line: bytes) -> _Ids:
    """Return the id of a line that is refused, as an argument of `RefusedError`, if it is certain."""
    if len(re.findall(rb'"id"\s*:', line)) != 1:
        return {}
    with suppress(ValueError, RecursionError):
        value = json.loads(
            line.decode(errors="replace"),
            parse_int=lambda digits: int(digits) if len(digits) <= _MAX_ID_DIGITS else None,
        )
        id_ = value.get("id") if isinstance(value, dict) else None
        if isinstance(id_, str):
            id_ = _SURROGATE.sub("\ufffd", id_)
        if _is_id(id_):
            return {"id": id_} if "method" in value else {"answers": id_}
    return {}


def _is_id(value: Any) -> TypeGuard[RequestId]:
    return isinstance(value, str | int) and not isinstance(value, bool)


def _validated(value: Any) -> types.JSONRPCMessage:
    if not isinstance(value, dict):
        raise invalid_request(
            "MCP has no batches; send one message a line" if isinstance(value, list) else "not an object"
        )
    id_ = value.get("id")
    answers = id_ if "method" not in value and _is_id(id_) else None
    if value.get("jsonrpc") != "2.0":
        raise invalid_request('"jsonrpc" must be "2.0"', answers=answers)
    if "method" not in value:
        try:
            return types.jsonrpc_message_adapter.validate_python(value, by_name=False)
        except ValidationError:
            raise invalid_request("neither a request nor an answer", answers=answers) from None
    if "id" in value and not _is_id(id_):
        raise invalid_request('"id" must be a string or an integer')
    if not isinstance(value["method"], str):
        raise invalid_request('"method" must be a string', id_)
    given = {name: value[name] for name in ("method", "params") if name in value}
    if not isinstance(given.get("params", {}), dict):
        raise invalid_request('"params" must be an object', id_)
    if id_ is None:
        return types.JSONRPCNotification(jsonrpc="2.0", **given)
    return types.JSONRPCRequest(jsonrpc="2.0", id=id_, **given)


def invalid_request(what: str, id_: RequestId | None = None, answers: RequestId | None = None) -> RefusedError:
    """Return the refusal of JSON that is no valid message; the arguments are those of `RefusedError`."""
    return RefusedError(types.INVALID_REQUEST, f"Invalid Request: {what}", id_, answers)


def encode(message: types.JSONRPCMessage) -> bytes:
    """Return a message as one line of JSON, with U+FFFD for each lone surrogate."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except (PydanticSerializationError, UnicodeError):  # a lone surrogate in some text
        value = message.model_dump(by_alias=True, exclude_unset=True)
        return to_json(_without_surrogates(value)) + b"\n"


class LineBuffer:
    """Splits what was read into lines. A line that is too long is not kept: only its end is searched for."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._skipping = False

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, chunk: bytes) -> None:
        """Add bytes that were read."""
        self._buffer += chunk

    def pop(self) -> bytes | None:
        """Return the next complete line that is not blank, or None.

        Raises:
            RefusedError: A line is too long. Raised once for each such line.
        """
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            line = bytes(memoryview(self._buffer)[:end])
            del self._buffer[: end + 1]
            self._searched = 0
            if self._skipping:
                self._skipping = False
            elif len(line) > MAX_LINE_BYTES:
                raise too_long()
            elif line.strip():
                return line
        self._searched = len(self._buffer)
        if self._skipping or len(self._buffer) > MAX_LINE_BYTES:
            self._buffer.clear()
            self._searched = 0
            if not self._skipping:
                self._skipping = True
                raise too_long()
        return None


def too_long() -> RefusedError:
    """Return the refusal of a message above `MAX_LINE_BYTES`."""
    return invalid_request(f"a message may have {MAX_LINE_BYTES // 1024 // 1024} MiB at most")
