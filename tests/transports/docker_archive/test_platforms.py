"""Docker archives of several platforms, as Docker 28 and containerd write them."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path

import pytest

from tarkit.image.digest import Digest
from tarkit.image.manifest import Index
from tarkit.image.platform import Platform
from tarkit.transports.docker_archive.reader import DockerArchiveReader
from tarkit.verifying.runner import verify
from tests.builders import (
    CONTAINERD_NAME,
    REF_NAME,
    Doc,
    Files,
    Layout,
    check_layout,
    copy,
    dump,
    load,
    make_image,
    on,
    read_files,
    tar,
    untar,
)
from tests.cli.conftest import Tarkit

ATTESTATION = {"vnd.docker.reference.type": "attestation-manifest"}


def path_of(descriptor: Doc) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


def entry(descriptor: Doc, full: str) -> Doc:
    tag = full.rpartition(":")[2]
    return descriptor | {"annotations": {CONTAINERD_NAME: full, REF_NAME: tag}}


def item(layout: Layout, manifest: Doc, *tags: str) -> Doc:
    """Return the ``manifest.json`` item of one platform."""
    document = json.loads(layout.files[path_of(manifest)])
    return {
        "Config": path_of(document["config"]),
        "RepoTags": list(tags),
        "Layers": [path_of(layer) for layer in document["layers"]],
    }


class Saved:
    """The output of ``docker save`` for one image of several platforms."""

    def __init__(self, *architectures: str) -> None:
        self.layout = Layout()
        self.images = {a: make_image("shared", a, architecture=a) for a in architectures}
        self.manifests = {a: self.layout.image(image) for a, image in self.images.items()}
        self.index = self.layout.index(*(on(m, f"linux/{a}") for a, m in self.manifests.items()))

    def files(
        self, *, full: str = "docker.io/library/app:1", tags: tuple[str, ...] = ("app:1",)
    ) -> Files:
        first = next(iter(self.manifests.values()))
        files = self.layout.finish(entry(self.index, full))
        return files | {"manifest.json": dump([item(self.layout, first, *tags)])}

    def write(self, path: Path) -> str:
        path.write_bytes(tar(self.files()))
        return f"docker-archive:{path}"


@pytest.fixture
def saved() -> Saved:
    return Saved("amd64", "arm64", "s390x")


def opened(files: Files) -> DockerArchiveReader:
    return DockerArchiveReader.from_stream(io.BytesIO(tar(files)))


def test_one_image_stays_one_image_with_all_its_platforms(
    saved: Saved, tmp_path: Path, tarkit: Tarkit
) -> None:
    where = saved.write(tmp_path / "a.tar")
    for location in (where, str(tmp_path / "a.tar")):
        (image,) = tarkit("list", "--json", location).document["images"]
        assert image["names"] == ["app:1"]
        assert image["digest"] == saved.index["digest"]
        assert image["platforms"] == ["linux/amd64", "linux/arm64", "linux/s390x"]


@pytest.mark.parametrize("name", ["", ":app:1", ":1", ":docker.io/library/app:1", ":@0"])
def test_all_platforms_are_copied(saved: Saved, tmp_path: Path, name: str) -> None:
    result = copy(saved.write(tmp_path / "a.tar") + name, f"oci:{tmp_path / 'out'}:x", all=True)
    assert str(result.descriptor.digest) == saved.index["digest"]
    files = read_files(tmp_path / "out")
    (top,) = check_layout(files)["manifests"]
    assert len(load(files, top)["manifests"]) == 3
    assert verify(f"oci:{tmp_path / 'out'}").findings == ()


@pytest.mark.parametrize("architecture", ["amd64", "arm64", "s390x"])
def test_a_platform_is_chosen(saved: Saved, tmp_path: Path, architecture: str) -> None:
    where = saved.write(tmp_path / "a.tar")
    platforms = (Platform("linux", architecture),)
    result = copy(where, f"oci:{tmp_path / 'out'}:x", platforms=platforms)
    assert str(result.descriptor.digest) == saved.manifests[architecture]["digest"]


def test_a_pipe_is_read_in_the_same_way(saved: Saved) -> None:
    with opened(saved.files()) as reader:
        assert len(Index.parse(reader.source().manifest()).manifests) == 3


def test_both_halves_agree(saved: Saved, tmp_path: Path) -> None:
    saved.write(tmp_path / "a.tar")
    assert verify(str(tmp_path / "a.tar")).findings == ()


def test_a_single_saved_platform_is_the_image(saved: Saved) -> None:
    """Docker also keeps the index of an image with just one stored platform."""
    files = saved.files()
    for architecture in ("arm64", "s390x"):
        del files[path_of(saved.manifests[architecture])]
    with opened(files) as reader:
        source = reader.source()
        assert str(source.manifest().digest) == saved.manifests["amd64"]["digest"]


def test_missing_platforms_do_not_hide_stored_ones(
    saved: Saved, tmp_path: Path, tarkit: Tarkit
) -> None:
    files = saved.files()
    del files[path_of(saved.manifests["s390x"])]
    (tmp_path / "a.tar").write_bytes(tar(files))
    (image,) = tarkit("list", "--json", tmp_path / "a.tar").document["images"]
    assert image["platforms"] == ["linux/amd64", "linux/arm64"]
    out = f"oci:{tmp_path / 'out'}:x"
    refused = tarkit("copy", "--all", tmp_path / "a.tar", out)
    assert refused.code == 4
    assert "linux/s390x" in refused.err
    assert tarkit("copy", "--all", "--sparse=strip", tmp_path / "a.tar", out).code == 0


def test_attestations_are_copied_but_are_no_platform(tmp_path: Path, tarkit: Tarkit) -> None:
    layout = Layout()
    image = layout.image(make_image("one"))
    statement = layout.image(make_image("statement"), annotations={"a": "b"})
    statement |= {
        "annotations": ATTESTATION,
        "platform": {"os": "unknown", "architecture": "unknown"},
    }
    index = layout.index(on(image, "linux/amd64"), statement)
    files = layout.finish(entry(index, "docker.io/library/app:1"))
    files |= {"manifest.json": dump([item(layout, image, "app:1")])}
    (tmp_path / "a.tar").write_bytes(tar(files))
    (row,) = tarkit("list", "--json", tmp_path / "a.tar").document["images"]
    assert (row["digest"], row["platforms"]) == (index["digest"], ["linux/amd64"])
    out = tmp_path / "out"
    assert tarkit("copy", "--all", tmp_path / "a.tar", f"oci:{out}:x").code == 0
    assert path_of(statement) in read_files(out)
    assert tarkit("copy", tmp_path / "a.tar", f"oci:{tmp_path / 'one'}:x").code == 0
    assert check_layout(read_files(tmp_path / "one"))["manifests"][0]["digest"] == image["digest"]


def test_images_that_share_a_platform_stay_separate(tmp_path: Path) -> None:
    """containerd writes one item for them, with the names of both images or of the last one."""
    layout = Layout()
    shared = on(layout.image(make_image("shared")), "linux/amd64")
    indexes = [
        layout.index(
            shared, on(layout.image(make_image(name, architecture="arm64")), "linux/arm64")
        )
        for name in ("one", "two")
    ]
    names = [f"docker.io/library/{name}:1" for name in ("one", "two")]
    files = layout.finish(*map(entry, indexes, names))
    for tags in (("one:1", "two:1"), ("two:1",), ("one:1",)):
        document = dump([item(layout, shared, *tags)])
        with opened(files | {"manifest.json": document}) as reader:
            assert len(reader.images()) == 2
            for name, index in zip(names, indexes, strict=True):
                assert str(reader.source(name).manifest().digest) == index["digest"]
            assert reader.images()[0].names == tags[:1]
        (tmp_path / "a.tar").write_bytes(tar(files | {"manifest.json": document}))
        for position in range(2):
            assert verify(f"docker-archive:{tmp_path / 'a.tar'}:@{position}").ok


def test_an_index_and_one_of_its_platforms_with_different_names(saved: Saved) -> None:
    files = saved.layout.finish(
        entry(saved.index, "docker.io/library/app:all"),
        entry(saved.manifests["amd64"], "docker.io/library/app:amd"),
    )
    document = [item(saved.layout, saved.manifests["amd64"], "app:all", "app:amd")]
    with opened(files | {"manifest.json": dump(document)}) as reader:
        assert str(reader.source("app:all").manifest().digest) == saved.index["digest"]
        amd64 = saved.manifests["amd64"]["digest"]
        assert str(reader.source("app:amd").manifest().digest) == amd64


def test_two_names_of_one_index_are_one_image(saved: Saved) -> None:
    names = ("docker.io/library/app:1", "docker.io/library/app:2")
    files = saved.layout.finish(*(entry(saved.index, name) for name in names))
    document = [item(saved.layout, saved.manifests["amd64"], "app:1", "app:2")]
    with opened(files | {"manifest.json": dump(document)}) as reader:
        (image,) = reader.images()
        assert image.names == ("app:1", "app:2")
        assert reader.source("app:2").names == ("app:2",)


def test_a_flat_index_without_names_is_one_image(saved: Saved) -> None:
    files = saved.layout.finish(*(on(m, f"linux/{a}") for a, m in saved.manifests.items()))
    first = saved.manifests["amd64"]
    with opened(files | {"manifest.json": dump([item(saved.layout, first)])}) as reader:
        assert reader.source().manifest().data == files["index.json"]
    items = [item(saved.layout, m, f"app:{a}") for a, m in saved.manifests.items()]
    with opened(files | {"manifest.json": dump(items)}) as reader:
        assert len(reader.images()) == 3
        assert (
            str(reader.source("app:arm64").manifest().digest) == saved.manifests["arm64"]["digest"]
        )


class TestNotWhole:
    """If the OCI half contradicts ``manifest.json``, the latter is read and ``verify`` reports it."""

    image = make_image("one", "two")

    def check(self, tmp_path: Path, files: Files) -> None:
        (tmp_path / "a.tar").write_bytes(tar(files))
        with DockerArchiveReader.open(tmp_path / "a.tar") as reader:
            (image,) = reader.images()
            assert image.names == ("app:1",)
        out = tempfile.mkdtemp(dir=tmp_path)
        result = copy(f"docker-archive:{tmp_path / 'a.tar'}", f"oci:{out}:x")
        assert result.copied + result.recompressed == 3
        assert verify(f"oci:{out}").findings == ()
        assert verify(str(tmp_path / "a.tar")).findings

    def archive(self, **changes: object) -> Files:
        """A classic archive beside a layout whose manifest has *changes*."""
        layout = Layout()
        whole = layout.image(self.image, pack=None)
        document = json.loads(layout.files.pop(path_of(whole))) | changes
        listed = layout.blob(dump(document), whole["mediaType"])
        files = layout.finish(entry(listed, "docker.io/library/app:1"))
        files |= {f"{n}/layer.tar": layer for n, layer in enumerate(self.image.layers)}
        paths = [f"{n}/layer.tar" for n in range(2)]
        config = f"blobs/sha256/{self.image.digest[7:]}"
        items = [{"Config": config, "RepoTags": ["app:1"], "Layers": paths}]
        return files | {"manifest.json": dump(items)}

    @pytest.mark.parametrize("layers", [[], None])
    def test_no_layers(self, tmp_path: Path, layers: list[Doc] | None) -> None:
        self.check(tmp_path, self.archive(layers=layers))

    @pytest.mark.parametrize("count", [1, 3])
    def test_a_different_number_of_layers(self, tmp_path: Path, count: int) -> None:
        layout = Layout()
        whole = layout.image(self.image, pack=None)
        layers = json.loads(layout.files[path_of(whole)])["layers"]
        self.check(tmp_path, self.archive(layers=(layers * 2)[:count]))

    @pytest.mark.parametrize("at", [0, 1])
    def test_a_missing_blob_or_wrong_size(self, tmp_path: Path, at: int) -> None:
        files = self.archive()
        name = f"blobs/sha256/{self.image.diff_ids[at][7:]}"
        self.check(tmp_path, {n: data for n, data in files.items() if n != name})
        self.check(tmp_path, files | {name: b"short"})

    @pytest.mark.parametrize(
        "name", ["index.json", "oci-layout", "blobs"], ids=["index", "marker", "manifest"]
    )
    def test_a_malformed_document(self, tmp_path: Path, name: str) -> None:
        files = self.archive(**({"layers": "none"} if name == "blobs" else {}))
        self.check(tmp_path, files if name == "blobs" else files | {name: b"{"})

    def test_an_index_that_contains_itself(self, tmp_path: Path) -> None:
        files = self.archive()
        digest = Digest.of(b"index")
        top = {
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "digest": str(digest),
            "size": 5,
        }
        files["index.json"] = dump(
            {"schemaVersion": 2, "manifests": [entry(top, "docker.io/library/app:1")]}
        )
        files[f"blobs/sha256/{digest.hex}"] = b"index"
        self.check(tmp_path, files)


def test_one_malformed_item_does_not_hide_others(
    saved: Saved, tmp_path: Path, tarkit: Tarkit
) -> None:
    files = saved.files()
    files["manifest.json"] = dump([{}, *json.loads(files["manifest.json"]), {"Config": "gone"}])
    (tmp_path / "a.tar").write_bytes(tar(files))
    result = tarkit("list", "--json", tmp_path / "a.tar")
    assert result.code == 4
    assert ["error" in image for image in result.document["images"]] == [True, False, True]
    notes = [json.loads(line)["message"] for line in result.err.splitlines()]
    assert [note.split()[0] for note in notes] == ["@0:", "@2:"]
    assert (
        tarkit("copy", f"docker-archive:{tmp_path / 'a.tar'}:@1", f"oci:{tmp_path / 'o'}:x").code
        == 0
    )


class TestAdding:
    """Adding an image to an archive keeps all platforms of the existing images."""

    def test_every_platform_is_kept(self, saved: Saved, tmp_path: Path, tarkit: Tarkit) -> None:
        where = saved.write(tmp_path / "a.tar")
        other = Saved("amd64")
        (tmp_path / "b.tar").write_bytes(
            tar(other.files(full="docker.io/library/b:1", tags=("b:1",)))
        )
        assert tarkit("copy", tmp_path / "b.tar", f"{where}:b:1").code == 0
        first, second = tarkit("list", "--json", where).document["images"]
        assert (first["digest"], len(first["platforms"])) == (saved.index["digest"], 3)
        assert second["names"] == ["docker.io/library/b:1"]
        assert verify(str(tmp_path / "a.tar")).findings == ()
        before = json.loads(saved.files()["manifest.json"])[0]
        after = json.loads(untar(tmp_path / "a.tar")["manifest.json"])[0]
        assert (after["Config"], after["Layers"]) == (before["Config"], before["Layers"])

    def test_a_format_without_an_index_refuses(
        self, saved: Saved, tmp_path: Path, tarkit: Tarkit
    ) -> None:
        where = saved.write(tmp_path / "a.tar")
        before = (tmp_path / "a.tar").read_bytes()
        Saved("amd64").write(tmp_path / "b.tar")
        copying = ("copy", "--docker-format=classic", tmp_path / "b.tar", f"{where}:b:1")
        assert tarkit(*copying).code == 6
        assert (tmp_path / "a.tar").read_bytes() == before

    def test_the_classic_format_refuses_an_index(
        self, saved: Saved, tmp_path: Path, tarkit: Tarkit
    ) -> None:
        where = saved.write(tmp_path / "a.tar")
        out = f"docker-archive:{tmp_path / 'out.tar'}:x:1"
        assert tarkit("copy", "--all", "--docker-format=classic", where, out).code == 6
        assert not (tmp_path / "out.tar").exists()
