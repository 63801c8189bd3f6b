"""The requests of build functions, and answers about sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from tarkit.errors import UsageError
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.llb.definition import Definition
from tarkit.llb.messages import Range, SourceInfo
from tarkit.llb.state import State
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class CacheOptionsEntry:
    """A cache to import or export: its ``type``, such as "registry", and attributes."""

    type: str
    attrs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SolveRequest:
    """The task of :meth:`~tarkit.gateway.client.Client.solve`: a definition, or a call of a frontend.

    - ``evaluate``: wait for the result, and fail as its steps do; otherwise nothing is run before a
      reference is used.
    - ``frontend``: a name that the engine knows, or a function like that of a build.
    - ``frontend_opt``, ``frontend_inputs``: the options and inputs of the frontend.
    - ``cache_imports``: caches in which results are looked up.
    """

    definition: State | Definition | None = None
    evaluate: bool = False
    frontend: str | Callable[..., Any] = ""
    frontend_opt: Mapping[str, str] = field(default_factory=dict)
    frontend_inputs: Mapping[str, State | Definition] = field(default_factory=dict)
    cache_imports: Sequence[CacheOptionsEntry] = ()


@dataclass(frozen=True, slots=True)
class FileRange:
    """A part of a file: ``length`` bytes from ``offset``, or those until its end if there are fewer.

    Raises UsageError if one of them is negative.
    """

    offset: int = 0
    length: int = 0

    def __post_init__(self) -> None:
        if self.offset < 0 or self.length < 0:
            raise UsageError(f"range of {self.length} bytes at {self.offset}: neither is negative")


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """The file to read, and the part of it; None is the whole file."""

    filename: str
    range: FileRange | None = None


@dataclass(frozen=True, slots=True)
class ReadDirRequest:
    """The directory to list. ``include_pattern`` selects names, with ``*``, ``?`` and ``[…]``."""

    path: str
    include_pattern: str = ""


@dataclass(frozen=True, slots=True)
class StatRequest:
    """The path of a file."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveImageConfigOpt:
    """How an image is found.

    - ``platform``: chooses from an index; the worker's by default.
    - ``resolve_mode``: "default", "pull" (ask the registry) or "local" (prefer existing images).
    - ``log_name``: the name of this step in progress displays.
    - ``store``: the client's name of an OCI layout; None for a registry.
    """

    platform: Platform | str | None = None
    resolve_mode: str = "default"
    log_name: str = ""
    store: str | None = None


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """The config of an image, as JSON, and the digest of the index or manifest that was named."""

    reference: str
    digest: Digest
    config: bytes


@dataclass(frozen=True, slots=True)
class SourceMeta:
    """A resolved source: its identifier, and the image if it is one."""

    identifier: str
    image: ImageConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WarnOpts:
    """Further facts about a warning; a ``level`` of 0 means 1."""

    level: int = 0
    source: SourceInfo | None = None
    ranges: Sequence[Range] = ()
    detail: Sequence[bytes] = ()
    url: str = ""
