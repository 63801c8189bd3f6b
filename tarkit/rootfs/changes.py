"""Compare two trees, skipping everything that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tarkit.rootfs.trail import Directory, Value
from tarkit.rootfs.tree import Tree

Pair = tuple[bytes, Value | None, Value | None]
"""A path and its value in the old and the new tree, or None if it does not exist there."""

IsSame = Callable[[int, int], bool]
"""Returns True if an old and a new row stand for the same metadata and content."""


def changes(old: Tree, new: Tree, is_same: IsSame) -> Iterator[Pair]:
    """Yield the paths that differ, parents first, siblings by name.

    A directory that both trees share, as forks do, is skipped as a whole.
    """
    pending: list[Pair] = [(b"", old.top, new.top)]
    while pending:
        pair = pending.pop()
        path, before, after = pair
        if before is after and isinstance(before, Directory):
            continue
        if before is None or after is None or not _is_same(before, after, is_same):
            yield pair
        prefix = path + b"/" if path else b""
        below = sorted(_below(before, after, is_same), reverse=True, key=_name)
        pending += [(prefix + name, first, second) for name, first, second in below]


def _below(before: Value | None, after: Value | None, is_same: IsSame) -> Iterator[Pair]:
    """Yield the names in either directory, except files that are the same."""
    old = before.entries if isinstance(before, Directory) else {}
    new = after.entries if isinstance(after, Directory) else {}
    for name, first in old.items():
        second = new.get(name)
        if isinstance(first, int) and isinstance(second, int) and is_same(first, second):
            continue
        yield name, first, second
    for name, value in new.items():
        if name not in old:
            yield name, None, value


def _is_same(before: Value, after: Value, is_same: IsSame) -> bool:
    if isinstance(before, int) or isinstance(after, int):
        return isinstance(before, int) and isinstance(after, int) and is_same(before, after)
    return is_same(before.row, after.row)


def _name(pair: Pair) -> bytes:
    return pair[0]
