"""Test small inputs that demand much: each is one finding, and the rest is still verified."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from fixtures.hostile.tarball import tar as hostile_tar
from tarkit.verifying.runner import verify
from tests.builders import Files, Image, Layout, make_image, named, sha256, squeeze, write_files

ONE, TWO = make_image("one"), make_image("two")


def images(config: bytes) -> Files:
    """Return a layout of two images, one with *config* and one with a wrong diff ID."""
    layout = Layout()
    first = layout.image(Image(ONE.layers, config))
    second = layout.image(Image(ONE.layers, TWO.config))
    return layout.finish(named(first, "first"), named(second, "second"))


def config_with(text: str) -> bytes:
    """Return a config with an additional field that holds the JSON *text*."""
    return ONE.config[:-1] + b', "much": ' + text.encode() + b"}"


@pytest.mark.parametrize(
    "text",
    [
        "[" + ",".join(["{}"] * 1_000_000) + "]",
        "[" * 100_000 + "]" * 100_000,
        '{"a":' * 500 + "1" + "}" * 500,
        "9" * 1_000_000,
        "1e1000000",
        '"' + "a" * (5 << 20) + '"',
    ],
    ids=["values", "lists", "objects", "digits", "infinite", "long"],
)
@pytest.mark.parametrize("archive", [False, True])
def test_demanding_documents_do_not_stop_the_report(
    tmp_path: Path, text: str, archive: bool
) -> None:
    files = images(config_with(text))
    path = tmp_path / "in"
    if archive:
        path.write_bytes(hostile_tar(files))
    else:
        write_files(path, files)
    found = [finding.rule for finding in verify(str(path)).findings]
    assert sorted(found) == ["diff-id-mismatch", "malformed-document"]


def test_long_valid_documents_are_accepted(tmp_path: Path) -> None:
    history = [{"created_by": f"step {number}", "empty_layer": True} for number in range(30_000)]
    config = json.loads(ONE.config) | {"history": [{}, *history]}
    layout = Layout()
    entry = layout.image(Image(ONE.layers, json.dumps(config).encode()))
    path = write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    assert verify(str(path)).findings == ()


def window(data: bytes) -> bytes:
    """Return *data* in a zstd frame with a window of 2 GiB."""
    return (
        b"\x28\xb5\x2f\xfd\0" + bytes([21 << 3]) + (len(data) << 3 | 1).to_bytes(3, "little") + data
    )


def dictionary(data: bytes) -> bytes:
    """Return *data* in a zstd frame that needs a dictionary."""
    return b"\x28\xb5\x2f\xfd\x01\x58\x07" + (len(data) << 3 | 1).to_bytes(3, "little") + data


@pytest.mark.parametrize(
    ("pack", "rule"),
    [
        (window, "unsupported"),
        (dictionary, "unsupported"),
        (lambda d: squeeze(d)[:-3], "corrupt-layer"),
    ],
)
def test_only_damage_is_called_corrupt(
    tmp_path: Path, pack: Callable[[bytes], bytes], rule: str
) -> None:
    layout = Layout()
    kind = "zstd" if rule == "unsupported" else "gzip"
    layer_type = f"application/vnd.oci.image.layer.v1.tar+{kind}"
    entry = layout.image(ONE, pack=pack, layer_type=layer_type)
    path = write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    assert [finding.rule for finding in verify(str(path)).findings] == [rule]


def test_an_archive_that_is_not_read_is_not_called_malformed(tmp_path: Path) -> None:
    (tmp_path / "in.tar.zst").write_bytes(window(b"x" * 600))
    found = verify(f"oci-archive:{tmp_path / 'in.tar.zst'}").findings
    assert [finding.rule for finding in found] == ["unsupported"]
    assert "2048 MiB" in found[0].message


def test_many_members_are_one_layer(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18" + bytes(4)
    packs: list[Callable[[bytes], bytes]] = [
        lambda data: squeeze(b"") * 2_000 + squeeze(data),
        lambda data: skippable * 2_000 + zstandard.ZstdCompressor().compress(data) + skippable,
    ]
    for number, pack in enumerate(packs):
        layout = Layout()
        kind = ("gzip", "zstd")[number]
        layer_type = f"application/vnd.oci.image.layer.v1.tar+{kind}"
        entry = layout.image(ONE, pack=pack, layer_type=layer_type)
        path = write_files(tmp_path / kind, layout.finish(named(entry, "x")))
        assert verify(str(path)).findings == ()


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from([sha256(b""), "sha512:x", "blake3:" + "a" * 64, "application/json", "linux"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


def mutate(document: Any, path: list[int], value: object) -> Any:
    """Return *document* with *value* inserted at *path*."""
    if not path or not isinstance(document, dict | list) or not document:
        return value
    keys = list(document) if isinstance(document, dict) else list(range(len(document)))
    key = keys[path[0] % len(keys)]
    copy = dict(document) if isinstance(document, dict) else list(document)
    copy[key] = mutate(document[key], path[1:], value)
    return copy


@given(
    st.sampled_from(["index.json", "oci-layout", "manifest", "config"]),
    st.lists(st.integers(0, 20), max_size=4),
    ODD,
)
def test_no_document_stops_the_report(
    tmp_path_factory: pytest.TempPathFactory, which: str, path: list[int], value: object
) -> None:
    layout = Layout()
    entry = layout.image(Image(ONE.layers, TWO.config))
    config = mutate(json.loads(ONE.config), path, value) if which == "config" else None
    image = Image(ONE.layers, json.dumps(config).encode()) if config else ONE
    other = layout.image(image)
    if which == "manifest":
        name = f"blobs/sha256/{other['digest'][7:]}"
        changed = mutate(json.loads(layout.files.pop(name)), path, value)
        other = layout.blob(json.dumps(changed).encode(), other["mediaType"])
    files = layout.finish(named(other, "first"), named(entry, "second"))
    if which in files:
        files[which] = json.dumps(mutate(json.loads(files[which]), path, value)).encode()
    directory = write_files(tmp_path_factory.mktemp("in"), files)
    report = verify(f"oci:{directory}")
    if which != "index.json":
        assert "diff-id-mismatch" in {finding.rule for finding in report.findings}


@pytest.mark.parametrize("count", [8, 500])
def test_chains_of_subjects_are_followed_within_limits(tmp_path: Path, count: int) -> None:
    layout = Layout()
    entry = layout.image(ONE)
    for _ in range(count):
        manifest = json.loads(layout.files[f"blobs/sha256/{entry['digest'][7:]}"])
        subject = {key: entry[key] for key in ("mediaType", "digest", "size")}
        changed = json.dumps(manifest | {"subject": subject}).encode()
        entry = layout.blob(changed, entry["mediaType"])
    path = write_files(tmp_path / "in", layout.finish(named(entry, "x")))
    found = {finding.rule for finding in verify(str(path)).findings}
    assert found == (set() if count <= 8 else {"index-depth"})
