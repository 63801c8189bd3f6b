"""Foreign (non-distributable) layers, which a source may omit if it has their URLs."""

from __future__ import annotations

from typing import BinaryIO
from urllib.parse import urlsplit

from tarkit.errors import BlobNotFoundError, ForeignLayerError, listed
from tarkit.image.descriptor import Descriptor
from tarkit.protocols import Source


def open_layer(source: Source, layer: Descriptor) -> BinaryIO:
    """Open the stored bytes of *layer* without verification.

    Raises :class:`ForeignLayerError` if the layer is missing from *source* but has URLs, and
    :class:`BlobNotFoundError` if it has none.
    """
    try:
        return source.open_blob(layer)
    except BlobNotFoundError:
        if not layer.is_foreign:
            raise
        raise ForeignLayerError(
            f"layer {layer.digest} is not included, but is available at {hosts(layer)}",
            where=source.where,
            hint="'tarkit copy --fetch-foreign' downloads it",
        ) from None


def hosts(layer: Descriptor) -> str:
    """Return the hosts of *layer*'s URLs, without paths and credentials, which may be secret."""
    return listed(list(dict.fromkeys(map(_host, layer.urls))), limit=3)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc.rpartition("@")[2][:255] or "a malformed URL"
    except ValueError:
        return "a malformed URL"
