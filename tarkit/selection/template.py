"""A subset of Go's template language (text/template), enough for ``inspect --format``.

::

    template  text, {{ pipeline }}, {{ if pipeline }} … {{ else }} … {{ end }}, {{ range pipeline }} …
    pipeline  command | command …         the result becomes the last argument of the next command
    command   operand, or a function and its operands: index, join, json, len
    operand   .  .Field.Field  "text"  `text`  12  (pipeline)  (pipeline).Field

Values are strings, integers, lists, dictionaries, :class:`Record`, :class:`Nil` and
:class:`GoTime`. Every error is a :class:`~tarkit.errors.UsageError` with its position.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tarkit.errors import UsageError, one_line

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s+|(?P<chain>(?:\.[A-Za-z_]\w*)+)|(?P<dot>\.)|(?P<word>[A-Za-z_]\w*)|(?P<number>-?[0-9]{1,18})"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<mark>[|()])""",
    re.ASCII,
)
_KEYWORDS = frozenset({"if", "range", "else", "end"})
_DEEPEST = 50  # parentheses and blocks inside each other


class Record(dict[str, Any]):
    """A Go struct: a dictionary with a fixed set of fields."""


@dataclass(frozen=True, slots=True)
class Nil:
    """Go's nil for a type that prints as *text*; null in JSON."""

    text: str


@dataclass(frozen=True, slots=True)
class GoTime:
    """A time that prints as *text* and is *json_text* in JSON."""

    text: str
    json_text: str


def printed(value: object) -> str:
    """Return *value* as Go prints it, with unprintable characters escaped."""
    match value:
        case Nil() | GoTime():
            return value.text
        case Record():
            return f"{{{' '.join(map(printed, value.values()))}}}"
        case dict():
            pairs = (f"{one_line(key)}:{printed(value[key])}" for key in sorted(value))
            return f"map[{' '.join(pairs)}]"
        case list():
            return f"[{' '.join(map(printed, value))}]"
    return one_line(str(value))


def as_json(value: object, indent: int | None = None) -> str:
    """Return *value* as JSON in ASCII; keys of maps are sorted, as in Go."""
    separators = None if indent else (",", ":")
    return json.dumps(_plain(value), indent=indent, separators=separators)


def _plain(value: object) -> object:
    match value:
        case Nil():
            return None
        case GoTime():
            return value.json_text
        case Record():
            return {key: _plain(inner) for key, inner in value.items()}
        case dict():
            return {key: _plain(value[key]) for key in sorted(value)}
        case list():
            return [_plain(inner) for inner in value]
    return value


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class _Operand:
    """An operand: a literal *value*, a *pipeline* in parentheses, or the dot; then *chain* of it."""

    position: int
    value: object = None
    pipeline: _Pipeline | None = None
    is_dot: bool = False
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Command:
    position: int
    function: str
    operands: tuple[_Operand, ...]


_Pipeline = tuple[_Command, ...]


@dataclass(slots=True)
class _Block:
    """Text, the output of a pipeline, or an ``if`` or ``range`` with its two bodies."""

    kind: str
    position: int
    text: str = ""
    pipeline: _Pipeline = ()
    body: list[_Block] = field(default_factory=list)
    other: list[_Block] = field(default_factory=list)


