"""The step of a build that writes an output, as users see it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tarkit.exporters.outputs import Output
from tarkit.llb.vertices import digest_of
from tarkit.solver.events import BuildEvent, VertexEvent
from tarkit.solver.vertex import reason
from tarkit.values import replace

_TITLES = {
    "local": "exporting to client directory",
    "tar": "exporting to client tarball",
    "oci": "exporting to oci image format",
    "docker": "exporting to docker image format",
}


@contextmanager
def exporting(output: Output, emit: Callable[[BuildEvent], None]) -> Iterator[None]:
    """Show the block as a step."""
    digest = digest_of(f"{output.type} {output.dest}".encode())
    event = VertexEvent(digest, _TITLES[output.type], started=time.time())
    emit(event)
    try:
        yield
    except BaseException as error:
        emit(replace(event, completed=time.time(), error=reason(error)))
        raise
    emit(replace(event, completed=time.time()))
