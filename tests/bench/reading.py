"""Read 150 files of an image: ``python -m tests.bench.reading LOCATION walk|shuffled``."""

from __future__ import annotations

import random
import sys

from tarkit import MemberType, open_image

FILES = 150


def read(location: str, order: str) -> None:
    """Read files spread over the image, in the order of :meth:`FileSystem.walk` or in any order."""
    with open_image(location) as image:
        entries = [entry for entry in image.files.walk() if entry.type is MemberType.FILE]
        paths = [entry.path for entry in random.Random(1).sample(entries, FILES)]
        if order == "walk":
            chosen = set(paths)
            paths = [entry.path for entry in entries if entry.path in chosen]
        for path in paths:
            with image.files.open(path) as file:
                while file.read(1 << 20):
                    pass


if __name__ == "__main__":
    read(*sys.argv[1:])
