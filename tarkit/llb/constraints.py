"""Constraints of vertices: platform, filters of workers, and metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import TypedDict

from tarkit.image.platform import Platform
from tarkit.llb.messages import ExportCache, LinuxResources, OpMetadata, ProgressGroup
from tarkit.llb.platforms import to_platform
from tarkit.llb.sourcemaps import SourceLocation
from tarkit.values import dataclass

CUSTOM_NAME = "llb.customname"
"""The key of a vertex's name in its description."""


class ConstraintOptions(TypedDict, total=False):
    """Options that every operation and :meth:`State.marshal` take.

    ``platform``: a Platform, or text such as ``linux/arm64``. ``require``: filters that a worker
    must match. ``custom_name``: the name of the step in progress displays. ``description``: further
    facts for people and tools, by key. ``ignore_cache``: execute the step even if its result is
    cached. ``export_cache``: true if the step is exported to caches; None is the daemon's default.
    ``progress_group``: steps to be shown as one. ``resources``: limits of the cgroup of a process.
    ``local_unique_id``: identifies local directories without a session. ``locations``: the origin
    of the step, instead of the line of Python that made it.
    """

    platform: Platform | str
    require: Sequence[str]
    custom_name: str
    description: Mapping[str, str]
    ignore_cache: bool
    export_cache: bool | None
    progress_group: ProgressGroup
    resources: LinuxResources
    local_unique_id: str
    locations: Sequence[SourceLocation]


NO_METADATA = OpMetadata()


@dataclass(frozen=True, slots=True)
class Constraints:
    """The options of one vertex, or those given when a state is marshalled."""

    platform: Platform | None = None
    require: tuple[str, ...] = ()
    metadata: OpMetadata = field(default_factory=lambda: NO_METADATA)
    local_unique_id: str = ""
    locations: tuple[SourceLocation, ...] = ()


NO_CONSTRAINTS = Constraints()


def to_constraints(options: ConstraintOptions) -> Constraints:
    """Return *options* as constraints; raise TypeError if an option is unknown."""
    if not options:
        return NO_CONSTRAINTS
    unknown = sorted(options.keys() - ConstraintOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
    platform = options.get("platform")
    return Constraints(
        platform=None if platform is None else to_platform(platform),
        require=tuple(options.get("require", ())),
        metadata=_metadata(options),
        local_unique_id=options.get("local_unique_id", ""),
        locations=tuple(options.get("locations", ())),
    )


def _metadata(options: ConstraintOptions) -> OpMetadata:
    description = dict(options.get("description", {}))
    if "custom_name" in options:
        description[CUSTOM_NAME] = options["custom_name"]
    export = options.get("export_cache")
    return OpMetadata(
        ignore_cache=options.get("ignore_cache", False),
        description=description,
        export_cache=None if export is None else ExportCache(value=export),
        progress_group=options.get("progress_group"),
        linux_resources=options.get("resources"),
    )


def merged_metadata(base: OpMetadata, own: OpMetadata, caps: Iterable[str] = ()) -> OpMetadata:
    """Return *base* with *own* added, which wins, and with further capabilities."""
    values: dict[str, object] = {}
    if base.ignore_cache or own.ignore_cache:
        values["ignore_cache"] = True
    if base.description or own.description:
        values["description"] = {**base.description, **own.description}
    for name in ("export_cache", "progress_group", "linux_resources"):
        chosen = getattr(own, name) or getattr(base, name)
        if chosen is not None:
            values[name] = chosen
    values["caps"] = {**base.caps, **own.caps, **dict.fromkeys(caps, True)}
    return OpMetadata(**values)  # type: ignore[arg-type]
