"""Images at locations that a build reads, and their blobs as the daemon asks for them."""

from __future__ import annotations

from tarkit.gateway.buildkit.session import Session
from tarkit.llb.vertices import ResolvedImage
from tarkit.solver.operations.opened import OpenedImages

_NAME = "tarkit/location"


def offer(images: OpenedImages, session: Session, location: str) -> ResolvedImage:
    """Open the image at *location*, and let the daemon read it; see ``State.marshal``."""
    digest = images.open(location).manifest().digest
    images.layouts[location] = location
    return ResolvedImage(f"{_NAME}@{digest}", session=session.id, store=location)