class Template:
    """The parsed template *text*; raises :class:`UsageError` if it is malformed."""

    def __init__(self, text: str) -> None:
        self._actions = list(_split(text))
        self._at = 0
        self._length = len(text)
        self._blocks, ended_by = self._body(0)
        if ended_by:
            raise problem_at(ended_by.position, f"unexpected {{{{{ended_by.text}}}}}")

    def render(self, value: object) -> str:
        """Return the output for *value*, the dot."""
        return "".join(_render(self._blocks, value))

    def _body(self, depth: int, start: int = 0) -> tuple[list[_Block], _Token | None]:
        """Parse blocks up to ``end``, ``else`` or the end of the text; return that token too."""
        if depth > _DEEPEST:
            raise problem_at(start, "nested too deeply")
        blocks: list[_Block] = []
        while self._at < len(self._actions):
            text, tokens = self._actions[self._at]
            self._at += 1
            if tokens is None:
                blocks.append(_Block("text", 0, text))
            elif tokens[0].text in ("end", "else") and tokens[0].kind == "word":
                if tokens[0].text == "end" and len(tokens) > 1:
                    raise problem_at(tokens[1].position, f"unexpected {tokens[1].text!r}")
                return blocks, tokens[0]
            elif tokens[0].text in ("if", "range") and tokens[0].kind == "word":
                blocks.append(self._block(tokens, depth))
            else:
                blocks.append(_Block("print", tokens[0].position, "", _Parser(tokens).whole()))
        return blocks, None

    def _block(self, tokens: Sequence[_Token], depth: int) -> _Block:
        """Parse the ``if`` or ``range`` that begins with *tokens*, to its ``end``."""
        head = tokens[0]
        block = _Block(head.text, head.position, "", _Parser(tokens[1:], head).whole())
        block.body, ended_by = self._body(depth + 1, head.position)
        if ended_by and ended_by.text == "else":
            rest = (self._actions[self._at - 1][1] or [])[1:]
            if rest and rest[0].text == "if":
                block.other = [self._block(rest, depth + 1)]
                return block
            if rest:
                raise problem_at(rest[0].position, f"unexpected {rest[0].text!r}")
            block.other, ended_by = self._body(depth + 1, head.position)
        if ended_by is None:
            raise problem_at(head.position, f"{{{{{head.text}}}}} without {{{{end}}}}")
        if ended_by.text != "end":
            raise problem_at(ended_by.position, "a second {{else}}")
        return block


def _split(text: str) -> Iterator[tuple[str, list[_Token] | None]]:
    """Yield pieces of text, and the tokens of actions; ``{{-`` and ``-}}`` trim the text beside them."""
    position, trim = 0, False
    for match in _ACTION.finditer(text):
        piece = _unescaped(text[position : match.start()])
        piece = piece.lstrip(_SPACE) if trim else piece
        yield (piece.rstrip(_SPACE) if match[1] else piece), None
        tokens = list(_tokens(match[2], match.start(2)))
        if not tokens:
            raise problem_at(match.start(), "empty action")
        yield "", tokens
        position, trim = match.end(), bool(match[3])
    rest = text[position:]
    if "{{" in rest:
        raise problem_at(position + rest.index("{{"), "unclosed action")
    rest = _unescaped(rest)
    yield (rest.lstrip(_SPACE) if trim else rest), None


def _unescaped(text: str) -> str:
    """Return *text* with tabs and newlines for ``\\t`` and ``\\n``, as in skopeo and docker."""
    return text.replace(r"\t", "\t").replace(r"\n", "\n")


_SPACE = " \t\r\n"


