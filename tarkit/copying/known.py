"""Layers that earlier copies of the same operation stored, so that each is recompressed once."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.media_types import Compression, is_acceptable


class KnownLayers:
    """Stored layers by diff ID, shared by the copies of several images.

    Add only layers whose diff ID was verified, or that the destination held before: the config of a
    new image must not determine the content of another. The destination decides if it holds a
    suggested layer.
    """

    def __init__(self) -> None:
        self._layers: dict[Digest, dict[Digest, Descriptor]] = {}

    def add(self, diff_id: Digest, stored: Descriptor) -> None:
        """Remember *stored*, whose uncompressed content has the digest *diff_id*."""
        self._layers.setdefault(diff_id, {})[stored.digest] = stored

    def replacing(
        self, diff_id: Digest, compressions: frozenset[Compression]
    ) -> Iterator[Descriptor]:
        """Yield the layers with *diff_id* in one of *compressions*."""
        for layer in list(self._layers.get(diff_id, {}).values()):
            if is_acceptable(layer.media_type, compressions):
                yield layer
