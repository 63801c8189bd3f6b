"""The public names of ``tarkit``: removing one breaks users, adding one is a commitment."""

from __future__ import annotations

import ast
from pathlib import Path

import tarkit

PUBLIC = [
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
    "ImageBuilder",
    "ImageConfig",
    "ImageEntry",
    "ImageFiles",
    "ImageInfo",
    "ImageNotFoundError",
    "ImagePath",
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
    "OpenImage",
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
    "open_image",
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


def test_public_names_are_frozen() -> None:
    assert sorted(tarkit.__all__) == sorted(PUBLIC)


def test_public_names_can_be_imported_and_are_documented() -> None:
    for name in PUBLIC:
        assert getattr(tarkit, name).__doc__, name


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers match the table that is used at run time."""
    tree = ast.parse(Path(tarkit.__file__).read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [
        (alias.asname, f"{node.module}.{alias.name}")
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    ]
    table = [
        (name, f"{module}.{name}") for module, names in tarkit._MODULES.items() for name in names
    ]
    assert sorted(imports) == sorted(table)
