"""Make image configs from Docker's v1 format, which has one JSON document per layer.

Schema 1 manifests and archives from before Docker 1.10 use it. The resulting config equals the one
that Docker makes when it loads such an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tarkit.image.digest import Digest
from tarkit.image.document import JSON, dump_json, get_object, get_string, get_strings

_LAYER_FIELDS = frozenset({"id", "parent", "parent_id", "layer_id", "throwaway", "Size"})


def config_from_v1(
    layers: Sequence[Mapping[str, Any]], diff_ids: Sequence[Digest], *, where: str
) -> bytes:
    """Return a config with *diff_ids*, made from the v1 documents of *layers*, bottom first.

    Documents marked ``throwaway`` become history entries without a layer.
    Raises :class:`~tarkit.errors.MalformedError` if a field has the wrong type.
    """
    # The top document describes the image; the others only contribute their history.
    top = {key: value for key, value in layers[-1].items() if key not in _LAYER_FIELDS}
    # The oldest documents have no platform, because Docker supported only linux/amd64 then.
    for key, value in (("architecture", "amd64"), ("os", "linux")):
        if top.get(key) is None:
            top[key] = value
    top["rootfs"] = {"type": "layers", "diff_ids": [str(diff_id) for diff_id in diff_ids]}
    top["history"] = [_history(layer, where) for layer in layers]
    return dump_json(top)


def _history(layer: Mapping[str, Any], where: str) -> JSON:
    runtime = get_object(layer, "container_config", where=where)
    entry: JSON = {
        "created": get_string(layer, "created", where=where),
        "author": get_string(layer, "author", where=where),
        "created_by": " ".join(get_strings(runtime, "Cmd", where=where)),
        "comment": get_string(layer, "comment", where=where),
        "empty_layer": layer.get("throwaway") is True,
    }
    # Docker omits empty fields.
    return {key: value for key, value in entry.items() if value}
