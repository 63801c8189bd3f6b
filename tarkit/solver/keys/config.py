"""Cache configs: the JSON that describes the keys and layers of an exported cache.

The media type is ``application/vnd.buildkit.cacheconfig.v0``. An image with an inline cache has the
records alone, whose layers are indices into those of the image.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from tarkit.errors import LimitExceededError, MalformedError
from tarkit.solver.keys.gojson import go_json
from tarkit.solver.keys.times import UNKNOWN, format_time, parse_time
from tarkit.values import dataclass

LARGEST = 1 << 20
"""Bytes of the largest config that is read; BuildKit ignores larger ones."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class CacheLayer:
    """A blob on the layer with the index ``parent``, -1 if there is none."""

    blob: str
    parent: int = -1


@dataclass(frozen=True, slots=True, order=True)
class CacheInput:
    """An alternative for an input: the index ``link`` of its record, and a selector."""

    link: int
    selector: str = ""


@dataclass(frozen=True, slots=True)
class CacheResult:
    """A result that consists of a layer and all its parents.

    ``created`` is in nanoseconds since the epoch.
    """

    layer: int
    created: int = UNKNOWN


@dataclass(frozen=True, slots=True)
class CacheChain:
    """A result that consists of exactly these layers."""

    layers: tuple[int, ...]
    created: int = UNKNOWN


@dataclass(frozen=True, slots=True)
class CacheRecord:
    """A key: a record digest, alternatives for each input, and results."""

    digest: str
    inputs: tuple[tuple[CacheInput, ...], ...] = ()
    layers: tuple[CacheResult, ...] = ()
    chains: tuple[CacheChain, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheConfig:
    """The layers and records of an exported cache; indices refer to these lists."""

    layers: tuple[CacheLayer, ...] = ()
    records: tuple[CacheRecord, ...] = ()

    @classmethod
    def parse(cls, data: bytes | str, *, where: str | None = None) -> Self:
        """Parse a config; *where* names its origin in errors.

        Indices and cycles are only checked by :func:`~tarkit.solver.keys.importing.import_config`.
        Raises MalformedError, and LimitExceededError if it exceeds 1 MiB.
        """
        document = _document(data, dict, where)
        try:
            layers = [
                CacheLayer(_text(each, "blob"), _number(each, "parent"))
                for each in _objects(document, "layers")
            ]
            return cls(tuple(layers), _records(document.get("records")))
        except MalformedError as error:
            error.where = where
            raise

    @classmethod
    def parse_inline(
        cls, data: bytes | str, blobs: Sequence[str], *, where: str | None = None
    ) -> Self:
        """Parse the records in an image with these *blobs* as layers; raises as :meth:`parse`."""
        document = _document(data, list, where)
        layers = [CacheLayer(blob, number - 1) for number, blob in enumerate(blobs)]
        try:
            return cls(tuple(layers), _records(document))
        except MalformedError as error:
            error.where = where
            raise

    def to_json(self) -> str:
        """Return the config as BuildKit writes it."""
        return go_json(
            _without_empty(
                {
                    "layers": [
                        {"blob": layer.blob} | ({"parent": layer.parent} if layer.parent else {})
                        for layer in self.layers
                    ],
                    "records": self._records_document(),
                }
            )
        )

    def to_inline_json(self) -> str:
        """Return the records alone, for the config of an image."""
        return go_json(self._records_document())

    def _records_document(self) -> list[dict[str, Any]]:
        return [_record_document(record) for record in self.records]


def _record_document(record: CacheRecord) -> dict[str, Any]:
    results = [
        {"layer": each.layer, "createdAt": format_time(each.created)} for each in record.layers
    ]
    chains = [
        {"layers": list(each.layers), "createdAt": format_time(each.created)}
        for each in record.chains
    ]
    inputs = [
        [_without_empty({"selector": each.selector}) | {"link": each.link} for each in links]
        for links in record.inputs
    ]
    return _without_empty(
        {"layers": results, "chains": chains, "digest": record.digest, "inputs": inputs}
    )


def _without_empty(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if value}


def _document(data: bytes | str, kind: type[_T], where: str | None) -> _T:
    encoded = data.encode() if isinstance(data, str) else data
    if len(encoded) > LARGEST:
        text = f"cache config of {len(encoded)} bytes exceeds {LARGEST}"
        raise LimitExceededError(text, limit=LARGEST, where=where)
    try:
        document = json.loads(encoded)
    except (ValueError, RecursionError):
        raise MalformedError("cache config is not JSON", where=where) from None
    if not isinstance(document, kind):
        raise MalformedError(f"cache config is not a JSON {_NAMES[kind]}", where=where)
    return document


_NAMES: dict[type, str] = {dict: "object", list: "array"}


def _records(document: Any) -> tuple[CacheRecord, ...]:
    return tuple(
        CacheRecord(
            _text(each, "digest"),
            tuple(
                tuple(CacheInput(_number(link, "link"), _text(link, "selector")) for link in links)
                for links in _list(each, "inputs", _checked_objects)
            ),
            tuple(CacheResult(_number(r, "layer"), _time(r)) for r in _objects(each, "layers")),
            tuple(
                CacheChain(tuple(_list(chain, "layers", _integer)), _time(chain))
                for chain in _objects(each, "chains")
            ),
        )
        for each in _checked_objects(document)
    )


def _list(document: dict[str, Any], name: str, check: Callable[[Any], _T]) -> list[_T]:
    value = document.get(name)
    if value is not None and not isinstance(value, list):
        raise MalformedError(f"cache config: {name!r} is not an array")
    return [check(each) for each in value or ()]


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return _checked_objects(document.get(name))


def _checked_objects(value: Any) -> list[dict[str, Any]]:
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise MalformedError("cache config: not an array of objects")
    return value


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise MalformedError(f"cache config: {name!r} is not text")
    return value


def _number(document: dict[str, Any], name: str) -> int:
    return _integer(document.get(name) or 0)


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedError("cache config: an index is not a number")
    return value


def _time(document: dict[str, Any]) -> int:
    text = _text(document, "createdAt")
    return parse_time(text) if text else UNKNOWN
