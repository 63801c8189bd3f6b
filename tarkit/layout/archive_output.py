"""Write a tar archive of blobs, each stored once, and publish it when it is complete."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

from tarkit.errors import RefusedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest, blob_name
from tarkit.image.media_types import Compression
from tarkit.layout.moving import MemberMover, is_movable
from tarkit.protocols import AdoptedBytes
from tarkit.streams.atomic import Output, PendingFile
from tarkit.streams.chunks import chunks_of, write_all
from tarkit.streams.closeable import Closeable
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.standard import standard_output
from tarkit.streams.verify import VerifyingReader
from tarkit.tar.archive import Archive
from tarkit.tar.epoch import source_date_epoch
from tarkit.tar.member import Member, MemberType
from tarkit.tar.writer import TarWriter

_MODE = 0o444


class ArchiveOutput(Closeable):
    """A tar archive that is being written; publishing it replaces the file at *path*.

    If *path* is ``-``, the complete archive is written to standard output instead. If *deliver* is
    given, it is called with the complete archive, and only error messages use *path*. Members have
    no owner, and their time is SOURCE_DATE_EPOCH or 0, so the same images produce the same bytes.
    """

    def __init__(
        self, path: str | Path, *, deliver: Callable[[BinaryIO], None] | None = None
    ) -> None:
        self.where = str(path)
        self._deliver = _write_to_stdout if self.where == "-" else deliver
        self._sizes: dict[Digest, int] = {}
        self._mtime_ns = (source_date_epoch() or 0) * 1_000_000_000
        # If a later step fails, the stack closes everything opened before.
        with ExitStack() as stack:
            self._output = None if self._deliver else stack.enter_context(Output.at(Path(path)))
            directory = self._output.directory if self._output else _temporary(stack)
            pending = PendingFile(directory, read_back=self._deliver is not None)
            self._pending = stack.enter_context(pending)
            # Other processes may add images without a lock; publish() checks for changes.
            self._before = _state(self._output) if self._output else None
            self._tar = TarWriter(self._pending.file, where=self.where)
            self._stack = stack.pop_all()

    def size(self, digest: Digest) -> int | None:
        """Return the size of the blob in the archive, or None if it is missing."""
        return self._sizes.get(digest)

    def put_blob(self, blob: VerifyingReader, name: Callable[[Digest], str]) -> None:
        """Append *blob* as a member; *name* returns the member's name for the blob's digest.

        The member is discarded if the blob fails verification or is already in the archive.
        """
        # The digest is known only after reading; reserve the header with a name of equal length.
        unknown = Digest.of(b"", blob.algorithm)
        with self._tar.begin(self._member(name(unknown))) as member:
            for chunk in chunks_of(blob):
                member.write(chunk)
            # Sources may contain a blob twice; the second copy is cut off again.
            if blob.digest in self._sizes:
                member.abort()
            else:
                member.end(name(blob.digest).encode())
        self._sizes[blob.digest] = blob.size

    def adopt(
        self, archive: Archive, wanted: Collection[Digest], name: Callable[[Digest], str]
    ) -> AdoptedBytes:
        """Append the members of *archive* that hold *wanted* blobs, without verifying their content.

        Only plain files that are called *name* of their digest qualify. They keep their order.
        """
        if archive.descriptor is None:
            return AdoptedBytes()
        mover = MemberMover(self._tar, archive)
        names = {name(digest).encode(): digest for digest in wanted}
        for member in archive.members:
            digest = names.get(member.name)
            if digest and digest not in self._sizes and is_movable(archive, member):
                mover.add(member, self._member(name(digest), size=member.size))
                self._sizes[digest] = member.size
        return mover.flush()

    def add(self, name: str, data: bytes) -> None:
        """Append a small file."""
        self._tar.add(self._member(name, size=len(data)), data)

    def add_symlink(self, name: str, target: str) -> None:
        """Append a symbolic link with mode 0, as skopeo does."""
        self._tar.add(self._member(name, type=MemberType.SYMLINK, mode=0, linkname=target))

    @contextmanager
    def undoing(self) -> Iterator[None]:
        """Remove the members that the block appended, if it raises."""
        offset, count = self._tar.offset, len(self._sizes)
        try:
            yield
        except BaseException:
            self._tar.truncate(offset)
            while len(self._sizes) > count:  # blobs are in the order of their members
                self._sizes.popitem()
            raise

    def _member(
        self,
        name: str,
        *,
        size: int = 0,
        type: MemberType = MemberType.FILE,
        mode: int = _MODE,
        linkname: str = "",
    ) -> Member:
        return Member(
            name=name.encode(),
            type=type,
            mode=mode,
            size=size,
            linkname=linkname.encode(),
            mtime_ns=self._mtime_ns,
        )

    def publish(self) -> None:
        """Finish the archive and move it to its path, or deliver it.

        Raises :class:`RefusedError` if the existing file has changed since writing began, because
        replacing it would lose images added by another process.
        """
        self._tar.close()
        if self._output:
            if _state(self._output) != self._before:
                raise RefusedError(
                    "another process changed the file during the copy",
                    where=self.where,
                    hint="it was left unchanged; run the command again",
                )
            self._pending.publish(self._output.name)
        elif self._deliver:
            self._pending.file.seek(0)
            self._deliver(self._pending.file)

    def close(self) -> None:
        """Close files and discard an unpublished archive."""
        self._stack.close()


class ArchiveBlobs:
    """The blobs of a layout in a tar, each stored once."""

    def __init__(self, output: ArchiveOutput) -> None:
        self._output = output

    def find(
        self,
        descriptor: Descriptor,
        diff_id: Digest | None,
        compressions: frozenset[Compression],
    ) -> Descriptor | None:
        """Find a blob in this archive; see :class:`tarkit.layout.destination.LayoutBlobs`.

        Blobs stored elsewhere are not reused.
        """
        is_stored = self._output.size(descriptor.digest) == descriptor.size
        return descriptor if is_stored else None

    def put(self, blob: VerifyingReader) -> None:
        """Append *blob*; see :class:`tarkit.layout.destination.LayoutBlobs`."""
        self._output.put_blob(blob, blob_name)


def _state(output: Output) -> tuple[int, ...] | None:
    """Return a value that changes if the file at *output* is modified or replaced."""
    with os_errors(output.path):
        found = output.directory.lookup(output.name)
    return found and (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _write_to_stdout(archive: BinaryIO) -> None:
    with os_errors("standard output"):
        for chunk in chunks_of(archive):
            write_all(standard_output(), chunk)
        standard_output().flush()


def _temporary(stack: ExitStack) -> Directory:
    import tempfile

    path = Path(tempfile.gettempdir())
    with os_errors(path):
        return stack.enter_context(Directory.open(path))
