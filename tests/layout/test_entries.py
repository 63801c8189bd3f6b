"""Adding entries to an index, and the entries they replace."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tarkit.image.descriptor import Descriptor
from tarkit.image.manifest import Index, RawManifest
from tarkit.image.media_types import OCI_INDEX, OCI_MANIFEST
from tarkit.layout.entries import EMPTY_INDEX, named_entries, with_entries
from tarkit.layout.names import CONTAINERD_NAME, REF_NAME, answers_to, names_of, normalized


def manifest(text: str) -> RawManifest:
    return RawManifest.of(text.encode(), OCI_MANIFEST)


def index_of(*entries: Descriptor) -> Index:
    return Index(OCI_INDEX, entries, annotations={"kept": "yes"}, extra={"vendor": 1})


def add(index: Index, text: str, *names: str) -> Index:
    return with_entries(index, named_entries(manifest(text), names))


def listed(index: Index) -> list[tuple[str | None, str]]:
    return [(entry.annotations.get(REF_NAME), str(entry.digest)[7:11]) for entry in index.manifests]


A, B, C = (str(manifest(text).digest)[7:11] for text in "abc")


def test_a_new_name_is_added_at_the_end() -> None:
    index = add(add(EMPTY_INDEX, "a", "one"), "b", "two")
    assert listed(index) == [("one", A), ("two", B)]


def test_a_new_entry_replaces_the_old_one_in_place() -> None:
    index = add(add(EMPTY_INDEX, "a", "one"), "b", "two")
    assert listed(add(index, "c", "one")) == [("one", C), ("two", B)]


def test_the_same_digest_under_two_names_is_two_entries() -> None:
    assert listed(add(EMPTY_INDEX, "a", "one", "two", "one")) == [("one", A), ("two", A)]


def test_without_a_name_only_the_same_digest_is_replaced() -> None:
    index = add(add(add(EMPTY_INDEX, "a"), "b"), "a")
    assert listed(index) == [(None, A), (None, B)]
    assert listed(add(add(EMPTY_INDEX, "a", "one"), "a")) == [("one", A), (None, A)]


def called(text: str, full: str, tag: str) -> Descriptor:
    annotations = {CONTAINERD_NAME: full, REF_NAME: tag, "vendor": "kept"}
    return replace(Descriptor.of(text.encode(), OCI_MANIFEST), annotations=annotations)


def test_a_full_name_replaces_containerds_entry() -> None:
    full = "docker.io/library/app:1"
    index = index_of(called("a", full, "1"))
    assert listed(add(index, "b", full)) == [(full, B)]
    assert listed(add(index, "b", "other")) == [("1", A), ("other", B)]


def test_a_tag_moves_and_entries_with_full_names_stay() -> None:
    """Docker tags each saved image ``latest`` besides its full name; both images must be kept."""
    names = ("docker.io/library/one:latest", "docker.io/library/two:latest")
    index = index_of(
        *(called(text, name, "latest") for text, name in zip("ab", names, strict=True))
    )
    result = add(index, "c", "latest")
    assert listed(result) == [(None, A), (None, B), ("latest", C)]
    assert [entry.annotations for entry in result.manifests[:2]] == [
        {CONTAINERD_NAME: name, "vendor": "kept"} for name in names
    ]


def test_other_fields_are_kept() -> None:
    index = add(index_of(), "a", "one")
    assert (index.annotations, index.extra) == ({"kept": "yes"}, {"vendor": 1})


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", "z"])), max_size=8))
def test_every_name_belongs_to_the_latest_image(steps: list[tuple[str, str]]) -> None:
    index = EMPTY_INDEX
    for text, name in steps:
        index = add(index, text, name)
    expected = {name: str(manifest(text).digest)[7:11] for text, name in steps}
    assert sorted(listed(index)) == sorted(expected.items())


@given(st.sampled_from("abc"), st.lists(st.sampled_from(["x", "y"]), max_size=3))
def test_adding_is_idempotent(text: str, names: list[str]) -> None:
    once = add(add(EMPTY_INDEX, "b", "x"), text, *names)
    assert add(once, text, *names) == once


def test_the_full_name_takes_precedence() -> None:
    assert names_of({REF_NAME: "1", CONTAINERD_NAME: "docker.io/a/b:1"}) == ("docker.io/a/b:1", "1")
    assert names_of({REF_NAME: "1", CONTAINERD_NAME: "1"}) == ("1",)
    assert names_of({}) == ()


def test_answers_to() -> None:
    annotations = {REF_NAME: "1", CONTAINERD_NAME: "docker.io/library/app:1"}
    assert answers_to(annotations, "app:1")
    assert answers_to(annotations, "1")
    assert not answers_to(annotations, "app")
    assert not answers_to({REF_NAME: "app:1"}, "docker.io/library/app:1")
    assert normalized("App") is None
