"""Where the sources of a build come from, and the operation of each kind of source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from tarkit.cache.manager import CacheManager
from tarkit.errors import UnsupportedError
from tarkit.llb.messages import Op
from tarkit.protocols import Source
from tarkit.solver.operation import Operation
from tarkit.values import dataclass, field

OpenLocation = Callable[[str], AbstractContextManager[Source]]
"""Opens the image at a location, as :func:`tarkit.open_source` does."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a build may read.

    - ``locals``: directories by the names that definitions use.
    - ``open_location``: opens images; without it there are none.
    - ``secrets``: contents by name, for example the header ``Authorization`` of a file from the web.
    """

    locals: Mapping[str, Path] = field(default_factory=dict)
    open_location: OpenLocation | None = None
    secrets: Mapping[str, bytes] = field(default_factory=dict)


def source_operation(op: Op, manager: CacheManager, sources: Sources, name: str) -> Operation:
    """Return the operation of a source; raises UnsupportedError for an unknown scheme."""
    assert op.source is not None
    scheme = op.source.identifier.partition("://")[0]
    if scheme == "local":
        from tarkit.solver.operations.local import LocalOperation

        return LocalOperation(op, manager, sources, name)
    raise UnsupportedError(f"sources of the kind {scheme[:40]!r} are not supported", where=name)
