"""Fuzzes all readers of untrusted input, which may raise only tarkit's own errors.

``python -m tests.fuzz.fuzz_readers [SECONDS [SEED]]`` mutates the corpus for SECONDS (60).
``python -m tests.fuzz.fuzz_readers --atheris [OPTION …]`` uses atheris, which must be installed.
Failing inputs are saved as ``crash-<digest>`` in the current directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tarkit import (
    DockerArchiveReader,
    ImageConfig,
    Index,
    Location,
    Manifest,
    OCIArchiveReader,
    RawManifest,
    Reader,
    Reference,
    TarkitError,
    Transport,
    VerifyingReader,
    verify,
)
from tarkit.image.document import parse_json
from tarkit.image.schema import problems
from tarkit.streams.codecs import SNIFF_SIZE, decompress, detect
from tarkit.tar.reader import TarReader
from tarkit.tar.sparse import logical

CORPUS = Path(__file__).parent / "corpus"
MOST = 1 << 20  # bytes to read from a stream that may expand
BLOCK = 512


def one_input(data: bytes) -> None:
    """Feed *data* to every reader."""
    for target in (documents, names, codecs, members, docker_archive, oci_archive, findings):
        assert attempt(target, data).isprintable()


def attempt(target: Callable[[bytes], None], data: bytes) -> str:
    """Feed *data* to *target*; return the message of its error, or an empty string."""
    try:
        target(data)
    except TarkitError as error:
        return str(error)
    return ""


def documents(data: bytes) -> None:
    """Parse and validate *data* as a manifest, index or config."""
    document = parse_json(data)
    for schema in ("config", "docker-archive-manifest", "index", "manifest", "oci-layout"):
        problems(document, schema)
    ImageConfig.parse(data)
    raw = RawManifest.of(data)
    parsed = Index.parse(raw) if raw.is_index else Manifest.parse(raw)
    parsed.serialize()


def names(data: bytes) -> None:
    """Parse *data* as a reference and a location."""
    text = data.decode("utf-8", "surrogateescape")[:200]
    location = Location.parse(text)
    assert Location.parse(str(location)) == location
    reference = Reference.parse(text).tagged()
    assert Reference.parse(str(reference)) == reference


def codecs(data: bytes) -> None:
    """Decompress *data*."""
    read_some(decompress(io.BytesIO(data), detect(data[:SNIFF_SIZE])))


def members(data: bytes) -> None:
    """Read *data* as a tar stream, with the content of its members."""
    reader = TarReader(io.BytesIO(data))
    for member in itertools.islice(reader, 1000):
        left = MOST
        for chunk in logical(member, reader.chunks()):
            left -= len(chunk)
            if left <= 0:
                break


def docker_archive(data: bytes) -> None:
    """Read *data* as a docker-archive."""
    with written(data) as path, DockerArchiveReader.open(path) as reader:
        read_images(reader)


def oci_archive(data: bytes) -> None:
    """Read *data* as an oci-archive."""
    with written(data) as path, OCIArchiveReader.open(path) as reader:
        read_images(reader)


def findings(data: bytes) -> None:
    """Verify *data* as both kinds of archive; all findings must be printable."""
    with written(data) as path:
        for transport in (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE):
            verify(Location(transport, str(path)))


@contextlib.contextmanager
def written(data: bytes) -> Iterator[Path]:
    """Write *data* to a temporary file."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def read_images(reader: Reader) -> None:
    """Read the images of an archive, including layers."""
    for entry in reader.images()[:10]:
        source = reader.source(index=entry.index)
        raw = source.manifest()
        if raw.is_index:
            for child in Index.parse(raw).manifests[:10]:
                source.manifest(child.digest)
            continue
        manifest = Manifest.parse(raw)
        for blob in (manifest.config, *manifest.layers[:10]):
            read_some(VerifyingReader(source.open_blob(blob), digest=blob.digest, size=blob.size))


def read_some(stream: BinaryIO) -> None:
    """Read the start of a stream, which may be endless."""
    with stream:
        left = MOST
        while left > 0 and (data := stream.read(1 << 16)):
            left -= len(data)


def corpus() -> list[bytes]:
    """Return the committed inputs."""
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def mutations(seeds: list[bytes], seed: int) -> Iterator[bytes]:
    """Yield mutations of *seeds* forever, determined by *seed*."""
    dice = random.Random(seed)
    while True:
        data = bytearray(dice.choice(seeds))
        for _ in range(dice.choice((1, 1, 2, 4, 16))):
            mutate(data, dice, seeds)
        if dice.random() < 0.7:
            repair(data)
        yield bytes(data)


def mutate(data: bytearray, dice: random.Random, seeds: list[bytes]) -> None:
    """Apply one random change to *data*."""
    at = dice.randrange(len(data) + 1)
    length = dice.choice((1, 1, 4, 12, 100, BLOCK, 5000))
    match dice.randrange(6):
        case 0:
            data[at : at + 1] = bytes([dice.randrange(256)])
        case 1:
            data[at : at + 1] = dice.choice(
                (b"0", b"9", b"/", b"-", b"\0", b"\xff", b'"', b"[", b"{")
            )
        case 2:
            del data[at : at + length]
        case 3:
            data[at:at] = data[at : at + length]
        case 4:
            other = dice.choice(seeds)
            start = dice.randrange(len(other) + 1)
            data[at : at + length] = other[start : start + length]
        case _:
            at -= at % BLOCK
            data[at : at + BLOCK] = data[:BLOCK]


def repair(data: bytearray) -> None:
    """Correct the checksums of tar headers, so that readers get past them."""
    for at in range(0, len(data) - BLOCK + 1, BLOCK):
        if data[at + 257 : at + 262] == b"ustar":  # magic at 257, checksum at 148 (POSIX ustar)
            data[at + 148 : at + 156] = b" " * 8
            data[at + 148 : at + 156] = b"%06o\0 " % sum(data[at : at + BLOCK])


def try_one(data: bytes) -> None:
    """Call :func:`one_input` and save *data* if it fails."""
    try:
        one_input(data)
    except BaseException:
        Path(f"crash-{hashlib.sha256(data).hexdigest()[:12]}").write_bytes(data)
        raise


def main(arguments: list[str]) -> None:
    """Run the fuzzer; see the module docstring."""
    if arguments[:1] == ["--atheris"]:
        atheris = importlib.import_module("atheris")
        atheris.Setup([sys.argv[0], *arguments[1:], str(CORPUS)], one_input)
        atheris.Fuzz()
        return
    seconds = float(arguments[0]) if arguments else 60.0
    seed = int(arguments[1]) if arguments[1:] else 0
    end = time.monotonic() + seconds
    count = 0
    for data in mutations(corpus(), seed):
        if time.monotonic() > end:
            break
        try_one(data)
        count += 1
    print(f"{count} inputs, only tarkit's own errors")


if __name__ == "__main__":
    main(sys.argv[1:])
