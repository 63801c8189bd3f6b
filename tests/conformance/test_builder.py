"""Every tool loads and runs what ImageBuilder builds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

import tarkit
from tests.conformance import consumers
from tests.conformance.consumers import NAME, Consumer

OUTPUT = "Hello from a very small image.\n"
ARCHIVE, LAYOUT = "docker-archive:{}:" + NAME, "oci:{}:new"
CASES = [
    (consumers.docker_classic, ARCHIVE),
    (consumers.docker_containerd, ARCHIVE),
    (consumers.containerd, ARCHIVE),
    (consumers.podman, ARCHIVE),
    (consumers.podman, LAYOUT),
    (consumers.buildah, LAYOUT),
    (consumers.skopeo, ARCHIVE),
    (consumers.skopeo, LAYOUT),
    (consumers.umoci, LAYOUT),
]


@pytest.mark.parametrize("from_scratch", [True, False], ids=["scratch", "base"])
@pytest.mark.parametrize(
    ("consumer", "location"),
    CASES,
    ids=[f"{consumer.__name__}-{location.partition(':')[0]}" for consumer, location in CASES],
)
def test_tools_load_and_run_a_built_image(
    fixtures: Path,
    tmp_path: Path,
    consumer: Callable[[], AbstractContextManager[Consumer]],
    location: str,
    from_scratch: bool,
) -> None:
    with tarkit.open_image(fixtures / "hello.tar") as image:
        greeting = image.files.read_bytes("/bin/hello")
    base = None if from_scratch else fixtures / "hello.tar"
    builder = tarkit.ImageBuilder(base, platform="linux/amd64")
    builder.add_files({"/opt/deep/hello": greeting}, mode=0o755)
    builder.add_directory(fixtures, "/srv/fixtures", keep_owners=True, keep_times=True)
    builder.configure(
        entrypoint=[], cmd=["/opt/deep/hello"], env={"A": "b"}, labels={"k": "v"}, ports=[80],
        volumes=["/data"], workdir="/",
    )  # fmt: skip
    target = location.format(tmp_path / "built")
    builder.write(target)
    assert tarkit.verify(target).ok
    with tarkit.open_image(target) as built, consumer() as tool:
        loaded = tool.load(target)
        assert loaded.output in (None, OUTPUT)
        assert loaded.config in (None, str(built.manifest.config.digest))
