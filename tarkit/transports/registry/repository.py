"""One repository of a registry: its manifests and blobs by name (distribution-spec, "Endpoints")."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, Self

from tarkit.errors import (
    BlobNotFoundError,
    DigestMismatchError,
    ImageNotFoundError,
    ManifestRejectedError,
)
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT
from tarkit.image.manifest import RawManifest, guess_media_type
from tarkit.image.reference import Reference
from tarkit.transports.registry.authfile import find_credentials
from tarkit.transports.registry.client import RegistryClient
from tarkit.transports.registry.credentials import Credentials
from tarkit.transports.registry.failures import explanation
from tarkit.transports.registry.messages import Answer, Request
from tarkit.transports.registry.numbers import content_length
from tarkit.transports.registry.options import RegistryOptions

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


class Repository:
    """The repository ``domain/path``, for the *actions* that its tokens have to allow."""

    def __init__(
        self, client: RegistryClient, domain: str, path: str, actions: Literal["pull", "pull,push"]
    ) -> None:
        self.client = client
        self.domain = domain
        self.path = path
        self.name = f"{domain}/{path}"
        self.scopes = (f"repository:{path}:{actions}",)

    @classmethod
    def connect(
        cls, reference: Reference, options: RegistryOptions, actions: Literal["pull", "pull,push"]
    ) -> Self:
        """The repository that *reference* is in; nothing is asked of the registry yet."""

        def credentials() -> Credentials | None:
            if options.credentials is not None:
                return options.credentials
            return find_credentials(reference.repository, options.authfile)

        client = RegistryClient(reference.domain, options, credentials=credentials)
        return cls(client, reference.domain, reference.path, actions)

    def called(self, name: str | Digest) -> str:
        """What a message calls the manifest *name*."""
        return f"{self.name}{'@' if isinstance(name, Digest) else ':'}{name}"

    def request(
        self,
        method: str,
        tail: str,
        *,
        where: str = "",
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterable[bytes | memoryview] | None = None,
    ) -> Request:
        """A request for *tail*, a path under the repository's or a whole URL."""
        url = tail if "://" in tail else f"/v2/{self.path}/{tail}"
        return Request(method, url, where or self.name, self.scopes, headers or {}, body)

    def manifest(self, name: str | Digest) -> RawManifest:
        """The manifest or index called *name*, a tag or a digest, verified.

        Raises :class:`ImageNotFoundError` for a tag and :class:`BlobNotFoundError` for a digest.
        """
        missing = BlobNotFoundError if isinstance(name, Digest) else ImageNotFoundError
        where = self.called(name)
        request = self.request("GET", f"manifests/{name}", where=where, headers=_ACCEPT)
        answer = self.client.send(request, missing=missing)
        media_type = _media_type(answer, where)
        return RawManifest(answer.body, media_type, _verified(answer, media_type, name, where))

    def find_manifest(self, name: str | Digest) -> Descriptor | None:
        """What *name* stands for, as far as the registry says without sending it; ``None`` where it has none."""
        where = self.called(name)
        request = self.request("HEAD", f"manifests/{name}", where=where, headers=_ACCEPT)
        answer = self.client.send(request, {200, 404})
        if answer.status == 404:
            return None
        digest, size = answer.headers.get("Docker-Content-Digest"), content_length(answer.headers)
        if not digest or size is None:
            return self.manifest(name).descriptor
        return Descriptor(_content_type(answer), Digest.parse(digest, where=where), size)

    def put_manifest(self, manifest: RawManifest, name: str | Digest) -> Answer:
        """Store *manifest* as *name*; raises :class:`ManifestRejectedError` where the registry will not."""
        where = self.called(name)
        if len(manifest.data) > METADATA_LIMIT:
            raise ManifestRejectedError("a manifest larger than registries take", where=where)
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

    def blob_size(self, digest: Digest) -> int | None:
        """The size of a blob in bytes; ``None`` where the repository has no such blob."""
        where = f"{self.name}: blob {digest}"
        answer = self.client.send(self.request("HEAD", f"blobs/{digest}", where=where), {200, 404})
        return content_length(answer.headers) if answer.status == 200 else None


def _verified(answer: Answer, media_type: str, name: str | Digest, where: str) -> Digest:
    """The digest of a manifest, which is the one it was asked for by, or the one the registry says."""
    declared = answer.headers.get("Docker-Content-Digest")
    expected = name if isinstance(name, Digest) else None
    if expected is None and declared and media_type not in media_types.SCHEMA1:
        expected = Digest.parse(declared, where=where)  # of schema 1, it leaves out the signatures
    actual = Digest.of(answer.body, expected.algorithm if expected else "sha256")
    if expected and actual != expected:
        raise DigestMismatchError(expected, actual, where=where)
    return actual


def _media_type(answer: Answer, where: str) -> str:
    """Return what the header says if that is a manifest's type, else what the document says."""
    declared = _content_type(answer)
    return declared if declared in _KNOWN_TYPES else guess_media_type(answer.body, where=where)


def _content_type(answer: Answer) -> str:
    return answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _check_stored(answer: Answer, digest: Digest, where: str) -> None:
    declared = answer.headers.get("Docker-Content-Digest")
    if declared and declared.partition(":")[0] == digest.algorithm and declared != str(digest):
        raise DigestMismatchError(digest, declared[:160], where=where)
