from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.errors import NoSpaceError, PathNotFoundError, UnsupportedError
from tarkit.ext4.image import ImageFile

MIB = 1024 * 1024


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "image"


SIZES = st.integers(0, 300) | st.integers(4 * MIB - 100, 5 * MIB)


@given(pieces=st.lists(st.tuples(st.integers(0, 20_000), SIZES, st.booleans()), max_size=8))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_pieces_are_stored_at_their_offsets(
    path: Path, pieces: list[tuple[int, int, bool]]
) -> None:
    size = 6 * MIB
    model = bytearray(size)
    image = ImageFile.open(path)
    end = 0
    for number, (offset, count, consecutive) in enumerate(pieces):
        at = end if consecutive and end + count <= size else offset
        data = bytes([number + 1]) * count
        buffer = bytearray(data)
        image.write(at, buffer)
        buffer[:] = bytes(count)
        model[at : at + count] = data
        end = at + count
    image.set_size(size)
    image.close()
    assert path.read_bytes() == model


def test_zeros_overwrite_data(path: Path) -> None:
    image = ImageFile.open(path)
    image.write(0, b"x" * (3 * MIB))
    image.write_zeros(10, 2 * MIB)
    image.set_size(3 * MIB)
    image.close()
    assert path.read_bytes() == b"x" * 10 + bytes(2 * MIB) + b"x" * (MIB - 10)


def test_existing_files_are_truncated(path: Path) -> None:
    path.write_bytes(b"old" * 1000)
    with path.open("r+b") as stream:
        image = ImageFile.open(stream.fileno())
        image.write(2, b"new")
        image.set_size(6)
        image.close()
        assert os.fstat(stream.fileno()).st_size == 6
    assert path.read_bytes() == b"\0\0new\0"


def test_space_can_be_allocated(path: Path) -> None:
    image = ImageFile.open(path)
    image.reserve(MIB)
    image.close()
    assert path.stat().st_size == MIB


def test_only_regular_files(tmp_path: Path) -> None:
    read, write = os.pipe()
    try:
        with pytest.raises(UnsupportedError, match="not a regular file"):
            ImageFile.open(write)
    finally:
        os.close(read)
        os.close(write)
    with pytest.raises(PathNotFoundError, match="No such file"):
        ImageFile.open(tmp_path / "no" / "such")


@pytest.fixture
def small_files() -> Iterator[int]:
    """Limit the size of files of this process."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MIB, before[1]))
    yield 8 * MIB
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_raises_no_space_error(path: Path, small_files: int) -> None:
    image = ImageFile.open(path)
    with pytest.raises(NoSpaceError, match=f"{path}: "):
        image.write_zeros(0, 8 * small_files)
    with pytest.raises(NoSpaceError):
        image.set_size(2 * small_files)
    image.close()
