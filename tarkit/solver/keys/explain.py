"""The reason why a vertex was not found in a cache: the differences of its key.

Facts are recorded from the same :class:`~tarkit.solver.keys.cache_map.CacheMap` and keys that a lookup
uses. Vertices have new digests when anything below them changes, so a *role* names the same vertex in
two builds: the way from the result to it.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from hashlib import sha256
from typing import Any, Self

from tarkit.errors import MalformedError
from tarkit.llb.graph import Graph
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.key import Key
from tarkit.values import dataclass

_LONGEST = 200  # characters of a value in a difference
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class InputFacts:
    """An input at the time of a build.

    ``keys`` are the record digests of its definition, ``content`` is the digest of its files if it
    was computed, and ``paths`` are those that the operation reads.
    """

    keys: tuple[str, ...] = ()
    content: str = ""
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """All that went into the key of a vertex: the hashed document, and its inputs."""

    document: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[InputFacts, ...] = ()

    @classmethod
    def of(
        cls, cache_map: CacheMap, keys: Sequence[Sequence[Key]], contents: Sequence[str]
    ) -> Self:
        """Return the facts of a vertex.

        For each input, *keys* has its definition keys and *contents* the digest of its content, or
        an empty text.
        """
        inputs = (
            InputFacts(
                tuple(sorted(key.record for key in known if not key.is_random)),
                content,
                tuple(query.path or "/" for query in rule.content or ()),
            )
            for rule, known, content in zip(cache_map.inputs, keys, contents, strict=True)
        )
        return cls(_readable(cache_map.document), tuple(inputs))

    def to_json(self) -> str:
        """Return the facts as JSON."""
        inputs = [
            {"keys": list(each.keys), "content": each.content, "paths": list(each.paths)}
            for each in self.inputs
        ]
        return json.dumps({"document": self.document, "inputs": inputs}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Parse the result of :meth:`to_json`; raises MalformedError."""
        try:
            parsed = json.loads(text)
            inputs = (
                InputFacts(tuple(each["keys"]), each["content"], tuple(each["paths"]))
                for each in parsed["inputs"]
            )
            return cls(dict(parsed["document"]), tuple(inputs))
        except (ValueError, KeyError, TypeError):
            raise MalformedError("not the facts of a cache key") from None


@dataclass(frozen=True, slots=True)
class Difference:
    """A part of a key that differs: a field such as ``Exec.meta.args[1]``, or an input.

    ``before`` and ``after`` are None if the part was added or removed.
    """

    part: str
    before: str | None
    after: str | None

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.part} added: {self.after}"
        if self.after is None:
            return f"{self.part} removed: {self.before}"
        return f"{self.part} changed: {self.before} -> {self.after}"


def differences(before: KeyFacts, after: KeyFacts) -> list[Difference]:
    """Return the changes of a key. The list is empty if the keys are equal.

    An input whose content is known both times has changed only if the content has: then its
    definition does not matter.
    """
    found = list(_compare("", before.document, after.document))
    for number in range(max(len(before.inputs), len(after.inputs))):
        old, new = (_at(each.inputs, number) for each in (before, after))
        found.extend(_compare_inputs(number, old, new))
    return found


def roles(graph: Graph) -> dict[str, str]:
    """Return a name for each vertex by digest, such as ``exec 0/1``: the inputs that lead to it."""
    if graph.head is None:
        return {}
    ways = {graph.head.digest: str(graph.head.index)}
    queue = deque(ways)
    while queue:
        digest = queue.popleft()
        for number, each in enumerate(graph.ops[digest].inputs):
            if each.digest not in ways:
                ways[each.digest] = f"{ways[digest]}/{number}"
                queue.append(each.digest)
    return {digest: f"{graph.ops[digest].which('op')} {way}" for digest, way in ways.items()}


def _readable(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a hashed document with the actions of file operations decoded, but not their data."""
    if document.get("Type") != "buildkit.file.v0":
        return document
    actions = [json.loads(b64decode(action)) for action in document["Actions"]]
    for action in actions:
        if "data" in action:
            data = b64decode(action["data"])
            action["data"] = f"{len(data)} bytes, sha256:{sha256(data).hexdigest()[:12]}"
    return {**document, "Actions": actions}


def _at(inputs: Sequence[InputFacts], number: int) -> InputFacts | None:
    return inputs[number] if number < len(inputs) else None


def _compare_inputs(
    number: int, before: InputFacts | None, after: InputFacts | None
) -> Iterator[Difference]:
    name = f"input {number}"
    if before is None or after is None:
        yield Difference(name, _input_text(before), _input_text(after))
        return
    if before.paths != after.paths:
        yield Difference(f"paths read from {name}", *map(_text, (before.paths, after.paths)))
    if before.content and after.content:
        if before.content != after.content:
            files = ", ".join(after.paths)
            yield Difference(f"content of {name} ({files})", before.content, after.content)
    elif not set(before.keys) & set(after.keys):
        yield Difference(f"definition of {name}", *map(_input_text, (before, after)))


def _input_text(facts: InputFacts | None) -> str | None:
    if facts is None:
        return None
    return facts.content or " or ".join(facts.keys) or "unknown"


def _compare(part: str, before: Any, after: Any) -> Iterator[Difference]:
    """Yield the differences between two JSON values below *part*."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in dict.fromkeys([*before, *after]):
            inner = f"{part}.{name}" if part else name
            yield from _compare(inner, before.get(name, _ABSENT), after.get(name, _ABSENT))
    elif isinstance(before, list) and isinstance(after, list):
        yield from _compare_lists(part, before, after)
    elif before is _ABSENT or after is _ABSENT or before != after:
        yield Difference(part, _text(before), _text(after))


def _compare_lists(part: str, before: list[Any], after: list[Any]) -> Iterator[Difference]:
    """Yield the differences of lists between their common beginning and their common end."""
    start, length = 0, min(len(before), len(after))
    while start < length and before[start] == after[start]:
        start += 1
    same = 0
    while same < length - start and before[-1 - same] == after[-1 - same]:
        same += 1
    for number in range(start, max(len(before), len(after)) - same):
        pair = (each[number] if number < len(each) - same else _ABSENT for each in (before, after))
        yield from _compare(f"{part}[{number}]", *pair)


def _text(value: Any) -> str | None:
    if value is _ABSENT:
        return None
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text)} characters)"
