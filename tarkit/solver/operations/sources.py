"""What builds may read, and the operation of each kind of source."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import field
from pathlib import Path

from tarkit.protocols import Source
from tarkit.values import dataclass

OpenLocation = Callable[[str], AbstractContextManager[Source]]
"""Opens the image at a location, as :func:`tarkit.open_source` does."""


@dataclass(frozen=True, slots=True)
class Sources:
    """What a build may read.

    - ``locals``: directories by the names that definitions use.
    - ``open_location``: opens images; without it there are none.
    - ``layouts``: locations of images by the names of OCI layouts that definitions use.
    - ``secrets``: contents by name, for example of the header ``Authorization`` of a file from the web.
    """

    locals: Mapping[str, Path] = field(default_factory=dict)
    open_location: OpenLocation | None = None
    layouts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
