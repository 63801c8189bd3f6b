"""``manifest.json``: parsing, and selecting images by name."""

from __future__ import annotations

from typing import Any

import pytest

from tarkit.errors import AmbiguousImageError, ImageNotFoundError, MalformedError, UsageError
from tarkit.transports.docker_archive.items import ManifestItem, choose_item, parse_items
from tests.builders import dump

DIGEST = "sha256:" + "a" * 64
ITEM = {"Config": "c.json", "RepoTags": ["one:1"], "Layers": ["a/layer.tar"]}


def item(*tags: str) -> ManifestItem:
    return ManifestItem("c.json", tags, ())


def choose(items: list[ManifestItem], name: str | None = None, index: int | None = None) -> Any:
    return choose_item(items, name, index, where="a.tar")


def parse(document: object) -> list[ManifestItem]:
    items = parse_items(dump(document), where="manifest.json")
    return [item for item in items if isinstance(item, ManifestItem)]


def test_items_round_trip() -> None:
    source = {"mediaType": "application/vnd.example", "size": 3, "digest": DIGEST}
    full = ITEM | {"Parent": DIGEST, "LayerSources": {DIGEST: source}}
    for document in (ITEM, full):
        (parsed,) = parse([document])
        assert parsed.to_json() == document


@pytest.mark.parametrize("tags", [{}, {"RepoTags": None}, {"RepoTags": []}])
def test_an_image_without_names(tags: dict[str, Any]) -> None:
    (parsed,) = parse([{"Config": "c.json", "Layers": []} | tags])
    assert parsed.repo_tags == ()
    assert parsed.label == "c.json"
    assert parsed.to_json()["RepoTags"] == []


def test_keys_match_in_any_case_as_in_go() -> None:
    (parsed,) = parse([{"config": "c.json", "REPOTAGS": ["a:1"], "layers": ["x"], "Other": 1}])
    assert (parsed.config, parsed.repo_tags, parsed.layers) == ("c.json", ("a:1",), ("x",))


def test_the_exact_key_wins() -> None:
    for order in (("config", "Config"), ("Config", "config")):
        (parsed,) = parse([{key: key for key in order}])
        assert parsed.config == "Config"


@pytest.mark.parametrize(
    "document",
    [
        {},
        None,
        [None],
        [[]],
        [{}],
        [{"Config": ""}],
        [{"Config": 1}],
        [ITEM | {"Layers": "x"}],
        [ITEM | {"Layers": [None]}],
        [ITEM | {"RepoTags": "x"}],
        [ITEM | {"RepoTags": [1]}],
        [ITEM | {"LayerSources": []}],
        [ITEM | {"LayerSources": {"x": {}}}],
        [ITEM | {"LayerSources": {DIGEST: {"size": -1, "digest": DIGEST}}}],
    ],
    ids=str,
)
def test_malformed(document: object) -> None:
    with pytest.raises(MalformedError, match=r"^manifest\.json: "):
        parse(document)


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("one:1", "one:1"),
        ("one:latest", "one"),
        ("docker.io/library/one:1", "one:1"),
        ("one:1", "docker.io/library/one:1"),
        ("one:1", "index.docker.io/library/one:1"),
        ("user/one:1", "docker.io/user/one:1"),
        ("example.org/one:V1", "example.org/one:V1"),
        ("example.org/one:v1", "v1"),
        ("example.org/one:RC1", "RC1"),
    ],
)
def test_names_compare_in_full(tag: str, name: str) -> None:
    assert choose([item("other:2"), item("more:3", tag)], name) == (1, (tag,))


@pytest.mark.parametrize("bad", ["", "UPPER:1", "a b", "x@sha256:1", "::::", "\ud800"])
def test_a_malformed_name_does_not_hide_others(bad: str) -> None:
    items = [item(bad), item("one:1", bad)]
    assert choose(items, "one:1") == (1, ("one:1",))
    assert choose(items, index=0) == (0, (bad,))


def test_a_shared_tag_is_ambiguous_and_the_full_name_works() -> None:
    items = [item("one:latest"), item("two:latest", "again:latest")]
    with pytest.raises(AmbiguousImageError, match="several images are named 'latest'") as caught:
        choose(items, "latest")
    assert caught.value.available == ("one:latest", "two:latest", "again:latest")
    assert choose(items, "two:latest") == (1, ("two:latest",))


def test_a_tag_twice_on_one_image_is_not_ambiguous() -> None:
    position, names = choose([item("one:v", "two:v"), item("three:w")], "v")
    assert (position, names) == (0, ("one:v",))


def test_names_take_precedence_over_tags() -> None:
    assert choose([item("x:one"), item("one:latest")], "one") == (1, ("one:latest",))


def test_no_selector() -> None:
    assert choose([item("a:1", "b:2")]) == (0, ("a:1", "b:2"))
    with pytest.raises(ImageNotFoundError, match="contains no image"):
        choose([])
    with pytest.raises(AmbiguousImageError, match="contains 2 images and none was selected"):
        choose([item("a:1"), item("b:2")])


def test_a_position_beyond_the_end_reports_the_number_of_images() -> None:
    with pytest.raises(
        ImageNotFoundError, match=r"^a\.tar: no image @1: there is one image, @0; available: a:1$"
    ):
        choose([item("a:1")], index=1)


def test_an_unknown_name() -> None:
    with pytest.raises(ImageNotFoundError, match=r"no image 'b'; available: a:1"):
        choose([item("a:1")], "b")


@pytest.mark.parametrize("name", ["a@" + DIGEST, "a:1@" + DIGEST])
def test_digests_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="has a digest"):
        choose([item("a:1")], name)


def test_an_invalid_name() -> None:
    with pytest.raises(UsageError, match="neither an image name nor a tag"):
        choose([item("a:1")], "Not/A name")
