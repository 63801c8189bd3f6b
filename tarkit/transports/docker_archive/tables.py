"""The three tables of contents of a docker archive, as JSON to change and to write back.

``manifest.json`` and ``repositories`` are Docker's own, ``index.json`` is that of the OCI half. Unknown
fields stay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Self

from tarkit.image.descriptor import Descriptor
from tarkit.image.document import (
    JSON,
    METADATA_LIMIT,
    as_object,
    dump_json,
    get_object,
    get_strings,
    parse_json,
    parse_object,
)
from tarkit.image.manifest import Index
from tarkit.image.reference import Reference
from tarkit.layout.layout import INDEX_FILE
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME, names_of, normalized
from tarkit.transports.docker_archive.format import MANIFEST_FILE, REPOSITORIES_FILE
from tarkit.transports.docker_archive.items import DockerImage
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.values import dataclass, replace

_NAMES = (CONTAINERD_NAME, REF_NAME)


@dataclass(slots=True)
class Tables:
    """``items`` of ``manifest.json``, and ``repositories`` and ``index`` if the archive has them."""

    items: list[JSON]
    repositories: JSON | None
    index: Index | None

    @classmethod
    def read(cls, reader: DockerArchiveReader) -> Self:
        """Return the tables of the archive of *reader*."""
        where = f"{reader.where}: {MANIFEST_FILE}"
        items = parse_json(reader.archive.read(MANIFEST_FILE, METADATA_LIMIT), where=where)
        repositories = None
        if reader.archive.candidates(REPOSITORIES_FILE):
            data = reader.archive.read(REPOSITORIES_FILE, METADATA_LIMIT)
            repositories = parse_object(data, where=f"{reader.where}: {REPOSITORIES_FILE}")
        index = reader.half.layout.listing() if reader.half else None
        return cls([as_object(item, where=where) for item in items], repositories, index)

    def files(self) -> dict[str, bytes]:
        """Return the tables as files."""
        files = {MANIFEST_FILE: dump_json(self.items)}
        if self.repositories is not None:
            files[REPOSITORIES_FILE] = dump_json(self.repositories)
        if self.index is not None:
            files[INDEX_FILE] = self.index.serialize().data
        return files

    def drop_names(self, names: Collection[str]) -> None:
        """Take *names*, which are normalized, from all images; an image stays if it loses its last."""
        for item in self.items:
            tags = [tag for tag in _tags(item) if normalized(tag) not in names]
            if len(tags) < len(_tags(item)):
                _set_tags(item, tags)
        for repository in list(self.repositories or ()):
            tags_of = get_object(self.repositories or {}, repository, where=None)
            kept = {
                t: i for t, i in tags_of.items() if normalized(f"{repository}:{t}") not in names
            }
            assert self.repositories is not None
            self.repositories[repository] = kept
            if not kept:
                del self.repositories[repository]
        if self.index is not None:
            self._set_entries(_without_names(self.index.manifests, names))

    def add_names(
        self, image: DockerImage, position: int | None, names: Sequence[Reference]
    ) -> None:
        """Give *image*, whose item is at *position*, the additional *names*."""
        entries, top = self.entries_of(image), self._top_layer(image)  # found by its present names
        self.drop_names({str(name) for name in names})
        if position is not None:
            item = self.items[position]
            _set_tags(item, [*_tags(item), *map(str, names)])
        if self.repositories is not None and top:
            for name in names:
                self.repositories.setdefault(name.repository, {})[name.tag] = top
        if self.index is not None and entries:
            unnamed = _without_names_at_all(entries[0])
            kept = [entry for entry in self.index.manifests if entry != unnamed]
            self._set_entries([*kept, *(_named(unnamed, name) for name in names)])

    def remove(self, image: DockerImage, position: int | None) -> None:
        """Remove *image*, whose item is at *position*, with its names."""
        entries = self.entries_of(image)
        self.drop_names({key for name in image.names if (key := normalized(name))})
        if position is not None and not _tags(self.items[position]):
            del self.items[position]
        if self.index is not None:
            gone = {entry.digest for entry in entries}
            self._set_entries(
                [e for e in self.index.manifests if e.digest not in gone or names_of(e.annotations)]
            )

    def entries_of(self, image: DockerImage) -> list[Descriptor]:
        """Return the entries of ``index.json`` for *image*: by digest, or by name if it is a part."""
        manifests = self.index.manifests if self.index else ()
        same = [entry for entry in manifests if image.top and entry.digest == image.top.digest]
        keys = {key for name in image.names if (key := normalized(name))}
        return same or [entry for entry in manifests if keys & set(_full_names(entry))]

    def _top_layer(self, image: DockerImage) -> str:
        """Return the ID of the image's top layer in ``repositories``, or an empty string."""
        repositories = self.repositories or {}
        keys = {normalized(name) for name in image.names}
        for repository in repositories:
            for tag, layer in get_object(repositories, repository, where=None).items():
                if normalized(f"{repository}:{tag}") in keys and isinstance(layer, str):
                    return layer
        layers = image.item.layers if image.item else ()
        if not layers:
            return ""
        folder, _, file = layers[-1].rpartition("/")
        return folder if file == "layer.tar" else file.removesuffix(".tar")

    def _set_entries(self, entries: list[Descriptor]) -> None:
        assert self.index is not None
        self.index = replace(self.index, manifests=tuple(entries))


def _tags(item: JSON) -> tuple[str, ...]:
    return get_strings({"RepoTags": item.get(_key(item))}, "RepoTags", where=None)


def _set_tags(item: JSON, tags: Sequence[str]) -> None:
    item[_key(item)] = list(dict.fromkeys(tags))


def _key(item: dict[str, Any]) -> str:
    """Return the key of the names; like Go, match it regardless of case if it is not exact."""
    if "RepoTags" in item:
        return "RepoTags"
    return next((key for key in item if key.lower() == "repotags"), "RepoTags")


def _full_names(entry: Descriptor) -> Iterator[str]:
    """Yield the normalized names of *entry*. A tag alone is not a name if there is a full one."""
    names = names_of(entry.annotations)[:1]
    return (key for name in names if (key := normalized(name)))


def _without_names(entries: tuple[Descriptor, ...], names: Collection[str]) -> list[Descriptor]:
    """Return *entries* without those of *names*; the only entry of a digest stays, unnamed."""
    kept = [entry for entry in entries if not set(names) & set(_full_names(entry))]
    left = {entry.digest for entry in kept}
    for entry in entries:
        if entry.digest not in left:
            left.add(entry.digest)
            kept.append(_without_names_at_all(entry))
    return kept


def _named(entry: Descriptor, name: Reference) -> Descriptor:
    annotations = {**entry.annotations, CONTAINERD_NAME: str(name), REF_NAME: name.tag}
    return replace(entry, annotations=annotations)


def _without_names_at_all(entry: Descriptor) -> Descriptor:
    others = {key: text for key, text in entry.annotations.items() if key not in _NAMES}
    return replace(entry, annotations=others)
