"""Descriptors survive a round trip, including unknown fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest

DIGEST = "sha256:" + "a" * 64
PLAIN = {"mediaType": "application/vnd.example", "digest": DIGEST, "size": 3}
FULL = PLAIN | {
    "urls": ["https://example.org/a"],
    "annotations": {"a": "b"},
    "data": "YWJj",
    "artifactType": "application/x",
    "platform": {"architecture": "arm", "os": "linux", "variant": "v7", "vendor": [1]},
    "x-unknown": {"kept": [True, None]},
}


@pytest.mark.parametrize("document", [PLAIN, FULL])
def test_reading_and_writing_preserves_the_document(document: dict[str, Any]) -> None:
    assert Descriptor.from_json(document).to_json() == document


def test_every_field_is_parsed() -> None:
    descriptor = Descriptor.from_json(FULL)
    assert descriptor.size == 3
    assert descriptor.data == b"abc"
    assert descriptor.urls == ("https://example.org/a",)
    assert str(descriptor.platform) == "linux/arm/v7"
    assert descriptor.extra == {"x-unknown": {"kept": [True, None]}}


def test_null_reads_as_missing_as_in_go() -> None:
    nulls = dict.fromkeys(("urls", "annotations", "data", "artifactType", "platform"))
    assert Descriptor.from_json(PLAIN | nulls) == Descriptor.from_json(PLAIN)


def test_descriptor_of_bytes() -> None:
    descriptor = Descriptor.of(b"{}", "text/plain")
    assert (descriptor.size, descriptor.media_type) == (2, "text/plain")
    assert descriptor.digest.matches(b"{}")


@pytest.mark.parametrize(
    "change",
    [
        {"size": -1},
        {"size": 1 << 63},
        {"size": 1.0},
        {"size": True},
        {"size": "3"},
        {"size": None},
        {"digest": None},
        {"digest": "nonsense"},
        {"digest": 7},
        {"mediaType": []},
        {"urls": "https://example.org"},
        {"urls": [1]},
        {"annotations": {"a": 1}},
        {"annotations": []},
        {"data": "not base64!"},
        {"data": "YWJ"},
        {"platform": "linux/amd64"},
        {"platform": {"os": 1}},
    ],
    ids=str,
)
def test_malformed(change: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        Descriptor.from_json(PLAIN | change)


def test_an_unknown_algorithm_is_unsupported() -> None:
    with pytest.raises(UnsupportedError):
        Descriptor.from_json(PLAIN | {"digest": "md5:" + "a" * 32})


@given(st.integers(0, (1 << 63) - 1), st.dictionaries(st.text(), st.text(), max_size=3))
def test_round_trip(size: int, annotations: dict[str, str]) -> None:
    document = PLAIN | {"size": size} | ({"annotations": annotations} if annotations else {})
    assert Descriptor.from_json(document).to_json() == document


STALE = {
    "containerd.io/snapshot/stargz/toc.digest": "sha256:a",
    "io.containers.estargz.uncompressed-size": "7",
    "io.github.containers.zstd-chunked.manifest-checksum": "sha256:b",
    "io.github.containers.zstd-chunked.manifest-position": "1:2:3:1",
    "io.github.containers.zstd-chunked.tarsplit-position": "1:2:3",
    "io.containers.zstd-chunked.manifest-position": "1:2:3:1",
    "containerd.io/snapshot/nydus-blob": "true",
    "containerd.io/snapshot/nydus-blob-digest": "sha256:c",
    "containerd.io/snapshot/nydus-ref": "sha256:d",
    "containerd.io/snapshot/overlaybd/blob-size": "9",
}
LASTING = {
    "org.example.note": "stays",
    "org.opencontainers.image.title": "stays",
    "containerd.io/uncompressed": "sha256:e",
    "containerd.io/snapshot/nydus-bootstrap": "true",
    "containerd.io/snapshot/overlaybd/version": "0.1",
    "example.io.github.containers.zstd-chunked.manifest-position": "stays",
}


def test_new_content_drops_data_about_the_old_bytes() -> None:
    old = Descriptor.from_json(
        PLAIN | {"annotations": STALE | LASTING, "urls": ["https://example.org/a"], "data": "YWJj"}
    )
    new = old.with_content("application/x", Digest.of(b"new"), 3)
    assert new.annotations == LASTING
    assert new.urls == ()
    assert new.data is None


def test_same_content_with_another_type_keeps_everything() -> None:
    old = Descriptor.from_json(PLAIN | {"annotations": STALE, "urls": ["https://example.org/a"]})
    new = old.with_content("application/x", old.digest, old.size)
    assert (new.annotations, new.urls) == (STALE, old.urls)
