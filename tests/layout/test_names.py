"""Test the names that a layout accepts, and that existing names stay readable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.hostile.image import layout
from tarkit.copying.engine import copy_image
from tarkit.errors import UsageError
from tarkit.layout.names import REF_NAME, is_name
from tarkit.transports.location import Location, open_reader, open_source, open_writer
from tests.hostile.running import run_here

HEX = "a" * 64
VALID = [
    "latest", "1.0", "v1_2", "_x", "1.0-", "A+b", "a--b", "a@b", "app:1.0", "a__b/c:1", "a---b:1",
    "registry.example:5000/group/app:1.0", f"app@sha256:{HEX}", f"app:1@sha256:{HEX}",
    "t" * 128, f"r.io/{'p' * 255}:{'t' * 128}",
]  # fmt: skip
INVALID = [
    "", " ", "a b", "../../x", "/x", "x/", "a//b", ".x", "-x", "a:", ":a", "a\n", "a\tb", "a\x00", "\x1b[31m",
    "\udcff", "\ud800", "é", "a" * 300, "a/" * 200 + "a", "a\\b", "a*", "$(x)",
]  # fmt: skip


@pytest.mark.parametrize("name", VALID)
def test_names_of_the_specification_and_of_tools_are_valid(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", INVALID)
def test_other_text_is_no_name(name: str) -> None:
    assert not is_name(name)


GRAMMAR = re.compile(  # containers/image, oci/internal: what skopeo and podman accept
    r"([A-Za-z0-9]+(((-|\.|_|:|@|\+)|--)[A-Za-z0-9]+)*)(/[A-Za-z0-9]+(((-|\.|_|:|@|\+)|--)[A-Za-z0-9]+)*)*"
)


@given(st.text(alphabet="aZ0-._:@+/", max_size=12))
def test_names_that_skopeo_accepts_are_valid(name: str) -> None:
    if GRAMMAR.fullmatch(name):
        assert is_name(name)


@given(st.text(max_size=12))
def test_valid_names_are_plain_and_stay_inside(name: str) -> None:
    if is_name(name):
        assert name.isascii()
        assert name.isprintable()
        assert ".." not in name.split("/")
        assert not name.startswith("/")


@pytest.mark.parametrize("transport", ["oci", "oci-archive"])
@pytest.mark.parametrize("name", INVALID)
def test_invalid_names_are_not_written(
    fixtures: Path, tmp_path: Path, transport: str, name: str
) -> None:
    out = f"{transport}:{tmp_path / 'out'}"
    if "\x00" not in name:  # no command line can hold it
        result = run_here("copy", str(fixtures / "hello.tar"), out, "--tag", name)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert result.err.isprintable() or result.err[:-1].isprintable()
    writer = open_writer(out)
    with pytest.raises(UsageError), writer:
        writer.destination(name)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["../../x", "a b", "\x1b[31m"])
def test_existing_invalid_names_are_read_but_not_inherited(tmp_path: Path, name: str) -> None:
    path = layout({("manifests", 0, "annotations"): {REF_NAME: name}})(tmp_path)
    with open_reader(f"oci:{path}") as reader:
        assert reader.source(name).names == (name,)
    verified = run_here("verify", f"oci:{path}")
    assert verified.code == 0
    assert "warning  invalid-name" in verified.out
    assert run_here("copy", f"oci:{path}", f"oci:{tmp_path / 'out'}").code == 0
    with open_reader(f"oci:{tmp_path / 'out'}") as reader:
        assert [image.names for image in reader.images()] == [()]


def test_invalid_names_survive_additions_to_an_archive(tmp_path: Path) -> None:
    """Only new names are checked: an addition must not lose the images of an archive."""
    path = layout({("manifests", 0, "annotations"): {REF_NAME: "a b"}})(tmp_path)
    archive = Location.parse(f"oci-archive:{tmp_path / 'odd.tar'}")
    with open_reader(f"oci:{path}") as reader, open_writer(archive) as writer:
        keeping = writer.keeping(reader.images()[0], ["a b"])  # type: ignore[attr-defined]
        copy_image(reader.source(), keeping)
    with open_source(archive) as source:
        assert source.names == ("a b",)
    assert run_here("copy", f"oci:{path}", f"{archive}:new").code == 0
    with open_reader(archive) as reader:
        assert [image.names for image in reader.images()] == [("a b",), ("new",)]


@pytest.mark.parametrize(
    "transport", ["oci", "oci-archive", "docker-archive", "docker", "docker-daemon"]
)
def test_an_empty_name_is_refused(fixtures: Path, tmp_path: Path, transport: str) -> None:
    path = {"docker": "//localhost:1/x:1", "docker-daemon": "x:1"}.get(transport, tmp_path / "out")
    result = run_here("copy", str(fixtures / "hello.tar"), f"{transport}:{path}", "--tag", "")
    assert result.code == 2
    assert "cannot be empty" in result.err
