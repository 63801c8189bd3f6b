"""References: the grammar, Docker's normalization and short forms."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tarkit.errors import UsageError
from tarkit.image.digest import Digest
from tarkit.image.reference import Reference

HEX = "0123456789abcdef" * 4

component = st.from_regex(r"[a-z0-9]{1,4}((\.|_|__|-{1,2})[a-z0-9]{1,3})?", fullmatch=True)
paths = st.lists(component, min_size=1, max_size=3).map("/".join)
domains = st.one_of(
    st.just("docker.io"),
    st.just("localhost"),
    st.from_regex(r"[a-zA-Z0-9]{1,4}\.[a-z]{2,3}(:[0-9]{1,5})?", fullmatch=True),
    st.sampled_from(["[::1]:5000", "[2001:db8::1]", "LOCALHOST", "registry:80"]),
)
tags = st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,7}", fullmatch=True)
digests = st.none() | st.binary(max_size=2).map(Digest.of)
references = st.builds(Reference, domains, paths, tags, digests)


@given(references)
def test_full_names_read_back(reference: Reference) -> None:
    assume(reference.domain != "docker.io" or "/" in reference.path)
    assert Reference.parse(str(reference)) == reference


@given(references)
def test_the_short_form_is_equivalent(reference: Reference) -> None:
    assume(reference.domain != "docker.io" or "/" in reference.path)
    assert Reference.parse(reference.familiar) == reference


@given(st.text(max_size=30))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UsageError:
        return
    assert Reference.parse(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "full", "familiar"),
    [
        ("busybox", "docker.io/library/busybox", "busybox"),
        ("busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"),
        ("library/busybox", "docker.io/library/busybox", "busybox"),
        ("docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/busybox", "docker.io/library/busybox", "busybox"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox", "busybox"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("a/b/c", "docker.io/a/b/c", "a/b/c"),
        ("library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:1", "localhost:5000/app:1", "localhost:5000/app:1"),
        ("Registry/app", "Registry/app", "Registry/app"),
        ("example.org/app", "example.org/app", "example.org/app"),
        ("EXAMPLE.org/app", "EXAMPLE.org/app", "EXAMPLE.org/app"),
        ("example:80/app", "example:80/app", "example:80/app"),
        ("[::1]:5000/app:x", "[::1]:5000/app:x", "[::1]:5000/app:x"),
        (f"a@sha256:{HEX}", f"docker.io/library/a@sha256:{HEX}", f"a@sha256:{HEX}"),
        (f"a:b@sha256:{HEX}", f"docker.io/library/a:b@sha256:{HEX}", f"a:b@sha256:{HEX}"),
        ("docker.io/a.b/c", "docker.io/a.b/c", "docker.io/a.b/c"),
        ("docker.io/localhost/c", "docker.io/localhost/c", "docker.io/localhost/c"),
        ("a__b/c--d.e", "docker.io/a__b/c--d.e", "a__b/c--d.e"),
        (HEX[:63], f"docker.io/library/{HEX[:63]}", HEX[:63]),
        ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128, "a:" + "t" * 128),
    ],
)
def test_normalisation(text: str, full: str, familiar: str) -> None:
    reference = Reference.parse(text)
    assert (str(reference), reference.familiar) == (full, familiar)


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEX,
        ":tag",
        "@sha256:" + HEX,
        "a:",
        "a@",
        "a:b:c",
        "a/",
        "/a",
        "a//b",
        "-a/b",
        "a-",
        "a..b",
        "a___b",
        "a_-b",
        "Busybox",
        "user/App",
        "https://example.org/app",
        "example.org:port/app",
        "example.org/app:-tag",
        "a:" + "t" * 129,
        "a" * 256,
        "a@sha256:short",
        "a@md5:" + HEX[:32],
        "a b",
        "a\n",
        "é",
        "a:täg",
        "[::1/app",
        "a/../b",
    ],
)
def test_rejects(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


def test_an_upper_case_name_gets_a_hint() -> None:
    with pytest.raises(UsageError, match="repository names must be lower case"):
        Reference.parse("user/App")


def test_latest_is_the_default_without_tag_and_digest() -> None:
    assert Reference.parse("a").tagged().tag == "latest"
    assert Reference.parse("a:b").tagged().tag == "b"
    assert Reference.parse(f"a@sha256:{HEX}").tagged().tag == ""


def test_the_repository_has_neither_tag_nor_digest() -> None:
    assert Reference.parse(f"a:b@sha256:{HEX}").repository == "docker.io/library/a"
