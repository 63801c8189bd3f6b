"""The speed of the raw libraries on this machine, which limits every copy."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tarkit.image.media_types import Compression

SAMPLE_SIZE = 64 << 20
CHUNK = 1 << 20


def measured_apart(sample: Path, size: int, output_size: int, codec: Compression) -> float:
    """Run :func:`copy_limit` in a separate process, because memory of this one counts for later children."""
    command = [
        sys.executable,
        "-m",
        __name__,
        str(sample),
        str(size),
        str(output_size),
        codec.value,
    ]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def copy_limit(sample: Path, size: int, output_size: int, codec: Compression) -> float:
    """Return the seconds that hashing *size* bytes, compressing them and hashing *output_size* bytes take on all processors."""
    with sample.open("rb") as file:
        data = file.read(SAMPLE_SIZE)
    hashing = seconds_a_byte(data, lambda chunk: hashlib.sha256(chunk))
    packing = seconds_a_byte(data, raw_codec(codec))
    return (hashing * (size + output_size) + packing * size) / (os.cpu_count() or 1)


def seconds_a_byte(data: bytes, work: Callable[[bytes], object]) -> float:
    """Return the CPU seconds that *work* takes per byte of *data*."""
    begin = time.process_time()
    for start in range(0, len(data), CHUNK):
        work(data[start : start + CHUNK])
    return (time.process_time() - begin) / len(data)


def raw_codec(codec: Compression) -> Callable[[bytes], object]:
    """Return the bare codec, at tarkit's default level."""
    if codec is Compression.GZIP:
        from isal import isal_zlib

        return lambda chunk: isal_zlib.compress(chunk, 2, -15)
    import zstandard

    compressor = zstandard.ZstdCompressor(level=4).compressobj()
    return compressor.compress


if __name__ == "__main__":
    path, size, output_size, name = sys.argv[1:]
    print(copy_limit(Path(path), int(size), int(output_size), Compression(name)))
