"""One repository of a registry: its manifests and blobs (distribution-spec, "Endpoints")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self, TypeAlias

from tarkit.errors import (
    BlobNotFoundError,
    DigestMismatchError,
    ManifestRejectedError,
    TarkitError,
    TransportError,
)
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import RawManifest, guess_media_type
from tarkit.image.reference import Reference
from tarkit.transports.registry.authfile import find_credentials, require_file
from tarkit.transports.registry.body import Response
from tarkit.transports.registry.client import RegistryClient
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.failures import explanation
from tarkit.transports.registry.messages import Answer, Payload, Request
from tarkit.transports.registry.numbers import content_length
from tarkit.transports.registry.options import RegistryOptions
from tarkit.values import replace

_MANIFEST_TYPES = (
    media_types.OCI_MANIFEST,
    media_types.OCI_INDEX,
    media_types.DOCKER_MANIFEST,
    media_types.DOCKER_LIST,
    f"{media_types.DOCKER_SCHEMA1_SIGNED};q=0.5",
    f"{media_types.DOCKER_SCHEMA1};q=0.4",
)
_ACCEPT = {"Accept": ", ".join(_MANIFEST_TYPES)}
_KNOWN_TYPES = media_types.MANIFESTS | media_types.INDEXES | media_types.SCHEMA1
_REJECTED = frozenset({400, 405, 406, 413, 415, 422})

Actions: TypeAlias = Literal["pull", "pull,push", "pull,delete"]
"""What a token must allow."""


class Repository:
    """The repository ``domain/path``; tokens must allow *actions*."""

    def __init__(self, client: RegistryClient, domain: str, path: str, actions: Actions) -> None:
        self.client = client
        self.domain = domain
        self.path = path
        self.name = f"{domain}/{path}"
        self.scopes = (f"repository:{path}:{actions}",)
        self.chunk_size = 0  # bytes of a chunk; 0 until the registry refuses a blob sent at once

    @classmethod
    def connect(cls, reference: Reference, options: RegistryOptions, actions: Actions) -> Self:
        """Return the repository of *reference*, without connecting yet.

        Raises :class:`TransportError` if the credentials file in *options* is missing.
        """
        require_file(options.authfile)

        def credentials() -> Credentials | None:
            if options.credentials is not None:
                return options.credentials
            return find_credentials(reference.repository, options.authfile)

        client = RegistryClient(reference.domain, options, credentials=credentials)
        return cls(client, reference.domain, reference.path, actions)

    def called(self, name: str | Digest) -> str:
        """Return the full name of the manifest *name*, for error messages."""
        return f"{self.name}{'@' if isinstance(name, Digest) else ':'}{name}"

    def request(
        self,
        method: str,
        tail: str,
        *,
        where: str = "",
        headers: Mapping[str, str] | None = None,
        body: Payload | None = None,
    ) -> Request:
        """Return a request for *tail*, which is relative to the repository, or an absolute URL."""
        url = tail if "://" in tail else f"/v2/{self.path}/{tail}"
        return Request(method, url, where or self.name, self.scopes, headers or {}, body)

    def manifest(
        self, name: str | Digest, *, missing: type[TarkitError] = BlobNotFoundError
    ) -> RawManifest:
        """Return the manifest or index *name*, verified; raise *missing* if the status is 404."""
        request = self._manifest_request("GET", name)
        return self._read_manifest(name, self.client.send(request, missing=missing))

    def try_manifest(self, name: str | Digest) -> RawManifest | None:
        """Return the manifest or index *name*, or None if the first request fails."""
        answer = self.client.try_send(self._manifest_request("GET", name))
        return self._read_manifest(name, answer) if answer and answer.status == 200 else None

    def manifest_size(self, digest: Digest) -> int | None:
        """Return the size of a manifest, or None if GET reports that it is missing."""
        if size := self._declared_size(self._manifest_request("HEAD", digest)):
            return size
        request = self._manifest_request("GET", digest)
        try:
            return len(self.client.send(request, missing=BlobNotFoundError).body)
        except BlobNotFoundError:
            return None

    def _manifest_request(self, method: str, name: str | Digest) -> Request:
        where = self.called(name)
        return self.request(method, f"manifests/{name}", where=where, headers=_ACCEPT)

    def _read_manifest(self, name: str | Digest, answer: Answer) -> RawManifest:
        where = self.called(name)
        media_type = _media_type(answer, where)
        return RawManifest(answer.body, media_type, _verified(answer, media_type, name, where))

    def put_manifest(self, manifest: RawManifest, name: str | Digest) -> Answer:
        """Store *manifest* as *name*; raise :class:`ManifestRejectedError` if it is rejected."""
        where = self.called(name)
        if len(manifest.data) > METADATA_LIMIT:
            raise ManifestRejectedError(
                "the manifest is larger than registries accept", where=where
            )
        headers = {"Content-Type": manifest.media_type}
        request = self.request(
            "PUT", f"manifests/{name}", where=where, headers=headers, body=manifest.data
        )
        answer = self.client.send(request, {200, 201, 202, *_REJECTED})
        if answer.status in _REJECTED:
            raise ManifestRejectedError(
                f"the registry rejects the manifest ({answer.status}){explanation(answer)}",
                where=where,
            )
        _check_stored(answer, manifest.digest, where)
        return answer

    def head_blob(self, digest: Digest) -> int | None:
        """Return the size of a blob; None if HEAD fails, but the blob may exist nevertheless."""
        return self._declared_size(self._blob_request("HEAD", digest))

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size of a blob, or None if GET reports that it is missing."""
        if size := self.head_blob(digest):  # some registries answer 0 for every blob
            return size
        try:
            response = self.open_blob(digest)
        except BlobNotFoundError:
            return None
        response.stream.close()
        size = content_length(response.headers)
        if size is None:
            raise TransportError(
                "the registry does not state its size", where=f"{self.name}: blob {digest}"
            )
        return size

    def open_blob(self, digest: Digest, start: int = 0) -> Response:
        """Request the bytes of a blob from *start* on; the registry may send all of them (200).

        Raises :class:`BlobNotFoundError` if the blob is missing.
        """
        headers = {"Range": f"bytes={start}-"} if start else {}
        request = replace(self._blob_request("GET", digest), headers=headers)
        response = self.client.open(request)
        if response.status not in (200, 206):
            answer = self.client.http.read(request, response)
            raise self.client.failure(answer, request, BlobNotFoundError)
        return response

    def try_blob(self, descriptor: Descriptor) -> bytes | None:
        """Return a small blob, verified, or None if the first request fails."""
        answer = self.client.try_send(self._blob_request("GET", descriptor.digest))
        if answer and answer.status == 200 and descriptor.digest.matches(answer.body):
            return answer.body
        return None

    def _declared_size(self, head: Request) -> int | None:
        answer = self.client.try_send(head)
        return content_length(answer.headers) if answer and answer.status == 200 else None

    def _blob_request(self, method: str, digest: Digest) -> Request:
        return self.request(method, f"blobs/{digest}", where=f"{self.name}: blob {digest}")


