"""Plan the copy of an image: all decisions are made without I/O before the first write."""

from __future__ import annotations

from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import CannotModifyError, ManifestRejectedError, NotAnImageError
from tarkit.image import media_types
from tarkit.image.convert import lost_in_docker
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.image.media_types import Compression, Family
from tarkit.protocols import Profile
from tarkit.streams.codecs import require_level
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """The plan for one layer.

    ``becomes`` maps each compression that the source blob may have to the compression of the copy.
    """

    descriptor: Descriptor
    diff_id: Digest | None
    becomes: dict[Compression, Compression]

    @property
    def declared(self) -> Compression:
        """The compression that the media type declares; the bytes may be compressed differently."""
        media_type = self.descriptor.media_type
        if not media_types.is_layer(media_type):
            return Compression.NONE
        return media_types.layer_compression(media_type)

    @property
    def acceptable(self) -> frozenset[Compression]:
        """The compressions in which an existing blob can replace this layer."""
        return frozenset({self.becomes[self.declared]})


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """The plan for one image.

    ``family`` is the family of the new manifest, or None to keep the manifest unconverted.
    ``config_type`` is the new media type of the config, or empty for an artifact, whose config
    keeps its type.
    """

    family: Family | None
    layers: tuple[LayerPlan, ...]
    notes: tuple[str, ...]
    config_type: str = ""


_AS_IT_IS = {compression: compression for compression in Compression}


def plan_copy(
    manifest: Manifest, diff_ids: tuple[Digest, ...] | None, profile: Profile, options: CopyOptions
) -> ImagePlan:
    """Plan the copy of *manifest* to a destination with *profile*.

    *diff_ids* has one entry per layer, or is None for an artifact, which is copied unchanged.
    Raises :class:`CannotModifyError` if the options forbid a necessary change,
    :class:`ManifestRejectedError` or :class:`NotAnImageError` if the destination cannot store the
    manifest, and :class:`UsageError` if the codec does not support the requested level.
    """
    if diff_ids is None:
        return _plan_artifact(manifest, profile)
    family = family_at(profile, options)
    if family is media_types.family_of(manifest.media_type):
        family = None  # already in that family, so there is nothing to convert
    accepted = manifest.media_type in profile.media_types
    if family is None and not (
        accepted and (profile.keeps_manifest or not options.preserve_digests)
    ):
        raise _cannot_hold(manifest, options)
    becomes = _compressions(profile, options)
    layers = tuple(
        LayerPlan(layer, diff_id, becomes)
        for layer, diff_id in zip(manifest.layers, diff_ids, strict=True)
    )
    if options.preserve_digests:
        _require_unchanged(layers)
    # The level has an effect only on layers that are recompressed.
    for layer in layers:
        if layer.becomes[layer.declared] is not layer.declared:
            require_level(layer.becomes[layer.declared], options.level)
    kept = manifest.media_type
    config_type = media_types.config_type(media_types.in_family(kept, family) if family else kept)
    return ImagePlan(family, layers, _notes(manifest, family), config_type)


def family_at(profile: Profile, options: CopyOptions) -> Family | None:
    """Return the family of manifests written to *profile*, or None to leave them unchanged.

    Docker has no media type for zstd, so an image compressed with zstd becomes an OCI image.
    """
    if options.preserve_digests:
        return None
    # Other destinations reject zstd later, in _compressions().
    wants_oci = options.compression is LayerCompression.ZSTD
    if wants_oci and media_types.OCI_MANIFEST in profile.media_types:
        return Family.OCI
    return profile.family


def _plan_artifact(manifest: Manifest, profile: Profile) -> ImagePlan:
    if manifest.media_type not in profile.media_types or not profile.artifacts:
        raise NotAnImageError(
            f"an artifact ({manifest.artifact_type or manifest.config.media_type}), "
            "but the destination holds only container images"
        )
    return ImagePlan(None, tuple(LayerPlan(d, None, _AS_IT_IS) for d in manifest.layers), ())


def _compressions(profile: Profile, options: CopyOptions) -> dict[Compression, Compression]:
    """Map each compression that a layer may have to its new compression."""
    asked = options.compression.codec
    if asked is not None and asked not in profile.holds:
        raise ManifestRejectedError(
            f"the destination cannot hold layers compressed with {asked.value}"
        )
    if asked is not None:
        becomes = dict.fromkeys(Compression, asked)
    elif options.compression is LayerCompression.PRESERVE or options.preserve_digests:
        becomes = dict(_AS_IT_IS)
    else:
        becomes = _AS_IT_IS | dict(profile.default_compression or {})
    # A destination that cannot store the result gets gzip, which all tools read, or plain tars.
    fallback = Compression.NONE if Compression.GZIP not in profile.holds else Compression.GZIP
    return {
        actual: target if target in profile.holds else fallback
        for actual, target in becomes.items()
    }


def _require_unchanged(layers: tuple[LayerPlan, ...]) -> None:
    for layer in layers:
        target = layer.becomes[layer.declared]
        if target is not layer.declared:
            raise CannotModifyError(
                f"layer {layer.descriptor.digest} would become {target.value}, "
                "but --preserve-digests was given",
                hint="omit --preserve-digests, or choose another destination",
            )


def _cannot_hold(manifest: Manifest, options: CopyOptions) -> Exception:
    if options.preserve_digests:
        return CannotModifyError(
            f"the destination cannot store {manifest.media_type} unchanged, "
            "but --preserve-digests was given",
            hint="omit --preserve-digests, or choose another destination",
        )
    return ManifestRejectedError(f"the destination cannot hold {manifest.media_type}")


def _notes(manifest: Manifest, family: Family | None) -> tuple[str, ...]:
    lost = lost_in_docker(manifest) if family is Family.DOCKER else ()
    return (f"omitted {' and '.join(lost)}: Docker manifests cannot store them",) if lost else ()
