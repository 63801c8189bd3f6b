"""Name and remove images of a docker archive: a new archive takes its place by rename."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tarkit.errors import MemberNotFoundError, RefusedError, UnsafePathError, UnsupportedError
from tarkit.image.digest import blob_name
from tarkit.image.document import get_string, get_strings
from tarkit.image.manifest import RawManifest
from tarkit.layout.names import normalized
from tarkit.layout.reachable import reachable_from_index
from tarkit.tar.archive import Archive
from tarkit.tar.member import Member
from tarkit.tar.rewriting import rewrite_archive
from tarkit.transports.docker_archive.body import tagged_reference
from tarkit.transports.docker_archive.items import DockerImage, choose_image
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.transports.docker_archive.tables import Tables

_LEGACY_FILES = ("layer.tar", "json", "VERSION", "")  # "" is the directory itself


def tag_in_archive(
    path: Path, name: str | None, index: int | None, names: Sequence[str]
) -> RawManifest:
    """Give an image of the archive at *path* the additional *names*; return its manifest.

    Only the tables of contents are written anew. Another image loses a name that it shares with
    *names*, but stays in the archive. Raises the errors of :meth:`DockerArchiveReader.source`, and
    :class:`UsageError` for a name that is invalid in Docker.
    """
    references = [tagged_reference(text) for text in dict.fromkeys(names)]
    with DockerArchiveReader.open(path) as reader:
        image = _choose(reader, name, index)[0]
        tables = Tables.read(reader)
        tables.add_names(image, reader.position(image), references)
        raw = reader.source(index=image.index).manifest()
        rewrite_archive(reader.archive, path, files=tables.files())
        return raw


def delete_from_archive(
    path: Path, name: str | None, index: int | None
) -> tuple[RawManifest, int, int]:
    """Remove a name from the archive at *path* or, if it is the only one, an image.

    The data that only this image uses is removed as well. Returns the manifest of the image, and
    the number and the size in bytes of the files removed. Raises the errors of
    :meth:`DockerArchiveReader.source`, and :class:`RefusedError` if no image would be left.
    """
    with DockerArchiveReader.open(path) as reader:
        image, by_name = _choose(reader, name, index)
        raw = reader.source(index=image.index).manifest()
        tables = Tables.read(reader)
        before = _needed(reader, tables, strict=False)
        if by_name is not None and len(image.names) > 1:
            tables.drop_names({normalized(by_name) or by_name})
        else:
            tables.remove(image, reader.position(image))
        if not tables.items and not (tables.index and tables.index.manifests):
            raise RefusedError(
                "it is the only image", where=str(path), hint="remove the file instead"
            )
        after = _needed(reader, tables)
        gone = [member for offset, member in before.items() if offset not in after]
        gone += _dangling(reader.archive, {member.offset for member in gone})
        rewrite_archive(reader.archive, path, files=tables.files(), without=gone)
        return raw, len(gone), sum(member.stored for member in gone)


def _choose(
    reader: DockerArchiveReader, name: str | None, index: int | None
) -> tuple[DockerImage, str | None]:
    if reader.is_legacy:
        raise UnsupportedError(
            "tarkit does not change archives from before Docker 1.10",
            where=reader.where,
            hint="copy it to a new archive first",
        )
    image, by_name = choose_image(reader.catalog, name, index, where=reader.where)
    if image.error is not None:
        raise image.error
    return image, by_name


def _needed(
    reader: DockerArchiveReader, tables: Tables, *, strict: bool = True
) -> dict[int, Member]:
    """Return the members that the images in *tables* consist of, by offset; see :func:`~tarkit.layout.reachable.reachable`."""
    archive = reader.archive
    paths: dict[str, None] = {}
    for item in tables.items:
        folded = {key.lower(): value for key, value in item.items()}
        paths[get_string(folded, "config", where=None)] = None
        paths.update(dict.fromkeys(get_strings(folded, "layers", where=None)))
    if reader.half is not None and tables.index is not None:
        digests = reachable_from_index(reader.half.layout, tables.index, strict=strict)
        paths.update((blob_name(digest), None) for digest in digests)
    return {member.offset: member for path in paths for member in _members(archive, path)}


def _members(archive: Archive, path: str) -> Iterator[Member]:
    """Yield the members at *path*, the target of a link, and the other files of a legacy layer."""
    yield from archive.candidates(path)
    if (target := archive.find(path)) is not None:
        yield target
    folder, _, file = path.rpartition("/")
    if folder and file == "layer.tar":
        for other in _LEGACY_FILES:
            yield from archive.candidates(f"{folder}/{other}")


def _dangling(archive: Archive, gone: set[int]) -> list[Member]:
    """Return the links that lead to the members at the offsets *gone*, with their legacy files."""
    found: dict[int, Member] = {}
    for member in archive.members:
        if member.type.is_link and member.offset not in gone and _target(archive, member) in gone:
            name = member.name.decode("utf-8", "surrogateescape")
            found |= {other.offset: other for other in _members(archive, name)}
    return [member for offset, member in found.items() if offset not in gone]


def _target(archive: Archive, member: Member) -> int | None:
    try:
        target = archive.find(member.name)
    except (UnsafePathError, MemberNotFoundError):
        return None
    return None if target is None else target.offset
