"""Layers: a plain tar and its index, each written once and read many times."""

from __future__ import annotations

import gzip
import io
import os
import random
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.errors import BlobNotFoundError, DigestMismatchError, MalformedError, VerificationError
from tarkit.image.digest import Digest
from tarkit.store import gc
from tarkit.store.store import Store
from tarkit.tar import reader as tar_reader


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def tar_of(files: dict[str, bytes]) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return data.getvalue()


PLAIN = tar_of({"etc/a": b"A" * 3000, "etc/b": b"B", "c": b""})
PACKED = gzip.compress(PLAIN, mtime=0)
DIFF_ID = Digest.of(PLAIN)


def names(store: Store) -> list[str]:
    layer = store.layers.find(DIFF_ID)
    assert layer is not None
    return [member.name.decode() for member in store.layers.listing(layer)]


def test_a_layer_is_inflated_and_parsed_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = store.content.add(PACKED)
    layer = store.layers.extract(digest, DIFF_ID)
    assert (layer.diff_id, layer.size, layer.derived) == (DIFF_ID, len(PLAIN), True)
    assert store.content.diff_id(digest) == DIFF_ID
    assert store.content.with_diff_id(DIFF_ID) == [digest]
    monkeypatch.setattr("tarkit.store.layers.decompress", None)
    monkeypatch.setattr(tar_reader, "Scanner", None)
    assert store.layers.extract(digest, DIFF_ID) == layer
    assert store.layers.get(DIFF_ID) == layer
    assert names(store) == ["etc/a", "etc/b", "c"]
    with store.layers.open(DIFF_ID) as file:
        assert os.pread(file.fileno(), len(PLAIN), 0) == PLAIN
        assert os.pread(file.fileno(), 3000, 512) == b"A" * 3000


def test_a_plain_blob_and_its_layer_are_one_file(store: Store) -> None:
    digest = store.content.add(PLAIN)
    layer = store.layers.extract(digest, digest)
    assert store.layers.path(layer.key).samefile(store.content.path(digest))
    assert names(store) == ["etc/a", "etc/b", "c"]


@pytest.mark.parametrize("damage", [b"", b"garbage" * 100, PLAIN])
def test_a_damaged_index_is_written_again(store: Store, damage: bytes) -> None:
    store.layers.extract(store.content.add(PACKED), DIFF_ID)
    path = store.layers.path(DIFF_ID).with_suffix(".idx")
    intact = path.read_bytes()
    path.write_bytes(damage)
    assert names(store) == ["etc/a", "etc/b", "c"]
    assert path.read_bytes() == intact
    path.unlink()
    assert names(store) == ["etc/a", "etc/b", "c"]
    assert path.read_bytes() == intact


def test_the_index_of_another_layer_is_not_used(store: Store) -> None:
    store.layers.extract(store.content.add(PACKED), DIFF_ID)
    other = tar_of({"other": b""})
    store.layers.write("other", io.BytesIO(other), derived=False)
    store.layers.path("other").with_suffix(".idx").replace(
        store.layers.path(DIFF_ID).with_suffix(".idx")
    )
    assert names(store) == ["etc/a", "etc/b", "c"]


def test_a_layer_that_is_not_its_diff_id_is_refused(store: Store) -> None:
    digest = store.content.add(PACKED)
    wrong = Digest.of(b"wrong")
    with pytest.raises(DigestMismatchError):
        store.layers.extract(digest, wrong)
    with pytest.raises(BlobNotFoundError):
        store.layers.extract(wrong, wrong)
    store.content.path(digest).write_bytes(PACKED[:-20])
    with pytest.raises(VerificationError):
        store.layers.extract(digest, DIFF_ID)
    with pytest.raises(MalformedError):
        store.layers.write("k", io.BytesIO(b"no tar" * 1000), derived=False)
    assert store.layers.all() == []
    assert list((store.root / "layers").glob("*.tar")) == []


def test_layers_under_keys_of_a_cache_are_content(store: Store) -> None:
    layer = store.layers.write("snapshot1", io.BytesIO(PLAIN), derived=False)
    assert layer.diff_id == DIFF_ID
    assert store.layers.find(DIFF_ID) == layer
    assert store.layers.get("snapshot1") == layer
    store.close()
    with Store.open(store.root) as again:
        assert [each.key for each in gc.plan(again, roots=["layer:snapshot1"]).layers] == []
        assert [each.key for each in gc.collect(again).layers] == ["snapshot1"]
        assert again.layers.all() == []
        assert list((store.root / "layers").iterdir()) == []


def test_a_derived_layer_goes_with_its_blob_or_on_request(store: Store) -> None:
    digest = store.content.add(PACKED)
    store.layers.extract(digest, DIFF_ID)
    store.close()
    with Store.open(store.root) as again:
        roots = [str(digest)]
        assert gc.collect(again, roots=roots).layers == ()
        assert len(gc.collect(again, roots=roots, derived=True).layers) == 1
        again.layers.extract(digest, DIFF_ID)
    with Store.open(store.root) as again:
        garbage = gc.collect(again)
        assert (len(garbage.blobs), len(garbage.layers)) == (1, 1)
        assert list((store.root / "layers").iterdir()) == []


def test_files_of_layers_without_a_row_are_removed(store: Store) -> None:
    store.layers.extract(store.content.add(PACKED), DIFF_ID)
    store.database.rows("SELECT 1")
    with store.database.write() as connection:
        connection.execute("DELETE FROM layers")
    store.close()
    with Store.open(store.root) as again:
        gc.collect(again)
        assert list((store.root / "layers").iterdir()) == []


def test_an_index_takes_at_most_25_bytes_per_entry(store: Store) -> None:
    files = [f"usr/lib/d{n // 40}/module_{n * 7919 % 16000:05}.py" for n in range(16_000)]
    random.Random(1).shuffle(files)
    plain = tar_of(dict.fromkeys(files, b""))
    layer = store.layers.write("k", io.BytesIO(plain), derived=False)
    assert store.layers.path("k").with_suffix(".idx").stat().st_size <= 25 * len(files)
    assert len(store.layers.listing(layer)) == len(files)
