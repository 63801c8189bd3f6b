"""Docker schema 2 to OCI and back: the same content under the other family's media types.

The config's bytes are valid in both families, so they pass unchanged and nothing in them is
lost. Docker's schema has no place for annotations; :func:`lost_in_docker` names what would go.
"""

from __future__ import annotations

from dataclasses import replace

from tarkit.errors import UnsupportedError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import Index, Manifest
from tarkit.image.media_types import Compression, Family


def convert_layer(layer: Descriptor, family: Family, compression: Compression) -> Descriptor:
    """*layer* under the media type that *family* has for *compression*; raises :class:`UnsupportedError`."""
    media_type = media_types.layer_type(layer.media_type, family, compression)
    if media_type is None:
        raise UnsupportedError(
            f"{family.value} has no media type for {layer.media_type!r} "
            f"compressed with {compression.value}",
            where=str(layer.digest),
        )
    kept = layer.annotations if family is Family.OCI else {}
    return replace(layer, media_type=media_type, annotations=kept)


def convert_manifest(manifest: Manifest, family: Family) -> Manifest:
    """*manifest* in *family*: media types of the manifest, its config and its layers.

    Raises :class:`UnsupportedError` where *family* has none for one of them.
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
    """*index* in *family*, over its *children* as they are after their own conversion; raises :class:`UnsupportedError`."""
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
    """What of *manifest*, an OCI one, Docker's schema 2 has no place for."""
    lost = []
    if manifest.annotations:
        lost.append("annotations")
    if any(layer.annotations for layer in manifest.layers):
        lost.append("layer annotations")
    if manifest.subject:
        lost.append("subject")
    return tuple(lost)
