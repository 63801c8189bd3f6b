"""Stores for tests: images copied in, and read back as plain dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tarkit.copying.engine import copy_image
from tarkit.rootfs.filesystem import FileSystem
from tarkit.tar.member import MemberType
from tarkit.transports.oci_layout.reader import OCILayoutReader
from tarkit.transports.store.reader import StoreReader
from tarkit.transports.store.writer import StoreWriter
from tests.builders import image_of, layout_of, tar, write_files


def layout_at(path: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write a layout with one image, whose only layer has *files*."""
    return write_files(path, layout_of(image_of([tar(files)]), name))


def copy_in(root: Path, layout: Path, name: str) -> None:
    """Copy the only image of *layout* to the store at *root*."""
    with OCILayoutReader.open(layout) as reader, StoreWriter.open(root) as writer:
        copy_image(reader.source(), writer.destination(name))


def content_of(root: Path, name: str) -> dict[str, bytes]:
    """Return the files of an image in the store at *root*, read through its index."""
    with StoreReader.open(root) as reader, FileSystem.of(reader.source(name)) as files:
        return {
            entry.path[1:]: files.read_bytes(entry.path)
            for entry in files.walk()
            if entry.type is MemberType.FILE
        }
