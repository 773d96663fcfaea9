"""A platform as unlike the others as the contract allows, and its sandbox: it shows that one module and one line are enough.

Numbers are addressed by an id, names are camelCase, bodies are forms, lists are bare arrays, credentials have no prefix and
go as HTTP Basic, there are no agents, a deleted number leaves an empty answer, and errors are lists.
"""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from phone_number_mcp.e164 import E164
from phone_number_mcp.errors import AlreadyExists, NotFound, refusal
from phone_number_mcp.platforms import Platform
from phone_number_mcp.platforms.lists import Brief, ListArguments, ListedNumbers, NumberList, list_numbers
from phone_number_mcp.platforms.numbers import (
    CreateArguments,
    DeleteArguments,
    DryRun,
    IdempotencyKey,
    UpdateArguments,
    creating,
    find,
)
from phone_number_mcp.platforms.pages import Page, Query, pages
from phone_number_mcp.sandbox.trouble import REHEARSALS
from phone_number_mcp.tool import Arguments, Data, Success, Tool
from phone_number_mcp.upstream.call import Call
from phone_number_mcp.upstream.reply import Reply
from phone_number_mcp.upstream.request import as_form

Label = Annotated[str | None, Field(serialization_alias="friendlyName", description="What people call it")]


class GetNumber(Arguments):
    phone_number: Annotated[E164, Field(description="E.164")]


class CreateNumber(CreateArguments):
    phone_number: Annotated[E164, Field(serialization_alias="phoneNumber", description="E.164")]
    nickname: Label = None
    idempotency_key: IdempotencyKey = None
    dry_run: DryRun = None


class UpdateNumber(UpdateArguments):
    phone_number: Annotated[E164, Field(description="E.164")]
    nickname: Label = None
    clear_fields: Annotated[list[Literal["nickname"]] | None, Field(description="What to empty")] = None
    dry_run: DryRun = None


class DeleteNumber(DeleteArguments):
    bindings = ()
    shown = ()

    phone_number: Annotated[E164, Field(description="E.164")]
    confirm_phone_number: Annotated[E164, Field(description="The same number again")]
    dry_run: DryRun = None


class Number(Data):
    id: str | None = None
    phoneNumber: str | None = None  # the platform's own name
    friendlyName: str | None = None


def authorize(credentials: Mapping[str, str]) -> dict[str, str]:
    pair = f"{credentials['ODD_ACCOUNT']}:{credentials['ODD_TOKEN']}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def decipher(reply: Reply) -> Any:
    if reply.status < 400:
        return {} if reply.status == 204 else reply.body
    words = "; ".join(reply.body) if isinstance(reply.body, list) else ""
    raise reply.refusal(AlreadyExists if "already" in words else refusal(reply.status), words)


def recognizes(body: Any) -> bool:
    return isinstance(body, list)


def number_in(data: Mapping[str, Any]) -> str | None:
    return data.get("phoneNumber")


async def _page(call: Call, query: Query, _size: int, _cursor: str | None) -> Page:
    return Page(await call.read("/lines", query))


async def fetch_number(call: Call, phone_number: str) -> dict[str, Any]:
    number = await find(pages(_page, call, {"phoneNumber": phone_number}), phone_number, number_in)
    if number is None:
        raise NotFound(f"There is no line {phone_number}")
    return number


async def find_number(call: Call, phone_number: str) -> dict[str, Any] | None:
    return await find(pages(_page, call), phone_number, number_in)


async def get(call: Call, arguments: GetNumber) -> Success:
    return Success(await fetch_number(call, arguments.phone_number))


async def create(call: Call, arguments: CreateNumber) -> Success:
    write = call.write("POST", "/lines", arguments.body())
    number = arguments.phone_number
    return Success(await creating(write, number, lambda: fetch_number(call, number), number_in))


async def update(call: Call, arguments: UpdateNumber) -> Success:
    number = await fetch_number(call, arguments.phone_number)
    return Success(await call.write("PATCH", f"/lines/{number['id']}", arguments.body()))


async def delete(call: Call, arguments: DeleteNumber) -> Success:
    number = await fetch_number(call, arguments.phone_number)
    arguments.refuse_if_bound(number, number_in)
    return Success(await call.write("DELETE", f"/lines/{number['id']}"))


