"""The files of a ``dir:`` image: ``manifest.json``, ``version``, and blobs under their bare digests."""

from __future__ import annotations

from tarkit.image.digest import Digest

MANIFEST_FILE = "manifest.json"
VERSION_FILE = "version"
VERSION = b"Directory Transport Version: 1.1\n"


def blob_name(digest: Digest) -> str:
    """The file of a blob: its hex alone, with the algorithm in front where that is not sha256."""
    return digest.hex if digest.algorithm == "sha256" else f"{digest.algorithm}-{digest.hex}"


def manifest_name(digest: Digest) -> str:
    """The file of a manifest that an index in ``manifest.json`` names."""
    return f"{blob_name(digest)}.manifest.json"
