"""Annotations of layers that speak of the stored bytes, and not of the files in them."""

from __future__ import annotations

from collections.abc import Mapping

_OF_THE_BYTES = (
    "containerd.io/snapshot/stargz/",  # the digest of eStargz's table of contents
    "io.containers.estargz.",
    "io.github.containers.zstd-chunked.",  # positions and checksums in a zstd:chunked blob
    "io.containers.zstd-chunked.",
    "containerd.io/snapshot/nydus-blob",  # a Nydus blob's digest, size and chunks
    "containerd.io/snapshot/nydus-ref",  # an index into the gzip stream of this blob
    "containerd.io/snapshot/overlaybd/blob-",
)


def without_stale(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return *annotations* without those that are wrong once a layer is compressed anew."""
    return {key: value for key, value in annotations.items() if not key.startswith(_OF_THE_BYTES)}
