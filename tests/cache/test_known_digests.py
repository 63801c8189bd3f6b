"""Equal files of unshared layers are compared by their digests, without reading them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tarkit.cache.manager import CacheManager
from tarkit.cache.refs import ImmutableRef
from tarkit.rootfs.layer_data import LayerData

FILES = 50


def made(manager: CacheManager, extra: str = "") -> ImmutableRef:
    with manager.new() as ref:
        for number in range(FILES):
            ref.files.write(f"/{number}", b"content %d" % number, mtime_ns=0)
        if extra:
            ref.files.write("/7", extra.encode(), mtime_ns=0)
        return ref.commit()


def test_a_difference_of_equal_files_reads_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    original = LayerData.open_stored

    def counting(self: LayerData, node: object) -> object:
        opened.append(node)
        return original(self, node)  # type: ignore[arg-type]

    with (
        CacheManager.open(tmp_path / "store") as manager,
        made(manager) as lower,
        made(manager, "another") as upper,
    ):
        for ref in (lower, upper):
            ref.finalize()
        monkeypatch.setattr(LayerData, "open_stored", counting)
        with manager.diff(lower, upper) as difference:
            assert difference.file_list() == ["7"]
    assert len(opened) <= 1
