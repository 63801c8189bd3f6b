"""Test ``tarkit digest``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import Layout, layout_of, multi_platform, named, sha256, write_files
from tests.cli.conftest import ONE, Tarkit


def test_the_digest_is_that_of_the_manifest(tarkit: Tarkit, tmp_path: Path) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    write_files(tmp_path / "in", layout.finish(named(entry, "app")))
    result = tarkit("digest", f"oci:{tmp_path / 'in'}:app")
    assert (result.code, result.out, result.err) == (0, f"{entry['digest']}\n", "")
    document = tarkit("digest", "--json", f"oci:{tmp_path / 'in'}").document
    assert document == {"digest": entry["digest"], "media_type": entry["mediaType"]}


def test_an_index_has_a_digest_for_each_platform(tarkit: Tarkit, tmp_path: Path) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "in", layout.finish(named(index, "app")))
    where = f"oci:{tmp_path / 'in'}"
    assert tarkit("digest", where).out == f"{index['digest']}\n"
    lines = [line.split() for line in tarkit("digest", "--all", where).out.splitlines()]
    assert [platform for _, platform in lines] == ["linux/amd64", "linux/arm64"]
    document = tarkit("digest", "--all", "--json", where).document
    assert document["digest"] == index["digest"]
    assert [[each["digest"], each["platform"]] for each in document["manifests"]] == lines
    chosen = tarkit("digest", "--platform", "linux/arm64", where).out.strip()
    assert chosen == lines[1][0]
    raw = tarkit("inspect", "--raw", "--platform", "linux/arm64", where).out.encode()
    assert sha256(raw) == chosen


def test_all_of_a_single_image_is_one_line(tarkit: Tarkit, tmp_path: Path) -> None:
    write_files(tmp_path / "in", layout_of(ONE, "app"))
    where = f"oci:{tmp_path / 'in'}"
    only = tarkit("digest", where).out.strip()
    assert tarkit("digest", "--all", where).out == f"{only}  linux/amd64\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("--all", "--platform", "linux/arm64"), 2), (("--platform", "linux/s390x"), 3)],
)
def test_refusals(tarkit: Tarkit, tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    layout, index, _ = multi_platform("amd64", "arm64")
    write_files(tmp_path / "in", layout.finish(named(index, "app")))
    result = tarkit("digest", *arguments, f"oci:{tmp_path / 'in'}")
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("tarkit: ")
