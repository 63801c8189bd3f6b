"""Locations: parsing, formatting and opening."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import ImageNotFoundError, PathNotFoundError, UsageError
from tarkit.transports.location import (
    Location,
    Transport,
    open_reader,
    open_source,
    open_writer,
)
from tests.builders import docker_archive, layout_of, listing, make_image, write_files

NAMED = [Transport.DOCKER_ARCHIVE, Transport.OCI, Transport.OCI_ARCHIVE]
paths = st.text(st.characters(blacklist_characters=":\0", codec="utf-8"), min_size=1, max_size=20)
names = st.text(min_size=1, max_size=20).filter(lambda name: not name.startswith("@"))
IMAGE = make_image("one")


@given(
    st.sampled_from(NAMED),
    paths,
    st.one_of(
        st.just((None, None)),
        names.map(lambda n: (n, None)),
        st.integers(0, 99).map(lambda i: (None, i)),
    ),
)
def test_locations_round_trip(
    transport: Transport, path: str, selector: tuple[str | None, int | None]
) -> None:
    location = Location(transport, path, *selector)
    assert Location.parse(str(location)) == location


@given(st.text(max_size=30))
def test_any_text_is_a_location_or_a_usage_error(text: str) -> None:
    try:
        location = Location.parse(text)
    except UsageError:
        return
    assert Location.parse(str(location)) == location


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("oci:dir", Location(Transport.OCI, "dir")),
        ("oci:dir:", Location(Transport.OCI, "dir")),
        ("oci:dir:app", Location(Transport.OCI, "dir", "app")),
        ("oci:dir:a.b/c:1", Location(Transport.OCI, "dir", "a.b/c:1")),
        ("oci:dir:@3", Location(Transport.OCI, "dir", index=3)),
        ("oci:dir:a@b", Location(Transport.OCI, "dir", "a@b")),
        ("oci:dir:@x", Location(Transport.OCI, "dir", "@x")),
        ("oci:/abs/dir:1", Location(Transport.OCI, "/abs/dir", "1")),
        ("oci-archive:a.tar:app", Location(Transport.OCI_ARCHIVE, "a.tar", "app")),
        ("docker-archive:a.tar:app:1", Location(Transport.DOCKER_ARCHIVE, "a.tar", "app:1")),
        ("docker-archive:-:app:1", Location(Transport.DOCKER_ARCHIVE, "-", "app:1")),
        ("dir:a:b", Location(Transport.DIR, "a:b")),
        ("a.tar", Location(Transport.ANY, "a.tar")),
        ("./oci:dir", Location(Transport.ANY, "./oci:dir")),
        ("/a/b:c", Location(Transport.ANY, "/a/b:c")),
        ("-", Location(Transport.ANY, "-")),
        (r"C:\images\a.tar", Location(Transport.ANY, r"C:\images\a.tar")),
        ("C:/images/a.tar", Location(Transport.ANY, "C:/images/a.tar")),
        (r"oci:C:\images", Location(Transport.OCI, r"C:\images")),
        (r"oci:C:\images:app", Location(Transport.OCI, r"C:\images", "app")),
        ("oci:C:/images:app:1", Location(Transport.OCI, "C:/images", "app:1")),
        (r"oci:C:\images:@2", Location(Transport.OCI, r"C:\images", index=2)),
        (r"dir:C:\images", Location(Transport.DIR, r"C:\images")),
    ],
)
def test_parsing(text: str, expected: Location) -> None:
    assert Location.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "oci:", "oci::app", "dir:", "docker-archive:", "oci-archive::@1", "oci:a\0b", "a\0b"],
)
def test_a_path_is_required(text: str) -> None:
    with pytest.raises(UsageError, match="no path in the location"):
        Location.parse(text)


def test_an_unknown_transport_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown transport 'ocy' .* docker-archive, oci, "):
        Location.parse("ocy:dir")


def test_a_file_that_looks_like_a_transport(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ab:cd").write_bytes(b"")
    assert Location.parse("ab:cd") == Location(Transport.ANY, "ab:cd")


def test_a_position_of_any_length_parses() -> None:
    assert Location.parse("oci:dir:@" + "9" * 5000).index is None


@pytest.fixture
def places(tmp_path: Path) -> Path:
    """A directory with an image in every format."""
    docker_archive(tmp_path / "docker.tar", (IMAGE, ["one:1"]))
    write_files(tmp_path / "layout", layout_of(IMAGE))
    return tmp_path


def test_open_source_takes_a_text(places: Path) -> None:
    with open_source(f"docker-archive:{places / 'docker.tar'}:one:1") as source:
        assert source.names == ("one:1",)


@pytest.mark.parametrize("transport", ["docker-archive", "oci", "oci-archive", "dir"])
def test_a_missing_path_is_not_found(tmp_path: Path, transport: str) -> None:
    with pytest.raises(PathNotFoundError, match="gone"):
        open_reader(f"{transport}:{tmp_path / 'gone'}")


def test_a_directory_cannot_be_read_from_a_pipe() -> None:
    for text in ("oci:-", "dir:-"):
        with pytest.raises(UsageError, match="not a pipe"):
            open_reader(text)


def test_a_directory_cannot_be_written_to_a_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("oci:-", "dir:-"):
        with pytest.raises(UsageError, match="not a pipe"):
            open_writer(text)
    assert listing(tmp_path) == []


def test_a_plain_path_is_no_destination() -> None:
    with pytest.raises(UsageError, match="write oci:out, docker-archive:out or oci-archive:out"):
        open_writer("out")


def test_a_position_is_no_destination() -> None:
    with pytest.raises(UsageError, match="position @1"):
        open_writer("oci:out:@1")


def test_an_unknown_name_is_not_found(places: Path) -> None:
    with (
        open_reader(f"oci:{places / 'layout'}") as reader,
        pytest.raises(ImageNotFoundError),
    ):
        reader.source("other")
