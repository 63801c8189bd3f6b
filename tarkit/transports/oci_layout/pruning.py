"""Remove the blobs of a layout that nothing refers to."""

from __future__ import annotations

from pathlib import Path

from tarkit.blobs.writing import BlobWriter
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import OCI_MANIFEST
from tarkit.layout.layout import Layout
from tarkit.layout.reachable import reachable_from, reachable_from_index, subject_in
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_directory
from tarkit.streams.os_errors import os_errors
from tarkit.transports.oci_layout.reader import DirectoryFiles, OCILayoutReader
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class PrunedBlob:
    """A blob without a reference: its ``digest`` and ``size`` in bytes.

    >>> import io
    >>> blob = tarkit.put_blob("oci:layout", io.BytesIO(b"unused"))
    >>> [pruned] = tarkit.prune_layout("layout", dry_run=True)
    >>> pruned.size, pruned.digest == blob.digest
    (6, True)
    """

    digest: Digest
    size: int


def prune_layout(path: str | Path, *, dry_run: bool = False) -> tuple[PrunedBlob, ...]:
    """Remove the blobs of the layout at *path* that nothing refers to; return them by digest.

    A blob is kept if an image, nested index, artifact or subject refers to it at any depth, even in
    a field that tarkit does not know, and also if it is a referrer of something kept, such as a
    signature, although no index lists it.

    The layout is locked meanwhile. tarkit adds blobs and their index under the same lock, and checks
    the blobs it reuses, so a concurrent copy succeeds or fails as a whole. Programs that write to
    layouts without a lock, such as skopeo, must not run at the same time.

    Parameters:

    - *path*: the directory of the layout.
    - *dry_run*: return the blobs, but remove nothing.

    Returns the unused blobs, in the order of their digests.

    Raises :class:`~tarkit.errors.VerificationError` or :class:`~tarkit.errors.RefusedError` and
    removes nothing if an index or manifest is unreadable, since its references are then unknown.
    Raises :class:`~tarkit.errors.PathNotFoundError` if *path* is not a directory, and
    :class:`~tarkit.errors.MalformedError` if it is not a layout.

    >>> import io
    >>> blob = tarkit.put_blob("oci:alpha/umoci-oci", io.BytesIO(b"unused"))
    >>> [pruned.size for pruned in tarkit.prune_layout("alpha/umoci-oci")]
    [6]
    """
    path = Path(path)
    OCILayoutReader.open(path).close()  # a clear error before anything is locked
    with (
        os_errors(path),
        Directory.open(path) as directory,
        locked_directory(directory),
        BlobWriter(directory) as blobs,
    ):
        layout = Layout.read(DirectoryFiles(directory.reference, where=str(path)))
        unused = [
            PrunedBlob(digest, blobs.size(digest) or 0)
            for digest in _unreferenced(layout, blobs.digests())
        ]
        for blob in () if dry_run else unused:
            blobs.remove(blob.digest)
    return tuple(unused)


def _unreferenced(layout: Layout, digests: list[Digest]) -> list[Digest]:
    kept = reachable_from_index(layout, layout.index)
    subjects = {digest: subject_in(layout, digest) for digest in digests if digest not in kept}
    while alive := [digest for digest, subject in subjects.items() if subject in kept]:
        for digest in alive:  # a referrer may have referrers itself, so look again
            del subjects[digest]
        kept |= reachable_from(layout, [Descriptor(OCI_MANIFEST, digest, 0) for digest in alive])
    return [digest for digest in digests if digest not in kept]
