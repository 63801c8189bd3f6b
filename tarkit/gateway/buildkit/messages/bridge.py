"""The messages of ``moby.buildkit.v1.frontend.LLBBridge``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tarkit.gateway.buildkit.messages.control import CacheOptionsEntry, WorkerRecord
from tarkit.gateway.buildkit.messages.files import Stat
from tarkit.gateway.buildkit.messages.status import Status
from tarkit.llb.messages import (
    Definition,
    HostIP,
    Meta,
    Mount,
    NetMode,
    Platform,
    Range,
    SecretEnv,
    SecurityMode,
    SourceInfo,
    SourceOp,
    WorkerConstraints,
)
from tarkit.llb.wire import (
    Message,
    boolean,
    enum,
    int32,
    int64,
    mapping,
    message,
    raw_bytes,
    repeated,
    string,
    uint32,
)


class Ref(Message):
    """A reference, with the definition of its state; without ID it is empty."""

    id: str = string(1)
    definition: Definition | None = message(2, Definition, name="def")


class RefMap(Message):
    """References by name."""

    refs: Mapping[str, Ref] = mapping(1, Ref)


class RefMapDeprecated(Message):
    """IDs of references by name, for old daemons."""

    refs: Mapping[str, str] = mapping(1, string)


class Result(Message):
    """The result of a definition or of a build."""

    ref_deprecated: str | None = string(1, name="refDeprecated", oneof="result")
    refs_deprecated: RefMapDeprecated | None = message(
        2, RefMapDeprecated, name="refsDeprecated", oneof="result"
    )
    ref: Ref | None = message(3, Ref, oneof="result")
    refs: RefMap | None = message(4, RefMap, oneof="result")
    metadata: Mapping[str, bytes] = mapping(10, raw_bytes)


class SolveRequest(Message):
    """A definition, or a call of a frontend."""

    definition: Definition | None = message(1, Definition, name="Definition")
    frontend: str = string(2, name="Frontend")
    frontend_opt: Mapping[str, str] = mapping(3, string, name="FrontendOpt")
    allow_result_return: bool = boolean(5, name="allowResultReturn")
    allow_result_array_ref: bool = boolean(6, name="allowResultArrayRef")
    cache_imports: Sequence[CacheOptionsEntry] = repeated(12, CacheOptionsEntry)
    frontend_inputs: Mapping[str, Definition] = mapping(13, Definition, name="FrontendInputs")
    evaluate: bool = boolean(14, name="Evaluate")


class SolveResponse(Message):
    """A result; old daemons give only the ID of a reference."""

    ref: str = string(1)
    result: Result | None = message(3, Result)


class ReturnRequest(Message):
    """The result of the build, or its error."""

    result: Result | None = message(1, Result)
    error: Status | None = message(2, Status)


class InputsResponse(Message):
    """The inputs of the build."""

    definitions: Mapping[str, Definition] = mapping(1, Definition, name="Definitions")


class ResolveImageConfigRequest(Message):
    """The image to look up."""

    ref: str = string(1, name="Ref")
    platform: Platform | None = message(2, Platform, name="Platform")
    resolve_mode: str = string(3, name="ResolveMode")
    log_name: str = string(4, name="LogName")
    resolver_type: int = int32(5, name="ResolverType")
    session_id: str = string(6, name="SessionID")
    store_id: str = string(7, name="StoreID")


class ResolveImageConfigResponse(Message):
    """An image."""

    digest: str = string(1, name="Digest")
    config: bytes = raw_bytes(2, name="Config")
    ref: str = string(3, name="Ref")


class ResolveSourceMetaRequest(Message):
    """The source to look up."""

    source: SourceOp | None = message(1, SourceOp, name="Source")
    platform: Platform | None = message(2, Platform, name="Platform")
    log_name: str = string(3, name="LogName")
    resolve_mode: str = string(4, name="ResolveMode")


class ResolveSourceImageResponse(Message):
    """An image."""

    digest: str = string(1, name="Digest")
    config: bytes = raw_bytes(2, name="Config")


class ResolveSourceMetaResponse(Message):
    """A source as of now."""

    source: SourceOp | None = message(1, SourceOp, name="Source")
    image: ResolveSourceImageResponse | None = message(2, ResolveSourceImageResponse, name="Image")


class FileRange(Message):
    """A part of a file."""

    offset: int = int64(1, name="Offset")
    length: int = int64(2, name="Length")


class ReadFileRequest(Message):
    """The file to read."""

    ref: str = string(1, name="Ref")
    path: str = string(2, name="FilePath")
    range: FileRange | None = message(3, FileRange, name="Range")


class ReadFileResponse(Message):
    """The content of a file."""

    data: bytes = raw_bytes(1, name="Data")


class ReadDirRequest(Message):
    """The directory to list."""

    ref: str = string(1, name="Ref")
    path: str = string(2, name="DirPath")
    include_pattern: str = string(3, name="IncludePattern")


class ReadDirResponse(Message):
    """The entries of a directory."""

    entries: Sequence[Stat] = repeated(1, Stat)


class StatFileRequest(Message):
    """The file to look at."""

    ref: str = string(1, name="Ref")
    path: str = string(2, name="Path")


class StatFileResponse(Message):
    """The facts about a file."""

    stat: Stat | None = message(1, Stat)


class EvaluateRequest(Message):
    """The reference to wait for."""

    ref: str = string(1, name="Ref")


class APICap(Message):
    """A capability."""

    id: str = string(1, name="ID")
    enabled: bool = boolean(2, name="Enabled")
    deprecated: bool = boolean(3, name="Deprecated")
    disabled_reason: str = string(4, name="DisabledReason")
    disabled_reason_msg: str = string(5, name="DisabledReasonMsg")
    disabled_alternative: str = string(6, name="DisabledAlternative")


class PongResponse(Message):
    """The capabilities and workers of the daemon."""

    frontend_caps: Sequence[APICap] = repeated(1, APICap, name="FrontendAPICaps")
    llb_caps: Sequence[APICap] = repeated(2, APICap, name="LLBCaps")
    workers: Sequence[WorkerRecord] = repeated(3, WorkerRecord, name="Workers")


class WarnRequest(Message):
    """A warning about a step."""

    digest: str = string(1)
    level: int = int64(2)
    short: bytes = raw_bytes(3)
    detail: Sequence[bytes] = repeated(4, raw_bytes)
    url: str = string(5)
    info: SourceInfo | None = message(6, SourceInfo)
    ranges: Sequence[Range] = repeated(7, Range)


class NewContainerRequest(Message):
    """A new container."""

    container_id: str = string(1, name="ContainerID")
    mounts: Sequence[Mount] = repeated(2, Mount, name="Mounts")
    network: NetMode = enum(3, NetMode, name="Network")
    platform: Platform | None = message(4, Platform)
    constraints: WorkerConstraints | None = message(5, WorkerConstraints)
    extra_hosts: Sequence[HostIP] = repeated(6, HostIP, name="extraHosts")
    hostname: str = string(7)


class ReleaseContainerRequest(Message):
    """The container to remove."""

    container_id: str = string(1, name="ContainerID")


class InitMessage(Message):
    """Start a process."""

    container_id: str = string(1, name="ContainerID")
    meta: Meta | None = message(2, Meta, name="Meta")
    fds: Sequence[int] = repeated(3, uint32, name="Fds")
    tty: bool = boolean(4, name="Tty")
    security: SecurityMode = enum(5, SecurityMode, name="Security")
    secret_env: Sequence[SecretEnv] = repeated(6, SecretEnv, name="secretenv")


class FdMessage(Message):
    """A piece of a stream of a process."""

    fd: int = uint32(1, name="Fd")
    eof: bool = boolean(2, name="EOF")
    data: bytes = raw_bytes(3, name="Data")


class ResizeMessage(Message):
    """The size of a terminal."""

    rows: int = uint32(1, name="Rows")
    cols: int = uint32(2, name="Cols")


class StartedMessage(Message):
    """A process runs."""


class ExitMessage(Message):
    """A process has ended."""

    code: int = uint32(1, name="Code")
    error: Status | None = message(2, Status, name="Error")


class DoneMessage(Message):
    """No more messages of a process follow."""


class SignalMessage(Message):
    """A signal by name, without SIG."""

    name: str = string(1, name="Name")


class ExecMessage(Message):
    """A message from or to a process."""

    process_id: str = string(1, name="ProcessID")
    init: InitMessage | None = message(2, InitMessage, name="Init", oneof="input")
    file: FdMessage | None = message(3, FdMessage, name="File", oneof="input")
    resize: ResizeMessage | None = message(4, ResizeMessage, name="Resize", oneof="input")
    started: StartedMessage | None = message(5, StartedMessage, name="Started", oneof="input")
    exit: ExitMessage | None = message(6, ExitMessage, name="Exit", oneof="input")
    done: DoneMessage | None = message(7, DoneMessage, name="Done", oneof="input")
    signal: SignalMessage | None = message(8, SignalMessage, name="Signal", oneof="input")
