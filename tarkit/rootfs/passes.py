"""Read layers in single passes: all headers, and the data of files that no layer above hides."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tarkit.rootfs.hidden_paths import HiddenPaths
from tarkit.rootfs.layers import Layers
from tarkit.rootfs.table import DataLocation
from tarkit.streams.readahead import DEPTH
from tarkit.streams.workers import Workers
from tarkit.tar.listing import Listing
from tarkit.tar.member import Member, MemberType
from tarkit.tar.reader import TarReader
from tarkit.tar.tape import SeekingTape

_JOBS = 2  # layers read in parallel; each also has threads that read ahead

T = TypeVar("T")
"""The result of reading one layer."""


class Sink(Protocol):
    """Receives the data of files while layers are read."""

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Store the data of *member*, located at *place*; *chunks* yields the segments of a sparse file."""
        ...


def read_layers(layers: Layers, sink: Sink, *, hidden: bool = False) -> list[Listing]:
    """Read and verify each layer once; return the entries of every layer, bottom first.

    Pass the data of each file to *sink* unless a layer above that was already read hides it. This
    is a prediction, which links can make wrong: only the merge knows which data is needed, and
    :func:`deliver` reads any that was skipped. If *hidden*, pass all data.
    """
    entries = [Listing() for _ in layers.layers]
    paths = HiddenPaths()
    for number in layers.reading_order():
        with open_layer(layers, number) as reader:
            for member in reader.fill(entries[number]):
                if has_data(member) and (hidden or not paths.covers(number, member.name)):
                    sink.store(DataLocation(number, member.data_offset), member, reader.chunks())
        if number and not hidden:  # the bottom layer hides nothing
            paths.add(number, entries[number])
    return entries


def expected_data(entries: Sequence[Listing]) -> Iterator[tuple[DataLocation, Member]]:
    """Yield the data that :func:`read_layers` would pass to a sink, in order from the top layer."""
    hidden = HiddenPaths()
    for number in reversed(range(len(entries))):
        for member in entries[number]:
            if has_data(member) and not hidden.covers(number, member.name):
                yield DataLocation(number, member.data_offset), member
        hidden.add(number, entries[number])


def read_headers(layers: Layers, *, verified: bool) -> list[Listing]:
    """Return the entries of every layer, bottom first.

    Layers are read in parallel unless the source is sequential. Unless *verified*, the data of
    seekable plain layers is skipped unread.
    """
    order = layers.reading_order()
    entries: dict[int, Listing] = {}
    if not verified:
        entries = _read_indexes(layers, order) if layers.indexed else {}
        entries.update(_read_seekable(layers, [n for n in order if n not in entries]))
    whole = [number for number in order if number not in entries]
    read = each_layer(layers, whole, lambda number: _read_whole(layers, number))
    entries.update(zip(whole, read, strict=True))
    return [entries[number] for number in range(len(layers))]


def each_layer(layers: Layers, order: list[int], read: Callable[[int], T]) -> list[T]:
    """Return the results of *read* for each layer of *order*; parallel unless the source is sequential."""
    if len(order) < 2:
        return [read(number) for number in order]  # starting a pool takes longer than an index
    with Workers(1 if layers.sequential else _JOBS, "layer") as pool:
        results = pool.map(read, order)
        pool.begin()
        return list(results)


def _read_whole(layers: Layers, number: int) -> Listing:
    """Return the entries of layer *number*, read and verified to its end."""
    with open_layer(layers, number) as reader:
        return reader.listing()


def _read_indexes(layers: Layers, order: list[int]) -> dict[int, Listing]:
    """Return the entries of the layers that a store has parsed, or parses now, in parallel."""
    found = zip(order, each_layer(layers, order, layers.listing), strict=True)
    return {number: listing for number, listing in found if listing is not None}


def _read_seekable(layers: Layers, order: list[int]) -> dict[int, Listing]:
    """Return the entries of seekable plain layers, read without their data.

    Not parallel: nearly all the work is parsing, for which two threads would compete for the GIL.
    """
    entries = {}
    for number in order:
        plain = layers.open_seekable(number)
        if plain is not None:
            with plain:
                tape = SeekingTape(plain, layers.layers[number].descriptor.size)
                reader = TarReader(tape, where=layers.label(number), allowance=layers.allowance)
                entries[number] = reader.listing()
    return entries


def deliver(
    layers: Layers,
    members: Mapping[int, Iterable[Member]],
    sink: Sink,
    *,
    complete: bool = False,
    parallel: bool = False,
) -> None:
    """Pass the data of *members* to *sink*; read and verify each layer that contains any of it once.

    *members* maps a layer to its wanted members, in order. If *complete*, also verify the layers
    without needed data that have not been verified before. If *parallel*, several threads may call
    the sink at the same time.
    """

    def read(number: int) -> None:
        with open_layer(layers, number) as reader:
            for member in members.get(number, ()):
                reader.go_to(member)
                sink.store(DataLocation(number, member.data_offset), member, reader.chunks())

    concerned = [
        number
        for number in layers.reading_order()
        if number in members or (complete and number not in layers.verified)
    ]
    if parallel:
        each_layer(layers, concerned, read)
    else:
        for number in concerned:
            read(number)


@contextmanager
def open_layer(layers: Layers, number: int, ahead: int = DEPTH) -> Iterator[TarReader]:
    """Open a reader of layer *number*; if the block succeeds, read the rest and verify the layer.

    For *ahead* see :meth:`~tarkit.rootfs.layers.Layers.open`.
    """
    with layers.open(number, ahead) as stream:
        reader = TarReader(stream, where=layers.label(number), allowance=layers.allowance)
        yield reader
        reader.pass_over()  # skips parsing: a caller that stops early already has all entries
    layers.verified.add(number)


def has_data(member: Member) -> bool:
    """Return True if *member* is a file with stored data."""
    return member.stored > 0 and member.type is MemberType.FILE
