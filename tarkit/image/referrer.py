"""Referrers: manifests with a subject, such as the signature of an image (image-spec manifest.md).

Without an API that lists them, an index does, under a name made of the subject's digest
(distribution-spec, "Referrers Tag Schema").
"""

from __future__ import annotations

from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.values import replace

NO_REFERRERS = Index(media_types.OCI_INDEX, ())

_TAG_LIMIT = 128


def subject_of(manifest: RawManifest) -> Descriptor | None:
    """Return the subject of *manifest*, such as the image that it signs, or None."""
    if manifest.media_type not in media_types.MANIFESTS | media_types.INDEXES:
        return None
    return _parsed(manifest).subject


def referrer_entry(manifest: RawManifest) -> Descriptor:
    """Return the entry for *manifest* in an index of referrers: with artifact type and annotations."""
    content = _parsed(manifest)
    config_type = content.config.media_type if isinstance(content, Manifest) else ""
    return replace(
        manifest.descriptor,
        artifact_type=content.artifact_type or config_type,
        annotations=content.annotations,
    )


def with_referrer(index: Index, entry: Descriptor) -> Index:
    """Return *index* with *entry*, once."""
    if any(known.digest == entry.digest for known in index.manifests):
        return index
    return replace(index, manifests=(*index.manifests, entry))


def referrers_tag(digest: Digest) -> str:
    """Return the name of the index that lists the referrers of *digest*."""
    return f"{digest.algorithm}-{digest.hex}"[:_TAG_LIMIT]


def subject_in_tag(tag: str) -> Digest | None:
    """Return the digest whose referrers an index called *tag* lists, or None."""
    algorithm, _, value = tag.partition("-")
    return Digest.from_parts(algorithm, value)


def _parsed(manifest: RawManifest) -> Manifest | Index:
    return Index.parse(manifest) if manifest.is_index else Manifest.parse(manifest)
