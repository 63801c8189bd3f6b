"""The operation of each kind of vertex."""

from __future__ import annotations

from tarkit.cache.manager import CacheManager
from tarkit.errors import UnsupportedError
from tarkit.llb.display.labels import label
from tarkit.llb.messages import Op, OpMetadata
from tarkit.solver.operation import Operation
from tarkit.solver.operations.building import BuildOperation
from tarkit.solver.operations.combining import (
    DiffOperation,
    MergeOperation,
    PassthroughOperation,
)
from tarkit.solver.operations.files import FileOperation
from tarkit.solver.operations.processes import ExecOperation
from tarkit.solver.operations.sources import Sources, source_operation


def name_of(op: Op, metadata: OpMetadata | None) -> str:
    """Return the name of a vertex for users: its own, or a description of the operation."""
    found = label(op, metadata)
    is_plain = found.kind in ("exec", "source", "file")
    return found.name or (found.text if is_plain else f"{found.kind} {found.text}".rstrip())


def make_operation(op: Op, manager: CacheManager, sources: Sources, name: str) -> Operation:
    """Return the operation of a vertex; raises UnsupportedError for sources that tarkit lacks."""
    match op.which("op"):
        case "source":
            return source_operation(op, manager, sources, name)
        case "file":
            return FileOperation(op, manager, name)
        case "merge":
            return MergeOperation(op, manager, name)
        case "diff":
            return DiffOperation(op, manager, name)
        case "passthrough":
            return PassthroughOperation(op, manager, name)
        case "build":
            return BuildOperation(op, name)
        case "exec":
            return ExecOperation(op, name)
    raise UnsupportedError("the operation is unknown", where=name)
