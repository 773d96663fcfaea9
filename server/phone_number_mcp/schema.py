"""JSON schemas of pydantic models, in the words that every client takes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel
    from pydantic_core import core_schema


@cache  # several tools return the same, and every one may fail
def rendered(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schema of a model: flat, without references, `anyOf` and titles."""
    return model.model_json_schema(schema_generator=_PlainJsonSchema)


class _PlainJsonSchema(GenerateJsonSchema):
    """JSON schemas without what one client or another refuses: no `$ref`, `$defs`, `anyOf` with null, `title`, null default.

    Claude refuses `anyOf` at the root, Gemini `$ref`, `$defs` and `const`; `anyOf` with null breaks several. An optional
    argument is one that is not required, and that says it all.
    """

    def generate(self, schema: core_schema.CoreSchema, mode: JsonSchemaMode = "validation") -> JsonSchemaValue:
        rendered = super().generate(schema, mode)
        definitions = rendered.pop("$defs", {})
        return dict(_inline(rendered, definitions))

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        rendered = super().model_schema(schema)
        for noise in ("title", "description"):  # the class's name and docstring are for readers of the code
            rendered.pop(noise, None)
        return _without_additional(rendered)

    def literal_schema(self, schema: core_schema.LiteralSchema) -> JsonSchemaValue:
        rendered = super().literal_schema(schema)
        if "const" in rendered:
            rendered["enum"] = [rendered.pop("const")]
        return rendered

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        return _without_additional(super().dict_schema(schema))

    def field_title_should_be_set(self, schema: Any) -> bool:  # the signature is pydantic's
        return False

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        if schema.get("default", ...) is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def _without_additional(schema: JsonSchemaValue) -> JsonSchemaValue:
    if schema.get("additionalProperties") is True:  # what JSON Schema takes for granted
        del schema["additionalProperties"]
    return schema


def _inline(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_inline(part, definitions) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        target = dict(definitions[reference.rpartition("/")[2]])
        target.pop("additionalProperties", None)  # an unknown key is refused at every level; the root's word will do
        return _inline(target | {key: value for key, value in schema.items() if key != "$ref"}, definitions)
    return {key: _inline(value, definitions) for key, value in schema.items()}


def unasserted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a schema names and explains, without what it asserts."""
    kept: dict[str, Any] = {}
    if "description" in schema:
        kept["description"] = schema["description"]
    if schema.get("properties"):
        kept["properties"] = {name: unasserted(part) for name, part in schema["properties"].items()}
    if schema.get("items"):
        kept["items"] = unasserted(schema["items"])
    return kept
