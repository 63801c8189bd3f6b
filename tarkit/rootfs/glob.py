"""Match glob patterns against the paths of a tree."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator

from tarkit.rootfs.node import Node
from tarkit.rootfs.tree import Tree

_ANY_DEPTH = None  # represents ``**`` among the expressions


def glob(tree: Tree, pattern: str) -> Iterator[tuple[bytes, Node]]:
    """Yield every path of *tree* that matches *pattern*, and its inode, in the order of :meth:`Tree.walk`.

    ``*``, ``?`` and ``[…]`` match within one component; ``**`` matches any number of components.
    Links are matched by name and not followed. A byte that is not UTF-8 counts as one character.
    """
    # A state is the number of pattern components that the path so far has matched; ``**`` allows
    # several states at once, as in a nondeterministic automaton.
    steps = [_expression(part) for part in pattern.split("/") if part not in ("", ".")]
    pending = [(b"", tree.root, _reachable({0}, steps))]
    while pending:
        path, node, states = pending.pop()
        if len(steps) in states:
            yield path, node
        prefix = path + b"/" if path else b""
        for name, child in sorted((node.children or {}).items(), reverse=True):
            text = name.decode("utf-8", "surrogateescape")
            after = _reachable(_after(text, states, steps), steps)
            if after:
                pending.append((prefix + name, child, after))


def _expression(part: str) -> re.Pattern[str] | None:
    return _ANY_DEPTH if part == "**" else re.compile(fnmatch.translate(part))


def _after(name: str, states: set[int], steps: list[re.Pattern[str] | None]) -> set[int]:
    """Return the states that *name* leads to from *states*."""
    after = set()
    for at in states:
        if at < len(steps):
            step = steps[at]
            if step is _ANY_DEPTH:
                after.add(at)
            elif step.match(name):
                after.add(at + 1)
    return after


def _reachable(states: set[int], steps: list[re.Pattern[str] | None]) -> set[int]:
    """Return *states* and all states reached if ``**`` matches no component."""
    reachable = set(states)
    for at in sorted(states):
        while at < len(steps) and steps[at] is _ANY_DEPTH:
            at += 1
            reachable.add(at)
    return reachable
