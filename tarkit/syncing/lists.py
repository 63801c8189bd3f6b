"""Read lists of images in YAML or JSON: tarkit's own format, and that of ``skopeo sync``.

tarkit's format is a list of images, or a mapping with the key ``images``. An image is a location,
the name of an image in a registry, or a mapping with the keys ``source`` and, optionally, ``name``
or ``names`` for its new names::

    images:
      - docker.io/library/busybox:1.36
      - docker-archive:app.tar
      - source: oci:layout:v1
        name: registry.example/team/app:1

A local path without a transport begins with ``/`` or ``.``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tarkit.errors import MalformedError, TarkitError
from tarkit.streams.files import read_file
from tarkit.syncing.items import Item, Repository, is_registry
from tarkit.syncing.skopeo import parse_registry
from tarkit.transports.location import Location
from tarkit.transports.registry.options import RegistryOptions

SUFFIXES = (".yaml", ".yml", ".json")
_LIMIT = 16 << 20
_PREFIXES = ("docker:", "oci:", "oci-archive:", "docker-archive:", "docker-daemon:", "dir:")


def is_list(source: str) -> bool:
    """Return True if *source* is the path of a list, by its suffix."""
    return source.endswith(SUFFIXES) and Path(source).is_file()


def read_list(path: Path, registry: RegistryOptions | None) -> Iterator[Item | Repository]:
    """Yield the images of the list at *path*, and the repositories whose tags to look up.

    *registry* holds the connection options for images whose entry has none. Raises
    :class:`PathNotFoundError`, and :class:`MalformedError` if the list is invalid.
    """
    where = str(path)
    document = _parse(read_file(path, _LIMIT), where)
    if isinstance(document, Mapping) and "images" not in document:
        for name, settings in document.items():
            yield from parse_registry(name, settings, registry, where)
        return
    images = document["images"] if isinstance(document, Mapping) else document
    if not isinstance(images, Sequence) or isinstance(images, str):
        raise MalformedError("the images are not a list", where=where)
    for position, entry in enumerate(images):
        try:
            yield _item(entry, registry)
        except TarkitError as error:
            error.where = f"{where}: image {position + 1}"
            raise


def _parse(data: bytes, where: str) -> Any:
    """Return the parsed document, with all scalars as text: YAML would read the tag 1.10 as 1.1."""
    text = data.decode(errors="replace")
    if text.lstrip()[:1] in ("{", "["):
        try:
            return json.loads(text, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            pass  # YAML may begin like this, too
    import yaml

    try:
        return yaml.load(text, getattr(yaml, "CBaseLoader", yaml.BaseLoader))  # text only
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or type(error).__name__
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise MalformedError(f"not valid YAML{line}: {problem}", where=where) from None


def _item(entry: object, registry: RegistryOptions | None) -> Item:
    names: object = []
    source = entry
    if isinstance(entry, Mapping):
        unknown = set(entry) - {"source", "name", "names"}
        if unknown:
            raise MalformedError(f"unknown key {sorted(unknown)[0]!r}")
        source = entry.get("source")
        names = entry.get("names", [entry["name"]] if "name" in entry else [])
    if not isinstance(source, str) or not source:
        raise MalformedError("not the location of an image")
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise MalformedError("the names are not a list of names")
    location = Location.parse(_with_transport(source))
    return Item(
        location,
        renamed=tuple(names),
        registry=registry if is_registry(location) else None,
    )


def _with_transport(source: str) -> str:
    is_location = source.startswith(("/", ".", *_PREFIXES))
    return source if is_location else f"docker://{source}"
