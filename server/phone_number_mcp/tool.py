"""Tools and prompts as data: a tool's arguments as models really write them, its schemas rendered from pydantic models."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from phone_number_mcp.e164 import A_NAME
from phone_number_mcp.errors import Failure, FieldProblem, InvalidArguments
from phone_number_mcp.named_secrets import resolve_secret
from phone_number_mcp.sanitize import MIN_SECRET_LENGTH
from phone_number_mcp.schema import rendered, unasserted

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

    from phone_number_mcp.upstream.call import Call


MAX_PROBLEMS = 20
"""How many problems with the arguments one error names: a caller may send a hundred thousand unknown ones."""
RECONCILED = "The platform's answer was lost; reading back showed that the write took effect. Do not repeat it"
"""The warning of a write that was reconciled."""
SIMILAR = 0.75
"""How similar a name must be to one that exists to be suggested: below that, a suggestion misleads more than it helps."""


def _long_enough(value: SecretStr) -> SecretStr:
    if len(value.get_secret_value()) < MIN_SECRET_LENGTH:  # it could not be kept out of ordinary text
        raise ValueError("is too short to be a secret")
    return value


Secret = Annotated[SecretStr, AfterValidator(_long_enough), WithJsonSchema({"type": "string"})]
"""An argument that goes to the platform and nowhere else. `secret:NAME` stands for the secret of that name."""


A = TypeVar("A", bound="Arguments")


class Arguments(BaseModel):
    """The arguments of a tool: strict about what they mean, lenient about how a model writes them.

    `"415"` is 415; `""`, `"null"` and null for an optional mean "not given"; a list or an object may come as a JSON
    string. True and false are no numbers. Unknown arguments are refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True, coerce_numbers_to_str=True)

    retired: ClassVar[Mapping[str, str]] = {}
    """Arguments that the platform had once and that models still write → what to write instead."""

    @model_validator(mode="before")
    @classmethod
    def _drop_what_was_not_given(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        fields = cls.model_fields
        return {
            name: value
            for name, value in given.items()
            if name not in fields or fields[name].is_required() or not is_blank(value)
        }

    @field_validator("*", mode="before")
    @classmethod
    def _read_as_models_write(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, bool | str):
            return value
        takes = _types(cls.model_fields[info.field_name or ""].annotation)
        if isinstance(value, bool) and bool not in takes:
            raise ValueError("must not be true or false")
        if isinstance(value, str) and takes & {list, tuple, dict} and value.lstrip()[:1] in {"[", "{"}:
            try:
                return json.loads(value)
            except (ValueError, RecursionError):
                return value
        return value

    local_fields: ClassVar[frozenset[str]] = frozenset()
    """Arguments that are not in the body: they are for this server, or part of the path."""

    def body(self) -> dict[str, Any]:
        """Return the body of the request: what the caller gave, and only that; the platform owns its defaults.

        Its names are the platform's: a field whose name differs there has a `serialization_alias`.
        """
        given = self.model_dump(exclude_unset=True, exclude=set(self.local_fields), by_alias=True)
        return {
            name: value.get_secret_value() if isinstance(value, SecretStr) else value for name, value in given.items()
        }

    def comparable(self) -> dict[str, Any]:
        """Return what can be compared with what the platform holds: what is sent, less secrets."""
        secret = {self.upstream_name(name) for name, value in self if isinstance(value, SecretStr)}
        return {name: value for name, value in self.body().items() if name not in secret}

    @classmethod
    def upstream_name(cls, field: str) -> str:
        """Return the platform's name of an argument."""
        return cls.model_fields[field].serialization_alias or field

    def identity(self) -> dict[str, Any]:
        """Return what makes two calls the same: what the caller gave, less secrets and `idempotency_key`."""
        given = self.model_dump(exclude_unset=True, exclude={"idempotency_key", "dry_run"})
        return {name: value for name, value in given.items() if not isinstance(value, SecretStr)}

    def warnings(self, given: Mapping[str, Any]) -> list[str]:
        """Return what the caller should know of these arguments, although they are valid.

        Args:
            given: As the client sent them.
        """
        return []

    def secrets(self) -> list[str]:
        """Return the values that go to the platform and nowhere else."""
        return [value.get_secret_value() for _name, value in self if isinstance(value, SecretStr)]

    def with_secrets(self, named: Mapping[str, SecretStr]) -> Self:
        """Return the same with the values of the secrets that are given by name.

        Args:
            named: The secrets that there are, by name.

        Raises:
            InvalidArguments: One names a secret that does not exist.
        """
        given = {name: value for name, value in self if isinstance(value, SecretStr)}
        return self.model_copy(update={name: resolve_secret(name, value, named) for name, value in given.items()})


class TakesAgent:
    """Marks an argument that takes an agent, by id or by name: `Annotated[str, TAKES_AGENT]`."""


TAKES_AGENT = TakesAgent()


def agents_named(arguments: Arguments, path: str = "") -> list[tuple[str, str]]:
    """Return what a caller gave for agents, ids and names alike: (path of the argument, value)."""
    named: list[tuple[str, str]] = []
    for name in sorted(arguments.model_fields_set):
        value = getattr(arguments, name)
        if TAKES_AGENT in type(arguments).model_fields[name].metadata and isinstance(value, str):
            named.append((f"{path}{name}", value))
        elif isinstance(value, list):
            for place, item in enumerate(value):
                if isinstance(item, Arguments):
                    named += agents_named(item, f"{path}{name}.{place}.")
    return named


def with_agents(arguments: A, ids: Mapping[str, str]) -> A:
    """Return the same arguments with ids in place of agents' names.

    Args:
        arguments: As the caller gave them.
        ids: Name, as the caller gave it → id.
    """
    changed: dict[str, Any] = {}
    for name in arguments.model_fields_set:
        value = getattr(arguments, name)
        if TAKES_AGENT in type(arguments).model_fields[name].metadata and isinstance(value, str):
            changed[name] = ids.get(value, value)
        elif isinstance(value, list) and any(isinstance(item, Arguments) for item in value):
            changed[name] = [with_agents(item, ids) if isinstance(item, Arguments) else item for item in value]
    return arguments.model_copy(update=changed) if changed else arguments


def is_blank(value: Any) -> bool:
    """Return whether a value is one of the ways in which models write "not given"."""
    return value is None or (isinstance(value, str) and value.strip().lower() in {"", "null"})


def _types(annotation: Any) -> set[Any]:
    """Return the plain types that an annotation is made of: `list[str] | None` is {list, NoneType}."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _types(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return set().union(*(_types(part) for part in get_args(annotation)))
    return {origin or annotation}


@dataclass(frozen=True, slots=True)
class Success:
    """The result of a call.

    Args:
        data: What the platform returned, whole, in its own field names.
        reconciled: The answer was lost, and reading back showed that the write took effect.
        warning: What the caller should know, although the call succeeded.
        resolved: Names that the caller gave → the ids that they stand for.
        dry_run: Nothing was sent; the data say what would be.
    """

    data: dict[str, Any]
    reconciled: bool = False
    warning: str | None = None
    resolved: Mapping[str, str] | None = None
    dry_run: bool = False

    def warned(self, warning: str | None) -> Success:
        """Return the same with one more warning; None adds none."""
        if warning is None:
            return self
        return replace(self, warning=f"{self.warning}. {warning}" if self.warning else warning)

    def content(self) -> dict[str, Any]:
        """Return what an agent reads."""
        content: dict[str, Any] = {"data": self.data}
        warning = self.warning
        if self.reconciled:
            content["reconciled"] = True
            warning = f"{RECONCILED}. {warning}" if warning else RECONCILED
        if warning:
            content["warning"] = warning
        if self.dry_run:
            content["dry_run"] = True
        if self.resolved:
            content["resolved"] = dict(self.resolved)
        return content


class Data(BaseModel):
    """What a platform returns, as it documents it.

    It informs and never rejects: a reply may gain, lose or change fields, and is passed on whole.
    """

    model_config = ConfigDict(extra="allow")

    summary: ClassVar[str | None] = None
    """What it is, where that says more than its fields."""


def field_names(model: type[BaseModel]) -> set[str]:
    """Return the names of a model's fields, and of the models in it."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            names |= field_names(inner)
    return names


def _models(annotation: Any) -> set[type[BaseModel]]:
    """Return the models that an annotation names: `list[Agent] | None` is {Agent}."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {annotation}
    return set().union(*map(_models, get_args(annotation)))


@dataclass(frozen=True)
class Prompt:
    """A prompt that a person can choose in the client.

    Args:
        name: As clients call it.
        title: As people see it.
        description: What it is for.
        arguments: Name → what it is. All are optional.
        uses: The tools without which it makes no sense.
        text: With `{name}` where an argument goes.
    """

    name: str
    title: str
    description: str
    arguments: Mapping[str, str]
    uses: tuple[str, ...]
    text: str


@dataclass(frozen=True)
class Tool(Generic[A]):
    """A tool: everything that a client sees of it, and the handler that does it.

    Args:
        name: As clients call it.
        title: As people see it.
        description: Written for a model: what it does, when to use it, what it costs.
        arguments: The model of its input.
        data: The model of what the platform returns on success.
        handler: `(call, arguments) -> success`. It raises `errors.ToolError`, and catches only what it can fix.
        effect: What it does to the platform. What removes something is offered only with `--allow-delete`.
        costs: It may cost money; `--max-creates` counts it.
        lost_with_answer: The warning if its answer was lost and reading back shows success: what else the answer had said.
    """

    name: str
    title: str
    description: str
    arguments: type[A]
    data: type[Data]
    handler: Callable[[Call, A], Awaitable[Success]]
    effect: Literal["reads", "creates", "updates", "deletes"] = "reads"
    costs: bool = False
    lost_with_answer: str | None = None

    @property
    def read_only(self) -> bool:
        """It changes nothing."""
        return self.effect == "reads"

    @property
    def creates(self) -> bool:
        """It creates or imports something: doing it twice is not the same as doing it once."""
        return self.effect == "creates"

    @property
    def deletes(self) -> bool:
        """It removes something for good."""
        return self.effect == "deletes"

    def read(self, arguments: Mapping[str, Any], offered: Mapping[str, Tool[Any]] | None = None) -> A:
        """Return the arguments as the handler takes them.

        Args:
            arguments: As the client sent them.
            offered: The tools that the client can call, by name, for the hint of an error.

        Raises:
            InvalidArguments: They do not fit; every problem is named, and nothing was sent.
        """
        try:
            return self.arguments.model_validate(arguments)
        except ValidationError as error:
            # Without the input: an argument may be a secret that landed in the wrong place.
            details = error.errors(include_url=False, include_input=False)
        problems = [_problem(detail, self.arguments) for detail in details[:MAX_PROBLEMS]]
        named = any(detail["type"] == A_NAME for detail in details)
        raise InvalidArguments(
            "; ".join(f"{p.field} {p.problem}" for p in problems),
            fields=problems,
            hint=_find_by_name(offered or {}) if named and not self.creates else None,
        )

    @cached_property
    def input_schema(self) -> dict[str, Any]:
        """The JSON schema of the arguments: a flat object, in the words that every client takes."""
        return rendered(self.arguments)

    @cached_property
    def output_schema(self) -> dict[str, Any]:
        """The JSON schema of a result: `data` on success, `error` on failure.

        Clients validate results against it. They must not throw away the answer to a purchase because a platform
        changed the type of a field: so inside `data` the schema names and explains, and asserts nothing.
        """
        data, error = rendered(self.data), rendered(Failure)
        # Every tool in the list carries this, so of an error it names just what every error has.
        always = {name: error["properties"][name] for name in error["required"]}
        return {
            "type": "object",
            "properties": {
                "data": {"type": "object"}
                | ({"description": self.data.summary} if self.data.summary else unasserted(data)),
                "error": {"type": "object", "properties": always},
            },
        }


def _problem(detail: ErrorDetails, arguments: type[Arguments]) -> FieldProblem:
    field = ".".join(str(part) for part in detail["loc"]) or "arguments"
    match detail["type"]:
        case "missing":
            problem = "is required"
        case "extra_forbidden":
            problem = arguments.retired.get(field) or _not_an_argument(field, list(arguments.model_fields))
        case _:
            message = detail["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
            problem = message[:1].lower() + message[1:]
    return FieldProblem(field=field, problem=problem)


def _not_an_argument(field: str, known: list[str]) -> str:
    if "." in field:
        return "is not known here"
    import difflib  # only a refusal needs it

    nearest = difflib.get_close_matches(field, known, n=1, cutoff=SIMILAR)
    return "is not an argument of this tool; " + (
        f"did you mean {nearest[0]}?" if nearest else f"the arguments are {', '.join(known) or 'none'}"
    )


def _find_by_name(offered: Mapping[str, Tool[Any]]) -> str:
    """Return the hint for a caller who gave a name in place of a phone number."""
    lister = offered.get("list_phone_numbers")
    if lister is None:
        return "Nothing was sent. Ask the user for the phone number, and call again with it."
    how = (
        " with that name as nickname" if "nickname" in lister.arguments.model_fields else " and look for that nickname"
    )
    return f"Nothing was sent. Call {lister.name}{how} to find the phone number, then call again with the number."
