"""skopeo and umoci use the directory of a store as an OCI layout."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tarkit.store import gc
from tarkit.store.store import Store
from tarkit.store.verification import verify_store
from tests.conformance.tools import Tool
from tests.store.images import content_of, copy_in, layout_at

FILES = {"etc/name": b"kept", "data": bytes(range(256)) * 300}
WRITERS, ROUNDS = 8, 6

WRITING = """
import sys
from pathlib import Path
from tarkit.store import gc
from tarkit.store.record import Record
from tarkit.store.removal import remove_image
from tarkit.store.store import Store
from tests.store.images import content_of, copy_in
root, layouts, number, rounds = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
for turn in range(rounds):
    name = f"writer{number}"
    copy_in(root, layouts / number, name)
    content_of(root, name)
    with Store.open(root) as store, store.records.transaction() as change:
        change.put(Record(f"{name}-{turn}", committed=True))
    if turn % 2:
        remove_image(root, name)
        with Store.open(root) as store:
            gc.collect(store)
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with an image that stays."""
    root = tmp_path / "store"
    copy_in(root, layout_at(tmp_path / "kept", "kept", FILES), "kept")
    content_of(root, "kept")
    return root


NAME = "docker.io/library/kept:latest"


def test_they_read_the_store_while_eight_processes_write(
    root: Path, tmp_path: Path, skopeo: Tool, umoci: Tool
) -> None:
    for number in range(WRITERS):
        layout_at(tmp_path / "layouts" / str(number), "x", {"f": b"%d" % number * 5000})
    arguments = [sys.executable, "-c", WRITING, str(root), str(tmp_path / "layouts")]
    writers = [
        subprocess.Popen([*arguments, str(number), str(ROUNDS)], cwd=Path(__file__).parents[2])
        for number in range(WRITERS)
    ]
    done = threading.Event()

    def watch() -> None:
        for writer in writers:
            writer.wait()
        done.set()

    watcher = threading.Thread(target=watch)
    watcher.start()
    reads = 0
    while not done.is_set() or not reads:
        target = tmp_path / f"copy{reads}"
        skopeo("copy", "-q", f"oci:{root}:{NAME}", f"oci:{target}:app")
        assert NAME in umoci("list", "--layout", root).split()
        umoci("stat", "--json", "--image", f"{root}:{NAME}")
        reads += 1
    watcher.join()
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    with Store.open(root) as store:
        assert list(verify_store(store, deep=True)) == []
        assert len(store.records.all()) == WRITERS * ROUNDS
    assert content_of(root, "kept") == FILES


def test_umoci_collects_garbage_without_loss(root: Path, tmp_path: Path, umoci: Tool) -> None:
    with Store.open(root) as store:
        extra = store.content.add(b"content of a ref")
        store.leases.add(store.leases.create("ref", seconds=float("inf")), str(extra))
    copy_in(root, layout_at(tmp_path / "gone", "gone", {"f": b"gone"}), "gone")
    before = {path.relative_to(root) for path in root.rglob("*") if path.is_file()}
    umoci("gc", "--layout", root)
    assert {path.relative_to(root) for path in root.rglob("*") if path.is_file()} == before
    umoci("rm", "--image", f"{root}:docker.io/library/gone:latest")
    umoci("gc", "--layout", root)
    with Store.open(root) as store:
        assert list(verify_store(store, deep=True)) == []
        assert len(gc.collect(store).blobs) == 3
        assert store.content.size(extra) is not None
    assert content_of(root, "kept") == FILES


def test_umoci_unpacks_and_skopeo_writes(
    root: Path, tmp_path: Path, skopeo: Tool, umoci: Tool
) -> None:
    umoci("unpack", "--rootless", "--image", f"{root}:{NAME}", tmp_path / "bundle")
    assert (tmp_path / "bundle" / "rootfs" / "etc" / "name").read_bytes() == b"kept"
    layout_at(tmp_path / "other", "other", {"f": b"other"})
    skopeo("copy", "-q", f"oci:{tmp_path / 'other'}:other", f"oci:{root}:other")
    assert content_of(root, "other") == {"f": b"other"}
    with Store.open(root) as store:
        gc.collect(store)
    assert content_of(root, "other") == {"f": b"other"}
    assert content_of(root, "kept") == FILES
