"""The file names of a ``dir:`` image: ``manifest.json``, ``version``, and blobs named by digest."""

from __future__ import annotations

from tarkit.image.digest import Digest

MANIFEST_FILE = "manifest.json"
VERSION_FILE = "version"
VERSION = b"Directory Transport Version: 1.1\n"


def blob_name(digest: Digest) -> str:
    """Return the file name of a blob: its hex digest, prefixed by the algorithm if not sha256."""
    return digest.hex if digest.algorithm == "sha256" else f"{digest.algorithm}-{digest.hex}"


def manifest_name(digest: Digest) -> str:
    """Return the file name of a manifest listed by an index in ``manifest.json``."""
    return f"{blob_name(digest)}.manifest.json"
