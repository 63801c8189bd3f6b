"""Layers that may not be distributed: a source need not have them, but only say which URLs do."""

from __future__ import annotations

from typing import BinaryIO
from urllib.parse import urlsplit

from tarkit.errors import BlobNotFoundError, ForeignLayerError, listed
from tarkit.image.descriptor import Descriptor
from tarkit.protocols import Source


def open_layer(source: Source, layer: Descriptor) -> BinaryIO:
    """Open the stored bytes of *layer*, not verified.

    Raises :class:`ForeignLayerError` if *source* lacks it and its URLs have it.
    """
    try:
        return source.open_blob(layer)
    except BlobNotFoundError:
        if not layer.is_foreign:
            raise
        raise ForeignLayerError(
            f"layer {layer.digest} is not in it, only at {hosts(layer)}",
            where=source.where,
            hint="'tarkit copy --fetch-foreign' downloads it",
        ) from None


def hosts(layer: Descriptor) -> str:
    """The hosts that have *layer*, without the rest of its URLs, which may hold a secret."""
    return listed(list(dict.fromkeys(map(_host, layer.urls))), limit=3)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2][:255] or "a malformed URL"
    except ValueError:
        return "a malformed URL"
