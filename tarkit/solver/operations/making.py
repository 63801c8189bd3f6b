"""The operation of each kind of vertex."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tarkit.cache.manager import CacheManager
from tarkit.errors import UnsupportedError
from tarkit.llb.display.labels import label
from tarkit.llb.messages import Op, OpMetadata
from tarkit.solver.content import ContentDigests
from tarkit.solver.operation import Operation
from tarkit.solver.operations.opened import OpenedImages
from tarkit.solver.operations.sources import Sources
from tarkit.streams.closeable import Closeable

if TYPE_CHECKING:
    from tarkit.solver.operations.process_context import ProcessContext


def name_of(op: Op, metadata: OpMetadata | None) -> str:
    """Return the name of a vertex for users: its own, or a description of the operation."""
    found = label(op, metadata)
    is_plain = found.kind in ("exec", "source", "file")
    return found.name or (found.text if is_plain else f"{found.kind} {found.text}".rstrip())


class Operations(Closeable):
    """Makes the operations of vertices, with their shared state; closing it closes the images."""

    def __init__(self, manager: CacheManager, sources: Sources) -> None:
        self._manager = manager
        self._sources = sources
        self._locals = dict(sources.locals)
        self._context: ProcessContext | None = None
        self.content = ContentDigests()
        self.images = OpenedImages(sources.open_location)
        self.images.layouts.update(sources.layouts)

    def make(self, op: Op, name: str) -> Operation:
        """Return the operation of a vertex; raises UnsupportedError for sources that tarkit lacks."""
        # each kind of operation is loaded if a definition needs it
        from tarkit.solver.operations.combining import (
            DiffOperation,
            MergeOperation,
            PassthroughOperation,
        )

        match op.which("op"):
            case "source":
                return self._source(op, name)
            case "file":
                from tarkit.solver.operations.files import FileOperation

                return FileOperation(op, self._manager, name)
            case "merge":
                return MergeOperation(op, self._manager, name)
            case "diff":
                return DiffOperation(op, self._manager, name)
            case "passthrough":
                return PassthroughOperation(op, self._manager, name)
            case "build":
                from tarkit.solver.operations.building import BuildOperation

                return BuildOperation(op, name)
            case "exec":
                from tarkit.solver.operations.processes import ExecOperation

                return ExecOperation(op, self.processes(), name)
        raise UnsupportedError("the operation is unknown", where=name)

    def processes(self) -> ProcessContext:
        """Return the surroundings of processes, which all processes of the solver share."""
        from tarkit.solver.operations.process_context import ProcessContext

        if self._context is None:
            self._context = ProcessContext(self._manager, self._sources)
        return self._context

    def _source(self, op: Op, name: str) -> Operation:
        assert op.source is not None
        scheme = op.source.identifier.partition("://")[0]
        match scheme:
            case "local":
                from tarkit.solver.operations.local import LocalOperation

                return LocalOperation(op, self._manager, self._locals, self.content, name)
            case "docker-image" | "oci-layout":
                from tarkit.solver.operations.image import ImageOperation

                return ImageOperation(op, self._manager, self.images, name)
            case "http" | "https":
                from tarkit.solver.operations.http import HttpOperation

                return HttpOperation(op, self._manager, self._sources.secrets, name)
            case "git":
                from tarkit.solver.operations.git import GitOperation

                return GitOperation(op, self._manager, self._sources.secrets, name)
        raise UnsupportedError(f"sources of the kind {scheme[:40]!r} are not supported", where=name)

    def close(self) -> None:
        """Close the images."""
        self.images.close()
