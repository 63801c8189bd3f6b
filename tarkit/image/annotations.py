"""Layer annotations that describe the stored bytes rather than the files in the layer."""

from __future__ import annotations

from collections.abc import Mapping

_STALE_PREFIXES = (
    "containerd.io/snapshot/stargz/",  # the digest of eStargz's table of contents
    "io.containers.estargz.",
    "io.github.containers.zstd-chunked.",  # offsets and checksums in a zstd:chunked blob
    "io.containers.zstd-chunked.",
    "containerd.io/snapshot/nydus-blob",  # a Nydus blob's digest, size and chunks
    "containerd.io/snapshot/nydus-ref",  # an index into the gzip stream of this blob
    "containerd.io/snapshot/overlaybd/blob-",
)


def without_stale(annotations: Mapping[str, str]) -> dict[str, str]:
    """Return *annotations* without those that recompressing the layer invalidates."""
    return {key: value for key, value in annotations.items() if not key.startswith(_STALE_PREFIXES)}
