"""Images as sources: from a registry and from archives, lazily, and their keys."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import tarkit
from tarkit import llb
from tarkit.errors import ImageNotFoundError, NotFoundError, UsageError
from tests.solver.engines import Counts, build, counts, definition_of, engine

__all__ = ["counts"]

HELLO = Path(__file__).parents[2] / "fixtures" / "hello.tar"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return Path(shutil.copy(HELLO, tmp_path / "hello.tar"))


def test_a_docker_archive_is_a_base_without_unpacking(tmp_path: Path, archive: Path) -> None:
    state = llb.docker_archive(str(archive)).file(llb.mkfile("/new", "new"))
    with engine(tmp_path) as solver:
        found = build(solver, state)
        assert {"/new", "/etc/motd"} <= found.keys()
        with solver.solve(definition_of(state, solver)) as solution:
            ref = solution.result()
            assert ref is not None
            below, made = tarkit.Manifest.parse(source_of(archive)), ref.layer_chain()
            with made:
                assert len(made) == len(below.layers) + 1
    assert not list((tmp_path / "store").rglob("motd"))


def source_of(archive: Path) -> tarkit.RawManifest:
    with tarkit.open_source(f"docker-archive:{archive}") as source:
        return source.manifest()


def test_nothing_is_read_before_something_needs_it(
    tmp_path: Path, archive: Path, counts: Counts
) -> None:
    state = llb.docker_archive(str(archive))
    with engine(tmp_path) as solver, solver.solve(definition_of(state, solver)) as solution:
        ref = solution.result()
        assert ref is not None
        assert ref.is_lazy
        assert counts.layers == 0
        ref.files.read_text("/etc/motd")
        assert not ref.is_lazy


def test_a_cached_build_reads_no_layer(tmp_path: Path, archive: Path, counts: Counts) -> None:
    state = llb.docker_archive(str(archive)).file(llb.mkfile("/a", "a"), custom_name="a")
    with engine(tmp_path) as solver:
        build(solver, state)
    counts.clear()
    with engine(tmp_path) as solver, solver.solve(definition_of(state, solver)) as solution:
        assert solution.result() is not None
    assert (dict(counts.runs), counts.layers) == ({}, 0)


def test_the_same_image_elsewhere_has_the_same_key(
    tmp_path: Path, archive: Path, counts: Counts
) -> None:
    layout = f"oci:{tmp_path / 'layout'}:v1"
    with tarkit.open_source(f"docker-archive:{archive}") as source:
        for location in (layout, f"oci:{tmp_path / 'other'}:v2"):
            with tarkit.open_writer(location) as writer:
                tarkit.copy_image(source, writer.destination(location.rpartition(":")[2]))
    with engine(tmp_path) as solver:
        for location in (layout, f"oci:{tmp_path / 'other'}:v2"):
            state = llb.location(location).file(llb.mkfile("/a", "a"), custom_name="a")
            build(solver, state)
    assert counts.runs["a"] == 1


def test_a_layer_limit(tmp_path: Path, archive: Path) -> None:
    with engine(tmp_path) as solver:
        state = llb.location(f"docker-archive:{archive}", layer_limit=1)
        with solver.solve(definition_of(state, solver)) as solution:
            ref = solution.result()
            assert ref is not None
            with ref.layer_chain() as layers:
                assert len(layers) == 1
        with pytest.raises(UsageError, match="layer limit"):
            build(solver, llb.location(f"docker-archive:{archive}", layer_limit=0))


def test_a_store_must_be_offered(tmp_path: Path) -> None:
    name = f"app@sha256:{'0' * 64}"
    with engine(tmp_path) as solver, pytest.raises(NotFoundError, match="OCI layout 'app'"):
        build(solver, llb.oci_layout(name))


def test_a_platform_must_exist(tmp_path: Path, archive: Path) -> None:
    state = llb.docker_archive(str(archive), platform="linux/s390x")
    with engine(tmp_path) as solver, pytest.raises(ImageNotFoundError):
        build(solver, state)
