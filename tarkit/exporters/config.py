"""Configs of built images: those of the build, with the layers and their history."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tarkit.errors import MalformedError
from tarkit.image.config import ImageConfig
from tarkit.image.digest import Digest
from tarkit.image.document import (
    JSON,
    as_object,
    dump_json,
    get_list,
    get_string,
    parse_object,
)
from tarkit.image.platform import Platform
from tarkit.values import dataclass

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_WHERE = "image config of the result"
_COMMENT = "buildkit.exporter.image.v0"


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """The origin of a layer: its diff ID, the time, and the step that made it."""

    diff_id: Digest
    created: datetime
    description: str


def image_config(given: bytes | None, platform: Platform, layers: Sequence[LayerFacts]) -> bytes:
    """Return the config *given*, or a default, with its keys for *layers* replaced and sorted.

    Other keys survive. Raises :class:`~tarkit.errors.MalformedError` if it is no config.
    """
    document = _parsed(given) if given is not None else _default(platform)
    history = _history(get_list(document, "history", where=_WHERE), layers)
    document["rootfs"] = {"type": "layers", "diff_ids": [str(each.diff_id) for each in layers]}
    document["history"] = history
    times = [each["created"] for each in history if each.get("created")]
    if not document.get("created") and times:
        document["created"] = times[-1]
    data = dump_json(dict(sorted(document.items())))
    ImageConfig.parse(data, where=_WHERE)
    return data


def _default(platform: Platform) -> JSON:
    return platform.to_json() | {"config": {"Env": [_PATH], "WorkingDir": "/"}}


def _parsed(data: bytes) -> JSON:
    document = parse_object(data, where=_WHERE)
    for name in ("os", "architecture"):
        if not get_string(document, name, where=_WHERE):
            raise MalformedError(f"has no {name}", where=_WHERE)
    return document


def _history(given: Sequence[Any], layers: Sequence[LayerFacts]) -> list[JSON]:
    """Return one entry for each layer, besides those of steps without layers."""
    history = [dict(as_object(each, where=_WHERE)) for each in given]
    used = 0
    for entry in history:
        if entry.get("empty_layer"):
            continue
        if used == len(layers):
            entry["empty_layer"] = True  # more entries than layers
            continue
        entry.setdefault("created", _time(layers[used].created))
        used += 1
    for layer in layers[used:]:
        history.append(
            {
                "created": _time(layer.created),
                "created_by": layer.description,
                "comment": _COMMENT,
            }
        )
    return history


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
