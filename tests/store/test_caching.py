"""Any copy through a store: what it holds is neither downloaded nor inflated again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, CopyResult, LayerCompression
from tarkit.errors import TarkitError, VerificationError
from tarkit.rootfs.filesystem import FileSystem
from tarkit.store import gc
from tarkit.store.ingest import Ingest
from tarkit.store.leases import PULLED
from tarkit.store.store import Store
from tarkit.transports.location import open_source, open_writer
from tarkit.transports.registry.options import RegistryOptions
from tarkit.transports.store import caching as module
from tarkit.transports.store.caching import caching
from tests.builders import Layout, image_of, layout_of, noise, tar, write_files
from tests.transports.registry.copies import add_layout
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, fake_registry

OPTIONS = RegistryOptions(tls_verify=False)
IMAGE = image_of([tar({"f": noise(300_000)}), tar({"etc/name": b"text"})])


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    monkeypatch.setenv("HOME", str(tmp_path))
    with fake_registry() as server:
        content = Layout()
        entry = content.image(IMAGE)
        add_layout(server, "app", "latest", content.files, entry)
        yield server


def pull(registry: FakeRegistry, root: Path, destination: str, **options: object) -> CopyResult:
    location = f"docker://{registry.address}/app:latest"
    with (
        open_source(location, registry=OPTIONS) as source,
        caching(source, root) as cached,
        open_writer(destination) as writer,
    ):
        return copy_image(cached, writer.destination("app"), CopyOptions(**options))  # type: ignore[arg-type]


def downloads(registry: FakeRegistry) -> int:
    return len(registry.requests("GET", "/blobs/"))


def test_a_second_pull_downloads_no_blob(registry: FakeRegistry, tmp_path: Path) -> None:
    first = pull(registry, tmp_path / "store", f"oci:{tmp_path / 'one'}")
    assert downloads(registry) == 3
    second = pull(registry, tmp_path / "store", f"oci:{tmp_path / 'two'}")
    assert downloads(registry) == 3
    assert first.descriptor == second.descriptor
    with Store.open(tmp_path / "store") as store:
        assert gc.collect(store).blobs == ()
        assert len(list(store.content.walk())) == 3
        store.leases.delete(PULLED)
        assert len(gc.collect(store).blobs) == 3


def test_files_are_read_without_a_download(registry: FakeRegistry, tmp_path: Path) -> None:
    pull(registry, tmp_path / "store", f"oci:{tmp_path / 'one'}")
    location = f"docker://{registry.address}/app:latest"
    for _ in range(2):
        with (
            open_source(location, registry=OPTIONS) as source,
            caching(source, tmp_path / "store") as cached,
            FileSystem.of(cached) as files,
        ):
            assert files.read_bytes("etc/name") == b"text"
            assert files.contents.is_intact(files.file("f"))
    assert downloads(registry) == 3


def test_a_layer_in_the_store_is_not_inflated_for_another_compression(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = f"docker-archive:{tmp_path / 'one.tar'}"
    pull(registry, tmp_path / "store", archive, compression=LayerCompression.NONE)
    monkeypatch.setattr("tarkit.store.layers.decompress", None)
    monkeypatch.setattr("tarkit.copying.blobs.decompress", None)
    again = pull(
        registry, tmp_path / "store", f"oci:{tmp_path / 'two'}", compression=LayerCompression.ZSTD
    )
    assert again.recompressed == 2
    assert downloads(registry) == 3
    with open_source(archive) as source, FileSystem.of(source) as files:
        assert files.read_bytes("etc/name") == b"text"


def test_an_interrupted_download_continues_in_another_process(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, ranges = tmp_path / "store", []
    monkeypatch.setattr(module, "CHUNK_SIZE", 50_000)
    append = Ingest.append

    def failing(self: Ingest, data: bytes) -> None:
        append(self, data)
        if self.offset > 100_000:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ingest, "append", failing)
        with pytest.raises(KeyboardInterrupt):
            pull(registry, root, f"oci:{tmp_path / 'one'}", jobs=1)
    [partial] = (root / "ingest").iterdir()
    size = partial.stat().st_size
    assert size > 100_000
    registry.seen.clear()
    pull(registry, root, f"oci:{tmp_path / 'one'}")
    ranges = [seen.headers["Range"] for seen in registry.seen if "Range" in seen.headers]
    assert ranges == [f"bytes={size}-"]
    with open_source(f"oci:{tmp_path / 'one'}") as source, FileSystem.of(source) as files:
        assert files.read_bytes("f") == noise(300_000)


def test_damaged_remains_fail_once(registry: FakeRegistry, tmp_path: Path) -> None:
    root = tmp_path / "store"
    layer = max(registry.blobs["app"].items(), key=lambda item: len(item[1]))
    with Store.open(root):
        (root / "ingest").mkdir()
        partial = root / "ingest" / layer[0].replace(":", "-")
        partial.write_bytes(b"x" * 1000)
    with pytest.raises(VerificationError):
        pull(registry, root, f"oci:{tmp_path / 'one'}")
    assert not partial.exists()
    pull(registry, root, f"oci:{tmp_path / 'one'}")


def test_a_registry_with_wrong_content_is_not_cached(
    registry: FakeRegistry, tmp_path: Path
) -> None:
    digest, data = max(registry.blobs["app"].items(), key=lambda item: len(item[1]))
    registry.blobs["app"][digest] = data[:-1] + b"x"
    with pytest.raises(VerificationError):
        pull(registry, tmp_path / "store", f"oci:{tmp_path / 'one'}")
    with Store.open(tmp_path / "store") as store:
        assert digest not in map(str, store.content.walk())
    registry.blobs["app"][digest] = data
    pull(registry, tmp_path / "store", f"oci:{tmp_path / 'one'}")


def test_a_corrupt_blob_in_the_store_is_one_error(registry: FakeRegistry, tmp_path: Path) -> None:
    root = tmp_path / "store"
    pull(registry, root, f"oci:{tmp_path / 'one'}")
    with Store.open(root) as store:
        blob = max(store.content.blobs(), key=lambda blob: blob.size)
        path = store.content.path(blob.digest)
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"x")
        with pytest.raises(VerificationError):
            pull(registry, root, f"oci:{tmp_path / 'two'}")
        # it is gone, so the next attempt downloads it again
    pull(registry, root, f"oci:{tmp_path / 'two'}")
    assert downloads(registry) == 4


@pytest.mark.parametrize("trouble", ["file", "damaged", "full", "no directory"])
def test_a_store_in_trouble_never_fails_a_copy(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    root = tmp_path / "store"
    match trouble:
        case "file":
            root.write_bytes(b"")
        case "damaged":
            Store.open(root).close()
            (root / "tarkit.db").write_bytes(b"damaged" * 1000)
        case "full":

            def full(self: object, data: bytes) -> None:
                raise TarkitError("no space left")

            monkeypatch.setattr(Ingest, "append", full)
        case "no directory":
            root = Path("/proc/none/store")
    result = pull(registry, root, f"oci:{tmp_path / 'one'}")
    assert result.copied == 3
    with open_source(f"oci:{tmp_path / 'one'}") as source, FileSystem.of(source) as files:
        assert files.read_bytes("etc/name") == b"text"


def test_a_pull_into_the_store_itself(registry: FakeRegistry, tmp_path: Path) -> None:
    root = tmp_path / "store"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TARKIT_STORE", str(root))
        pull(registry, root, "store:app")
        with open_source("store:app") as source, FileSystem.of(source) as files:
            assert files.read_bytes("etc/name") == b"text"
    assert list((root / "ingest").iterdir()) == []
    assert downloads(registry) == 3


def test_local_sources_are_not_copied_into_the_store(tmp_path: Path) -> None:
    write_files(tmp_path / "layout", layout_of(IMAGE))
    location = f"oci:{tmp_path / 'layout'}"
    with (
        open_source(location) as source,
        caching(source, tmp_path / "store") as cached,
        open_writer(f"oci:{tmp_path / 'out'}") as writer,
    ):
        copy_image(cached, writer.destination("app"))
    with Store.open(tmp_path / "store") as store:
        assert list(store.content.walk()) == []


def test_errors_of_the_source_are_its_own(registry: FakeRegistry, tmp_path: Path) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.refuse(403, "DENIED")

    registry.fail("GET", "/blobs/", refuse)
    with pytest.raises(TarkitError, match="denied"):
        pull(registry, tmp_path / "store", f"oci:{tmp_path / 'one'}")
