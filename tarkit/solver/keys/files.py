"""The cache map of file operations: their actions, and the files that they read from inputs."""

from __future__ import annotations

import posixpath
from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterator, Sequence

from tarkit.llb.messages import ChownOpt, FileAction, FileActionCopy, FileOp
from tarkit.rootfs.content_query import ContentQuery
from tarkit.solver.keys.cache_map import CacheMap, InputRule, hashed
from tarkit.solver.keys.digests import joined_digest
from tarkit.solver.keys.gojson import go_json, go_object
from tarkit.solver.keys.paths import outermost


def file_map(op: FileOp, inputs: int) -> CacheMap:
    """Return the cache map of a file operation with a number of *inputs*."""
    actions = [go_json(_action(action, inputs)) for action in op.actions]
    encoded = [b64encode(action.encode("utf-8")).decode("ascii") for action in actions]
    document: dict[str, object] = {"Type": "buildkit.file.v0", "Actions": encoded}
    indexes = [[each.input, each.secondary_input, each.output] for each in op.actions]
    if not _is_usual(indexes):
        document["indexes"] = indexes
    return hashed(document, _rules(op, inputs))


def _action(action: FileAction, inputs: int) -> dict[str, object]:
    """Return the message inside an action.

    The path that is copied from an input is in the selector of the input, and here only its last
    component.
    """
    name = action.which("action")
    document: dict[str, object] = go_object(getattr(action, name)) if name else {}
    if action.copy is not None and 0 <= action.secondary_input < inputs:
        document = go_object(action.copy.replaced(src=_base_name(action.copy.src)))
    return document


def _base_name(path: str) -> str:
    """Return what Go's ``path.Base`` returns."""
    if not path:
        return "."
    return posixpath.basename(path.rstrip("/")) or "/"


def _is_usual(indexes: Sequence[Sequence[int]]) -> bool:
    """Return whether actions are chained as if each came from a definition with as many inputs.

    The key of this shape, the most frequent, does not mention it, because old ones did not.
    """
    last = len(indexes) - 1
    return bool(indexes) and all(
        first == (len(indexes) + number - 1 if number else 0)
        and second in (-1, 1)
        and output == (0 if number == last else -1)
        for number, (first, second, output) in enumerate(indexes)
    )


def _rules(op: FileOp, inputs: int) -> list[InputRule]:
    """Return the rules for the inputs: those that are only read are known by the files read."""
    reads: defaultdict[int, list[ContentQuery]] = defaultdict(list)
    for action in op.actions:
        for number, query in _reads(action):
            reads[number].append(query)
    changed = {action.input for action in op.actions}
    return [_rule(reads[number] if number not in changed else []) for number in range(inputs)]


def _rule(queries: Sequence[ContentQuery]) -> InputRule:
    if not queries:
        return InputRule()
    selector = joined_digest(sorted((q.path for q in queries), key=_order, reverse=True))
    return InputRule(selector, tuple(_without_duplicates(queries)))


def _reads(action: FileAction) -> Iterator[tuple[int, ContentQuery]]:
    """Yield an index of an input, or of an earlier action, and the files that *action* reads there."""
    changing = action.copy or action.mkfile or action.mkdir
    if changing is not None and changing.owner is not None:
        yield from _owner_reads(changing.owner)
    if action.copy is not None:
        yield action.secondary_input, _copied(action.copy)


def _owner_reads(owner: ChownOpt) -> Iterator[tuple[int, ContentQuery]]:
    for each, path in ((owner.user, "/etc/passwd"), (owner.group, "/etc/group")):
        if each is not None and each.by_name is not None:
            yield each.by_name.input, ContentQuery(path, follow=True)


def _copied(copy: FileActionCopy) -> ContentQuery:
    return ContentQuery(
        copy.src,
        follow=copy.follow_symlink,
        wildcard=copy.allow_wildcard and _has_wildcards(copy.src),
        include=tuple(copy.include_patterns),
        exclude=tuple(copy.exclude_patterns),
        required=tuple(copy.required_paths),
    )


def _has_wildcards(path: str) -> bool:
    characters = iter(path)
    for character in characters:
        if character == "\\":
            next(characters, "")
        elif character in "*?[":
            return True
    return False


def _without_duplicates(queries: Sequence[ContentQuery]) -> list[ContentQuery]:
    """Return *queries* by path; plain paths below another plain path are covered by it."""
    special = [query for query in queries if query.wildcard or query.include or query.exclude]
    plain = [query for query in queries if query not in special]
    kept = [
        ContentQuery(path, follow=follow)
        for follow in (False, True)
        for path in outermost(query.path for query in plain if query.follow == follow)
    ]
    return sorted([*kept, *special], key=lambda query: _order(query.path))


def _order(path: str) -> bytes:
    return path.encode("utf-8", "surrogateescape")
