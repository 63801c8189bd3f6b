"""The syntax of templates: text becomes blocks of text, pipelines, ``if`` and ``range``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import field

from tarkit.selection.template_values import problem_at
from tarkit.values import dataclass

FUNCTIONS = frozenset({"index", "join", "json", "len"})
"""The names of all functions."""

_ACTION = re.compile(r"\{\{(- )?(.*?)( -)?\}\}", re.DOTALL)
_TOKEN = re.compile(
    r"""\s+|(?P<chain>(?:\.[A-Za-z_]\w*)+)|(?P<dot>\.)|(?P<word>[A-Za-z_]\w*)|(?P<number>-?[0-9]{1,18})"""
    r"""|(?P<text>"(?:[^"\\\n]|\\.)*"|`[^`]*`)|(?P<mark>[|()])""",
    re.ASCII,
)
_DEEPEST = 50  # parentheses and blocks inside each other


@dataclass(frozen=True, slots=True)
class Token:
    """A word, mark or literal of an action, and its position in the template."""

    kind: str
    text: str
    position: int


@dataclass(frozen=True, slots=True)
class Operand:
    """An operand: a literal *value*, a *pipeline* in parentheses, or the dot; then *chain* of it."""

    position: int
    value: object = None
    pipeline: Pipeline | None = None
    is_dot: bool = False
    chain: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Command:
    """An operand or, if *function* is not empty, a call of it."""

    position: int
    function: str
    operands: tuple[Operand, ...]


Pipeline = tuple[Command, ...]


@dataclass(slots=True)
class Block:
    """Text, the output of a pipeline, or an ``if`` or ``range`` with its two bodies."""

    kind: str
    position: int
    text: str = ""
    pipeline: Pipeline = ()
    body: list[Block] = field(default_factory=list)
    other: list[Block] = field(default_factory=list)


def parse_template(text: str) -> list[Block]:
    """Return the blocks of *text*; raises :class:`UsageError` if it is malformed."""
    return _Blocks(text).all()


class _Blocks:
    """Parses the pieces of a template into blocks, with ``if`` and ``range`` up to their ``end``."""

    def __init__(self, text: str) -> None:
        self._actions = list(_split(text))
        self._at = 0

    def all(self) -> list[Block]:
        """Parse the whole template."""
        blocks, ended_by = self._body(0)
        if ended_by:
            raise problem_at(ended_by.position, f"unexpected {{{{{ended_by.text}}}}}")
        return blocks

    def _body(self, depth: int, start: int = 0) -> tuple[list[Block], Token | None]:
        """Parse blocks up to ``end``, ``else`` or the end of the text; return that token too."""
        if depth > _DEEPEST:
            raise problem_at(start, "nested too deeply")
        blocks: list[Block] = []
        while self._at < len(self._actions):
            text, tokens = self._actions[self._at]
            self._at += 1
            if tokens is None:
                blocks.append(Block("text", 0, text))
            elif tokens[0].text in ("end", "else") and tokens[0].kind == "word":
                if tokens[0].text == "end" and len(tokens) > 1:
                    raise problem_at(tokens[1].position, f"unexpected {tokens[1].text!r}")
                return blocks, tokens[0]
            elif tokens[0].text in ("if", "range") and tokens[0].kind == "word":
                blocks.append(self._block(tokens, depth))
            else:
                blocks.append(Block("print", tokens[0].position, "", _Parser(tokens).whole()))
        return blocks, None

    def _block(self, tokens: Sequence[Token], depth: int) -> Block:
        """Parse the ``if`` or ``range`` that begins with *tokens*, to its ``end``."""
        head = tokens[0]
        block = Block(head.text, head.position, "", _Parser(tokens[1:], head).whole())
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


def _split(text: str) -> Iterator[tuple[str, list[Token] | None]]:
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


def _tokens(text: str, start: int) -> Iterator[Token]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise problem_at(start + position, f"unexpected {text[position]!r}")
        if match.lastgroup:
            yield Token(match.lastgroup, match[0], start + position)
        position = match.end()


class _Parser:
    """Parses the pipeline in *tokens*, which follow *head*."""

    def __init__(self, tokens: Sequence[Token], head: Token | None = None) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._start = tokens[0].position if tokens else head.position if head else 0

    def whole(self) -> Pipeline:
        """Parse all tokens."""
        pipeline = self._pipeline()
        if token := self._peek():
            raise problem_at(token.position, f"unexpected {token.text!r}")
        return pipeline

    def _peek(self) -> Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _pipeline(self) -> Pipeline:
        commands = [self._command(first=True)]
        while (token := self._peek()) and token.text == "|":
            self._at += 1
            commands.append(self._command(first=False))
        return tuple(commands)

    def _command(self, *, first: bool) -> Command:
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
        return Command(token.position, function, operands)

    def _operands(self) -> Iterator[Operand]:
        while (token := self._peek()) and token.text not in ("|", ")"):
            self._at += 1
            yield self._operand(token)

    def _operand(self, token: Token) -> Operand:
        match token.kind:
            case "chain":
                names = tuple(token.text[1:].split("."))
                return Operand(token.position, is_dot=True, chain=names)
            case "dot":
                return Operand(token.position, is_dot=True)
            case "number":
                return Operand(token.position, value=int(token.text))
            case "text":
                return Operand(token.position, value=_literal(token))
        if token.text != "(":
            raise problem_at(token.position, f"unexpected {token.text!r}")
        return self._parenthesis(token)

    def _parenthesis(self, token: Token) -> Operand:
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
        return Operand(token.position, pipeline=pipeline, chain=chain)


def _literal(token: Token) -> str:
    if token.text.startswith("`"):
        return token.text[1:-1]
    try:
        text: str = json.loads(token.text)
    except ValueError:
        raise problem_at(token.position, f"malformed string {token.text}") from None
    return text
