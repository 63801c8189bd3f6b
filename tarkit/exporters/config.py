"""Configs of built images: those of the build, with the layers and their history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tarkit.errors import MalformedError
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.values import dataclass

_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMMENT = "buildkit.exporter.image.v0"


@dataclass(frozen=True, slots=True)
class LayerFacts:
    """The origin of a layer: its diff ID, the time, and the step that made it."""

    diff_id: Digest
    created: datetime
    description: str


def image_config(given: bytes | None, platform: Platform, layers: Sequence[LayerFacts]) -> bytes:
    """Return the config *given*, or a default, with its keys for *layers* replaced.

    Other keys survive. Raises :class:`~tarkit.errors.MalformedError` if it is no config.
    """
    document = _parsed(given) if given is not None else _default(platform)
    history = _history(document.get("history"), layers)
    document["rootfs"] = {"type": "layers", "diff_ids": [str(each.diff_id) for each in layers]}
    document["history"] = history
    times = [each["created"] for each in history if each.get("created")]
    if not document.get("created") and times:
        document["created"] = times[-1]
    text = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return text.encode()


def _default(platform: Platform) -> dict[str, Any]:
    return platform.to_json() | {"config": {"Env": [_PATH], "WorkingDir": "/"}}


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        document = json.loads(data)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise MalformedError("the image config of the result is not a JSON object")
    for name in ("os", "architecture"):
        if not isinstance(document.get(name), str) or not document[name]:
            raise MalformedError(f"the image config of the result has no {name}")
    return document


def _history(given: Any, layers: Sequence[LayerFacts]) -> list[dict[str, Any]]:
    """Return one entry for each layer, besides those of steps without layers."""
    if not isinstance(given or [], list) or not all(isinstance(each, dict) for each in given or []):
        raise MalformedError("the history in the image config of the result is malformed")
    history = [dict(each) for each in given or []]
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
