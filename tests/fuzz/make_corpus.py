"""Creates the fuzz corpus: small inputs that reach every reader.

Run ``python -m tests.fuzz.make_corpus``. Inputs that once failed are in the same directory, with
names that begin with ``found-``.
"""

from __future__ import annotations

import bz2
import lzma

from fixtures.hostile import image
from fixtures.hostile.bombs import sparse, zstd
from fixtures.hostile.image import Patch, docker_members, gz, layout_files, to_json
from fixtures.hostile.legacy import legacy_members
from fixtures.hostile.tarball import GNU_LONG_NAME, Entry, Members, member, pax, tar
from tests.fuzz.fuzz_readers import CORPUS

TINY = (b"layer one", b"layer two")
DIALECTS: Members = {
    "pax": Entry(b"x", before=pax({"path": "p" * 120, "mtime": "1.5", "SCHILY.xattr.user.a": "b"})),
    "gnu": Entry(b"y", before=member("././@LongLink", Entry(b"n" * 150 + b"\0", GNU_LONG_NAME))),
    "sparse-1.0": Entry(
        b"1\n10\n5\n".ljust(512, b"\0") + b"hello",
        before=pax(
            {
                "GNU.sparse.major": "1",
                "GNU.sparse.minor": "0",
                "GNU.sparse.name": "sparse",
                "GNU.sparse.realsize": "4000",
            }
        ),
    ),
    "symlink": Entry(type=b"2", link="target"),
    "device": Entry(type=b"3"),
}


def seeds() -> dict[str, bytes]:
    """Return the inputs by file name."""
    config: Patch = {("rootfs", "diff_ids"): [image.sha256(layer) for layer in TINY]}
    docker = docker_members(config=config, layers=TINY)
    layout = layout_files(config=config, blobs=TINY)
    sparse("sparse", 4096)(dialects := dict(DIALECTS))
    return {
        "docker.tar": tar(docker),
        "docker.tar.gz": gz(tar(docker)),
        "docker.tar.bz2": bz2.compress(tar(docker)),
        "docker.tar.xz": lzma.compress(tar(docker)),
        "docker.tar.zst": zstd(tar(docker)),
        "docker-layers.tar.gz": tar(docker_members(config=config, layers=tuple(map(gz, TINY)))),
        "dual.tar": tar({**layout, **docker}),
        "oci.tar": tar(layout),
        "legacy.tar": tar(legacy_members()),
        "dialects.tar": tar(dialects),
        "manifest.json": to_json(image.MANIFEST_JSON),
        "config.json": to_json(image.CONFIG),
        "index.json": layout["index.json"],
        "image-manifest.json": image.image_files(config=config, blobs=TINY)[1],
        "reference.txt": b"registry.example:5000/path/name:tag@sha256:" + b"a" * 64,
    }


def main() -> None:
    """Write the inputs to the corpus."""
    CORPUS.mkdir(exist_ok=True)
    for name, data in seeds().items():
        (CORPUS / name).write_bytes(data)


if __name__ == "__main__":
    main()
