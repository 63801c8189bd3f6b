"""Errors offer only usable names: each one, typed into a location, selects an image."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tarkit.errors import (
    AmbiguousImageError,
    ImageNotFoundError,
    MalformedError,
    PathNotFoundError,
    UnsupportedError,
    UsageError,
)
from tarkit.image.platform import Platform
from tarkit.selection.select import select_image
from tarkit.transports.location import open_source
from tests.builders import (
    CONTAINERD_NAME,
    REF_NAME,
    Doc,
    Layout,
    classic_files,
    copy,
    dump,
    layout_of,
    make_image,
    multi_platform,
    named,
    on,
    tar,
    write_files,
)

IMAGES = [make_image(text) for text in "abcd"]
NAMES = st.sampled_from(
    [
        "app", "app:1", "app:2", "docker.io/library/app:1", "latest", "1", "App:1", "x/y:1", "@0",
        "@1", "x:@0", ":", "a, b", " app", "app ", "'app'", "a\nb", "\x1b[31m", "ü", "a" * 300,
        "registry.example/team/app:2.0@sha256:" + "1" * 64, "app@sha256:1", "$(id)", "-q", "@", "@x",
        "docker.io/library/app", "b.example:5000/app", "b.example:5000/app:1", "sha256:" + "a" * 64,
    ]
)  # fmt: skip


def layout(directory: Path, names: Sequence[Sequence[str]]) -> str:
    made = Layout()
    entries = [
        named(made.image(image), name) if name else made.image(image)
        for image, tags in zip(IMAGES, names, strict=False)
        for name in tags or [""]
    ]
    return f"oci:{write_files(directory / 'layout', made.finish(*entries))}"


def containerd(directory: Path, names: Sequence[Sequence[str]]) -> str:
    """A layout in which every entry has a full name and a tag."""
    made = Layout()
    entries = [
        named(made.image(image), name.rpartition(":")[2], name)
        for image, tags in zip(IMAGES, names, strict=False)
        for name in tags
    ]
    path = directory / "layout.tar"
    path.write_bytes(tar(made.finish(*entries)))
    return f"oci-archive:{path}"


def docker(directory: Path, names: Sequence[Sequence[str]]) -> str:
    path = directory / "docker.tar"
    path.write_bytes(tar(classic_files(*zip(IMAGES, names, strict=False))))
    return f"docker-archive:{path}"


def dual(directory: Path, names: Sequence[Sequence[str]]) -> str:
    """A dual archive; its OCI half has the second name of each image, or none."""
    made, items = Layout(), []
    entries: list[Doc] = []
    for image, tags in zip(IMAGES, names, strict=False):
        entry = made.image(image, pack=None)
        annotations = {CONTAINERD_NAME: tags[1], REF_NAME: "x"} if len(tags) > 1 else {}
        entries.append(entry | {"annotations": annotations})
        blobs = [f"blobs/sha256/{diff_id[7:]}" for diff_id in image.diff_ids]
        config = f"blobs/sha256/{image.digest[7:]}"
        items.append({"Config": config, "RepoTags": list(tags), "Layers": blobs})
    path = directory / "dual.tar"
    path.write_bytes(tar(made.finish(*entries) | {"manifest.json": dump(items)}))
    return f"docker-archive:{path}"


@pytest.mark.parametrize("make", [layout, containerd, docker, dual])
@given(
    names=st.lists(st.lists(NAMES, max_size=3, unique=True), min_size=2, max_size=4), asked=NAMES
)
@settings(max_examples=25, deadline=None)
def test_every_offered_name_selects_an_image(
    make: Callable[[Path, Sequence[Sequence[str]]], str], names: list[list[str]], asked: str
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        where = make(Path(directory), names)
        for location in (where, f"{where}:gone", f"{where}:{asked}", f"{where}:@9"):
            for offered in offers_of(location):
                read(f"{where}:{offered}")


def offers_of(location: str) -> Sequence[str]:
    """Return the names that the error on *location* offers; none if it selects an image."""
    try:
        read(location)
    except (AmbiguousImageError, ImageNotFoundError) as error:
        return error.available
    except (UsageError, PathNotFoundError):  # no name, or a part of the path
        pass
    return ()


def read(location: str) -> None:
    with open_source(location) as image:
        image.manifest()


def test_usable_names_are_offered(tmp_path: Path) -> None:
    names = [["a:1", "b:1"], ["App:1"], [], ["x:@0"]]
    expected = ("a:1", "App:1", "@2", "@3")
    assert offers_of(docker(tmp_path, names)) == offers_of(dual(tmp_path, names)) == expected
    assert offers_of(layout(tmp_path, [["a", "b"], ["c"]])) == ("a", "b", "c")
    assert offers_of(f"{docker(tmp_path, names)}:gone") == ("a:1", "b:1", "App:1", "@2", "@3")


@pytest.mark.parametrize("count", [11, 300])
def test_a_long_list_is_shortened_between_names(tmp_path: Path, count: int) -> None:
    made = Layout()
    names = [
        f"registry.example/a/rather/long/path/to/an/image/of/some/team/app{n}:1"
        for n in range(count)
    ]
    entries = [named(made.image(make_image(name)), name) for name in names]
    write_files(tmp_path / "in", made.finish(*entries))
    with pytest.raises(AmbiguousImageError) as caught, open_source(f"oci:{tmp_path / 'in'}"):
        pass
    hint = str(caught.value).partition("name one of ")[2]
    shown, _, rest = hint.partition(" and ")
    offered = shown.split(", ")
    assert set(offered) <= set(names)
    assert rest == f"{count - len(offered)} more"


def test_the_same_image_under_one_name_twice_is_not_ambiguous(tmp_path: Path) -> None:
    made = Layout()
    entry = named(made.image(IMAGES[0]), "app")
    other = named(made.image(IMAGES[1]), "other")
    write_files(tmp_path / "in", made.finish(entry, entry, other))
    with pytest.raises(AmbiguousImageError) as caught, open_source(f"oci:{tmp_path / 'in'}"):
        pass
    assert caught.value.available == ("app", "other")


ODD: list[tuple[object, type[Exception]]] = [
    ({"digest": "blake3:" + "a" * 64, "size": 1}, UnsupportedError),
    ({"digest": "sha256:short", "size": 1}, MalformedError),
    ({"digest": "sha256:" + "a" * 64, "size": -1}, MalformedError),
    ({"digest": "sha256:" + "a" * 64, "size": 1, "platform": 7}, MalformedError),
    ({}, MalformedError),
    (None, MalformedError),
    ([], MalformedError),
]


class TestOddEntries:
    """An unreadable entry does not hide others, and survives additions."""

    @pytest.mark.parametrize(("odd", "kind"), ODD, ids=str)
    @pytest.mark.parametrize("position", [0, 1, 2])
    def test_it_has_its_position_and_its_error(
        self, tmp_path: Path, odd: Any, kind: type[Exception], position: int
    ) -> None:
        made = Layout()
        entries = [
            named(made.image(image), name) for image, name in zip(IMAGES, "ab", strict=False)
        ]
        entries.insert(position, odd)
        where = f"oci:{write_files(tmp_path / 'in', made.finish(*entries))}"
        with pytest.raises(kind), open_source(f"{where}:@{position}"):
            pass
        good = [at for at in range(3) if at != position]
        for at, name in zip(good, "ab", strict=True):
            with open_source(f"{where}:{name}") as one, open_source(f"{where}:@{at}") as two:
                assert one.manifest() == two.manifest()
        with pytest.raises(AmbiguousImageError) as caught, open_source(where):
            pass
        assert caught.value.available == ("a", "b")

    @pytest.mark.parametrize("position", [0, 1])
    def test_it_stays_when_an_image_is_added(self, tmp_path: Path, position: int) -> None:
        odd = {"digest": "blake3:" + "a" * 64, "size": 1, "mediaType": "x", "vendor": [1]}
        made = Layout()
        entries = [named(made.image(IMAGES[0]), "a")]
        entries.insert(position, odd)
        write_files(tmp_path / "in", made.finish(*entries))
        write_files(tmp_path / "other", layout_of(IMAGES[1]))
        copy(f"oci:{tmp_path / 'other'}", f"oci:{tmp_path / 'in'}:b")
        after = json.loads((tmp_path / "in" / "index.json").read_bytes())["manifests"]
        assert after[position] == odd
        assert len(after) == 3

    def test_an_odd_platform_hides_no_other(self, tmp_path: Path) -> None:
        made, _, images = multi_platform("amd64", "arm64")
        document = {"digest": "blake3:" + "a" * 64, "size": 1}
        children = [document, *[on(made.image(image), f"linux/{a}") for a, image in images.items()]]
        where = (
            f"oci:{write_files(tmp_path / 'in', made.finish(named(made.index(*children), 'x')))}"
        )
        for architecture, image in images.items():
            with open_source(where) as source:
                raw = select_image(source, Platform("linux", architecture))
            assert image.digest in raw.data.decode()

    def test_a_million_odd_entries_are_one_error(self, tmp_path: Path) -> None:
        files = Layout().finish()
        files["index.json"] = b'{"schemaVersion": 2, "manifests": [' + b"{}," * 240_000 + b"{}]}"
        with (
            pytest.raises(MalformedError),
            open_source(f"oci:{write_files(tmp_path / 'in', files)}"),
        ):
            pass


class TestPlatforms:
    """The index's platform takes precedence, and images precede artifacts."""

    def test_the_index_decides_if_a_config_states_another_platform(self, tmp_path: Path) -> None:
        made = Layout()
        wrong = on(made.image(make_image("arm", architecture="amd64")), "linux/arm64")
        right = on(made.image(make_image("amd")), "linux/amd64")
        where = (
            f"oci:{write_files(tmp_path / 'in', made.finish(named(made.index(wrong, right), 'x')))}"
        )
        with open_source(where) as source:
            assert str(select_image(source, Platform("linux", "arm64")).digest) == wrong["digest"]
            assert str(select_image(source, Platform("linux", "amd64")).digest) == right["digest"]

    def test_an_entry_of_the_layout_decides_too(self, tmp_path: Path) -> None:
        made = Layout()
        entry = named(on(made.image(make_image("x")), "linux/arm64"), "x")
        where = f"oci:{write_files(tmp_path / 'in', made.finish(entry))}"
        with open_source(where) as source:
            assert str(select_image(source, Platform("linux", "arm64")).digest) == entry["digest"]
            with pytest.raises(ImageNotFoundError) as caught:
                select_image(source, Platform("linux", "amd64"))
        assert caught.value.available == ("linux/arm64",)

    def test_an_error_names_both_platforms(self, tmp_path: Path) -> None:
        made = Layout()
        index = made.index(
            on(made.image(make_image("one")), "linux/arm64"),
            on(made.image(make_image("two", architecture="s390x")), "linux/s390x"),
        )
        where = f"oci:{write_files(tmp_path / 'in', made.finish(named(index, 'x')))}"
        with open_source(where) as source, pytest.raises(ImageNotFoundError) as caught:
            select_image(source, Platform("linux", "amd64"))
        assert "the config of linux/arm64 says linux/amd64" in str(caught.value)
        assert caught.value.available == ("linux/arm64", "linux/s390x")

    @pytest.mark.parametrize("platform", ["Linux/amd64", "linux/x86_64", "linux"])
    def test_a_platform_that_cannot_be_asked_for_is_not_offered(
        self, tmp_path: Path, platform: str
    ) -> None:
        made = Layout()
        images = [make_image(text, architecture="s390x") for text in "ab"]
        index = made.index(
            on(made.image(images[0]), platform), on(made.image(images[1]), "linux/arm64")
        )
        where = f"oci:{write_files(tmp_path / 'in', made.finish(named(index, 'x')))}"
        with open_source(where) as source, pytest.raises(ImageNotFoundError) as caught:
            select_image(source, Platform("linux", "riscv64"))
        assert caught.value.available == ("linux/arm64",)

    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize("asked", [None, Platform("linux", "amd64")])
    def test_an_image_is_preferred_to_an_artifact_for_its_platform(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool, asked: Platform | None
    ) -> None:
        monkeypatch.setattr(Platform, "system", lambda: Platform("linux", "amd64"))
        made = Layout()
        image = on(made.image(make_image("one")), "linux/amd64")
        artifact = on(artifact_of(made), "linux/amd64")
        children = [artifact, image] if first else [image, artifact]
        where = (
            f"oci:{write_files(tmp_path / 'in', made.finish(named(made.index(*children), 'x')))}"
        )
        with open_source(where) as source:
            assert str(select_image(source, asked).digest) == image["digest"]

    def test_an_artifact_is_chosen_if_no_image_fits(self, tmp_path: Path) -> None:
        made = Layout()
        image = on(made.image(make_image("one", architecture="arm64")), "linux/arm64")
        artifact = on(artifact_of(made), "linux/amd64")
        where = f"oci:{write_files(tmp_path / 'in', made.finish(named(made.index(image, artifact), 'x')))}"
        with open_source(where) as source:
            found = select_image(source, Platform("linux", "amd64"))
        assert str(found.digest) == artifact["digest"]


def artifact_of(made: Layout) -> Doc:
    kind = "application/vnd.example.config.v1+json"
    manifest = {
        "schemaVersion": 2,
        "artifactType": kind,
        "config": made.blob(b"{}", kind),
        "layers": [made.blob(b"table", "application/octet-stream")],
    }
    return made.blob(dump(manifest), "application/vnd.oci.image.manifest.v1+json")
