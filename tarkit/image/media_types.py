"""Media types of OCI (image-spec media-types.md) and Docker (distribution, schema 1 and 2)."""

from __future__ import annotations

from enum import Enum

from tarkit.errors import UnsupportedError

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_SCHEMA1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"

MANIFESTS = frozenset({OCI_MANIFEST, DOCKER_MANIFEST})
INDEXES = frozenset({OCI_INDEX, DOCKER_LIST})
SCHEMA1 = frozenset({DOCKER_SCHEMA1, DOCKER_SCHEMA1_SIGNED})
CONFIGS = frozenset({OCI_CONFIG, DOCKER_CONFIG})


class Family(Enum):
    """The organization that defines a media type."""

    OCI = "oci"
    DOCKER = "docker"


class Compression(Enum):
    """The compression of a byte stream."""

    NONE = "none"
    GZIP = "gzip"
    ZSTD = "zstd"
    BZIP2 = "bzip2"
    XZ = "xz"


_LAYER_BASES = {  # the family of each uncompressed layer type, and True if non-distributable
    OCI_LAYER: (Family.OCI, False),
    OCI_FOREIGN_LAYER: (Family.OCI, True),
    DOCKER_LAYER: (Family.DOCKER, False),
    DOCKER_FOREIGN_LAYER: (Family.DOCKER, True),
}
_BASES = {value: key for key, value in _LAYER_BASES.items()}
_SUFFIXES = {
    Family.OCI: {Compression.NONE: "", Compression.GZIP: "+gzip", Compression.ZSTD: "+zstd"},
    Family.DOCKER: {Compression.NONE: "", Compression.GZIP: ".gzip", Compression.ZSTD: ".zstd"},
}
_LAYERS = {
    base + suffix: (family, foreign, compression)
    for base, (family, foreign) in _LAYER_BASES.items()
    for compression, suffix in _SUFFIXES[family].items()
}
_PAIRS = {  # OCI types and their Docker counterparts
    OCI_MANIFEST: DOCKER_MANIFEST,
    OCI_INDEX: DOCKER_LIST,
    OCI_CONFIG: DOCKER_CONFIG,
}
_FAMILY = dict.fromkeys(_PAIRS, Family.OCI) | dict.fromkeys(_PAIRS.values(), Family.DOCKER)
_COUNTERPART = _PAIRS | {docker: oci for oci, docker in _PAIRS.items()}


def is_layer(media_type: str) -> bool:
    """Return True if *media_type* denotes a filesystem layer."""
    return media_type in _LAYERS


def is_foreign(media_type: str) -> bool:
    """Return True if *media_type* denotes a non-distributable layer."""
    return media_type in _LAYERS and _LAYERS[media_type][1]


def layer_compression(media_type: str) -> Compression:
    """Return the compression that the layer type *media_type* declares.

    Raises :class:`UnsupportedError` if it is not a layer type.
    """
    if media_type not in _LAYERS:
        raise UnsupportedError(f"{media_type!r} is not a layer media type")
    return _LAYERS[media_type][2]


def is_acceptable(media_type: str, compressions: frozenset[Compression]) -> bool:
    """Return False if *media_type* is a layer type whose compression is not in *compressions*."""
    return media_type not in _LAYERS or _LAYERS[media_type][2] in compressions


def layer_type(media_type: str, family: Family, compression: Compression) -> str | None:
    """Return the layer type of *family* that corresponds to *media_type* with *compression*.

    Return None if it does not exist: for bzip2 and xz, and for zstd in Docker's schema. Some tools
    write Docker's unofficial zstd type; tarkit reads it but never writes it.
    """
    if media_type not in _LAYERS or (family, compression) == (Family.DOCKER, Compression.ZSTD):
        return None
    foreign = _LAYERS[media_type][1]
    suffix = _SUFFIXES[family].get(compression)
    return None if suffix is None else _BASES[family, foreign] + suffix


def family_of(media_type: str) -> Family | None:
    """Return the family of a manifest, index, config or layer type, or None for any other type."""
    if media_type in _LAYERS:
        return _LAYERS[media_type][0]
    return _FAMILY.get(media_type)


def config_type(media_type: str) -> str:
    """Return the config type that belongs to the manifest type *media_type*."""
    return DOCKER_CONFIG if _FAMILY[media_type] is Family.DOCKER else OCI_CONFIG


def in_family(media_type: str, family: Family) -> str:
    """Return the counterpart of the manifest, index or config type *media_type* in *family*.

    Raises :class:`UnsupportedError` for any other type.
    """
    if media_type not in _FAMILY:
        raise UnsupportedError(f"{family.value} has no media type for {media_type!r}")
    return media_type if _FAMILY[media_type] is family else _COUNTERPART[media_type]
