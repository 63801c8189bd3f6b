"""Write an OCI layout directly to a tar archive, ``index.json`` last."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest, blob_name
from tarkit.image.manifest import Index, RawManifest
from tarkit.image.referrer import subject_in_tag
from tarkit.layout.archive_output import ArchiveBlobs, ArchiveOutput
from tarkit.layout.destination import ARCHIVE_PROFILE, LayoutDestination
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.layout import INDEX_FILE, MARKER, MARKER_FILE, LayoutImage
from tarkit.layout.names import require_names
from tarkit.layout.referrers import list_entry, referrer_lists
from tarkit.protocols import AdoptedBytes, ImageEntry, Reader
from tarkit.streams.closeable import Publishing
from tarkit.tar.holder import ArchiveHolder
from tarkit.transports.oci_archive.reader import OCIArchiveReader
from tarkit.values import replace


class OCIArchiveWriter(Publishing):
    """Writes an OCI archive of any number of images, replacing an existing file.

    >>> with (
    ...     tarkit.open_source("fixtures/hello.tar") as source,
    ...     tarkit.OCIArchiveWriter.open("oci.tar") as writer,
    ... ):
    ...     _ = tarkit.copy_image(source, writer.destination("example.org/hello:1"))
    """

    def __init__(self, output: ArchiveOutput) -> None:
        self.where = output.where
        self._output = output
        self._list = EMPTY_INDEX
        self._kept: list[Descriptor] = []
        self._entries: list[Descriptor] = []
        self._referrers: list[RawManifest] = []
        self._lists: dict[str, Index] = {}  # of referrers kept from the replaced archive

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Begin writing to *path*, or to standard output if that is ``-``."""
        return cls(ArchiveOutput(path))

    def destination(self, *names: str) -> LayoutDestination:
        """Return the destination of an image under *names*.

        Raises :class:`UsageError` if a name is invalid.
        """
        require_names(names)
        return self._new_entry(names)

    def _new_entry(self, names: Sequence[str]) -> LayoutDestination:
        def add_entries(manifest: RawManifest) -> None:
            self._entries += named_entries(manifest, names)

        return self._destination(add_entries)

    def keep_list(self, reader: Reader) -> None:
        """Keep annotations and unknown fields of *reader*'s ``index.json``."""
        if isinstance(reader, OCIArchiveReader):
            self._list = replace(reader.listing(), manifests=())

    def keeping(self, image: ImageEntry, names: Sequence[str]) -> LayoutDestination:
        """Return the destination of *image* that keeps the other fields of its entry."""
        # An entry has room for a full name and a tag only.
        if not isinstance(image, LayoutImage) or tuple(names) != image.names[: len(names) or 1]:
            return self._new_entry(names)

        def add_entries(manifest: RawManifest) -> None:
            now = manifest.descriptor
            if manifest.is_index and image.names and subject_in_tag(image.names[0]):
                self._lists[image.names[0]] = Index.parse(manifest)
            self._kept.append(image.descriptor.with_content(now.media_type, now.digest, now.size))

        return self._destination(add_entries)

    def referrer(self) -> LayoutDestination:
        """Return a Destination for one artifact, which becomes a referrer of its subject."""
        return self._destination(self._referrers.append)

    def _list_referrers(self) -> Iterator[Descriptor]:
        """Append indexes of the new referrers; yield their entries."""
        for name, index in referrer_lists(self._lists, self._referrers).items():
            self._output.add(blob_name(index.digest), index.data)
            yield list_entry(name, index)

    def adopt(self, reader: Reader, digests: Collection[Digest]) -> AdoptedBytes:
        """Store those blobs of *reader* with *digests* that can be moved; the others are left out."""
        if not isinstance(reader, ArchiveHolder):
            return AdoptedBytes()
        return self._output.adopt(reader.archive, digests, blob_name)

    def undoing(self) -> AbstractContextManager[None]:
        """Return a block for storing one image; if it raises, the stored data is removed again."""
        return self._output.undoing()

    def _destination(self, on_commit: Callable[[RawManifest], None]) -> LayoutDestination:
        return LayoutDestination(self.where, ARCHIVE_PROFILE, ArchiveBlobs(self._output), on_commit)

    def _end(self, succeeded: bool) -> None:
        """Publish the archive, unless the block raised an error or nothing was committed."""
        with self._output as output:
            if succeeded and (self._kept or self._entries):
                kept = replace(self._list, manifests=tuple(self._kept))
                entries = [*self._entries, *self._list_referrers()]
                output.add(INDEX_FILE, with_entries(kept, entries).serialize().data)
                output.add(MARKER_FILE, MARKER)
                output.publish()
