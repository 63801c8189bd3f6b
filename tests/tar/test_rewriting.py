"""Test that rewriting an archive keeps the bytes of everything else."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import RefusedError, UnsupportedError
from tarkit.tar.archive import Archive
from tarkit.tar.rewriting import rewrite_archive


def tar(members: dict[str, bytes], format: int = tarfile.PAX_FORMAT) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w", format=format) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o640, 12345.5
            archive.addfile(member, io.BytesIO(data))
    return output.getvalue()


def contents(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {
            member.name: file.read()
            for member in archive
            if (file := archive.extractfile(member)) is not None
        }


def rewrite(path: Path, files: dict[str, bytes], without: list[str]) -> None:
    with Archive.open(path) as archive:
        members = [member for name in without for member in archive.candidates(name)]
        rewrite_archive(archive, path, files=files, without=members)


NAMES = st.text("abcdefé/", min_size=1, max_size=120).map(lambda text: f"m{text}x")


@given(st.dictionaries(NAMES, st.binary(max_size=1500), min_size=1, max_size=8), st.data())
def test_kept_members_are_the_same_for_tarfile(
    members: dict[str, bytes], data: st.DataObject
) -> None:
    import tempfile

    names = sorted(members)
    gone = data.draw(st.lists(st.sampled_from(names), unique=True))
    files = data.draw(st.dictionaries(st.sampled_from([*names, "new"]), st.binary(max_size=700)))
    format = data.draw(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "a.tar"
        path.write_bytes(tar(members, format))
        rewrite(path, files, gone)
        left = {name: members[name] for name in members if name not in gone}
        assert contents(path.read_bytes()) == {**left, **files}


def test_headers_stay_as_they_are(tmp_path: Path) -> None:
    original = tar({"a": b"1" * 700, "b": b"2", "c": b"3" * 512})
    path = tmp_path / "a.tar"
    path.write_bytes(original)
    rewrite(path, {"b": b"two"}, [])
    with Archive.open(path) as archive:
        assert [member.name for member in archive.members] == [b"a", b"c", b"b"]
        size = archive.members[1].offset
    assert path.read_bytes()[:size] == original[:size]
    assert path.read_bytes().endswith(bytes(1024))


@pytest.mark.parametrize(
    ("pack", "unpack"),
    [
        (gzip.compress, gzip.decompress),
        (
            zstandard.ZstdCompressor().compress,
            lambda data: zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)).read(),
        ),
    ],
)
def test_a_compressed_archive_keeps_its_codec(
    tmp_path: Path, pack: Callable[[bytes], bytes], unpack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(pack(tar({"a": b"1" * 3_000_000, "b": b"2", "c": b"3"})))
    rewrite(path, {"b": b"two"}, ["c"])
    assert contents(unpack(path.read_bytes())) == {"a": b"1" * 3_000_000, "b": b"two"}


def test_other_codecs_are_refused_and_the_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(before := lzma.compress(tar({"a": b"1"})))
    with pytest.raises(UnsupportedError, match="compressed with xz"):
        rewrite(path, {"b": b"2"}, [])
    assert path.read_bytes() == before


def test_a_change_by_another_process_is_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    path.write_bytes(tar({"a": b"1"}))
    with Archive.open(path) as archive:
        other = tar({"other": b"2"})
        (tmp_path / "b").write_bytes(other)
        (tmp_path / "b").replace(path)
        with pytest.raises(RefusedError, match="another process changed"):
            rewrite_archive(archive, path, files={"c": b"3"})
    assert path.read_bytes() == other
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.tar"]


@pytest.mark.parametrize("missing", [False, True])
def test_large_members_are_copied_with_and_without_the_system_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: bool
) -> None:
    def fail(*arguments: object) -> int:
        raise OSError(38, "Function not implemented")

    if missing:
        monkeypatch.setattr("os.copy_file_range", fail, raising=False)
    data = bytes(range(256)) * 20_000
    path = tmp_path / "a.tar"
    path.write_bytes(tar({"small": b"1", "large": data, "last": b"2"}))
    rewrite(path, {"new": b"3"}, ["small"])
    assert contents(path.read_bytes()) == {"large": data, "last": b"2", "new": b"3"}


@pytest.mark.skipif(not hasattr(os, "copy_file_range"), reason="Linux only")
def test_kept_data_does_not_pass_through_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []
    real = os.copy_file_range

    def counted(source: int, target: int, size: int, *offsets: int) -> int:
        copied.append(moved := real(source, target, size, *offsets))
        return moved

    monkeypatch.setattr("os.copy_file_range", counted)
    path = tmp_path / "a.tar"
    path.write_bytes(tar({"index": b"1", "large": bytes(10_000_000)}))
    rewrite(path, {"index": b"2"}, [])
    assert 10_000_000 < sum(copied) < 10_003_000
