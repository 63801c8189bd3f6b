"""A subset of Go's template language (text/template), enough for ``inspect --format``.

::

    template  text, {{ pipeline }}, {{ if pipeline }} … {{ else }} … {{ end }}, {{ range pipeline }} …
    pipeline  command | command …         the result becomes the last argument of the next command
    command   operand, or a function and its operands: index, join, json, len
    operand   .  .Field.Field  "text"  `text`  12  (pipeline)  (pipeline).Field

Values are strings, integers, lists, dictionaries and the types of
:mod:`tarkit.selection.template_values`. Every error is a :class:`~tarkit.errors.UsageError` with
its position.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tarkit.selection.template_syntax import Block, Operand, Pipeline, parse_template
from tarkit.selection.template_values import (
    GoTime,
    Nil,
    Record,
    as_json,
    kind_of,
    printed,
    problem_at,
)


class Template:
    """The parsed template *text*; raises :class:`UsageError` if it is malformed."""

    def __init__(self, text: str) -> None:
        self._blocks = parse_template(text)

    def render(self, value: object) -> str:
        """Return the output for *value*, the dot."""
        return "".join(_render(self._blocks, value))


def _render(blocks: Sequence[Block], dot: object) -> Iterator[str]:
    for block in blocks:
        if block.kind == "text":
            yield block.text
            continue
        value = _evaluate(block.pipeline, dot)
        if block.kind == "print":
            yield value.text if isinstance(value, _Output) else printed(value)
        elif block.kind == "if":
            yield from _render(block.body if _is_true(value) else block.other, dot)
        else:
            items = _items(value, block.position)
            for item in items:
                yield from _render(block.body, item)
            if not items:
                yield from _render(block.other, dot)


def _evaluate(pipeline: Pipeline, dot: object) -> object:
    value: object = None
    for number, command in enumerate(pipeline):
        arguments = [_value_of(operand, dot) for operand in command.operands]
        if number:
            arguments.append(value)
        if command.function:
            value = _FUNCTIONS[command.function](command.position, arguments)
        else:
            value = arguments[0]
    return value


def _value_of(operand: Operand, dot: object) -> object:
    value = dot if operand.is_dot else operand.value
    if operand.pipeline is not None:
        value = _evaluate(operand.pipeline, dot)
    for name in operand.chain:
        value = _field(value, name, operand.position)
    return value


def _field(value: object, name: str, position: int) -> object:
    if isinstance(value, Record):
        if name not in value:
            raise problem_at(position, f"no field {name!r} (known: {', '.join(value)})")
        return value[name]
    if isinstance(value, dict):
        return value.get(name, Nil("<no value>"))
    if isinstance(value, Nil) and value.text == "map[]":
        return Nil("<no value>")
    raise problem_at(position, f"no field {name!r} in {kind_of(value)}")


def _is_true(value: object) -> bool:
    if isinstance(value, Record | GoTime):
        return True
    return bool(value) and not isinstance(value, Nil)


def _items(value: object, position: int) -> Sequence[object]:
    match value:
        case Nil():
            return ()
        case list():
            return value
        case dict() if not isinstance(value, Record):
            return [value[key] for key in sorted(value)]
    raise problem_at(position, f"cannot range over {kind_of(value)}")


class _Output(str):
    """The output of ``json``, which is printed as it is."""

    __slots__ = ()

    @property
    def text(self) -> str:
        return str(self)


def _json(position: int, arguments: Sequence[object]) -> object:
    (value,) = _counted("json", 1, arguments, position)
    return _Output(as_json(value))


def _join(position: int, arguments: Sequence[object]) -> object:
    parts, separator = _counted("join", 2, arguments, position)
    parts = [] if isinstance(parts, Nil) else parts
    is_list = isinstance(parts, list) and all(isinstance(part, str) for part in parts)
    if not is_list or not isinstance(separator, str):
        raise problem_at(
            position, 'join needs a list of strings and a string, as in {{join .Layers ","}}'
        )
    return separator.join(parts)


def _len(position: int, arguments: Sequence[object]) -> object:
    (value,) = _counted("len", 1, arguments, position)
    if isinstance(value, Nil):
        return 0
    if isinstance(value, Record) or not isinstance(value, list | dict | str):
        raise problem_at(position, f"{kind_of(value)} has no length")
    return len(value.encode() if isinstance(value, str) else value)  # Go counts bytes


def _index(position: int, arguments: Sequence[object]) -> object:
    if not arguments:
        raise problem_at(position, "index needs a list or map")
    value, *keys = arguments
    for key in keys:
        if isinstance(value, list | Nil) and isinstance(key, int):
            items = value if isinstance(value, list) else []
            if not 0 <= key < len(items):
                raise problem_at(
                    position, f"index {key} is out of range: there are {len(items)} items"
                )
            value = items[key]
        elif isinstance(value, dict | Nil) and isinstance(key, str):
            if isinstance(value, Record):
                raise problem_at(position, "use a field instead of index")
            value = value.get(key, "") if isinstance(value, dict) else ""
        else:
            raise problem_at(position, f"cannot index {kind_of(value)} with {kind_of(key)}")
    return value


_FUNCTIONS: dict[str, Callable[[int, Sequence[object]], object]] = {
    "index": _index,
    "join": _join,
    "json": _json,
    "len": _len,
}


def _counted(name: str, count: int, arguments: Sequence[object], position: int) -> list[Any]:
    if len(arguments) != count:
        raise problem_at(
            position, f"{name} takes {count} argument{'s' * (count > 1)}, not {len(arguments)}"
        )
    return list(arguments)
