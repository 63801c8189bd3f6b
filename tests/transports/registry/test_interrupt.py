"""Ctrl-C or a Cancellation ends any command while a registry stalls, and leaves no files behind."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tarkit import Cancellation, CancelledError, RegistryOptions, copy_image, open_source
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.transports.registry.writer import RegistryWriter
from tests.transports.registry.fake_registry import Exchange, FakeRegistry, digest_of
from tests.transports.registry.images import big_image

LIMIT = 20  # seconds: far below any timeout of the network, far above what a slow machine needs
LAYERS = 2


def add_image(registry: FakeRegistry) -> None:
    """Put an image of several large layers at ``app:latest``."""
    plain = [_layer(number) for number in range(LAYERS)]
    config = json.dumps(
        {
            "os": "linux",
            "architecture": "amd64",
            "rootfs": {"type": "layers", "diff_ids": [digest_of(data) for data in plain]},
        }
    ).encode()
    layers = [gzip.compress(data, 1, mtime=0) for data in plain]
    for data in (config, *layers):
        registry.add_blob("app", data)
    manifest = {
        "schemaVersion": 2,
        "mediaType": media_types.OCI_MANIFEST,
        "config": Descriptor.of(config, media_types.OCI_CONFIG).to_json(),
        "layers": [Descriptor.of(data, media_types.OCI_LAYER_GZIP).to_json() for data in layers],
    }
    data = json.dumps(manifest).encode()
    registry.add_manifest("app", "latest", data, media_types.OCI_MANIFEST)


def _layer(number: int) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w") as archive:
        member = tarfile.TarInfo(f"file{number}")
        member.size = 3 << 20
        archive.addfile(member, io.BytesIO(os.urandom(member.size)))
    return output.getvalue()


class Stall:
    """Faults that stall until the test ends; ``reached`` is set when the first one starts."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.over = threading.Event()

    def silent(self, exchange: Exchange) -> None:
        """Never answer."""
        self.reached.set()
        self.over.wait(LIMIT * 3)
        exchange.drop()

    def half_a_blob(self, exchange: Exchange) -> None:
        """Send the first half of a blob, or all of a small one."""
        digest = exchange.path.rpartition("/")[2]
        data = exchange.registry.blobs["app"][digest]
        if len(data) < 1 << 20:
            exchange.answer(200, data)
            return
        exchange.send_response(200)
        exchange.send_header("Content-Length", str(len(data)))
        exchange.end_headers()
        exchange.wfile.write(data[: len(data) // 2])
        exchange.wfile.flush()
        self.silent(exchange)


@pytest.fixture
def stall() -> Iterator[Stall]:
    made = Stall()
    yield made
    made.over.set()


Place = Callable[[FakeRegistry, Stall], None]
PLACES: dict[str, Place] = {
    "any": lambda registry, stall: registry.fail("GET", "/", stall.silent),
    "blob": lambda registry, stall: registry.fail("GET", "/blobs/", stall.half_a_blob),
    "tags": lambda registry, stall: registry.fail("GET", "/tags/", stall.silent),
    "head": lambda registry, stall: registry.fail("HEAD", "/blobs/", stall.silent),
    "upload": lambda registry, stall: registry.fail("PUT", "/uploads/", stall.silent),
    "session": lambda registry, stall: registry.fail("POST", "/uploads/", stall.silent),
}  # fmt: skip
READING: dict[str, tuple[str, list[str]]] = {
    "list": ("tags", ["list", "docker://{0}"]),
    "probe": ("any", ["list", "docker://{0}"]),
    "inspect": ("any", ["inspect", "docker://{0}:latest"]),
    "copy": ("blob", ["copy", "docker://{0}:latest", "oci:out:x"]),
    "copy to an archive": ("blob", ["copy", "docker://{0}:latest", "docker-archive:out.tar"]),
    "copy, recompressed": ("blob", ["copy", "--compression", "zstd", "docker://{0}", "oci:out:x"]),
    "verify": ("blob", ["verify", "docker://{0}:latest"]),
    "ls": ("blob", ["ls", "docker://{0}:latest"]),
    "rootfs": ("blob", ["rootfs", "docker://{0}:latest", "out"]),
    "ext4": ("blob", ["ext4", "docker://{0}:latest", "out.ext4"]),
    "diff": ("blob", ["diff", "docker://{0}:latest", "docker://{0}:latest"]),
}


def interrupted(arguments: list[str], stall: Stall, directory: Path) -> int:
    """Run the command line until it stalls, interrupt it once, and return its exit code."""
    work = directory / "work"
    work.mkdir()
    command = [sys.executable, "-m", "tarkit", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(
        command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert stall.reached.wait(LIMIT)
            process.send_signal(signal.SIGINT)
            _, said = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert said.decode().strip().splitlines()[-1] == "tarkit: interrupted"
    assert list(work.iterdir()) == []
    return process.returncode


@pytest.mark.parametrize("name", READING)
def test_one_interrupt_ends_a_command_that_reads(
    registry: FakeRegistry, stall: Stall, tmp_path: Path, name: str
) -> None:
    place, arguments = READING[name]
    add_image(registry)
    PLACES[place](registry, stall)
    arguments = [argument.format(f"{registry.address}/app") for argument in arguments]
    assert interrupted(arguments, stall, tmp_path) == 130


@pytest.mark.parametrize("place", ["head", "session", "upload"])
def test_one_interrupt_ends_a_command_that_writes(
    registry: FakeRegistry, stall: Stall, tmp_path: Path, place: str
) -> None:
    image = big_image(tmp_path / "image", 20 << 20)
    PLACES[place](registry, stall)
    registry.fail("DELETE", "/uploads/", stall.silent)
    arguments = ["copy", f"{image}:x", f"docker://{registry.address}/app:v1"]
    assert interrupted(arguments, stall, tmp_path) == 130
    assert not registry.manifests.get("app")


def cancelled_when(reached: threading.Event, cancellation: Cancellation) -> threading.Thread:
    def cancel() -> None:
        assert reached.wait(LIMIT)
        cancellation.cancel()

    thread = threading.Thread(target=cancel)
    thread.start()
    return thread


def test_a_cancellation_ends_a_copy_from_a_registry_that_stalls(
    registry: FakeRegistry, stall: Stall, tmp_path: Path
) -> None:
    from tarkit import open_writer

    add_image(registry)
    registry.fail("GET", "/blobs/", stall.half_a_blob)
    cancellation = Cancellation()
    thread = cancelled_when(stall.reached, cancellation)
    with (
        pytest.raises(CancelledError),
        cancellation,
        open_source(f"docker://{registry.address}/app:latest") as source,
        open_writer(f"oci:{tmp_path / 'out'}") as writer,
    ):
        copy_image(source, writer.destination("x"))
    thread.join()
    assert list(tmp_path.iterdir()) == []


def test_a_cancellation_ends_an_upload_and_its_session(
    registry: FakeRegistry, stall: Stall, tmp_path: Path
) -> None:
    image = big_image(tmp_path / "image", 20 << 20)
    registry.fail("PUT", "/uploads/", stall.silent)
    cancellation = Cancellation()
    thread = cancelled_when(stall.reached, cancellation)
    with (
        pytest.raises(CancelledError),
        cancellation,
        open_source(f"{image}:x") as source,
        RegistryWriter.open(f"{registry.address}/app", RegistryOptions()) as writer,
    ):
        copy_image(source, writer.destination("v1"))
    thread.join()
    assert registry.cancelled
    assert not registry.uploads


def test_no_request_is_sent_after_a_cancellation(registry: FakeRegistry) -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with (
        cancellation,
        pytest.raises(CancelledError),
        open_source(f"docker://{registry.address}/app:latest") as source,
    ):
        source.manifest()
    assert registry.seen == []


def test_the_first_failure_does_not_wait_for_a_layer_that_stalls(
    registry: FakeRegistry, stall: Stall, tmp_path: Path
) -> None:
    """The copy cancels its own threads, without a Cancellation by the caller."""
    from tarkit import DigestMismatchError, open_writer

    add_image(registry)
    digests = sorted(registry.blobs["app"], key=lambda d: len(registry.blobs["app"][d]))[1:]

    def corrupt(exchange: Exchange) -> None:
        assert stall.reached.wait(LIMIT)
        exchange.answer(200, bytes(len(registry.blobs["app"][digests[0]])))

    registry.fail("GET", digests[0], corrupt)
    registry.fail("GET", digests[1], stall.half_a_blob)
    with (
        pytest.raises(DigestMismatchError),
        open_source(f"docker://{registry.address}/app:latest") as source,
        open_writer(f"oci:{tmp_path / 'out'}") as writer,
    ):
        copy_image(source, writer.destination("x"))
    assert not stall.over.is_set()
