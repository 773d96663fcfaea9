"""Arguments as models really write them, and schemas that every client takes."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field

from phone_number_mcp.errors import InvalidArguments
from phone_number_mcp.platforms import PLATFORMS, load
from phone_number_mcp.tool import Arguments, Data, Secret, Success, Tool
from phone_number_mcp.upstream.api import Api
from phone_number_mcp.upstream.call import Call
from phone_number_mcp.upstream.request import Account
from support import odd


class Agent(Arguments):
    agent_id: str
    weight: Annotated[float, Field(gt=0, le=1)]


class Everything(Arguments):
    """This docstring is for readers of the code, and in no schema."""

    required: str
    count: int | None = None
    flag: bool | None = None
    agents: list[Agent] | None = None
    token: Secret | None = None
    names: Annotated[list[str] | None, Field(description="Some names")] = None


class Result(Data):
    items: list[Data] | None = None


async def _echo(_call: Call, arguments: Everything) -> Success:
    return Success(arguments.body())


TOOL = Tool(name="everything", title="Everything", description="All.", arguments=Everything, data=Result, handler=_echo)

pytestmark = pytest.mark.anyio


async def call(**arguments: Any) -> dict[str, Any]:
    api = Api(base_url="http://nobody.invalid", decipher=lambda reply: reply, timeout=1)
    return (await TOOL.handler(api.call(Account({}, ())), TOOL.read(arguments))).data


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ({"count": "415"}, {"count": 415}),
        ({"count": 415.0}, {"count": 415}),
        ({"flag": "true"}, {"flag": True}),
        ({"token": "hush"}, {"token": "hush"}),
        ({"count": "", "flag": "null", "names": None, "agents": " Null "}, {}),
        ({"names": '["a", "b"]'}, {"names": ["a", "b"]}),
        ({"agents": '[{"agent_id": "x", "weight": "0.5"}]'}, {"agents": [{"agent_id": "x", "weight": 0.5}]}),
        ({"names": "[" * 100_000}, None),
        ({"agents": ['{"agent_id": "x", "weight": 1}']}, None),
    ],
)
async def test_arguments_are_read_as_models_write_them(written: dict[str, Any], read: dict[str, Any] | None) -> None:
    if read is None:
        with pytest.raises(InvalidArguments):
            await call(required="x", **written)
    else:
        assert await call(required="x", **written) == {"required": "x"} | read


async def test_a_number_for_a_text_is_its_digits_and_blanks_around_a_text_go() -> None:
    assert await call(required=415) == {"required": "415"}
    assert await call(required="  x ") == {"required": "x"}


async def test_the_place_of_a_problem_inside_a_list_is_named() -> None:
    with pytest.raises(InvalidArguments) as raised:
        await call(required="x", agents=[{"agent_id": "a", "weight": 2}])
    (problem,) = raised.value.facts["fields"] or []
    assert problem.field == "agents.0.weight"


async def test_a_refusal_never_repeats_what_was_given() -> None:
    with pytest.raises(InvalidArguments) as raised:
        await call(required=["sk_abcdef"], count="sk_abcdef", flag="sk_abcdef", names="[sk_abcdef")
    assert len(raised.value.facts["fields"] or []) == 4
    assert "sk_abcdef" not in str(raised.value.failure(platform="x", operation="y", write=False))


@pytest.mark.parametrize(
    ("unknown", "words"),
    [
        ("counts", "did you mean count?"),
        ("requierd", "did you mean required?"),
        ("fields", "the arguments are required, count, flag, agents, token, names"),
        ("agent_id", "the arguments are required, "),
        ("discount_code", "the arguments are required, "),
    ],
)
async def test_an_unknown_argument_gets_a_suggestion_only_if_it_is_similar(unknown: str, words: str) -> None:
    with pytest.raises(InvalidArguments) as raised:
        await call(required="x", **{unknown: 1})
    (problem,) = raised.value.facts["fields"] or []
    assert problem.problem.startswith(f"is not an argument of this tool; {words}")


async def test_a_flood_of_unknown_arguments_is_refused_at_once() -> None:
    with pytest.raises(InvalidArguments) as raised:
        await call(required="x", **{f"unknown_{i}": i for i in range(100_000)})
    assert len(raised.value.facts["fields"] or []) == 20


def test_an_input_schema_is_flat_and_says_each_thing_once() -> None:
    assert TOOL.input_schema == {
        "type": "object",
        "additionalProperties": False,
        "required": ["required"],
        "properties": {
            "required": {"type": "string"},
            "count": {"type": "integer"},
            "flag": {"type": "boolean"},
            "token": {"type": "string"},
            "agents": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["agent_id", "weight"],
                    "properties": {
                        "agent_id": {"type": "string"},
                        "weight": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                    },
                },
            },
            "names": {"type": "array", "items": {"type": "string"}, "description": "Some names"},
        },
    }


def test_an_output_schema_asserts_nothing_about_the_platforms_fields() -> None:
    assert TOOL.output_schema["properties"]["data"] == {
        "type": "object",
        "properties": {"items": {"items": {}}},
    }


EVERY_TOOL = [pytest.param(tool, id=f"{name}-{tool.name}") for name in PLATFORMS for tool in load(name).tools]
REFUSED_BY_SOME_CLIENT = {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title", "format", "not", "nullable"}


@pytest.mark.parametrize("tool", [*EVERY_TOOL, *odd.PLATFORM.tools])
def test_every_schema_keeps_to_what_every_client_takes(tool: Tool[Any]) -> None:
    for schema in (tool.input_schema, tool.output_schema):
        assert schema["type"] == "object"
        for part in _schemas(schema):
            assert not REFUSED_BY_SOME_CLIENT & part.keys()
            assert part.get("type") != "array" or "items" in part
            assert not isinstance(part.get("type"), list)
            assert all(isinstance(value, str) for value in part.get("enum", []))
    assert tool.input_schema["additionalProperties"] is False
    for name in (tool.name, *tool.input_schema["properties"]):
        assert name.replace("_", "").isalnum()
        assert name.isascii()
        assert len(name) <= 40  # Cursor refuses more than 60 for the server's name and the tool's together


@pytest.mark.parametrize("tool", EVERY_TOOL)
def test_every_tool_explains_itself(tool: Tool[Any]) -> None:
    assert 40 <= len(tool.description) <= 600
    for name, part in tool.input_schema["properties"].items():
        assert part.get("description"), f"{name} has no description"


def _schemas(schema: dict[str, Any]) -> list[dict[str, Any]]:
    inner = [*schema.get("properties", {}).values(), *([schema["items"]] if "items" in schema else [])]
    return [schema, *(part for child in inner for part in _schemas(child))]
