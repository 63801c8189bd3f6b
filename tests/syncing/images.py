"""Archives and layouts of several images that share a base layer."""

from __future__ import annotations

from pathlib import Path

from tests.builders import Image, Layout, docker_archive, image_of, named, noise, tar, write_files

BASE = tar({"base": noise(200_000)})


def app(number: int, **fields: object) -> Image:
    """Return an image of the shared base and a small layer of its own."""
    return image_of(
        [BASE, tar({f"app{number}": noise(1000, number + 1)})], author=str(number), **fields
    )


def saved(path: Path, count: int) -> str:
    """Return the location of a docker archive with *count* images, ``team/app0:1`` and so on."""
    docker_archive(path, *((app(number), [f"team/app{number}:1"]) for number in range(count)))
    return f"docker-archive:{path}"


def laid_out(path: Path, *names: str) -> str:
    """Return the location of a layout with a different image under each of *names*."""
    layout = Layout()
    entries = [named(layout.image(app(at)), name) for at, name in enumerate(names)]
    write_files(path, layout.finish(*entries))
    return f"oci:{path}"
