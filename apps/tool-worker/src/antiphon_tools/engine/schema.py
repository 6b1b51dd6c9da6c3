"""Arguments against their JSON Schema (draft 2020-12), by jsonschema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson
from antiphon_contracts import ConfigError
from antiphon_runtime.extras import install_command

from antiphon_tools.registry import Check

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator, ValidationError

MAX_STEPS = 5_000
"""So many references a foreign schema may follow in one check."""
_KEPT = 512
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


class _TooManyStepsError(Exception):
    """A schema's references multiply without end."""


def compile_schema(schema: Mapping[str, Any], *, foreign: bool = False) -> Check:
    """Return the check of arguments against `schema`; for one that is known already at once.

    A new one takes 5 to 250 ms. What the check returns names fields of the schema (other keys are
    `*`) and never quotes a value. Nothing is fetched for references to other documents: such
    arguments never pass.

    Args:
        schema: the JSON Schema.
        foreign: whether a stranger wrote it. Its regular expressions are left to whoever wrote
            them: one of ten characters can keep Python busy for years. Its references are counted.

    Raises:
        ConfigError: it is no JSON Schema of an object, or jsonschema is not installed.
    """
    try:
        outcome = _compiled(orjson.dumps(schema), foreign)
    except (orjson.JSONEncodeError, RecursionError) as error:
        msg = "its parameters nest too deeply, or are no JSON"
        raise ConfigError(msg) from error
    if isinstance(outcome, str):
        raise ConfigError(outcome)
    return outcome


@lru_cache(maxsize=_KEPT)
def _compiled(text: bytes, foreign: bool) -> Check | str:  # noqa: FBT001  (a cache wants positions)
    """Return the check, or what is wrong with the schema."""
    try:
        from jsonschema import Draft202012Validator, SchemaError
        from jsonschema.exceptions import best_match
        from jsonschema.validators import extend
        from referencing import Registry
        from referencing.exceptions import Unresolvable
    except ImportError:
        return f"jsonschema is not installed: {install_command('tools')}"
    schema: dict[str, Any] = orjson.loads(text)
    if schema.get("type") != "object":
        return 'its parameters must be a JSON Schema of "type": "object"'
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"its parameters are no JSON Schema ({error.json_path})"
    steps = _Steps()
    kind: type[Draft202012Validator] = Draft202012Validator
    if foreign:
        kind = extend(kind, _bounded(steps))  # type: ignore[no-untyped-call]  # without types there
    validator = kind(schema, registry=Registry())
    known = frozenset(_names(schema))

    def check(arguments: Mapping[str, Any]) -> str | None:
        steps.count = 0
        try:
            fault = best_match(validator.iter_errors(arguments))
        except _TooManyStepsError:
            return "The tool's parameters are too tangled to be checked."
        except Unresolvable:
            return "The tool's parameters refer to what is not there."
        return None if fault is None else _sentence(fault, known)

    return check


class _Steps:
    """How many references one check has followed."""

    count = 0


def _bounded(steps: _Steps) -> dict[str, Any]:
    """Return keywords whose cost a stranger cannot choose, in place of those of the standard."""
    from jsonschema import Draft202012Validator as Standard

    def counted(keyword: str) -> Any:
        follow = Standard.VALIDATORS[keyword]

        def followed(
            validator: Draft202012Validator, value: Any, instance: Any, schema: Any
        ) -> Iterator[ValidationError]:
            steps.count += 1
            if steps.count > MAX_STEPS:
                raise _TooManyStepsError
            yield from follow(validator, value, instance, schema) or ()

        return followed

    def nothing(*_: Any) -> tuple[()]:
        return ()

    def additional(
        validator: Draft202012Validator, value: Any, instance: Any, schema: Any
    ) -> Iterator[ValidationError]:
        if "patternProperties" not in schema:
            yield from Standard.VALIDATORS["additionalProperties"](
                validator, value, instance, schema
            )

    return {
        "$ref": counted("$ref"),
        "$dynamicRef": counted("$dynamicRef"),
        "pattern": nothing,
        "patternProperties": nothing,
        "unevaluatedProperties": nothing,
        "additionalProperties": additional,
    }


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
