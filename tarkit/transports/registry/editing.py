"""Tag and delete images of a repository, and replace their manifests."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import ImageNotFoundError, UnsupportedError, UsageError
from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import RawManifest
from tarkit.image.reference import Reference
from tarkit.transports.registry.failures import explanation
from tarkit.transports.registry.names import named
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.source import RegistrySource

_UNSUPPORTED = frozenset({400, 405, 501})


def tag_manifest(repository: Repository, name: str | None, names: Sequence[str]) -> Descriptor:
    """Store the manifest *name* of *repository* under the tags *names* too; no blob is sent.

    Raises :class:`ImageNotFoundError`, and :class:`UsageError` for names in another repository.
    """
    home = Reference.parse(repository.name)
    references = [_tagged(home, text) for text in names]
    raw = RegistrySource(repository, named(home, name)).manifest()
    for reference in references:
        repository.put_manifest(raw, reference.tag)
    return raw.descriptor


def replace_manifests(
    repository: Repository, name: str | None, documents: Sequence[RawManifest]
) -> Descriptor:
    """Store *documents*, the last under the tag *name*.

    Raises :class:`UsageError` if *name* is a digest, which belongs to the old content.
    """
    reference = _tagged(Reference.parse(repository.name), name or "latest")
    for document in documents[:-1]:
        repository.put_manifest(document, document.digest)
    repository.put_manifest(documents[-1], reference.tag)
    return documents[-1].descriptor


def delete_manifest(repository: Repository, name: str | None) -> Descriptor:
    """Delete the manifest *name* of *repository* by its digest, and so all tags of that digest.

    Raises :class:`ImageNotFoundError`, and :class:`UnsupportedError` if the registry does not
    allow it.
    """
    reference = named(Reference.parse(repository.name), name)
    descriptor = RegistrySource(repository, reference).manifest().descriptor
    request = repository.request("DELETE", f"manifests/{descriptor.digest}", where=str(reference))
    answer = repository.client.send(
        request, {200, 202, 204, *_UNSUPPORTED}, missing=ImageNotFoundError
    )
    if answer.status in _UNSUPPORTED:
        raise UnsupportedError(
            f"the registry does not allow deletion ({answer.status}){explanation(answer)}",
            where=str(reference),
            hint="its operator must enable it",
        )
    return descriptor


def _tagged(home: Reference, name: str) -> Reference:
    try:
        reference = named(home, name.removeprefix("docker://"))
    except UsageError as error:
        error.hint = error.hint or "to write to another repository, use 'tarkit copy'"
        raise
    if reference.digest or not reference.tag:
        raise UsageError(f"{name!r} is not a tag", hint="a digest cannot name other content")
    return reference
