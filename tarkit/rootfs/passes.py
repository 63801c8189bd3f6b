"""Passes over layers: every header, and on the way the data that nothing above is known to hide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tarkit.rootfs.hidden_paths import HiddenPaths
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.tree import DataLocation
from tarkit.streams.readahead import DEPTH
from tarkit.tar.member import Member, MemberType
from tarkit.tar.reader import TarReader
from tarkit.tar.tape import SeekingTape

_JOBS = 2  # layers that are read at a time; each has a thread that reads ahead

T = TypeVar("T")
"""What reading a layer comes to."""


class Sink(Protocol):
    """Takes the data of files, as it goes by."""

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        """Keep the stored bytes of *member*, which is at *place*: of a sparse one, its segments."""
        ...


def read_layers(layers: ImageLayers, sink: Sink, *, hidden: bool = False) -> list[list[Member]]:
    """Return the entries of every layer, bottom first; read each once and verify it to its end.

    *sink* gets the data of each file on the way, unless a layer above that was read before hides
    it. That is a guess, good for all but links: only the merge knows what is needed, and
    :func:`deliver` brings what was left out. With *hidden* the sink gets all data.
    """
    entries: list[list[Member]] = [[] for _ in layers.layers]
    shadow = HiddenPaths()
    for number in layers.reading_order():
        for reader, member in _members(layers, number):
            entries[number].append(member)
            if has_data(member) and (hidden or not shadow.covers(number, member.name)):
                sink.store(DataLocation(number, member.data_offset), member, reader.chunks())
        if number and not hidden:  # nothing is below the first layer
            shadow.add(number, entries[number])
    return entries


def expected_data(entries: Sequence[Sequence[Member]]) -> Iterator[tuple[DataLocation, Member]]:
    """What :func:`read_layers` would give to a sink, in the order in which it reads from top to bottom."""
    shadow = HiddenPaths()
    for number in reversed(range(len(entries))):
        for member in entries[number]:
            if has_data(member) and not shadow.covers(number, member.name):
                yield DataLocation(number, member.data_offset), member
        shadow.add(number, entries[number])


def read_headers(layers: ImageLayers, *, verified: bool) -> list[list[Member]]:
    """The entries of every layer, bottom first; layers are read in parallel where that helps.

    Without *verified* data is passed over unread where the source allows that.
    """
    order = layers.reading_order()
    entries = {} if verified else _passed_over(layers, order)
    whole = [number for number in order if number not in entries]
    read = each_layer(
        layers, whole, lambda number: [member for _, member in _members(layers, number)]
    )
    entries.update(zip(whole, read, strict=True))
    return [entries[number] for number in range(len(layers))]


def each_layer(layers: ImageLayers, order: list[int], read: Callable[[int], T]) -> list[T]:
    """What *read* gives for each layer of *order*, several at a time where the source allows."""
    if not order:
        return []
    from tarkit.streams.workers import Workers

    with Workers(1 if layers.sequential else _JOBS, "layer") as pool:
        results = pool.map(read, order)
        pool.begin()
        return list(results)


def _passed_over(layers: ImageLayers, order: list[int]) -> dict[int, list[Member]]:
    """The entries of those layers whose data need not be read for them.

    One after the other: parsing is nearly all there is to do, and two threads would take turns at it.
    """
    entries = {}
    for number in order:
        plain = layers.open_seekable(number)
        if plain is not None:
            with plain:
                tape = SeekingTape(plain, layers.layers[number].descriptor.size)
                reader = TarReader(tape, where=layers.label(number), allowance=layers.allowance)
                entries[number] = list(reader)
    return entries


def deliver(
    layers: ImageLayers,
    members: Mapping[DataLocation, Member],
    sink: Sink,
    *,
    complete: bool = False,
    parallel: bool = False,
) -> None:
    """Give *sink* the data of *members*, from each layer concerned in one pass, verified to its end.

    Where *complete*, layers of which nothing is needed are verified too, unless they were before.
    Only where *parallel* may several threads call the sink.
    """
    wanted: dict[int, list[DataLocation]] = {}
    for place in sorted(members):
        wanted.setdefault(place.layer, []).append(place)

    def read(number: int) -> None:
        with open_layer(layers, number) as reader:
            for place in wanted.get(number, ()):
                reader.go_to(members[place])
                sink.store(place, members[place], reader.chunks())

    concerned = [
        number
        for number in layers.reading_order()
        if number in wanted or (complete and number not in layers.verified)
    ]
    if parallel:
        each_layer(layers, concerned, read)
    else:
        for number in concerned:
            read(number)


def _members(layers: ImageLayers, number: int) -> Iterator[tuple[TarReader, Member]]:
    """Every member of layer *number*, and the reader that is at it; verifies the layer at its end."""
    with open_layer(layers, number) as reader:
        for member in reader:
            yield reader, member


@contextmanager
def open_layer(layers: ImageLayers, number: int, ahead: int = DEPTH) -> Iterator[TarReader]:
    """A reader of layer *number*, which is read to its end and verified where the block succeeds.

    *ahead* is as :meth:`~tarkit.rootfs.layers.ImageLayers.open` has it.
    """
    with layers.open(number, ahead) as stream:
        reader = TarReader(stream, where=layers.label(number), allowance=layers.allowance)
        yield reader
        reader.pass_over()  # whoever asked for some members only has parsed the others before
    layers.verified.add(number)


def has_data(member: Member) -> bool:
    """Whether *member* is a file with anything stored of it."""
    return member.stored > 0 and member.type is MemberType.FILE
