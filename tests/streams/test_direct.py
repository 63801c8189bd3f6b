"""Direct I/O, and the same bytes on systems without it."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tarkit.errors import NoSpaceError
from tarkit.streams import direct
from tarkit.streams.direct import DirectReader, DirectWriter, new_buffer
from tarkit.streams.os_errors import os_errors
from tests.streams.writes import KINDS, Write, carried_out

BLOCK = 64 << 10
MIB = 1 << 20


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """Check that neither threads nor descriptors stay open."""
    threads, descriptors = set(threading.enumerate()), open_descriptors()
    yield
    assert set(threading.enumerate()) <= threads
    assert open_descriptors() == descriptors


def open_descriptors() -> int:
    path = Path("/proc/self/fd")
    return len(list(path.iterdir())) if path.is_dir() else 0


@pytest.fixture(params=["this", "unknown", "no /proc"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run with the direct I/O of this system, without it, and without reopening of files."""
    if request.param == "unknown":
        monkeypatch.delattr(os, "O_DIRECT", raising=False)
    elif request.param == "no /proc":
        opened = os.open

        def refuse(path: Any, *rest: Any, **more: Any) -> int:
            if str(path).startswith("/proc/"):
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            return opened(path, *rest, **more)

        monkeypatch.setattr(os, "open", refuse)
    return str(request.param)


@pytest.fixture
def needs_direct(tmp_path: Path) -> None:
    """A filesystem that supports direct I/O."""
    with (tmp_path / "probe").open("w+b") as file:
        again = direct._opened_again(file.fileno(), os.O_RDONLY)
    if again is None:
        pytest.skip("no direct I/O on the filesystem of temporary files")
    os.close(again)


@pytest.mark.usefixtures("system")
@pytest.mark.parametrize("has_preadv", [True, False])
def test_a_buffer_is_filled_up_to_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_preadv: bool
) -> None:
    if not has_preadv:
        monkeypatch.delattr(os, "preadv", raising=False)
        monkeypatch.delattr(os, "O_DIRECT", raising=False)
    data = os.urandom(3 * BLOCK + 100)
    (tmp_path / "file").write_bytes(data)
    buffer = memoryview(new_buffer(4 * BLOCK))
    with (
        (tmp_path / "file").open("rb") as file,
        closing(DirectReader(file.fileno())) as reader,
    ):
        for size, offset in ((BLOCK, 0), (2 * BLOCK, BLOCK), (4 * BLOCK, 0), (7, 13), (4096, 3)):
            expected = data[offset : offset + size]
            assert reader.read_into(buffer[:size], offset) == len(expected)
            assert buffer[: len(expected)] == expected
        assert reader.read_into(buffer[:BLOCK], 3 * BLOCK) == 100
        assert reader.read_into(buffer[:BLOCK], 4 * BLOCK) == 0


def test_read_errors_are_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "file").write_bytes(bytes(BLOCK))
    monkeypatch.setattr(os, "preadv", fail, raising=False)
    buffer = memoryview(new_buffer(BLOCK))
    with (
        (tmp_path / "file").open("rb") as file,
        closing(DirectReader(file.fileno())) as reader,
        pytest.raises(OSError, match="Input/output"),
    ):
        reader.read_into(buffer, 0)


@pytest.mark.usefixtures("system")
@given(
    writes=st.lists(
        st.tuples(
            st.integers(0, 3 * MIB) | st.integers(0, 40).map(lambda n: n * BLOCK) | st.none(),
            st.integers(0, 100) | st.integers(30_000, 5 * MIB),
            KINDS,
        ),
        max_size=8,
    ),
    flushed=st.lists(st.booleans(), min_size=8, max_size=8),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_all_data_is_at_its_offset(
    tmp_path: Path, writes: list[Write], flushed: list[bool]
) -> None:
    model = bytearray(48 * MIB)
    with (tmp_path / "file").open("w+b") as file:
        with closing(DirectWriter(file.fileno())) as output:
            for number, place in enumerate(carried_out(output, model, writes)):
                if flushed[number]:
                    output.flush()
                    size = place.stop - place.start
                    assert os.pread(file.fileno(), size, place.start) == model[place]
            output.flush()
        file.truncate(len(model))
    assert (tmp_path / "file").read_bytes() == model


@pytest.mark.usefixtures("needs_direct")
def test_only_whole_blocks_bypass_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    pwrite = os.pwrite

    def counted(descriptor: int, data: memoryview, offset: int) -> int:
        calls.append((offset, len(data)))
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", counted)
    data = os.urandom(5 * MIB + 10)
    with (tmp_path / "file").open("w+b") as file:
        with closing(DirectWriter(file.fileno())) as output:
            for start in range(0, len(data), 1000):
                output.write(5 + start, data[start : start + 1000])
            output.flush()
        assert all(offset % BLOCK == size % BLOCK == 0 for offset, size in calls)
        assert sum(size for _, size in calls) == 5 * MIB - BLOCK
    assert (tmp_path / "file").read_bytes() == bytes(5) + data


@pytest.mark.usefixtures("needs_direct")
@pytest.mark.parametrize("accepted", [None, 0, BLOCK, BLOCK + 512])
def test_short_direct_writes_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accepted: int | None
) -> None:
    pwrite = os.pwrite

    def reluctant(descriptor: int, data: memoryview, offset: int) -> int:
        if accepted is None:
            raise OSError(errno.EINVAL, "Invalid argument")
        return pwrite(descriptor, data[:accepted], offset)

    monkeypatch.setattr(os, "pwrite", reluctant)
    data = os.urandom(5 * MIB)
    with (
        (tmp_path / "file").open("w+b") as file,
        closing(DirectWriter(file.fileno())) as output,
    ):
        output.write(100, data)
        output.flush()
    assert (tmp_path / "file").read_bytes() == bytes(100) + data


def full(*_: Any) -> int:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.usefixtures("system")
def test_a_later_call_reports_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pwrite", "pwritev"):
        monkeypatch.setattr(os, name, full, raising=False)
    with (tmp_path / "file").open("w+b") as file:
        errors = partial(os_errors, "the image")
        with closing(DirectWriter(file.fileno(), errors)) as output:
            with pytest.raises(NoSpaceError, match="the image: no space left"):
                output.write(5, bytes(100 * MIB))  # nor does it wait for ever
            for _ in range(2):
                with pytest.raises(NoSpaceError):
                    output.flush()


def test_close_discards_unwritten_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    closed = threading.Event()

    def slow(descriptor: int, pieces: Any, offset: int) -> None:
        calls.append(offset)
        assert closed.wait(60)

    monkeypatch.delattr(os, "O_DIRECT", raising=False)
    monkeypatch.setattr("tarkit.streams.direct.write_at", slow)
    with (tmp_path / "file").open("w+b") as file:
        output = DirectWriter(file.fileno())
        for number in range(4):
            output.write(number * 10 * MIB, b"data")
        timer = threading.Timer(0.05, closed.set)  # by then close() waits for the thread
        timer.start()
        output.close()
        timer.join()
    assert calls in ([], [0])
