"""Build an ext4 image from a container image."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import BinaryIO, NamedTuple
from uuid import UUID

from tarkit.artifacts.data import BlockSink
from tarkit.artifacts.inputs import derived_options, input_digest
from tarkit.artifacts.nodes import Translation
from tarkit.artifacts.preflight import Preflight, check_layers
from tarkit.errors import NoSpaceError
from tarkit.ext4 import Ext4Options, Ext4Result, Ext4Writer
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.progress import Progress
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.output.limits import require_writable
from tarkit.rootfs.output.xattrs import lost_note
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.rootfs.passes import expected_data, read_headers, read_layers
from tarkit.streams.atomic import Output, PendingFile
from tarkit.streams.hashing import FileDigest, flushing
from tarkit.tar.listing import Listing
from tarkit.transports.location import AnySource, opened
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class BuildResult:
    """The ext4 image at ``path`` and its properties.

    ``size`` and ``used`` are in bytes; ``inodes`` is the total number of inodes, ``used_inodes``
    the number in use. ``manifest`` is the digest of the container image's manifest, ``inputs`` the
    digest of everything that determines the bytes; see
    :func:`tarkit.artifacts.inputs.input_digest`. ``notes`` list metadata that ext4 cannot store.
    """

    path: Path
    size: int
    sha256: Digest
    used: int
    inodes: int
    used_inodes: int
    uuid: UUID
    label: str
    manifest: Digest
    inputs: Digest
    notes: tuple[str, ...] = ()


def build_ext4(
    source: AnySource,
    output: Path,
    options: Ext4Options | None = None,
    *,
    platform: Platform | None = None,
    overlay: Overlay | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> BuildResult:
    """Build the ext4 image *output* from *source* for *platform*, with *overlay* on top.

    UUID and hash seed are derived from the layers, *options* and *overlay*. Equal inputs therefore
    produce an identical file, however the container image is stored.
    verified.

    Compressed layers are read once. They are read twice if *options* give a size in bytes or the
    disk is nearly full, to raise :class:`NoSpaceError` before anything is written. Also raises the
    errors of :func:`~tarkit.artifacts.preflight.check_build` and those of reading the image.

    Parameters:

    - *source*: an open source or the location of an image.
    - *output*: the path of the ext4 image; an existing file is replaced.
    - *options*: size, features and times of the filesystem.
    - *platform*: the platform to select from an index; by default that of this machine.
    - *overlay*: changes on top of the image.
    - *on_progress*: a listener for events, as in a copy.

    Returns the :class:`BuildResult`.

    >>> from pathlib import Path
    >>> result = tarkit.build_ext4("fixtures/hello.tar", Path("hello.ext4"))
    >>> result.size == Path("hello.ext4").stat().st_size
    True
    """
    options = options or Ext4Options()
    with opened(source) as image:
        layers = ImageLayers.of(image, platform, on_progress)
        with Output.at(output) as place:
            return build_layers(layers, place, options, overlay)


def build_layers(
    layers: ImageLayers, output: Output, options: Ext4Options, overlay: Overlay | None
) -> BuildResult:
    """Build an ext4 image from open *layers* to an open *output*, as :func:`build_ext4` does."""
    preflight = check_layers(layers, output.directory.path / output.name, options)
    if overlay is not None:
        overlay.check()
    inputs = input_digest(layers, options, overlay)
    options = derived_options(options, inputs)
    with (
        PendingFile(output.directory, read_back=True) as pending,
        closing(FileDigest(pending.file, output.path)) as digest,
    ):
        try:
            written = _write(layers, pending.file, options, overlay, preflight, digest)
        except NoSpaceError as error:
            error.where = str(output.path)
            raise
        layers.tracker.begin_phase("hashing")
        # Sync while the last part is hashed: neither keeps the other waiting.
        with flushing(pending.file, output.path):
            sha256 = digest.finish()
        pending.publish(output.name)
    made = written.result
    return BuildResult(
        path=output.path,
        size=made.size,
        sha256=sha256,
        used=made.used_bytes,
        inodes=made.inodes,
        used_inodes=made.inodes - made.free_inodes,
        uuid=made.uuid,
        label=options.label,
        manifest=layers.manifest.digest,
        inputs=inputs,
        notes=written.notes,
    )


class _Written(NamedTuple):
    result: Ext4Result
    notes: tuple[str, ...]


def _write(
    layers: ImageLayers,
    file: BinaryIO,
    options: Ext4Options,
    overlay: Overlay | None,
    preflight: Preflight,
    digest: FileDigest,
) -> _Written:
    with Ext4Writer.open(file.fileno(), options) as writer:
        data = BlockSink(writer, overlay=len(layers))
        entries = _read_entries(layers, data, options, is_tight=preflight.is_tight)
        with FileSystem.merged(layers, entries, overlay=overlay) as files:
            require_writable(files.tree)
            table = files.tree.table
            inodes = 0
            wanted = array("q")  # the rows of all data
            for row in files.tree.inode_rows():
                inodes += 1
                if table.has_data(row):
                    wanted.append(row)
            # Only with limited space: measuring may read layers once more.
            if preflight.is_tight or isinstance(options.size, int):

                def check() -> None:
                    size = data.sizes.at_most(table, wanted)
                    preflight.require(size, layers.where)
                    writer.expect(size, inodes)

                _require_room(check, files, data, wanted)
            missing = data.settle(table, wanted)
            files.contents.deliver(missing, data, complete=True)
            translation = Translation(files.tree, data.contents)
            layers.tracker.begin_phase("writing inodes and directories")
            result = writer.finish(translation, digest.begin)
    return _Written(result, tuple(_notes(result, translation)))


def _read_entries(
    layers: ImageLayers, data: BlockSink, options: Ext4Options, *, is_tight: bool
) -> list[Listing]:
    """Return the entries of all layers, and store or measure their data in *data*.

    If *options* give a size, hidden data must not take space, so nothing is stored or reserved yet.
    If the disk *is_tight*, nothing is stored before it is known to fit.
    """
    is_top_down = layers.reading_order() == list(reversed(range(len(layers))))
    has_size = isinstance(options.size, int)
    if is_top_down and has_size:
        return read_headers(layers, verified=False)
    if is_top_down and not is_tight:
        # Upper layers come first, so most hidden files are known and their data is not stored.
        return read_layers(layers, data)
    entries = read_layers(layers, data.sizes, hidden=True)
    if not has_size:
        for place, _ in expected_data(entries):
            data.reserve(place)
    return entries


def _require_room(
    check: Callable[[], None],
    files: FileSystem,
    data: BlockSink,
    wanted: Sequence[int],
) -> None:
    """Raise :class:`NoSpaceError` unless *check* passes, if necessary with measured data."""
    try:
        check()
    except NoSpaceError:
        # The check used upper bounds. Measure the remaining data by reading it, and retry.
        table = files.tree.table
        unmeasured = [row for row in wanted if table.place(row) not in data.sizes]
        if not unmeasured:
            raise
        files.contents.deliver(unmeasured, data.sizes)
        check()


def _notes(result: Ext4Result, translation: Translation) -> Iterator[str]:
    if result.clamped_times:
        yield f"{result.clamped_times} inodes have a time that ext4 cannot store; used the nearest"
    if translation.dropped:
        yield f"{translation.dropped} extended attributes omitted: ext4 has no namespace for them"
    yield from lost_note(translation.lost)