def _brief(line: Mapping[str, Any]) -> Brief:
    return Brief(line["phoneNumber"], nickname=line["friendlyName"])


async def list_(call: Call, arguments: ListArguments) -> Success:
    return await list_numbers(call, NumberList(_page, None, _brief), arguments)


# --- the sandbox ------------------------------------------------------------------------------------------------------


class _Odd:
    def __init__(self) -> None:
        self._ids = count(1)
        self._lines: dict[str, dict[str, Any]] = {}
        for phone_number in ("+14155550100", "+14155550102"):
            self._add(phone_number, "Front desk")

    def _add(self, phone_number: str, label: str | None) -> dict[str, Any]:
        id_ = f"line{next(self._ids)}"
        self._lines[id_] = {"id": id_, "phoneNumber": phone_number, "friendlyName": label}
        return self._lines[id_]

    def _of(self, phone_number: str) -> list[dict[str, Any]]:
        return [line for line in self._lines.values() if line["phoneNumber"] == phone_number]

    async def index(self, request: Request) -> Response:
        wanted = request.query_params.get("phoneNumber")
        return JSONResponse([*self._lines.values()] if wanted is None else self._of(wanted))

    async def create(self, request: Request) -> Response:
        body = await _form(request)
        phone_number = body["phoneNumber"]
        if self._of(phone_number):
            return _refuse(400, f"The number {phone_number} is already in use", "")
        rehearsal = REHEARSALS.get(phone_number)
        if rehearsal is not None and not rehearsal.commits:
            return await rehearsal.answer(_refuse)
        added = self._add(phone_number, body.get("friendlyName"))
        return await rehearsal.answer(_refuse) if rehearsal else JSONResponse(added, 201)

    async def one(self, request: Request) -> Response:
        line = self._lines.get(request.path_params["id"])
        if line is None:
            return _refuse(404, "No such line", "")
        if request.method == "DELETE":
            del self._lines[line["id"]]
            return Response(status_code=204)
        line["friendlyName"] = (await _form(request))["friendlyName"] or None
        return JSONResponse(line)


async def _form(request: Request) -> dict[str, str]:
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    pairs = parse_qs((await request.body()).decode(), keep_blank_values=True, strict_parsing=True)
    return {name: values[0] for name, values in pairs.items()}


def _refuse(status: int, message: str, detail: str) -> Response:
    return JSONResponse([message, detail], status)


def _guarded(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        scheme, _, pair = request.headers.get("authorization", "").partition(" ")
        if scheme != "Basic" or b"invalid" in base64.b64decode(pair):
            return _refuse(401, "Unknown account or token", "")
        return await endpoint(request)

    return guarded


def routes() -> Sequence[Route]:
    odd = _Odd()
    return [
        Route("/lines", _guarded(odd.index), methods=["GET"]),
        Route("/lines", _guarded(odd.create), methods=["POST"]),
        Route("/lines/{id}", _guarded(odd.one), methods=["PATCH", "DELETE"]),
    ]


PLATFORM = Platform(
    name="odd",
    title="Oddphone",
    base_url="https://api.odd.example",
    base_url_variable="ODD_BASE_URL",
    credentials={"ODD_ACCOUNT": "", "ODD_TOKEN": ""},
    authorize=authorize,
    decipher=decipher,
    fetch_number=fetch_number,
    find_number=find_number,
    number_in=number_in,
    recognizes=recognizes,
    encode=as_form,
    instructions="There are no agents.",
    tools=(
        Tool("get_phone_number", "Get phone number", "Look up one number.", GetNumber, Number, get),
        Tool(
            "create_phone_number",
            "Create phone number",
            "Create one.",
            CreateNumber,
            Number,
            create,
            "creates",
            costs=True,
        ),
        Tool("list_phone_numbers", "List phone numbers", "List all.", ListArguments, ListedNumbers, list_),
        Tool("update_phone_number", "Update phone number", "Change one.", UpdateNumber, Number, update, "updates"),
        Tool("delete_phone_number", "Delete phone number", "Release one.", DeleteNumber, Number, delete, "deletes"),
    ),
    prompts=(),
    example={"phone_number": "+14155550120", "nickname": "Side door"},
    sandbox=routes,
)
