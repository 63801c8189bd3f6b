"""Check a store: its database, its names and, if requested, every byte of its content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tarkit.errors import PathNotFoundError, TarkitError, VerificationError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Manifest
from tarkit.image.media_types import MANIFESTS
from tarkit.image.walk import leaves
from tarkit.layout.layout import Layout
from tarkit.protocols import UnreadableImage
from tarkit.store.record_files import RecordFiles
from tarkit.store.store import Store
from tarkit.streams.verify import VerifyingReader
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class StoreProblem:
    """Something wrong in a store: the ``subject``, and the ``message``.

    Unless ``repairable``, data is lost: ``repair`` can only move it out of the way.
    """

    subject: str
    message: str
    repairable: bool = True


def verify_store(store: Store, *, deep: bool = False) -> Iterator[StoreProblem]:
    """Yield the problems of *store*.

    This compares the database with the files and checks that named images are complete. If *deep*,
    it also reads all blobs and plain tars and compares them with their digests.
    """
    yield from _database(store)
    yield from _names(store)
    if deep:
        yield from _blobs(store)
        yield from _layers(store)


def _database(store: Store) -> Iterator[StoreProblem]:
    subject = store.database.path.name
    try:
        yield from (StoreProblem(subject, message) for message in store.database.check())
        yield from _records(store)
        for key, size in store.database.rows("SELECT key, size FROM layers ORDER BY key"):
            yield from _size(f"layer {key}", store.layers.path(key), size)
        for text, size in store.database.rows("SELECT digest, size FROM blobs ORDER BY digest"):
            yield from _size(f"blob {text}", store.content.path(Digest.parse(text)), size)
    except TarkitError as error:
        yield StoreProblem(subject, error.message)


def _records(store: Store) -> Iterator[StoreProblem]:
    committed = {record.id: record for record in store.records.all() if record.committed}
    seen = set()
    for path, record, _ in RecordFiles(store.root).read_all():
        if isinstance(record, TarkitError):
            yield StoreProblem(path.name, record.message)
        elif record.id not in committed:
            yield StoreProblem(path.name, "the database lacks this record")
        else:
            seen.add(record.id)
    for record_id in sorted(committed.keys() - seen):
        yield StoreProblem(f"record {record_id}", "its file is missing or damaged")
    for record in committed.values():
        for item in sorted(record.contents):
            if not store.has(item):
                yield StoreProblem(f"record {record.id}", f"{item} is missing", repairable=False)


def _size(subject: str, path: Path, size: int) -> Iterator[StoreProblem]:
    try:
        found = path.stat().st_size
    except FileNotFoundError:
        yield StoreProblem(subject, "its file is missing")
        return
    if found != size:
        yield StoreProblem(subject, f"has {found} bytes instead of {size}")


def _names(store: Store) -> Iterator[StoreProblem]:
    try:
        layout = store.names.layout()
        for digest in sorted(store.names.reachable()):
            if store.content.size(digest) is not None and not store.names.is_public(digest):
                yield StoreProblem(f"blob {digest}", "other tools cannot see it: no link in blobs")
    except TarkitError as error:
        yield StoreProblem("index.json", str(error), repairable=False)
    else:
        yield from incomplete(layout)


def incomplete(layout: Layout) -> Iterator[StoreProblem]:
    """Yield the named images whose manifests, configs or layers are missing or unreadable.

    The images of an index may be missing: an index can be sparse.
    """
    for image in layout.images():
        if isinstance(image, UnreadableImage):
            yield StoreProblem(f"image {image.label}", image.error.message, repairable=False)
            continue
        try:
            for digest in _required(layout, image.descriptor):
                if layout.files.blob_size(digest) is None:
                    yield StoreProblem(f"image {image.label}", f"lacks {digest}", repairable=False)
        except TarkitError as error:
            yield StoreProblem(f"image {image.label}", error.message, repairable=False)


def _required(layout: Layout, top: Descriptor) -> Iterator[Digest]:
    if layout.files.blob_size(top.digest) is None and top.digest != layout.top.digest:
        yield top.digest
        return
    for *_, leaf in leaves([top], layout.nested, where=layout.files.where):
        if leaf.media_type not in MANIFESTS or layout.files.blob_size(leaf.digest) is None:
            continue
        manifest = Manifest.parse(layout.manifest(leaf))
        for blob in (manifest.config, *manifest.layers):
            if not blob.is_foreign:
                yield blob.digest


def _blobs(store: Store) -> Iterator[StoreProblem]:
    for digest in store.content.walk():
        try:
            with store.content.reader(digest) as reader:
                reader.verify()
        except TarkitError as error:
            yield StoreProblem(f"blob {digest}", error.message, repairable=False)


def _layers(store: Store) -> Iterator[StoreProblem]:
    for layer in store.layers.all():
        subject = f"layer {layer.key}"
        try:
            with VerifyingReader(store.layers.open(layer.key), digest=layer.diff_id) as reader:
                reader.verify()
        except (VerificationError, PathNotFoundError) as error:
            yield StoreProblem(subject, error.message, repairable=layer.derived)
