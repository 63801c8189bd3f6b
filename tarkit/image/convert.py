"""Conversion of manifests and indexes between Docker schema 2 and OCI.

Only media types change. The bytes of a config are valid in both families and stay the same.
Docker's schema has no annotations and no subject; :func:`lost_in_docker` lists what is lost.
"""

from __future__ import annotations

from tarkit.errors import UnsupportedError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import Index, Manifest
from tarkit.image.media_types import Compression, Family
from tarkit.values import replace


def convert_layer(layer: Descriptor, family: Family, compression: Compression) -> Descriptor:
    """Return *layer* with the media type of *family* for *compression*.

    Raises :class:`UnsupportedError` if *family* has no such media type.

    >>> oci = "application/vnd.oci.image.layer.v1.tar+gzip"
    >>> layer = tarkit.Descriptor(oci, tarkit.Digest.of(b""), 0)
    >>> tarkit.convert_layer(layer, tarkit.Family.OCI, tarkit.Compression.NONE).media_type
    'application/vnd.oci.image.layer.v1.tar'
    """
    media_type = media_types.layer_type(layer.media_type, family, compression)
    if media_type is None:
        raise UnsupportedError(
            f"{family.value} has no media type for {layer.media_type!r} "
            f"compressed with {compression.value}",
            where=str(layer.digest),
        )
    # Annotations are an OCI feature; older Docker clients reject unknown fields.
    kept = layer.annotations if family is Family.OCI else {}
    return replace(layer, media_type=media_type, annotations=kept)


def convert_manifest(manifest: Manifest, family: Family) -> Manifest:
    """Return *manifest* with the media types of *family* for itself, its config and its layers.

    Raises :class:`UnsupportedError` if *family* has no media type for one of them.

    >>> with tarkit.open_image("fixtures/hello.tar") as image:
    ...     tarkit.convert_manifest(image.manifest, tarkit.Family.OCI).config.media_type
    'application/vnd.oci.image.config.v1+json'
    """
    if media_types.family_of(manifest.media_type) is family:
        return manifest
    to_oci = family is Family.OCI
    return replace(
        manifest,
        media_type=media_types.in_family(manifest.media_type, family),
        config=replace(
            manifest.config, media_type=media_types.in_family(manifest.config.media_type, family)
        ),
        layers=tuple(
            convert_layer(layer, family, media_types.layer_compression(layer.media_type))
            for layer in manifest.layers
        ),
        annotations=manifest.annotations if to_oci else {},
        artifact_type=manifest.artifact_type if to_oci else "",
        subject=manifest.subject if to_oci else None,
    )


def convert_index(index: Index, family: Family, children: tuple[Descriptor, ...]) -> Index:
    """Return *index* with the media type of *family* and the converted *children* as its entries.

    Raises :class:`UnsupportedError` if *family* has no counterpart.

    >>> index = tarkit.Index("application/vnd.oci.image.index.v1+json", ())
    >>> tarkit.convert_index(index, tarkit.Family.DOCKER, ()).media_type
    'application/vnd.docker.distribution.manifest.list.v2+json'
    """
    to_oci = family is Family.OCI
    return replace(
        index,
        media_type=media_types.in_family(index.media_type, family),
        manifests=children,
        annotations=index.annotations if to_oci else {},
        artifact_type=index.artifact_type if to_oci else "",
        subject=index.subject if to_oci else None,
    )


def lost_in_docker(manifest: Manifest) -> tuple[str, ...]:
    """Return the kinds of data in the OCI *manifest* that Docker schema 2 cannot represent."""
    lost = []
    if manifest.annotations:
        lost.append("annotations")
    if any(layer.annotations for layer in manifest.layers):
        lost.append("layer annotations")
    if manifest.subject:
        lost.append("subject")
    return tuple(lost)
