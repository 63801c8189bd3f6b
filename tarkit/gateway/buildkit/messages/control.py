"""The messages of ``moby.buildkit.v1.Control``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tarkit.gateway.buildkit.messages.status import Timestamp
from tarkit.llb.messages import Definition, Platform, ProgressGroup, Range, SourceInfo
from tarkit.llb.wire import (
    Message,
    boolean,
    int64,
    mapping,
    message,
    raw_bytes,
    repeated,
    string,
)


class CacheOptionsEntry(Message):
    """A cache to import or export."""

    type: str = string(1, name="Type")
    attrs: Mapping[str, str] = mapping(2, string, name="Attrs")


class CacheOptions(Message):
    """The caches of a build."""

    export_ref: str = string(1, name="ExportRefDeprecated")
    import_refs: Sequence[str] = repeated(2, string, name="ImportRefsDeprecated")
    export_attrs: Mapping[str, str] = mapping(3, string, name="ExportAttrsDeprecated")
    exports: Sequence[CacheOptionsEntry] = repeated(4, CacheOptionsEntry, name="Exports")
    imports: Sequence[CacheOptionsEntry] = repeated(5, CacheOptionsEntry, name="Imports")


class Exporter(Message):
    """An output."""

    type: str = string(1, name="Type")
    attrs: Mapping[str, str] = mapping(2, string, name="Attrs")


class SolveRequest(Message):
    """A build. The first exporter is also given in the fields that old daemons read."""

    ref: str = string(1, name="Ref")
    definition: Definition | None = message(2, Definition, name="Definition")
    exporter: str = string(3, name="ExporterDeprecated")
    exporter_attrs: Mapping[str, str] = mapping(4, string, name="ExporterAttrsDeprecated")
    session: str = string(5, name="Session")
    frontend: str = string(6, name="Frontend")
    frontend_attrs: Mapping[str, str] = mapping(7, string, name="FrontendAttrs")
    cache: CacheOptions | None = message(8, CacheOptions, name="Cache")
    entitlements: Sequence[str] = repeated(9, string, name="Entitlements")
    frontend_inputs: Mapping[str, Definition] = mapping(10, Definition, name="FrontendInputs")
    internal: bool = boolean(11, name="Internal")
    exporters: Sequence[Exporter] = repeated(13, Exporter, name="Exporters")


class SolveResponse(Message):
    """Facts about the outputs."""

    exporter_response: Mapping[str, str] = mapping(1, string, name="ExporterResponse")


class StatusRequest(Message):
    """The build to watch."""

    ref: str = string(1, name="Ref")


class Vertex(Message):
    """A step; see :class:`~tarkit.solver.events.VertexEvent`."""

    digest: str = string(1)
    inputs: Sequence[str] = repeated(2, string)
    name: str = string(3)
    cached: bool = boolean(4)
    started: Timestamp | None = message(5, Timestamp)
    completed: Timestamp | None = message(6, Timestamp)
    error: str = string(7)
    progress_group: ProgressGroup | None = message(8, ProgressGroup, name="progressGroup")


class VertexStatus(Message):
    """A part of a step in progress."""

    id: str = string(1, name="ID")
    vertex: str = string(2)
    name: str = string(3)
    current: int = int64(4)
    total: int = int64(5)
    timestamp: Timestamp | None = message(6, Timestamp)
    started: Timestamp | None = message(7, Timestamp)
    completed: Timestamp | None = message(8, Timestamp)


class VertexLog(Message):
    """Output of a step."""

    vertex: str = string(1)
    timestamp: Timestamp | None = message(2, Timestamp)
    stream: int = int64(3)
    data: bytes = raw_bytes(4, name="msg")


class VertexWarning(Message):
    """A warning about a step."""

    vertex: str = string(1)
    level: int = int64(2)
    short: bytes = raw_bytes(3)
    detail: Sequence[bytes] = repeated(4, raw_bytes)
    url: str = string(5)
    info: SourceInfo | None = message(6, SourceInfo)
    ranges: Sequence[Range] = repeated(7, Range)


class StatusResponse(Message):
    """Changes since the last response."""

    vertexes: Sequence[Vertex] = repeated(1, Vertex)
    statuses: Sequence[VertexStatus] = repeated(2, VertexStatus)
    logs: Sequence[VertexLog] = repeated(3, VertexLog)
    warnings: Sequence[VertexWarning] = repeated(4, VertexWarning)


class GCPolicy(Message):
    """A rule by which a worker prunes its cache."""

    all: bool = boolean(1)
    keep_duration: int = int64(2, name="keepDuration")
    reserved_space: int = int64(3, name="reservedSpace")
    filters: Sequence[str] = repeated(4, string)
    max_used_space: int = int64(5, name="maxUsedSpace")
    min_free_space: int = int64(6, name="minFreeSpace")


class BuildkitVersion(Message):
    """The version of a daemon."""

    package: str = string(1)
    version: str = string(2)
    revision: str = string(3)


class WorkerRecord(Message):
    """A worker of a daemon."""

    id: str = string(1, name="ID")
    labels: Mapping[str, str] = mapping(2, string, name="Labels")
    platforms: Sequence[Platform] = repeated(3, Platform)
    gc_policy: Sequence[GCPolicy] = repeated(4, GCPolicy, name="GCPolicy")
    version: BuildkitVersion | None = message(5, BuildkitVersion, name="BuildkitVersion")


class ListWorkersRequest(Message):
    """The workers to list."""

    filter: Sequence[str] = repeated(1, string)


class ListWorkersResponse(Message):
    """The workers."""

    record: Sequence[WorkerRecord] = repeated(1, WorkerRecord)


class InfoResponse(Message):
    """Facts about the daemon."""

    version: BuildkitVersion | None = message(1, BuildkitVersion, name="buildkitVersion")
