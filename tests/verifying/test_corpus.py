"""Test that archives of real producers verify without errors."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tarkit.errors import NotAnImageError
from tarkit.findings import Severity
from tarkit.verifying.runner import verify

# Docker 29's classic store keeps a config for each layer, which nothing refers to
DOCKER_29 = "docker-29-graph-save.tar"
# skopeo left gzip's media types on layers that it had uncompressed
SKOPEO = "skopeo-oci-uncompressed"
PACKERS = (gzip.compress, bz2.compress, lzma.compress, zstandard.ZstdCompressor().compress)

ARCHIVES = (
    "buildkit-docker.tar", "buildkit-oci-zstd.tar", "buildkit-oci.tar", "crane-oci",
    "crane-oci-multiarch", "crane-pull-multi.tar", "crane-pull.tar", "ctr-export.tar",
    "docker-20.10-save-multi.tar", "docker-20.10-save.tar", "docker-29-ctrd-save.tar",
    DOCKER_29, "podman-docker-archive.tar", "podman-oci-archive.tar", "skopeo-dir",
    "skopeo-docker-archive.tar", "skopeo-oci-archive-multiarch.tar", "skopeo-oci-archive.tar",
    SKOPEO, "skopeo-oci-zstd", "umoci-oci",
)  # fmt: skip


def test_the_list_is_the_whole_corpus(corpus: Path) -> None:
    there = {path.name for path in corpus.iterdir() if path.suffix != ".jsonl"}
    assert there == {*ARCHIVES, "buildkit-rootfs.tar"}


@pytest.mark.parametrize("name", ARCHIVES)
def test_real_archives_are_in_order(corpus: Path, name: str) -> None:
    report = verify(str(corpus / name))
    assert report.ok
    expected = {
        DOCKER_29: [("unreferenced", Severity.NOTE)] * 3,
        SKOPEO: [("compression-mismatch", Severity.WARNING)] * 3,
    }
    found = [(finding.rule, finding.severity) for finding in report.findings]
    assert found == expected.get(name, [])


def test_an_archive_of_no_image_is_none(corpus: Path) -> None:
    with pytest.raises(NotAnImageError):
        verify(str(corpus / "buildkit-rootfs.tar"))


@pytest.mark.parametrize("pack", PACKERS)
@pytest.mark.parametrize("name", ["docker-20.10-save.tar", "skopeo-oci-archive.tar"])
def test_compressed_archives_are_in_order(
    corpus: Path, tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "packed"
    path.write_bytes(pack((corpus / name).read_bytes()))
    assert verify(str(path)).findings == ()


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("prefix", ["", "docker-archive:"])
def test_a_pipe_is_in_order(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes], prefix: str
) -> None:
    data = pack((corpus / "crane-pull-multi.tar").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert verify(f"{prefix}-").findings == ()


def test_every_platform_is_looked_at(corpus: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    for path in (corpus / "crane-oci-multiarch").rglob("*"):
        if path.is_file():
            copy = layout / path.relative_to(corpus / "crane-oci-multiarch")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    documents = {
        path: json.loads(path.read_bytes())
        for path in (layout / "blobs" / "sha256").iterdir()
        if path.read_bytes().startswith(b"{")
    }
    manifests = [d for d in documents.values() if "layers" in d]
    assert len(manifests) > 1
    for manifest in manifests:
        config = layout / "blobs" / manifest["config"]["digest"].replace(":", "/")
        config.write_bytes(config.read_bytes() + b" ")
    report = verify(f"oci:{layout}")
    wrong = {finding.where for finding in report.findings if finding.rule == "digest-mismatch"}
    configs = {m["config"]["digest"].replace(":", "/") for m in manifests}
    assert wrong == {f"blobs/{config}" for config in configs}