def _verified(answer: Answer, media_type: str, name: str | Digest, where: str) -> Digest:
    """Return the digest of a manifest, compared with the requested or declared digest."""
    expected = name if isinstance(name, Digest) else None
    if expected is None and media_type not in media_types.SCHEMA1:
        expected = _declared_digest(answer)  # the digest of schema 1 does not cover its signatures
    actual = Digest.of(answer.body, expected.algorithm if expected else "sha256")
    if expected and actual != expected:
        raise DigestMismatchError(expected, actual, where=where)
    return actual


def _media_type(answer: Answer, where: str) -> str:
    """Return the media type in the header if it is known, or else the type in the document."""
    declared = _content_type(answer)
    return declared if declared in _KNOWN_TYPES else guess_media_type(answer.body, where=where)


def _content_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _check_stored(answer: Answer, digest: Digest, where: str) -> None:
    declared = _declared_digest(answer)
    if declared and declared.algorithm == digest.algorithm and declared != digest:
        raise DigestMismatchError(digest, declared, where=where)


def _declared_digest(answer: Answer) -> Digest | None:
    """Return the digest in the headers, or None if it is absent or cannot be checked."""
    try:
        return Digest.parse(answer.headers.get("Docker-Content-Digest", ""))
    except TarkitError:
        return None
