"""Write an image to a registry: first blobs, then manifests, and tags last."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence

from tarkit.errors import CancelledError, CannotModifyError, TarkitError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression, is_acceptable
from tarkit.image.reference import Reference
from tarkit.image.referrer import subject_of
from tarkit.protocols import DerivedSource, Profile, Source
from tarkit.streams.verify import VerifyingReader
from tarkit.transports.registry.known_layers import layers_by_diff_id
from tarkit.transports.registry.messages import Answer
from tarkit.transports.registry.mount import mount_blob
from tarkit.transports.registry.referrers import record_referrer
from tarkit.transports.registry.repository import Repository
from tarkit.transports.registry.source import RegistrySource
from tarkit.transports.registry.upload import upload_blob

PROFILE = Profile(
    media_types=MANIFESTS | INDEXES,
    default_compression={
        Compression.NONE: Compression.GZIP,
        Compression.BZIP2: Compression.GZIP,
        Compression.XZ: Compression.GZIP,
    },
    holds=frozenset({Compression.NONE, Compression.GZIP, Compression.ZSTD}),
)


class RegistryDestination:
    """Receives an image named *references*, as a :class:`tarkit.protocols.Destination`.

    No tag changes before :meth:`commit`. After a failed copy, no manifest refers to the blobs, so
    the registry's garbage collection removes them.
    """

    profile = PROFILE

    def __init__(self, repository: Repository, references: Sequence[Reference]) -> None:
        self.where = ", ".join(str(reference) for reference in references)
        self._repository = repository
        self._references = references
        self._neighbours: list[str] = []
        self._manifests: dict[Digest, RawManifest] = {}
        self._known: Mapping[Digest, Sequence[Descriptor]] | None = None
        self._sessions: dict[Digest, Answer] = {}  # opened by mounts that the registry refused
        self._lock = threading.Lock()
        self.notes: list[str] = []

    def mount_from(self, source: Source) -> None:
        """Let :meth:`try_reuse` mount blobs of *source* if it is in the same registry."""
        if isinstance(source, DerivedSource) and source.base is not None:
            source = source.base
        if isinstance(source, RegistrySource):
            origin = source.repository
            if origin.domain == self._repository.domain and origin.path != self._repository.path:
                self._neighbours.append(origin.path)

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Return a blob that can replace *descriptor*, or None; mount it if possible."""
        for blob in self._candidates(descriptor, diff_id):
            if is_acceptable(blob.media_type, compressions) and self._has(blob):
                self._holds(blob.digest)
                return blob
        will_do = is_acceptable(descriptor.media_type, compressions)
        return descriptor if will_do and self._mount(descriptor.digest) else None

    def _candidates(self, descriptor: Descriptor, diff_id: Digest | None) -> Iterator[Descriptor]:
        yield descriptor
        for layer in self._layers().get(diff_id, ()) if diff_id else ():
            if layer.digest != descriptor.digest:
                yield layer

    def _has(self, blob: Descriptor) -> bool:
        return self._repository.head_blob(blob.digest) == blob.size

    def _mount(self, digest: Digest) -> bool:
        """Mount the blob; return False if refused, and keep an upload session opened instead."""
        for path in self._origins(digest):
            answer = mount_blob(self._repository, digest, path)
            if answer and answer.status == 201:
                self._holds(digest)
                return True
            if answer and answer.headers.get("Location"):
                self._sessions[digest] = answer
        return False

    def _origins(self, digest: Digest) -> list[str]:
        """Return the paths of other repositories that may hold the blob."""
        return self._neighbours

    def _holds(self, digest: Digest) -> None:
        """Note that the repository holds the blob."""

    def _layers(self) -> Mapping[Digest, Sequence[Descriptor]]:
        """Return the layers of the images that currently have these tags, by diff ID."""
        with self._lock:
            if self._known is None:
                tags = [reference.tag for reference in self._references if reference.tag]
                self._known = layers_by_diff_id(self._repository, tags)
            return self._known

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        """Upload *blob* and return its descriptor."""
        session = self._sessions.pop(blob.expected, None) if blob.expected else None
        upload_blob(self._repository, blob, session)
        self._holds(blob.digest)
        return Descriptor(media_type, blob.digest, blob.size)

    def put_manifest(self, manifest: RawManifest) -> None:
        """Keep *manifest* for :meth:`commit`, which sends it."""
        self._manifests.pop(manifest.digest, None)
        self._manifests[manifest.digest] = manifest

    def commit(self) -> Descriptor:
        """Send all manifests, then the tags.

        Raises :class:`CannotModifyError` if a reference has a digest other than the image's.
        """
        manifests = self._complete()
        self.notes += send_manifests(self._repository, self._references, manifests)
        return manifests[-1].descriptor

    def _complete(self) -> list[RawManifest]:
        """Return the manifests to send, the top one last; raises the errors of :meth:`commit`."""
        if not self._manifests:
            raise RuntimeError("commit() before put_manifest()")
        manifests = list(self._manifests.values())
        top = manifests[-1]
        for reference in self._references:
            if reference.digest and not reference.digest.matches(top.data):
                raise CannotModifyError(
                    f"the image is {top.digest}", where=str(reference), hint="use a tag instead"
                )
        return manifests


def send_manifests(
    repository: Repository, references: Sequence[Reference], manifests: Sequence[RawManifest]
) -> list[str]:
    """Send *manifests*, the last of which is the image that gets the tags of *references*.

    Returns notes about manifests that could not be listed under their subjects.
    """
    notes: list[str] = []
    top = manifests[-1]
    for manifest in manifests:
        # If the top only needs tags, it is sent once, below; a subject must be handled before.
        subject = subject_of(manifest)
        if manifest is not top or subject or not all(ref.tag for ref in references):
            answer = repository.put_manifest(manifest, manifest.digest)
            if subject and not answer.headers.get("OCI-Subject"):
                notes += _list(repository, manifest)
    for reference in references:
        if reference.tag:
            repository.put_manifest(top, reference.tag)
    return notes


def _list(repository: Repository, manifest: RawManifest) -> list[str]:
    """List *manifest* under its subject; only note a failure, since the image is complete."""
    try:
        record_referrer(repository, manifest)
    except CancelledError:
        raise
    except TarkitError as error:
        return [
            f"{manifest.digest} could not be listed among the referrers of its subject: {error}"
        ]
    return []
