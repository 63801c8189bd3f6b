"""Archives of many images: reads and parses grow linearly with their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tarkit.copying.existing import copy_existing
from tarkit.image import document
from tarkit.image.reference import Reference
from tarkit.selection.inspect import overview
from tarkit.tar.archive import Archive
from tarkit.transports.location import open_reader, open_writer
from tests.builders import Doc, Files, Layout, dump, image_of, tar, write_files

LAYER = tar({"file": b"x"})


def images(count: int, *, shared: bool) -> tuple[Files, list[Doc]]:
    """A layout of *count* images, and the items of a ``manifest.json`` for them."""
    layout, entries, items = Layout(), [], []
    for at in range(count):
        image = image_of([LAYER], author="all" if shared else str(at))
        name = f"registry.example/team/app{at}:1"
        annotations = {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1"}
        entries.append(layout.image(image, pack=None) | {"annotations": annotations})
        path = "blobs/sha256/{}"
        layers = [path.format(diff_id[7:]) for diff_id in image.diff_ids]
        config = path.format(image.digest[7:])
        items.append({"Config": config, "RepoTags": [name], "Layers": layers})
    return layout.finish(*entries), items


def docker(directory: Path, count: int, *, shared: bool) -> str:
    files, items = images(count, shared=shared)
    blobs = {name: data for name, data in files.items() if name.startswith("blobs/")}
    (directory / "docker.tar").write_bytes(tar(blobs | {"manifest.json": dump(items)}))
    return f"docker-archive:{directory / 'docker.tar'}"


def dual(directory: Path, count: int, *, shared: bool) -> str:
    files, items = images(count, shared=shared)
    (directory / "dual.tar").write_bytes(tar(files | {"manifest.json": dump(items)}))
    return f"docker-archive:{directory / 'dual.tar'}"


def oci_archive(directory: Path, count: int, *, shared: bool) -> str:
    (directory / "oci.tar").write_bytes(tar(images(count, shared=shared)[0]))
    return f"oci-archive:{directory / 'oci.tar'}"


def layout(directory: Path, count: int, *, shared: bool) -> str:
    return f"oci:{write_files(directory / 'oci', images(count, shared=shared)[0])}"


Make = Callable[..., str]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count how often a member is read, JSON is parsed and a name is parsed."""
    counted: Counter[str] = Counter()

    def count(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def counting(*arguments: object, **options: object) -> object:
            counted[name] += 1
            return original(*arguments, **options)

        bound = isinstance(owner, type) and isinstance(vars(owner).get(name), classmethod)
        monkeypatch.setattr(owner, name, staticmethod(counting) if bound else counting)

    for method in ("find", "candidates", "read", "open_member"):
        count(Archive, method)
    count(document._DECODER, "decode")
    count(Reference, "parse")
    return counted


def list_all(location: str, directory: Path) -> int:
    with open_reader(location, metadata_only=True) as reader:
        known: dict[object, object] = {}
        return len([overview(reader.source(index=e.index), known) for e in reader.images()])  # type: ignore[arg-type]


def choose_each(location: str, directory: Path) -> int:
    with open_reader(location) as reader:
        return len([reader.source(entry.names[0]).manifest() for entry in reader.images()])


def add(location: str, directory: Path) -> int:
    transport = location.partition(":")[0]
    out = f"{transport}:{directory / 'out'}"
    with open_reader(location) as reader, open_writer(out) as writer:
        return copy_existing(reader, writer)


@pytest.mark.parametrize("make", [docker, dual, oci_archive, layout])
@pytest.mark.parametrize("use", [list_all, choose_each, add])
@pytest.mark.parametrize("shared", [False, True], ids=["distinct", "shared"])
def test_work_is_linear_in_the_number_of_images(
    tmp_path: Path,
    calls: Counter[str],
    make: Make,
    use: Callable[[str, Path], int],
    shared: bool,
) -> None:
    figures = []
    for count in (20, 40, 80):
        directory = tmp_path / str(count)
        directory.mkdir()
        location = make(directory, count, shared=shared)
        calls.clear()
        assert use(location, directory) == count
        figures.append(Counter(calls))
    first, second, third = figures
    for name in third:  # the same work for every additional image
        assert third[name] - second[name] <= 2 * (second[name] - first[name]) + 2, (name, figures)
    assert sum(third.values()) <= 80 * 60


def test_images_with_the_same_config_are_read_once(tmp_path: Path, calls: Counter[str]) -> None:
    location = docker(tmp_path, 50, shared=True)
    calls.clear()
    assert list_all(location, tmp_path) == 50
    assert calls["read"] == 2  # manifest.json and the config
