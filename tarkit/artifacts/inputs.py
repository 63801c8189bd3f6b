"""What went into an image, as one digest: the same from any transport, in any compression."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace

from tarkit.ext4 import Ext4Options
from tarkit.image.digest import Digest
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.tar.epoch import source_date_epoch

_FORMAT = 3
"""To be raised whenever the same inputs come to give other bytes."""


def input_digest(layers: ImageLayers, options: Ext4Options, overlay: Overlay | None) -> Digest:
    """The digest of everything that decides an image's bytes: the layers' content, not how it is
    packed, the *options*, the *overlay*, and ``SOURCE_DATE_EPOCH``.

    Raises what reading the files of the overlay may bring.
    """
    document = {
        "format": _FORMAT,
        "diff_ids": [str(layer.diff_id) for layer in layers.layers],
        "options": asdict(replace(options, seed=bytes(32))),
        "overlay": str(overlay.digest()) if overlay and overlay.changes else None,
        "epoch": source_date_epoch(),
    }
    text = json.dumps(document, sort_keys=True, default=str)
    return Digest("sha256", hashlib.sha256(text.encode()).hexdigest())


def derived_options(options: Ext4Options, inputs: Digest) -> Ext4Options:
    """*options* whose seed follows from *inputs*, and whose time from ``SOURCE_DATE_EPOCH`` where
    none was chosen."""
    return replace(
        options,
        seed=bytes.fromhex(inputs.hex),
        timestamp=(source_date_epoch() or 0) if options.timestamp is None else options.timestamp,
    )
