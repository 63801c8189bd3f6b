"""Digests of operations other than sources, which depend on the definition alone."""

from __future__ import annotations

from typing import Any

from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.llb.messages import Op
from tarkit.llb.platforms import from_message, normalized
from tarkit.solver.keys.cache_map import CacheMap, InputRule, hashed
from tarkit.solver.keys.files import file_map
from tarkit.solver.keys.gojson import go_object
from tarkit.solver.keys.processes import exec_map

_PLAIN = {
    "merge": ("buildkit.merge.v0", "Merge"),
    "diff": ("buildkit.diff.v0", "Diff"),
    "build": ("buildkit.build.v0", "Exec"),  # sic: the field is called so
    "passthrough": ("buildkit.passthrough.v0", "Passthrough"),
}


def operation_map(op: Op, platform: Platform | None = None) -> CacheMap:
    """Return the cache map of an operation that is not a source.

    *platform* is that of processes whose vertex names none, this machine's by default. Raises
    UsageError for a source, and for a mount that insists on a content key it cannot have.
    """
    name = op.which("op")
    if name == "exec":
        assert op.exec is not None
        return exec_map(op.exec, len(op.inputs), vertex_platform(op, platform))
    if name == "file":
        assert op.file is not None
        return file_map(op.file, len(op.inputs))
    if name not in _PLAIN:
        raise UsageError(f"the key of a {name or 'vertex without operation'} is not its definition")
    kind, field = _PLAIN[name]
    document: dict[str, Any] = {"Type": kind, field: go_object(getattr(op, name))}
    return hashed(document, [InputRule()] * len(op.inputs))


def vertex_platform(op: Op, default: Platform | None = None) -> Platform:
    """Return the normalized platform of a vertex, *default* or this machine's if it has none."""
    given = from_message(op.platform) if op.platform is not None else default
    return normalized(given or Platform.system())
