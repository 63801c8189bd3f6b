"""The messages of BuildKit's package ``pb``: operations, and definitions that hold them.

Attributes have Python's names; ``name`` is BuildKit's. An index of -1 means "nothing".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum

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
    uint64,
)


class NetMode(IntEnum):
    """The network of a process: ``UNSET`` is a sandbox."""

    UNSET = 0
    HOST = 1
    NONE = 2


class SecurityMode(IntEnum):
    """The privileges of a process."""

    SANDBOX = 0
    INSECURE = 1


class MountType(IntEnum):
    """The kind of a mount."""

    BIND = 0
    SECRET = 1
    SSH = 2
    CACHE = 3
    TMPFS = 4


class MountContentCache(IntEnum):
    """True if the content of a mount, rather than its definition, is the key of the cache."""

    DEFAULT = 0
    ON = 1
    OFF = 2


class CacheSharing(IntEnum):
    """The use of a cache mount by several processes at once."""

    SHARED = 0
    PRIVATE = 1
    LOCKED = 2


class Platform(Message):
    """A platform, as BuildKit spells it."""

    architecture: str = string(1, name="Architecture")
    os: str = string(2, name="OS")
    variant: str = string(3, name="Variant")
    os_version: str = string(4, name="OSVersion")
    os_features: Sequence[str] = repeated(5, string, name="OSFeatures")


class Input(Message):
    """An output of another vertex."""

    digest: str = string(1)
    index: int = int64(2)


class WorkerConstraints(Message):
    """Filters that a worker must match."""

    filter: Sequence[str] = repeated(1, string)


class SourceOp(Message):
    """An image, directory, file or repository from outside the graph."""

    identifier: str = string(1)
    attrs: Mapping[str, str] = mapping(2, string)


class ProxyEnv(Message):
    """Proxies that a process sees, which are not part of its cache key."""

    http_proxy: str = string(1)
    https_proxy: str = string(2)
    ftp_proxy: str = string(3)
    no_proxy: str = string(4)
    all_proxy: str = string(5)


class HostIP(Message):
    """A line of ``/etc/hosts``."""

    host: str = string(1, name="Host")
    ip: str = string(2, name="IP")


class Ulimit(Message):
    """A resource limit of a process."""

    name: str = string(1, name="Name")
    soft: int = int64(2, name="Soft")
    hard: int = int64(3, name="Hard")


class Meta(Message):
    """Arguments and surroundings of a process."""

    args: Sequence[str] = repeated(1, string)
    env: Sequence[str] = repeated(2, string)
    cwd: str = string(3)
    user: str = string(4)
    proxy_env: ProxyEnv | None = message(5, ProxyEnv)
    extra_hosts: Sequence[HostIP] = repeated(6, HostIP, name="extraHosts")
    hostname: str = string(7)
    ulimit: Sequence[Ulimit] = repeated(9, Ulimit)
    cgroup_parent: str = string(10, name="cgroupParent")
    remove_mount_stubs_recursive: bool = boolean(11, name="removeMountStubsRecursive")
    valid_exit_codes: Sequence[int] = repeated(12, int32, name="validExitCodes")


class TmpfsOpt(Message):
    """The size of a tmpfs mount, in bytes."""

    size: int = int64(1)


class CacheOpt(Message):
    """The identity of a cache mount."""

    id: str = string(1, name="ID")
    sharing: CacheSharing = enum(2, CacheSharing)


class SecretOpt(Message):
    """A secret, and the attributes of its file."""

    id: str = string(1, name="ID")
    uid: int = uint32(2)
    gid: int = uint32(3)
    mode: int = uint32(4)
    optional: bool = boolean(5)


class SSHOpt(Message):
    """An SSH agent, and the attributes of its socket."""

    id: str = string(1, name="ID")
    uid: int = uint32(2)
    gid: int = uint32(3)
    mode: int = uint32(4)
    optional: bool = boolean(5)


class Mount(Message):
    """A mount of a process; ``input`` and ``output`` are indices, or -1."""

    input: int = int64(1)
    selector: str = string(2)
    dest: str = string(3)
    output: int = int64(4)
    readonly: bool = boolean(5)
    mount_type: MountType = enum(6, MountType, name="mountType")
    tmpfs: TmpfsOpt | None = message(19, TmpfsOpt, name="TmpfsOpt")
    cache: CacheOpt | None = message(20, CacheOpt, name="cacheOpt")
    secret: SecretOpt | None = message(21, SecretOpt, name="secretOpt")
    ssh: SSHOpt | None = message(22, SSHOpt, name="SSHOpt")
    result_id: str = string(23, name="resultID")
    content_cache: MountContentCache = enum(24, MountContentCache, name="contentCache")


class SecretEnv(Message):
    """A secret in a variable of the environment."""

    id: str = string(1, name="ID")
    name: str = string(2)
    optional: bool = boolean(3)


class CDIDevice(Message):
    """A device by its name in the Container Device Interface."""

    name: str = string(1)
    optional: bool = boolean(2)


class ExecOp(Message):
    """A process."""

    meta: Meta | None = message(1, Meta)
    mounts: Sequence[Mount] = repeated(2, Mount)
    network: NetMode = enum(3, NetMode)
    security: SecurityMode = enum(4, SecurityMode)
    secret_env: Sequence[SecretEnv] = repeated(5, SecretEnv, name="secretenv")
    cdi_devices: Sequence[CDIDevice] = repeated(6, CDIDevice, name="cdiDevices")


class NamedUser(Message):
    """A user or group by name, to be looked up in an input."""

    name: str = string(1)
    input: int = int64(2)


class UserOpt(Message):
    """A user or group, by name or number."""

    by_name: NamedUser | None = message(1, NamedUser, name="byName", oneof="user")
    by_id: int | None = uint32(2, name="byID", oneof="user")


class ChownOpt(Message):
    """The owner of a created file."""

    user: UserOpt | None = message(1, UserOpt)
    group: UserOpt | None = message(2, UserOpt)


class FileActionCopy(Message):
    """Copy files between inputs."""

    src: str = string(1)
    dest: str = string(2)
    owner: ChownOpt | None = message(3, ChownOpt)
    mode: int = int32(4)
    follow_symlink: bool = boolean(5, name="followSymlink")
    dir_copy_contents: bool = boolean(6, name="dirCopyContents")
    attempt_unpack: bool = boolean(7, name="attemptUnpackDockerCompatibility")
    create_dest_path: bool = boolean(8, name="createDestPath")
    allow_wildcard: bool = boolean(9, name="allowWildcard")
    allow_empty_wildcard: bool = boolean(10, name="allowEmptyWildcard")
    timestamp: int = int64(11)
    include_patterns: Sequence[str] = repeated(12, string)
    exclude_patterns: Sequence[str] = repeated(13, string)
    always_replace_existing_dest_paths: bool = boolean(14, name="alwaysReplaceExistingDestPaths")
    mode_str: str = string(15, name="modeStr")
    required_paths: Sequence[str] = repeated(16, string)


class FileActionMkFile(Message):
    """Write a file."""

    path: str = string(1)
    mode: int = int32(2)
    data: bytes = raw_bytes(3)
    owner: ChownOpt | None = message(4, ChownOpt)
    timestamp: int = int64(5)


class FileActionMkDir(Message):
    """Create a directory."""

    path: str = string(1)
    mode: int = int32(2)
    make_parents: bool = boolean(3, name="makeParents")
    owner: ChownOpt | None = message(4, ChownOpt)
    timestamp: int = int64(5)


class FileActionSymlink(Message):
    """Create a symbolic link at ``newpath``."""

    oldpath: str = string(1)
    newpath: str = string(2)
    owner: ChownOpt | None = message(3, ChownOpt)
    timestamp: int = int64(4)


class FileActionRm(Message):
    """Remove a file or directory."""

    path: str = string(1)
    allow_not_found: bool = boolean(2, name="allowNotFound")
    allow_wildcard: bool = boolean(3, name="allowWildcard")


class FileAction(Message):
    """One step of a file operation; its inputs are inputs of the vertex, or earlier steps."""

    input: int = int64(1)
    secondary_input: int = int64(2, name="secondaryInput")
    output: int = int64(3)
    copy: FileActionCopy | None = message(4, FileActionCopy, oneof="action")
    mkfile: FileActionMkFile | None = message(5, FileActionMkFile, oneof="action")
    mkdir: FileActionMkDir | None = message(6, FileActionMkDir, oneof="action")
    rm: FileActionRm | None = message(7, FileActionRm, oneof="action")
    symlink: FileActionSymlink | None = message(8, FileActionSymlink, oneof="action")


class FileOp(Message):
    """A chain of file actions."""

    actions: Sequence[FileAction] = repeated(2, FileAction)


class MergeInput(Message):
    """An input of a merge."""

    input: int = int64(1)


class MergeOp(Message):
    """Trees laid over each other."""

    inputs: Sequence[MergeInput] = repeated(1, MergeInput)


class DiffInput(Message):
    """One side of a difference."""

    input: int = int64(1)


class DiffOp(Message):
    """The changes from one tree to another."""

    lower: DiffInput | None = message(1, DiffInput)
    upper: DiffInput | None = message(2, DiffInput)


class PassthroughOp(Message):
    """Outputs of other vertices, which require further inputs."""

    id: str = string(1)
    outputs: Sequence[int] = repeated(2, int64)


class BuildInput(Message):
    """An input of a nested build."""

    input: int = int64(1)


class BuildOp(Message):
    """A build whose definition is read from an input."""

    builder: int = int64(1)
    inputs: Mapping[str, BuildInput] = mapping(2, BuildInput)
    definition: Definition | None = message(3, "Definition", name="def")
    attrs: Mapping[str, str] = mapping(4, string)


class Op(Message):
    """A vertex of the graph."""

    inputs: Sequence[Input] = repeated(1, Input)
    exec: ExecOp | None = message(2, ExecOp, oneof="op")
    source: SourceOp | None = message(3, SourceOp, oneof="op")
    file: FileOp | None = message(4, FileOp, oneof="op")
    build: BuildOp | None = message(5, BuildOp, oneof="op")
    merge: MergeOp | None = message(6, MergeOp, oneof="op")
    diff: DiffOp | None = message(7, DiffOp, oneof="op")
    passthrough: PassthroughOp | None = message(8, PassthroughOp, oneof="op")
    platform: Platform | None = message(10, Platform)
    constraints: WorkerConstraints | None = message(11, WorkerConstraints)


class ExportCache(Message):
    """True if a vertex is exported to caches."""

    value: bool = boolean(1, name="Value")


class ProgressGroup(Message):
    """Vertices with the same ``id`` are shown as one."""

    id: str = string(1)
    name: str = string(2)
    weak: bool = boolean(3)


class LinuxResources(Message):
    """Limits of the cgroup of a process."""

    memory: int = int64(1)
    memory_swap: int = int64(2, name="memorySwap")
    cpu_shares: int = uint64(3, name="cpuShares")
    cpu_period: int = uint64(4, name="cpuPeriod")
    cpu_quota: int = int64(5, name="cpuQuota")
    cpuset_cpus: str = string(6, name="cpusetCpus")
    cpuset_mems: str = string(7, name="cpusetMems")


class OpMetadata(Message):
    """Facts about a vertex that are not part of its digest."""

    ignore_cache: bool = boolean(1)
    description: Mapping[str, str] = mapping(2, string)
    export_cache: ExportCache | None = message(4, ExportCache)
    caps: Mapping[str, bool] = mapping(5, boolean)
    progress_group: ProgressGroup | None = message(6, ProgressGroup)
    linux_resources: LinuxResources | None = message(7, LinuxResources)


class Position(Message):
    """A line, counted from 1, and a character, counted from 0."""

    line: int = int32(1)
    character: int = int32(2)


class Range(Message):
    """A part of a source file."""

    start: Position | None = message(1, Position)
    end: Position | None = message(2, Position)


class Location(Message):
    """Parts of one source file."""

    source_index: int = int32(1, name="sourceIndex")
    ranges: Sequence[Range] = repeated(2, Range)


class Locations(Message):
    """The origin of a vertex in source files."""

    locations: Sequence[Location] = repeated(1, Location)


class SourceInfo(Message):
    """A source file."""

    filename: str = string(1)
    data: bytes = raw_bytes(2)
    definition: Definition | None = message(3, "Definition")
    language: str = string(4)


class Source(Message):
    """Source files, and the locations of vertices in them by digest."""

    locations: Mapping[str, Locations] = mapping(1, Locations)
    infos: Sequence[SourceInfo] = repeated(2, SourceInfo)


class Definition(Message):
    """A graph: encoded vertices, and metadata by digest. The last vertex names the result."""

    vertices: Sequence[bytes] = repeated(1, raw_bytes, name="def")
    metadata: Mapping[str, OpMetadata] = mapping(2, OpMetadata)
    source: Source | None = message(3, Source, name="Source")
