"""tarkit: container images that are files, read, verified, converted and moved.

Two nouns and one verb: :func:`copy_image` takes a :class:`Source` to a :class:`Destination`. Readers
hand out the former, Writers the latter, and :func:`open_source` and :func:`open_writer` find either by
its :class:`Location`. Names are loaded when they are first used, so that ``import tarkit`` costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False  # to import it from typing would take most of the time of `import tarkit`
if TYPE_CHECKING:
    from tarkit.artifacts.artifact import Artifact
    from tarkit.artifacts.build import (
        BuildResult,
        build_ext4,
    )
    from tarkit.artifacts.preflight import (
        Preflight,
        check_build,
    )
    from tarkit.artifacts.store import ArtifactStore
    from tarkit.copying.engine import copy_image
    from tarkit.copying.existing import copy_existing
    from tarkit.copying.options import (
        CopyOptions,
        CopyResult,
        LayerCompression,
        Sparse,
    )
    from tarkit.errors import (
        AmbiguousImageError,
        AuthenticationError,
        BlobNotFoundError,
        CancelledError,
        CannotModifyError,
        DigestMismatchError,
        ForeignLayerError,
        ImageNotFoundError,
        LayerCountError,
        LimitExceededError,
        LockedError,
        LostBlobError,
        MalformedError,
        ManifestRejectedError,
        MemberNotFoundError,
        MissingRootfsError,
        NoSpaceError,
        NotAnImageError,
        NotFoundError,
        PathNotFoundError,
        RefusedError,
        SharedLayerError,
        SizeMismatchError,
        TarkitError,
        TransportError,
        TruncatedError,
        UnsafePathError,
        UnsupportedError,
        UsageError,
        VerificationError,
    )
    from tarkit.ext4.options import (
        Ext4Options,
        Percent,
    )
    from tarkit.findings import (
        Finding,
        Report,
        Severity,
    )
    from tarkit.image.config import (
        History,
        ImageConfig,
        chain_ids,
    )
    from tarkit.image.convert import (
        convert_index,
        convert_layer,
        convert_manifest,
    )
    from tarkit.image.descriptor import Descriptor
    from tarkit.image.digest import Digest
    from tarkit.image.manifest import (
        Index,
        Manifest,
        RawManifest,
    )
    from tarkit.image.media_types import (
        Compression,
        Family,
    )
    from tarkit.image.platform import Platform
    from tarkit.image.reference import Reference
    from tarkit.progress import (
        Event,
        Progress,
    )
    from tarkit.protocols import (
        Destination,
        ImageEntry,
        MountingDestination,
        Profile,
        Reader,
        RemoteSource,
        SequentialSource,
        Source,
        SparseSource,
        Writer,
    )
    from tarkit.rootfs.diff import (
        Difference,
        DifferenceKind,
        diff,
    )
    from tarkit.rootfs.filesystem import (
        Entry,
        FileSystem,
    )
    from tarkit.rootfs.output.directory import (
        RootfsResult,
        write_directory,
    )
    from tarkit.rootfs.output.mkfs import (
        write_erofs,
        write_squashfs,
    )
    from tarkit.rootfs.output.tarball import (
        save_tar,
        stream_tar,
    )
    from tarkit.rootfs.overlay.overlay import (
        Overlay,
    )
    from tarkit.selection.inspect import (
        ImageInfo,
        LayerInfo,
        inspect_image,
    )
    from tarkit.selection.select import (
        read_config,
        select_image,
    )
    from tarkit.streams.cancellation import Cancellation
    from tarkit.streams.verify import VerifyingReader
    from tarkit.tar.member import MemberType
    from tarkit.transports.directory.reader import DirectoryReader
    from tarkit.transports.directory.writer import DirectoryWriter
    from tarkit.transports.docker_archive.format import DockerFormat
    from tarkit.transports.docker_archive.items import ManifestItem
    from tarkit.transports.docker_archive.reader import DockerArchiveReader
    from tarkit.transports.docker_archive.writer import DockerArchiveWriter
    from tarkit.transports.docker_daemon.daemon import Daemon, TlsFiles
    from tarkit.transports.docker_daemon.reader import DockerDaemonReader
    from tarkit.transports.docker_daemon.writer import DockerDaemonWriter
    from tarkit.transports.location import (
        Location,
        Transport,
        open_reader,
        open_source,
        open_writer,
    )
    from tarkit.transports.oci_archive.reader import OCIArchiveReader
    from tarkit.transports.oci_archive.writer import OCIArchiveWriter
    from tarkit.transports.oci_layout.reader import OCILayoutReader
    from tarkit.transports.oci_layout.writer import OCILayoutWriter
    from tarkit.transports.registry.credentials import Credentials
    from tarkit.transports.registry.foreign import fetch_layer
    from tarkit.transports.registry.options import RegistryOptions, RetryPolicy
    from tarkit.transports.registry.reader import RegistryReader
    from tarkit.transports.registry.writer import RegistryWriter
    from tarkit.verifying.runner import verify

__version__ = "0.1.0"

_MODULES = {
    "tarkit.artifacts.artifact": ("Artifact",),
    "tarkit.artifacts.build": ("BuildResult", "build_ext4"),
    "tarkit.artifacts.preflight": ("Preflight", "check_build"),
    "tarkit.artifacts.store": ("ArtifactStore",),
    "tarkit.ext4.options": ("Ext4Options", "Percent"),
    "tarkit.copying.existing": ("copy_existing",),
    "tarkit.copying.engine": ("copy_image",),
    "tarkit.copying.options": ("CopyOptions", "CopyResult", "LayerCompression", "Sparse"),
    "tarkit.progress": ("Event", "Progress"),
    "tarkit.errors": (
        "AmbiguousImageError",
        "AuthenticationError",
        "BlobNotFoundError",
        "CancelledError",
        "CannotModifyError",
        "DigestMismatchError",
        "ForeignLayerError",
        "ImageNotFoundError",
        "LayerCountError",
        "LimitExceededError",
        "LockedError",
        "LostBlobError",
        "MalformedError",
        "ManifestRejectedError",
        "MemberNotFoundError",
        "MissingRootfsError",
        "NoSpaceError",
        "NotAnImageError",
        "NotFoundError",
        "PathNotFoundError",
        "RefusedError",
        "SharedLayerError",
        "SizeMismatchError",
        "TarkitError",
        "TransportError",
        "TruncatedError",
        "UnsafePathError",
        "UnsupportedError",
        "UsageError",
        "VerificationError",
    ),
    "tarkit.image.config": ("History", "ImageConfig", "chain_ids"),
    "tarkit.image.convert": ("convert_index", "convert_layer", "convert_manifest"),
    "tarkit.image.descriptor": ("Descriptor",),
    "tarkit.image.digest": ("Digest",),
    "tarkit.image.manifest": ("Index", "Manifest", "RawManifest"),
    "tarkit.image.media_types": ("Compression", "Family"),
    "tarkit.image.platform": ("Platform",),
    "tarkit.image.reference": ("Reference",),
    "tarkit.selection.inspect": ("ImageInfo", "LayerInfo", "inspect_image"),
    "tarkit.selection.select": ("read_config", "select_image"),
    "tarkit.rootfs.diff": (
        "Difference",
        "DifferenceKind",
        "diff",
    ),
    "tarkit.rootfs.output.directory": (
        "RootfsResult",
        "write_directory",
    ),
    "tarkit.rootfs.filesystem": (
        "Entry",
        "FileSystem",
    ),
    "tarkit.rootfs.output.mkfs": (
        "write_erofs",
        "write_squashfs",
    ),
    "tarkit.rootfs.overlay.overlay": ("Overlay",),
    "tarkit.rootfs.output.tarball": (
        "save_tar",
        "stream_tar",
    ),
    "tarkit.streams.cancellation": ("Cancellation",),
    "tarkit.streams.verify": ("VerifyingReader",),
    "tarkit.tar.member": ("MemberType",),
    "tarkit.protocols": (
        "Destination",
        "ImageEntry",
        "MountingDestination",
        "Profile",
        "Reader",
        "RemoteSource",
        "SequentialSource",
        "Source",
        "SparseSource",
        "Writer",
    ),
    "tarkit.transports.directory.reader": ("DirectoryReader",),
    "tarkit.transports.directory.writer": ("DirectoryWriter",),
    "tarkit.transports.docker_archive.format": ("DockerFormat",),
    "tarkit.transports.docker_archive.items": ("ManifestItem",),
    "tarkit.transports.docker_archive.reader": ("DockerArchiveReader",),
    "tarkit.transports.docker_archive.writer": ("DockerArchiveWriter",),
    "tarkit.transports.docker_daemon.daemon": ("Daemon", "TlsFiles"),
    "tarkit.transports.docker_daemon.reader": ("DockerDaemonReader",),
    "tarkit.transports.docker_daemon.writer": ("DockerDaemonWriter",),
    "tarkit.transports.location": (
        "Location",
        "Transport",
        "open_reader",
        "open_source",
        "open_writer",
    ),
    "tarkit.transports.oci_archive.reader": ("OCIArchiveReader",),
    "tarkit.transports.oci_archive.writer": ("OCIArchiveWriter",),
    "tarkit.transports.oci_layout.reader": ("OCILayoutReader",),
    "tarkit.transports.oci_layout.writer": ("OCILayoutWriter",),
    "tarkit.transports.registry.credentials": ("Credentials",),
    "tarkit.transports.registry.foreign": ("fetch_layer",),
    "tarkit.transports.registry.options": (
        "RetryPolicy",
        "RegistryOptions",
    ),
    "tarkit.transports.registry.reader": ("RegistryReader",),
    "tarkit.transports.registry.writer": ("RegistryWriter",),
    "tarkit.findings": ("Finding", "Report", "Severity"),
    "tarkit.verifying.runner": ("verify",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "AmbiguousImageError",
    "Artifact",
    "ArtifactStore",
    "AuthenticationError",
    "BlobNotFoundError",
    "BuildResult",
    "Cancellation",
    "CancelledError",
    "CannotModifyError",
    "Compression",
    "CopyOptions",
    "CopyResult",
    "Credentials",
    "Daemon",
    "Descriptor",
    "Destination",
    "Difference",
    "DifferenceKind",
    "Digest",
    "DigestMismatchError",
    "DirectoryReader",
    "DirectoryWriter",
    "DockerArchiveReader",
    "DockerArchiveWriter",
    "DockerDaemonReader",
    "DockerDaemonWriter",
    "DockerFormat",
    "Entry",
    "Event",
    "Ext4Options",
    "Family",
    "FileSystem",
    "Finding",
    "ForeignLayerError",
    "History",
    "ImageConfig",
    "ImageEntry",
    "ImageInfo",
    "ImageNotFoundError",
    "Index",
    "LayerCompression",
    "LayerCountError",
    "LayerInfo",
    "LimitExceededError",
    "Location",
    "LockedError",
    "LostBlobError",
    "MalformedError",
    "Manifest",
    "ManifestItem",
    "ManifestRejectedError",
    "MemberNotFoundError",
    "MemberType",
    "MissingRootfsError",
    "MountingDestination",
    "NoSpaceError",
    "NotAnImageError",
    "NotFoundError",
    "OCIArchiveReader",
    "OCIArchiveWriter",
    "OCILayoutReader",
    "OCILayoutWriter",
    "Overlay",
    "PathNotFoundError",
    "Percent",
    "Platform",
    "Preflight",
    "Profile",
    "Progress",
    "RawManifest",
    "Reader",
    "Reference",
    "RefusedError",
    "RegistryOptions",
    "RegistryReader",
    "RegistryWriter",
    "RemoteSource",
    "Report",
    "RetryPolicy",
    "RootfsResult",
    "SequentialSource",
    "Severity",
    "SharedLayerError",
    "SizeMismatchError",
    "Source",
    "Sparse",
    "SparseSource",
    "TarkitError",
    "TlsFiles",
    "Transport",
    "TransportError",
    "TruncatedError",
    "UnsafePathError",
    "UnsupportedError",
    "UsageError",
    "VerificationError",
    "VerifyingReader",
    "Writer",
    "build_ext4",
    "chain_ids",
    "check_build",
    "convert_index",
    "convert_layer",
    "convert_manifest",
    "copy_existing",
    "copy_image",
    "diff",
    "fetch_layer",
    "inspect_image",
    "open_reader",
    "open_source",
    "open_writer",
    "read_config",
    "save_tar",
    "select_image",
    "stream_tar",
    "verify",
    "write_directory",
    "write_erofs",
    "write_squashfs",
]


def __getattr__(name: str) -> object:
    """The public name *name*, from the module it lives in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tarkit' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
