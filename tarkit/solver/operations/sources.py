"""The directories, images and secrets that a build may read, and the privileges of its processes."""

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
    """The directories, images and secrets that a build may read.

    - ``locals``: directories by the names that definitions use.
    - ``open_location``: opens images; without it there are none.
    - ``layouts``: locations of images by the names of OCI layouts that definitions use.
    - ``secrets``: contents by name, for example of the header ``Authorization`` of a file from the web.
    - ``agents``: sockets of SSH agents by name.
    - ``allowed``: privileges of processes: ``network.host``, ``security.insecure``.
    """

    locals: Mapping[str, Path] = field(default_factory=dict)
    open_location: OpenLocation | None = None
    layouts: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    agents: Mapping[str, Path] = field(default_factory=dict)
    allowed: frozenset[str] = frozenset()
