"""Arguments against their JSON Schema (draft 2020-12), by jsonschema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from antiphon_contracts import ConfigError
from antiphon_runtime.extras import install_command

from antiphon_tools.registry import Check

if TYPE_CHECKING:
    from jsonschema import ValidationError

_MAX_NAME_CHARS = 64
_TYPES = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def compile_schema(schema: Mapping[str, Any]) -> Check:
    """Return the check of arguments against `schema`.

    What the check returns names fields of the schema (other keys are `*`) and never quotes a value.
    Nothing is fetched for references to other documents: such arguments never pass.

    Raises:
        ConfigError: it is no JSON Schema of an object, or jsonschema is not installed.
    """
    try:
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.exceptions import best_match
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError as error:
        msg = f"jsonschema is not installed: {install_command('tools')}"
        raise ConfigError(msg) from error
    if schema.get("type") != "object":
        msg = 'its parameters must be a JSON Schema of "type": "object"'
        raise ConfigError(msg)
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        msg = f"its parameters are no JSON Schema ({error.json_path})"
        raise ConfigError(msg) from error
    validator = Draft202012Validator(schema, registry=Registry())
    known = frozenset(_names(schema))

    def check(arguments: Mapping[str, Any]) -> str | None:
        try:
            fault = best_match(validator.iter_errors(arguments))
        except Unresolvable:
            return "The tool's parameters refer to what is not there."
        return None if fault is None else _sentence(fault, known)

    return check


def _names(schema: object) -> Iterator[str]:
    """Yield the name of every property that a schema knows, at any depth."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        if isinstance(properties, dict):
            yield from properties
        for part in schema.values():
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)


def _sentence(fault: ValidationError, known: frozenset[str]) -> str:
    parts = (
        str(part) if isinstance(part, int) or part in known else "*" for part in fault.absolute_path
    )
    place = ".".join(parts)[:_MAX_NAME_CHARS]
    field, rule = place or "the arguments", fault.validator
    limit: Any = fault.validator_value
    schema: Any = fault.schema
    if rule == "required" and isinstance(fault.instance, dict):
        missing = [name for name in limit if name not in fault.instance]
        return f"Missing: {', '.join(missing)}."
    if rule == "additionalProperties":
        taken = ", ".join(schema.get("properties", {})) or "nothing"
        return f"There are fields that the tool does not know; it takes: {taken}."
    if rule == "enum":
        return f"{field}: must be one of {', '.join(map(str, limit))}."
    if rule == "type":
        kinds = [limit] if isinstance(limit, str) else limit
        return f"{field}: must be {' or '.join(_TYPES.get(kind, kind) for kind in kinds)}."
    if rule in {"minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"}:
        least = "at least" if rule.startswith("min") else "at most"
        unit = {"Length": " characters", "Items": " items"}.get(rule[3:], "")
        return f"{field}: must be {least} {limit}{unit}."
    return f"{field}: does not fit the schema ({rule})."
