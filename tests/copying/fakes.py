"""A source with scripted blobs, and a destination that records everything in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import RawManifest
from tarkit.image.media_types import INDEXES, MANIFESTS, Compression
from tarkit.protocols import Profile
from tarkit.streams.chunks import ChunkReader, chunks_of
from tarkit.streams.verify import VerifyingReader
from tests.builders import Doc, Files, blob, sha256


class FakeSource:
    """The image *entry* of the layout *files*; ``opening`` may replace the stream of any blob."""

    where = "the source"
    names: tuple[str, ...] = ()

    def __init__(self, files: Files, entry: Doc) -> None:
        self._files = files
        self._top = Descriptor.from_json(entry)
        self.opening: dict[str, Callable[[], BinaryIO]] = {}
        self.opened: list[str] = []

    def manifest(self, digest: Digest | None = None) -> RawManifest:
        data = self._data(digest or self._top.digest)
        return RawManifest.of(data)

    def open_blob(self, descriptor: Descriptor) -> BinaryIO:
        digest = str(descriptor.digest)
        self.opened.append(digest)
        return self.opening.get(digest, lambda: io.BytesIO(self._data(descriptor.digest)))()

    def _data(self, digest: Digest) -> bytes:
        return self._files[f"blobs/{digest.algorithm}/{digest.hex}"]


class FakeDestination:
    """Records everything it receives and accepts the same content as an OCI layout."""

    where = "the destination"

    def __init__(self, profile: Profile | None = None) -> None:
        self.profile = profile or Profile(media_types=MANIFESTS | INDEXES)
        self.blobs: dict[Digest, bytes] = {}
        self.manifests: list[RawManifest] = []
        self.committed = False

    def try_reuse(
        self,
        descriptor: Descriptor,
        *,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        return descriptor if descriptor.digest in self.blobs else None

    def put_blob(self, blob: VerifyingReader, media_type: str) -> Descriptor:
        data = b"".join(chunks_of(blob))
        self.blobs[blob.digest] = data
        return Descriptor(media_type, blob.digest, len(data))

    def put_manifest(self, manifest: RawManifest) -> None:
        self.manifests.append(manifest)

    def commit(self) -> Descriptor:
        self.committed = True
        return self.manifests[-1].descriptor


class Forever(ChunkReader):
    """An endless stream that records whether it was closed."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO())
        self.was_closed = False

    def _chunk(self) -> bytes:
        return bytes(1000)

    def close(self) -> None:
        self.was_closed = True
        super().close()


def layer_digests(files: Files, manifest: Doc) -> list[str]:
    layers: list[Doc] = manifest["layers"]
    assert all(sha256(blob(files, layer)) == layer["digest"] for layer in layers)
    return [layer["digest"] for layer in layers]
