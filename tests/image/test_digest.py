"""Digests: the grammar, registered algorithms and errors."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import MalformedError, UnsupportedError
from tarkit.image.digest import Digest

EMPTY = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_digest_of_empty_content() -> None:
    assert str(Digest.of(b"")) == EMPTY


@given(st.sampled_from(["sha256", "sha384", "sha512"]), st.binary(max_size=64))
def test_round_trip_of_text(algorithm: str, data: bytes) -> None:
    digest = Digest.of(data, algorithm)
    assert Digest.parse(str(digest)) == digest
    assert digest.hex == hashlib.new(algorithm, data).hexdigest()
    assert digest.matches(data)
    assert not digest.matches(data + b"x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256:",
        ":" + "a" * 64,
        "sha256:" + "a" * 63,
        "sha256:" + "a" * 65,
        "sha256:" + "A" * 64,
        "sha256:" + "g" * 64,
        "SHA256:" + "a" * 64,
        "sha512:" + "a" * 64,
        "sha256:../" + "a" * 61,
        "sha256:" + "a" * 64 + "\n",
        " sha256:" + "a" * 64,
        "sha256:" + "٣" * 64,
    ],
)
def test_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        Digest.parse(text)


@pytest.mark.parametrize("text", ["md5:" + "a" * 32, "blake3:" + "a" * 64, "multihash+b58:Qm12"])
def test_unregistered_algorithms_are_rejected(text: str) -> None:
    with pytest.raises(UnsupportedError, match="unknown digest algorithm"):
        Digest.parse(text)


def test_errors_name_the_document() -> None:
    with pytest.raises(MalformedError, match=r"^index\.json: malformed digest 'x'$"):
        Digest.parse("x", where="index.json")


def test_digest_from_a_blob_path() -> None:
    assert Digest.from_parts("sha256", "a" * 64) == Digest("sha256", "a" * 64)
    assert Digest.from_parts("sha512", "a" * 64) is None
    assert Digest.from_parts("sha256", "A" * 64) is None
    assert Digest.from_parts("md5", "a" * 32) is None
