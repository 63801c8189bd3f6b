"""Referrers of a manifest, such as signatures (distribution-spec, "Listing Referrers").

For registries without the referrers API, clients maintain an index under a tag made of the digest
("Referrers Tag Schema").
"""

from __future__ import annotations

from tarkit.errors import ImageNotFoundError
from tarkit.image import media_types
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index, RawManifest
from tarkit.image.referrer import (
    NO_REFERRERS,
    referrer_entry,
    referrers_tag,
    subject_of,
    with_referrer,
)
from tarkit.transports.registry.repository import Repository


def referrers(repository: Repository, digest: Digest) -> Index:
    """Return an index of the manifests whose subject is *digest*, from the API or the tag."""
    headers = {"Accept": media_types.OCI_INDEX}
    request = repository.request("GET", f"referrers/{digest}", headers=headers)
    answer = repository.client.send(request, {200, 400, 404, 405, 501})
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    if answer.status == 200 and media_type == media_types.OCI_INDEX:
        return Index.parse(RawManifest.of(answer.body, media_type))
    return _tagged(repository, digest)


def record_referrer(repository: Repository, manifest: RawManifest) -> None:
    """Add *manifest* to the tag of its subject, for a registry without the referrers API."""
    subject = subject_of(manifest)
    assert subject is not None
    index = _tagged(repository, subject.digest)
    updated = with_referrer(index, referrer_entry(manifest))
    if updated != index:
        repository.put_manifest(updated.serialize(), referrers_tag(subject.digest))


def _tagged(repository: Repository, digest: Digest) -> Index:
    try:
        raw = repository.manifest(referrers_tag(digest), missing=ImageNotFoundError)
    except ImageNotFoundError:
        return NO_REFERRERS
    return Index.parse(raw)
