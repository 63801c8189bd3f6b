"""The digest of a build's inputs, independent of transport and compression."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict

from tarkit.ext4 import Ext4Options
from tarkit.image.digest import Digest
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.tar.epoch import source_date_epoch
from tarkit.values import replace

_FORMAT = 3
"""Increase this whenever the same inputs produce other bytes than before."""


def input_digest(layers: ImageLayers, options: Ext4Options, overlay: Overlay | None) -> Digest:
    """Return the digest of everything that determines the bytes of an image.

    That is the uncompressed content of the layers, the *options*, the *overlay* and
    ``SOURCE_DATE_EPOCH``. Raises the errors of reading the overlay's files.
    """
    document = {
        "format": _FORMAT,
        "diff_ids": [str(layer.diff_id) for layer in layers.layers],
        "options": asdict(replace(options, seed=bytes(32))),  # the seed is derived from the digest
        "overlay": str(overlay.digest()) if overlay and overlay.changes else None,
        "epoch": source_date_epoch(),
    }
    text = json.dumps(document, sort_keys=True, default=str)
    return Digest("sha256", hashlib.sha256(text.encode()).hexdigest())


def derived_options(options: Ext4Options, inputs: Digest) -> Ext4Options:
    """Return *options* with a seed derived from *inputs* and a timestamp.

    The timestamp defaults to ``SOURCE_DATE_EPOCH``, or to 0 if that is not set.
    """
    return replace(
        options,
        seed=bytes.fromhex(inputs.hex),
        timestamp=(source_date_epoch() or 0) if options.timestamp is None else options.timestamp,
    )
