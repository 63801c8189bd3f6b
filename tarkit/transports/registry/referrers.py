"""Referrers of a manifest, such as signatures (distribution-spec, "Listing Referrers").

For registries without the referrers API, clients maintain an index under a tag made of the digest
("Referrers Tag Schema").
"""

from __future__ import annotations

from dataclasses import replace

from tarkit.errors import ImageNotFoundError
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, Manifest, RawManifest
from tarkit.transports.registry.repository import Repository

_EMPTY = Index(media_types.OCI_INDEX, ())
_TAG_LIMIT = 128


def referrers(repository: Repository, digest: Digest) -> Index:
    """Return an index of the manifests whose subject is *digest*, from the API or the tag."""
    headers = {"Accept": media_types.OCI_INDEX}
    request = repository.request("GET", f"referrers/{digest}", headers=headers)
    answer = repository.client.send(request, {200, 400, 404, 405, 501})
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    if answer.status == 200 and media_type == media_types.OCI_INDEX:
        return Index.parse(RawManifest.of(answer.body, media_type))
    return _tagged(repository, digest)


def subject_of(manifest: RawManifest) -> Descriptor | None:
    """Return the subject of *manifest*, such as the image that it signs, or None."""
    if manifest.media_type not in media_types.MANIFESTS | media_types.INDEXES:
        return None
    return _parsed(manifest).subject


def record_referrer(repository: Repository, manifest: RawManifest) -> None:
    """Add *manifest* to the tag of its subject, for a registry without the referrers API."""
    content = _parsed(manifest)
    assert content.subject is not None
    index = _tagged(repository, content.subject.digest)
    if any(known.digest == manifest.digest for known in index.manifests):
        return
    entry = replace(
        manifest.descriptor,
        artifact_type=content.artifact_type or _config_type(content),
        annotations=content.annotations,
    )
    updated = replace(index, manifests=(*index.manifests, entry))
    repository.put_manifest(updated.serialize(), referrers_tag(content.subject.digest))


def referrers_tag(digest: Digest) -> str:
    """Return the tag that lists the referrers of *digest*."""
    return f"{digest.algorithm}-{digest.hex}"[:_TAG_LIMIT]


def _tagged(repository: Repository, digest: Digest) -> Index:
    try:
        raw = repository.manifest(referrers_tag(digest), missing=ImageNotFoundError)
    except ImageNotFoundError:
        return _EMPTY
    return Index.parse(raw)


def _parsed(manifest: RawManifest) -> Manifest | Index:
    return Index.parse(manifest) if manifest.is_index else Manifest.parse(manifest)


def _config_type(content: Manifest | Index) -> str:
    return content.config.media_type if isinstance(content, Manifest) else ""
