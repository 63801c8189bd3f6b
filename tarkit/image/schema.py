"""Validation of documents against the JSON Schemas in ``schemas/``.

The schemas check the form of a document, not whether its blobs exist or match their digests.
Validation never accesses the network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tarkit.errors import one_line
from tarkit.values import dataclass

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import ValidationError

SchemaName = Literal[
    "config",
    "docker-archive-manifest",
    "docker-manifest",
    "docker-manifest-list",
    "index",
    "manifest",
    "oci-layout",
]
"""Names of the schemas, which are also their file names."""

MAX_PROBLEMS = 100
"""Maximum number of problems reported per document."""

_MAX_SHOWN = 60
_TYPES = {
    type(None): "null",
    bool: "a boolean",
    dict: "an object",
    float: "a number",
    int: "an integer",
    list: "an array",
}


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """A violation of the schema.

    ``path`` locates the value, for example ``layers[0].size``; it is empty for the whole document.
    ``message`` is one short line.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def problems(document: object, schema: SchemaName) -> list[SchemaProblem]:
    """Return the first :data:`MAX_PROBLEMS` violations in *document*, or none if it is valid."""
    errors = islice(_validator(schema).iter_errors(document), MAX_PROBLEMS)
    return [SchemaProblem(_path(error.absolute_path), _message(error)) for error in errors]


@cache
def _validator(schema: SchemaName) -> Draft202012Validator:
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    # The schemas refer to it by its "$id", a URL that is never fetched.
    shared = _load("defs")
    registry = Registry[bool | Mapping[str, Any]]().with_resource(
        shared["$id"], Resource.from_contents(shared)
    )
    return Draft202012Validator(_load(schema), registry=registry)


def _load(name: str) -> Mapping[str, Any]:
    schema: Mapping[str, Any] = json.loads((_directory() / f"{name}.json").read_text("utf-8"))
    return schema


def _directory() -> Traversable:
    """Return ``tarkit/schemas`` of an installed package, or ``schemas`` of a checkout."""
    from importlib.resources import files

    installed = files("tarkit") / "schemas"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "schemas"


def _path(steps: Iterable[str | int]) -> str:
    path = ""
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step.isidentifier() and len(step) <= _MAX_SHOWN:
            path += f".{step}" if path else step
        else:
            path += f"[{_shown(step)}]"
    return path


def _message(error: ValidationError) -> str:
    # The messages of jsonschema contain the whole invalid value, however large.
    rule: Any = error.validator_value
    schema: Any = error.schema
    match error.validator:
        case "required":
            return error.message
        case "minLength":
            return "must not be empty"
        case "const":
            wanted = json.dumps(rule)
        case "type" if "title" not in schema:
            wanted = rule if isinstance(rule, str) else " or ".join(rule)
        case _:
            # Titles in the schemas describe a valid value.
            wanted = schema["title"]
    return f"expected {wanted}, got {_shown(error.instance)}"


def _shown(value: object) -> str:
    if isinstance(value, str):
        text = value if len(value) <= _MAX_SHOWN else value[: _MAX_SHOWN - 1] + "…"
        return f'"{one_line(text)}"'
    # str() of a huge integer is slow, so show its type instead.
    if type(value) is int and abs(value) < 2**70:
        return str(value)
    return _TYPES[type(value)]
