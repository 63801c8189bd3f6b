"""tarkit reads, verifies, converts and moves container images stored as files.

:func:`copy_image` copies an image from a :class:`Source` to a :class:`Destination`. Readers provide
sources and Writers provide destinations; :func:`open_source` and :func:`open_writer` find the right
one for a :class:`Location`. :func:`copy_images` and :func:`sync` move many images at once. Names are imported on first use, so ``import tarkit`` is cheap.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing it from typing would dominate the time of `import tarkit`
if TYPE_CHECKING:  # "as" marks the names as exported; a test compares them with _MODULES
    from tarkit.artifacts.artifact import Artifact as Artifact
    from tarkit.artifacts.build import BuildResult as BuildResult
    from tarkit.artifacts.build import build_ext4 as build_ext4
    from tarkit.artifacts.preflight import Preflight as Preflight
    from tarkit.artifacts.preflight import check_build as check_build
    from tarkit.artifacts.store import ArtifactStore as ArtifactStore
    from tarkit.building.builder import ImageBuilder as ImageBuilder
    from tarkit.cache.facts import CachePolicy as CachePolicy
    from tarkit.cache.facts import RecordType as RecordType
    from tarkit.cache.manager import CacheManager as CacheManager
    from tarkit.cache.options import DescHandler as DescHandler
    from tarkit.cache.options import RefOptions as RefOptions
    from tarkit.cache.policies import PrunePolicy as PrunePolicy
    from tarkit.cache.refs import ImmutableRef as ImmutableRef
    from tarkit.cache.refs import MutableRef as MutableRef
    from tarkit.cache.usage import UsageInfo as UsageInfo
    from tarkit.copying.engine import copy_image as copy_image
    from tarkit.copying.existing import Kept as Kept
    from tarkit.copying.existing import copy_existing as copy_existing
    from tarkit.copying.many import CopiedImage as CopiedImage
    from tarkit.copying.many import FailedImage as FailedImage
    from tarkit.copying.options import CopyOptions as CopyOptions
    from tarkit.copying.options import CopyResult as CopyResult
    from tarkit.copying.options import LayerCompression as LayerCompression
    from tarkit.copying.options import Sparse as Sparse
    from tarkit.copying.referrers import copy_referrers as copy_referrers
    from tarkit.errors import AmbiguousImageError as AmbiguousImageError
    from tarkit.errors import AuthenticationError as AuthenticationError
    from tarkit.errors import BlobNotFoundError as BlobNotFoundError
    from tarkit.errors import BuildError as BuildError
    from tarkit.errors import CancelledError as CancelledError
    from tarkit.errors import CannotModifyError as CannotModifyError
    from tarkit.errors import DigestMismatchError as DigestMismatchError
    from tarkit.errors import ForeignLayerError as ForeignLayerError
    from tarkit.errors import ImageNotFoundError as ImageNotFoundError
    from tarkit.errors import LayerCountError as LayerCountError
    from tarkit.errors import LimitExceededError as LimitExceededError
    from tarkit.errors import LockedError as LockedError
    from tarkit.errors import LostBlobError as LostBlobError
    from tarkit.errors import MalformedError as MalformedError
    from tarkit.errors import ManifestRejectedError as ManifestRejectedError
    from tarkit.errors import MemberNotFoundError as MemberNotFoundError
    from tarkit.errors import MissingRootfsError as MissingRootfsError
    from tarkit.errors import NeedsRemoteProviderError as NeedsRemoteProviderError
    from tarkit.errors import NoBlobsError as NoBlobsError
    from tarkit.errors import NoSpaceError as NoSpaceError
    from tarkit.errors import NotAnImageError as NotAnImageError
    from tarkit.errors import NotFoundError as NotFoundError
    from tarkit.errors import PathNotFoundError as PathNotFoundError
    from tarkit.errors import ProcessError as ProcessError
    from tarkit.errors import RefusedError as RefusedError
    from tarkit.errors import SharedLayerError as SharedLayerError
    from tarkit.errors import SizeMismatchError as SizeMismatchError
    from tarkit.errors import SourcePosition as SourcePosition
    from tarkit.errors import TarkitError as TarkitError
    from tarkit.errors import TransportError as TransportError
    from tarkit.errors import TruncatedError as TruncatedError
    from tarkit.errors import UnsafePathError as UnsafePathError
    from tarkit.errors import UnsupportedError as UnsupportedError
    from tarkit.errors import UsageError as UsageError
    from tarkit.errors import VerificationError as VerificationError
    from tarkit.executor.checking import ExecutorCheck as ExecutorCheck
    from tarkit.executor.checking import check_executor as check_executor
    from tarkit.exporters.outputs import Output as Output
    from tarkit.ext4.options import Ext4Options as Ext4Options
    from tarkit.ext4.options import Percent as Percent
    from tarkit.findings import Finding as Finding
    from tarkit.findings import Report as Report
    from tarkit.findings import Severity as Severity
    from tarkit.gateway.building import Builder as Builder
    from tarkit.gateway.building import BuildResponse as BuildResponse
    from tarkit.gateway.client import Client as Client
    from tarkit.gateway.engines import build_client as build_client
    from tarkit.image.config import History as History
    from tarkit.image.config import ImageConfig as ImageConfig
    from tarkit.image.config import chain_ids as chain_ids
    from tarkit.image.convert import convert_index as convert_index
    from tarkit.image.convert import convert_layer as convert_layer
    from tarkit.image.convert import convert_manifest as convert_manifest
    from tarkit.image.descriptor import Descriptor as Descriptor
    from tarkit.image.digest import Digest as Digest
    from tarkit.image.manifest import Index as Index
    from tarkit.image.manifest import Manifest as Manifest
    from tarkit.image.manifest import RawManifest as RawManifest
    from tarkit.image.media_types import Compression as Compression
    from tarkit.image.media_types import Family as Family
    from tarkit.image.platform import Platform as Platform
    from tarkit.image.reference import Reference as Reference
    from tarkit.image.runtime import Runtime as Runtime
    from tarkit.library.opened import OpenImage as OpenImage
    from tarkit.library.opened import open_image as open_image
    from tarkit.managing.annotations import annotate_image as annotate_image
    from tarkit.managing.content import open_blob as open_blob
    from tarkit.managing.content import put_blob as put_blob
    from tarkit.managing.content import put_manifest as put_manifest
    from tarkit.managing.deletion import Deletion as Deletion
    from tarkit.managing.deletion import delete_image as delete_image
    from tarkit.managing.indexes import add_to_index as add_to_index
    from tarkit.managing.indexes import create_index as create_index
    from tarkit.managing.indexes import remove_from_index as remove_from_index
    from tarkit.managing.tags import tag_image as tag_image
    from tarkit.progress import Event as Event
    from tarkit.progress import Progress as Progress
    from tarkit.protocols import Destination as Destination
    from tarkit.protocols import ImageEntry as ImageEntry
    from tarkit.protocols import MountingDestination as MountingDestination
    from tarkit.protocols import Profile as Profile
    from tarkit.protocols import Reader as Reader
    from tarkit.protocols import ReferrerWriter as ReferrerWriter
    from tarkit.protocols import ReferringSource as ReferringSource
    from tarkit.protocols import RemoteSource as RemoteSource
    from tarkit.protocols import SequentialSource as SequentialSource
    from tarkit.protocols import Source as Source
    from tarkit.protocols import SparseSource as SparseSource
    from tarkit.protocols import Writer as Writer
    from tarkit.rootfs.diff import Difference as Difference
    from tarkit.rootfs.diff import DifferenceKind as DifferenceKind
    from tarkit.rootfs.diff import diff as diff
    from tarkit.rootfs.filesystem import Entry as Entry
    from tarkit.rootfs.filesystem import FileSystem as FileSystem
    from tarkit.rootfs.image_files import ImageFiles as ImageFiles
    from tarkit.rootfs.image_path import ImagePath as ImagePath
    from tarkit.rootfs.output.directory import RootfsResult as RootfsResult
    from tarkit.rootfs.output.directory import write_directory as write_directory
    from tarkit.rootfs.output.mkfs import write_erofs as write_erofs
    from tarkit.rootfs.output.mkfs import write_squashfs as write_squashfs
    from tarkit.rootfs.output.tarball import save_tar as save_tar
    from tarkit.rootfs.output.tarball import stream_tar as stream_tar
    from tarkit.rootfs.overlay.overlay import Overlay as Overlay
    from tarkit.selection.inspect import ImageInfo as ImageInfo
    from tarkit.selection.inspect import LayerInfo as LayerInfo
    from tarkit.selection.inspect import inspect_image as inspect_image
    from tarkit.selection.select import read_config as read_config
    from tarkit.selection.select import select_image as select_image
    from tarkit.selection.skopeo import format_image as format_image
    from tarkit.serving.server import RegistryServer as RegistryServer
    from tarkit.streams.cancellation import Cancellation as Cancellation
    from tarkit.streams.verify import VerifyingReader as VerifyingReader
    from tarkit.syncing.images import copy_images as copy_images
    from tarkit.syncing.options import Shard as Shard
    from tarkit.syncing.options import SyncOptions as SyncOptions
    from tarkit.syncing.options import SyncResult as SyncResult
    from tarkit.syncing.sync import Transfer as Transfer
    from tarkit.syncing.sync import plan_sync as plan_sync
    from tarkit.syncing.sync import sync as sync
    from tarkit.tar.member import MemberType as MemberType
    from tarkit.transports.directory.reader import DirectoryReader as DirectoryReader
    from tarkit.transports.directory.writer import DirectoryWriter as DirectoryWriter
    from tarkit.transports.docker_archive.format import DockerFormat as DockerFormat
    from tarkit.transports.docker_archive.items import ManifestItem as ManifestItem
    from tarkit.transports.docker_archive.reader import DockerArchiveReader as DockerArchiveReader
    from tarkit.transports.docker_archive.writer import DockerArchiveWriter as DockerArchiveWriter
    from tarkit.transports.docker_daemon.daemon import Daemon as Daemon
    from tarkit.transports.docker_daemon.daemon import TlsFiles as TlsFiles
    from tarkit.transports.docker_daemon.reader import DockerDaemonReader as DockerDaemonReader
    from tarkit.transports.docker_daemon.writer import DockerDaemonWriter as DockerDaemonWriter
    from tarkit.transports.location import Location as Location
    from tarkit.transports.location import Transport as Transport
    from tarkit.transports.location import open_reader as open_reader
    from tarkit.transports.location import open_source as open_source
    from tarkit.transports.location import open_writer as open_writer
    from tarkit.transports.oci_archive.reader import OCIArchiveReader as OCIArchiveReader
    from tarkit.transports.oci_archive.writer import OCIArchiveWriter as OCIArchiveWriter
    from tarkit.transports.oci_layout.pruning import PrunedBlob as PrunedBlob
    from tarkit.transports.oci_layout.pruning import prune_layout as prune_layout
    from tarkit.transports.oci_layout.reader import OCILayoutReader as OCILayoutReader
    from tarkit.transports.oci_layout.writer import OCILayoutWriter as OCILayoutWriter
    from tarkit.transports.registry.catalog import list_repositories as list_repositories
    from tarkit.transports.registry.credentials import Credentials as Credentials
    from tarkit.transports.registry.foreign import fetch_layer as fetch_layer
    from tarkit.transports.registry.options import RegistryOptions as RegistryOptions
    from tarkit.transports.registry.options import RetryPolicy as RetryPolicy
    from tarkit.transports.registry.reader import RegistryReader as RegistryReader
    from tarkit.transports.registry.writer import RegistryWriter as RegistryWriter
    from tarkit.verifying.runner import verify as verify

__version__ = "0.1.0"

_MODULES = {
    "tarkit.artifacts.artifact": ("Artifact",),
    "tarkit.artifacts.build": (
        "BuildResult",
        "build_ext4",
    ),
    "tarkit.artifacts.preflight": (
        "Preflight",
        "check_build",
    ),
    "tarkit.artifacts.store": ("ArtifactStore",),
    "tarkit.building.builder": ("ImageBuilder",),
    "tarkit.cache.facts": (
        "CachePolicy",
        "RecordType",
    ),
    "tarkit.cache.manager": ("CacheManager",),
    "tarkit.cache.options": (
        "DescHandler",
        "RefOptions",
    ),
    "tarkit.cache.policies": ("PrunePolicy",),
    "tarkit.cache.refs": (
        "ImmutableRef",
        "MutableRef",
    ),
    "tarkit.cache.usage": ("UsageInfo",),
    "tarkit.copying.engine": ("copy_image",),
    "tarkit.copying.existing": (
        "Kept",
        "copy_existing",
    ),
    "tarkit.copying.many": (
        "CopiedImage",
        "FailedImage",
    ),
    "tarkit.copying.options": (
        "CopyOptions",
        "CopyResult",
        "LayerCompression",
        "Sparse",
    ),
    "tarkit.copying.referrers": ("copy_referrers",),
    "tarkit.errors": (
        "AmbiguousImageError",
        "AuthenticationError",
        "BlobNotFoundError",
        "BuildError",
        "ProcessError",
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
        "NeedsRemoteProviderError",
        "NoBlobsError",
        "NoSpaceError",
        "NotAnImageError",
        "NotFoundError",
        "PathNotFoundError",
        "RefusedError",
        "SharedLayerError",
        "SizeMismatchError",
        "SourcePosition",
        "TarkitError",
        "TransportError",
        "TruncatedError",
        "UnsafePathError",
        "UnsupportedError",
        "UsageError",
        "VerificationError",
    ),
    "tarkit.exporters.outputs": ("Output",),
    "tarkit.ext4.options": (
        "Ext4Options",
        "Percent",
    ),
    "tarkit.findings": (
        "Finding",
        "Report",
        "Severity",
    ),
    "tarkit.gateway.building": (
        "BuildResponse",
        "Builder",
    ),
    "tarkit.gateway.client": ("Client",),
    "tarkit.executor.checking": ("ExecutorCheck", "check_executor"),
    "tarkit.gateway.engines": ("build_client",),
    "tarkit.image.config": (
        "History",
        "ImageConfig",
        "chain_ids",
    ),
    "tarkit.image.convert": (
        "convert_index",
        "convert_layer",
        "convert_manifest",
    ),
    "tarkit.image.descriptor": ("Descriptor",),
    "tarkit.image.digest": ("Digest",),
    "tarkit.image.manifest": (
        "Index",
        "Manifest",
        "RawManifest",
    ),
    "tarkit.image.media_types": (
        "Compression",
        "Family",
    ),
    "tarkit.image.platform": ("Platform",),
    "tarkit.image.reference": ("Reference",),
    "tarkit.image.runtime": ("Runtime",),
    "tarkit.managing.annotations": ("annotate_image",),
    "tarkit.managing.content": (
        "open_blob",
        "put_blob",
        "put_manifest",
    ),
    "tarkit.managing.deletion": (
        "Deletion",
        "delete_image",
    ),
    "tarkit.managing.indexes": (
        "add_to_index",
        "create_index",
        "remove_from_index",
    ),
    "tarkit.managing.tags": ("tag_image",),
    "tarkit.library.opened": (
        "OpenImage",
        "open_image",
    ),
    "tarkit.progress": (
        "Event",
        "Progress",
    ),
    "tarkit.protocols": (
        "Destination",
        "ImageEntry",
        "MountingDestination",
        "Profile",
        "Reader",
        "ReferrerWriter",
        "ReferringSource",
        "RemoteSource",
        "SequentialSource",
        "Source",
        "SparseSource",
        "Writer",
    ),
    "tarkit.rootfs.diff": (
        "Difference",
        "DifferenceKind",
        "diff",
    ),
    "tarkit.rootfs.filesystem": (
        "Entry",
        "FileSystem",
    ),
    "tarkit.rootfs.image_files": ("ImageFiles",),
    "tarkit.rootfs.image_path": ("ImagePath",),
    "tarkit.rootfs.output.directory": (
        "RootfsResult",
        "write_directory",
    ),
    "tarkit.rootfs.output.mkfs": (
        "write_erofs",
        "write_squashfs",
    ),
    "tarkit.rootfs.output.tarball": (
        "save_tar",
        "stream_tar",
    ),
    "tarkit.rootfs.overlay.overlay": ("Overlay",),
    "tarkit.selection.inspect": (
        "ImageInfo",
        "LayerInfo",
        "inspect_image",
    ),
    "tarkit.selection.select": (
        "read_config",
        "select_image",
    ),
    "tarkit.selection.skopeo": ("format_image",),
    "tarkit.serving.server": ("RegistryServer",),
    "tarkit.streams.cancellation": ("Cancellation",),
    "tarkit.streams.verify": ("VerifyingReader",),
    "tarkit.syncing.images": ("copy_images",),
    "tarkit.syncing.options": (
        "Shard",
        "SyncOptions",
        "SyncResult",
    ),
    "tarkit.syncing.sync": (
        "Transfer",
        "plan_sync",
        "sync",
    ),
    "tarkit.tar.member": ("MemberType",),
    "tarkit.transports.directory.reader": ("DirectoryReader",),
    "tarkit.transports.directory.writer": ("DirectoryWriter",),
    "tarkit.transports.docker_archive.format": ("DockerFormat",),
    "tarkit.transports.docker_archive.items": ("ManifestItem",),
    "tarkit.transports.docker_archive.reader": ("DockerArchiveReader",),
    "tarkit.transports.docker_archive.writer": ("DockerArchiveWriter",),
    "tarkit.transports.docker_daemon.daemon": (
        "Daemon",
        "TlsFiles",
    ),
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
    "tarkit.transports.oci_layout.pruning": (
        "PrunedBlob",
        "prune_layout",
    ),
    "tarkit.transports.oci_layout.reader": ("OCILayoutReader",),
    "tarkit.transports.oci_layout.writer": ("OCILayoutWriter",),
    "tarkit.transports.registry.catalog": ("list_repositories",),
    "tarkit.transports.registry.credentials": ("Credentials",),
    "tarkit.transports.registry.foreign": ("fetch_layer",),
    "tarkit.transports.registry.options": (
        "RegistryOptions",
        "RetryPolicy",
    ),
    "tarkit.transports.registry.reader": ("RegistryReader",),
    "tarkit.transports.registry.writer": ("RegistryWriter",),
    "tarkit.verifying.runner": ("verify",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


if not TYPE_CHECKING:  # with a __getattr__, type checkers would accept every name

    def __getattr__(name: str) -> object:
        """Import and return the public name *name*."""
        if name not in _HOMES:
            raise AttributeError(f"module 'tarkit' has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(_HOMES[name]), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
