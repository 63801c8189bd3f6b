"""Copy images from and to a real dockerd, including its error messages."""

from __future__ import annotations

import random
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tarkit import (
    AuthenticationError,
    CopyOptions,
    Daemon,
    DockerDaemonReader,
    DockerDaemonWriter,
    DockerFormat,
    ImageNotFoundError,
    Location,
    TlsFiles,
    TransportError,
    copy_image,
    inspect_image,
    open_source,
    open_writer,
    verify,
)
from tests.builders import docker_archive, image_of
from tests.conformance.certificates import make_authority, sign
from tests.conformance.tools import Tool, running_dockerd
from tests.test_examples import BLOCKS, ROOT, run_block

GREETING = "Hello from a very small image.\n"
LARGE = 64 << 20


def host_of(docker: Tool) -> str:
    """Return the address of the daemon of the client *docker*."""
    return docker.command[-1]


@pytest.fixture
def daemon(docker: Tool, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tool]:
    """The daemon without images, with ``DOCKER_HOST`` set to its address."""
    monkeypatch.setenv("DOCKER_HOST", host_of(docker))
    yield docker
    forget_images(docker)


def forget_images(docker: Tool) -> None:
    images = docker("images", "--quiet", "--all").split()
    if images:
        docker("rmi", "--force", *dict.fromkeys(images))


def copy(
    source: str, destination: str, *names: str, format: DockerFormat = DockerFormat.DUAL
) -> None:
    location = Location.parse(destination)
    names = names or ((location.name,) if location.name else ())
    with (
        open_source(source) as image,
        open_writer(location, docker_format=format) as writer,
    ):
        copy_image(image, writer.destination(*names), CopyOptions())


def image_id(docker: Tool, name: str) -> str:
    return docker("image", "inspect", "--format", "{{.Id}}", name).strip()


@pytest.mark.parametrize("format", DockerFormat)
def test_an_image_goes_out_and_in_again_and_runs(
    daemon: Tool, fixtures: Path, tmp_path: Path, format: DockerFormat
) -> None:
    daemon("load", "--input", fixtures / "hello.tar")
    before = image_id(daemon, "hello:latest")
    copy("docker-daemon:hello", f"oci:{tmp_path / 'layout'}:hello")
    forget_images(daemon)
    copy(f"oci:{tmp_path / 'layout'}:hello", "docker-daemon:hello:again", format=format)
    assert daemon("run", "--rm", "--network", "none", "hello:again") == GREETING
    assert image_id(daemon, "hello:again") == before


def test_an_image_is_read_by_its_id(daemon: Tool, fixtures: Path, tmp_path: Path) -> None:
    daemon("load", "--input", fixtures / "hello.tar")
    identifier = image_id(daemon, "hello:latest")
    copy(f"docker-daemon:{identifier}", f"oci:{tmp_path / 'layout'}:x")
    with open_source(f"oci:{tmp_path / 'layout'}:x") as image:
        info = inspect_image(image)
    assert info.config is not None
    assert str(info.config.digest) == identifier


def test_an_image_that_lost_its_name_is_listed_and_read_by_its_id(
    daemon: Tool, fixtures: Path, corpus: Path
) -> None:
    daemon("load", "--input", fixtures / "hello.tar")
    identifier = image_id(daemon, "hello:latest")
    copy(f"docker-archive:{corpus / 'docker-20.10-save.tar'}", "docker-daemon:hello")
    with DockerDaemonReader.open() as reader:
        assert [entry.names for entry in reader.images()] == [("hello:latest",), (identifier,)]
        assert reader.source(index=1).names == ()


def test_several_images_under_several_names(daemon: Tool, corpus: Path) -> None:
    saved = f"docker-archive:{corpus / 'docker-20.10-save-multi.tar'}"
    with DockerDaemonWriter.open() as writer:
        for tag in ("one", "two"):
            with open_source(f"{saved}:corpus/alpha:{tag}") as image:
                names = (f"alpha:{tag}", f"example.org/alpha:{tag}")
                copy_image(image, writer.destination(*names))
    with DockerDaemonReader.open() as reader:
        assert {entry.names for entry in reader.images()} == {
            ("alpha:one", "example.org/alpha:one"),
            ("alpha:two", "example.org/alpha:two"),
        }
    for tag in ("one", "two"):
        with (
            open_source(f"{saved}:corpus/alpha:{tag}") as ours,
            open_source(f"docker-daemon:alpha:{tag}") as theirs,
        ):
            expected = [layer.diff_id for layer in inspect_image(ours).layers]
            assert [layer.diff_id for layer in inspect_image(theirs).layers] == expected
            assert len(expected) > 2
        assert verify(f"docker-daemon:example.org/alpha:{tag}").ok


