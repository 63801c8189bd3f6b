"""Test layer annotations: a copy keeps them unless they describe bytes that changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tarkit.copying.options import LayerCompression
from tests.builders import (
    Layout,
    check_layout,
    copy,
    load,
    make_image,
    named,
    read_files,
    write_files,
)

ONE = make_image("one")
TOC = "containerd.io/snapshot/stargz/toc.digest"
CHUNKED = "io.github.containers.zstd-chunked.manifest-position"
NOTE = "org.example.note"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {TOC, CHUNKED, NOTE}),
        ({"compression": LayerCompression.PRESERVE}, {TOC, CHUNKED, NOTE}),
        ({"compression": LayerCompression.ZSTD}, {NOTE}),
        ({"compression": LayerCompression.NONE}, {NOTE}),
        ({"compression": LayerCompression.GZIP}, {TOC, CHUNKED, NOTE}),
    ],
)
def test_annotations_about_bytes_are_dropped_with_them(
    tmp_path: Path, options: dict[str, Any], expected: set[str]
) -> None:
    layout = Layout()
    said = {"annotations": dict.fromkeys((TOC, CHUNKED, NOTE), "1")}
    entry = layout.image(ONE, layer_fields=[said])
    write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    for _ in ("moved", "reused"):
        copy(f"oci:{tmp_path / 'in'}:x", f"oci:{tmp_path / 'out'}:y", **options)
        files = read_files(tmp_path / "out")
        layers = load(files, check_layout(files)["manifests"][0])["layers"]
        assert layers[0]["annotations"].keys() == expected