def _tokens(text: str, start: int) -> Iterator[_Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise problem_at(start + position, f"unexpected {text[position]!r}")
        if match.lastgroup:
            yield _Token(match.lastgroup, match[0], start + position)
        position = match.end()


class _Parser:
    """Parses the pipeline in *tokens*, which follow *head*."""

    def __init__(self, tokens: Sequence[_Token], head: _Token | None = None) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._start = tokens[0].position if tokens else head.position if head else 0

    def whole(self) -> _Pipeline:
        """Parse all tokens."""
        pipeline = self._pipeline()
        if token := self._peek():
            raise problem_at(token.position, f"unexpected {token.text!r}")
        return pipeline

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _pipeline(self) -> _Pipeline:
        commands = [self._command(first=True)]
        while (token := self._peek()) and token.text == "|":
            self._at += 1
            commands.append(self._command(first=False))
        return tuple(commands)

    def _command(self, *, first: bool) -> _Command:
        token = self._peek()
        if token is None:
            raise problem_at(self._start, "a value is missing")
        function = ""
        if token.kind == "word":
            function = token.text
            if function not in FUNCTIONS:
                known = ", ".join(sorted(FUNCTIONS))
                raise problem_at(token.position, f"unknown function {function!r} (known: {known})")
            self._at += 1
        elif not first:
            raise problem_at(token.position, "only a function can follow '|'")
        operands = tuple(self._operands())
        if not function and len(operands) != 1:
            raise problem_at(token.position, "only functions have arguments")
        return _Command(token.position, function, operands)

    def _operands(self) -> Iterator[_Operand]:
        while (token := self._peek()) and token.text not in ("|", ")"):
            self._at += 1
            yield self._operand(token)

    def _operand(self, token: _Token) -> _Operand:
        match token.kind:
            case "chain":
                names = tuple(token.text[1:].split("."))
                return _Operand(token.position, is_dot=True, chain=names)
            case "dot":
                return _Operand(token.position, is_dot=True)
            case "number":
                return _Operand(token.position, value=int(token.text))
            case "text":
                return _Operand(token.position, value=_literal(token))
        if token.text != "(":
            raise problem_at(token.position, f"unexpected {token.text!r}")
        return self._parenthesis(token)

    def _parenthesis(self, token: _Token) -> _Operand:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise problem_at(token.position, "nested too deeply")
        pipeline = self._pipeline()
        self._depth -= 1
        end = self._peek()
        if end is None or end.text != ")":
            raise problem_at(token.position, "'(' without ')'")
        self._at += 1
        after = self._peek()
        chain: tuple[str, ...] = ()
        if after and after.kind == "chain" and after.position == end.position + 1:
            self._at += 1
            chain = tuple(after.text[1:].split("."))
        return _Operand(token.position, pipeline=pipeline, chain=chain)


def _literal(token: _Token) -> str:
    if token.text.startswith("`"):
        return token.text[1:-1]
    try:
        text: str = json.loads(token.text)
    except ValueError:
        raise problem_at(token.position, f"malformed string {token.text}") from None
    return text


def _render(blocks: Sequence[_Block], dot: object) -> Iterator[str]:
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


def _evaluate(pipeline: _Pipeline, dot: object) -> object:
    value: object = None
    for number, command in enumerate(pipeline):
        arguments = [_value_of(operand, dot) for operand in command.operands]
        if number:
            arguments.append(value)
        if command.function:
            value = FUNCTIONS[command.function](command.position, arguments)
        else:
            value = arguments[0]
    return value


def _value_of(operand: _Operand, dot: object) -> object:
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
    raise problem_at(position, f"no field {name!r} in {_kind(value)}")


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
    raise problem_at(position, f"cannot range over {_kind(value)}")


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
        raise problem_at(position, f"{_kind(value)} has no length")
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
            raise problem_at(position, f"cannot index {_kind(value)} with {_kind(key)}")
    return value


FUNCTIONS: dict[str, Callable[[int, Sequence[object]], object]] = {
    "index": _index,
    "join": _join,
    "json": _json,
    "len": _len,
}
"""The functions of the language, by name."""


def _counted(name: str, count: int, arguments: Sequence[object], position: int) -> list[Any]:
    if len(arguments) != count:
        raise problem_at(
            position, f"{name} takes {count} argument{'s' * (count > 1)}, not {len(arguments)}"
        )
    return list(arguments)


def _kind(value: object) -> str:
    kinds = {str: "a string", int: "a number", list: "a list", dict: "a map", Record: "a struct"}
    return kinds.get(type(value), "a time" if isinstance(value, GoTime) else "nothing")


def problem_at(position: int, problem: str) -> UsageError:
    """Return the error for a *problem* at the zero-based *position* of the template."""
    return UsageError(f"template, character {position + 1}: {problem}")