@pytest.mark.parametrize(
    "source", ["oci:skopeo-oci-zstd", "docker-archive:docker-29-ctrd-save.tar", "dir:skopeo-dir"]
)
def test_images_of_other_producers_are_loaded(daemon: Tool, corpus: Path, source: str) -> None:
    transport, _, name = source.partition(":")
    copy(f"{transport}:{corpus / name}", "docker-daemon:alpha:1")
    with open_source(f"{transport}:{corpus / name}") as image:
        config = inspect_image(image).config
    assert config is not None
    assert image_id(daemon, "alpha:1") == str(config.digest)


def test_a_large_image_goes_both_ways(daemon: Tool, tmp_path: Path) -> None:
    daemon("import", make_large_layer(tmp_path), "large:1")
    copy("docker-daemon:large:1", f"oci:{tmp_path / 'layout'}:x")
    before = image_id(daemon, "large:1")
    forget_images(daemon)
    copy(f"oci:{tmp_path / 'layout'}:x", "docker-daemon:large:2")
    assert image_id(daemon, "large:2") == before


def make_large_layer(directory: Path) -> Path:
    content = directory / "content"
    content.write_bytes(random.Random(1).randbytes(LARGE))
    with tarfile.open(directory / "large.tar", "w") as archive:
        archive.add(content, "content")
    return directory / "large.tar"


def test_a_missing_image_is_not_found(daemon: Tool) -> None:
    with (
        pytest.raises(ImageNotFoundError, match=r"no image 'docker.io/library/nothing:latest'"),
        open_source("docker-daemon:nothing"),
    ):
        pass


def test_a_refused_load_is_reported(daemon: Tool, tmp_path: Path) -> None:
    image = image_of([b"not a layer" * 1000])
    archive = docker_archive(tmp_path / "odd.tar", (image, ["odd:1"]))
    with pytest.raises(TransportError, match="the Docker daemon failed to load the archive: "):
        copy(f"docker-archive:{archive}", "docker-daemon:odd:1")
    with DockerDaemonReader.open() as reader:
        assert reader.images() == ()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_a_daemon_with_tls_requires_a_client_certificate(fixtures: Path, tmp_path: Path) -> None:
    make_authority(tmp_path)
    sign(tmp_path, tmp_path / "server", "subjectAltName=IP:127.0.0.1")
    sign(tmp_path, tmp_path / "client", "extendedKeyUsage=clientAuth")
    (tmp_path / "nobody").mkdir()
    (tmp_path / "nobody" / "ca.pem").write_bytes((tmp_path / "ca.pem").read_bytes())
    server, host = tmp_path / "server", f"tcp://127.0.0.1:{free_port()}"
    options = (
        ("cacert", server / "ca.pem"),
        ("cert", server / "cert.pem"),
        ("key", server / "key.pem"),
    )
    with running_dockerd(
        f"--host={host}", "--tlsverify", *(f"--tls{what}={path}" for what, path in options)
    ) as docker:
        docker("load", "--input", fixtures / "hello.tar")
        with DockerDaemonReader.open(Daemon(host, TlsFiles(tmp_path / "client"))) as reader:
            assert inspect_image(reader.source("hello")).name == "hello:latest"
        for tls, message in (
            (TlsFiles(tmp_path / "nobody"), "may require a client certificate"),
            (TlsFiles(tmp_path / "empty"), "certificate is not trusted"),
            (None, "set DOCKER_TLS_VERIFY=1"),
        ):
            with (
                DockerDaemonReader.open(Daemon(host, tls)) as reader,
                pytest.raises((TransportError, AuthenticationError), match=message),
            ):
                reader.images()


def test_examples_of_the_guide_work(
    daemon: Tool, fixtures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon("load", "--input", fixtures / "hello.tar")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS[ROOT / "docs" / "guides" / "docker-daemon.md"]:
        run_block(block, names)
