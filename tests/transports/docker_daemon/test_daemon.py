"""The daemon's address: the environment, Docker's contexts, and malformed addresses."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from tarkit.errors import MalformedError, NotFoundError, UnsupportedError, UsageError
from tarkit.transports.docker_daemon.daemon import DEFAULT_HOST, Daemon, TlsFiles
from tarkit.transports.location import Location, Transport
from tests.builders import Doc, dump


def add_context(config: Path, name: str, docker: Doc, *, tls: bool = False) -> Path:
    """Create a context and return the directory of its TLS files."""
    directory = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / directory / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_bytes(dump({"Name": name, "Metadata": {}, "Endpoints": {"docker": docker}}))
    files = config / "contexts" / "tls" / directory / "docker"
    if tls:
        files.mkdir(parents=True)
    return files


def use_context(config: Path, name: str) -> None:
    config.mkdir(parents=True, exist_ok=True)
    (config / "config.json").write_bytes(dump({"auths": {}, "currentContext": name}))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "home" / ".docker"


@pytest.mark.skipif(os.name == "nt", reason="the default there is a named pipe")
def test_the_default_is_the_default_socket() -> None:
    assert Daemon.find() == Daemon("unix:///var/run/docker.sock")


def test_docker_host() -> None:
    assert Daemon.find({"DOCKER_HOST": "unix:///x"}) == Daemon("unix:///x")


def test_without_a_home_there_are_no_contexts(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert Daemon.find() == Daemon(DEFAULT_HOST)
    assert Daemon.find({"DOCKER_HOST": "tcp://far"}) == Daemon("tcp://far")


def test_the_config_names_the_current_context(config: Path) -> None:
    add_context(config, "remote", {"Host": "unix:///remote.sock"})
    use_context(config, "remote")
    assert Daemon.find() == Daemon("unix:///remote.sock")


def test_the_config_may_be_elsewhere(tmp_path: Path) -> None:
    add_context(tmp_path / "other", "remote", {"Host": "unix:///remote.sock"})
    use_context(tmp_path / "other", "remote")
    assert Daemon.find({"DOCKER_CONFIG": str(tmp_path / "other")}).host == "unix:///remote.sock"


def test_docker_context_overrides_the_config(config: Path) -> None:
    add_context(config, "near", {"Host": "unix:///near.sock"})
    add_context(config, "far", {"Host": "unix:///far.sock"})
    use_context(config, "near")
    assert Daemon.find({"DOCKER_CONTEXT": "far"}).host == "unix:///far.sock"
    assert Daemon.find({"DOCKER_CONTEXT": "default"}) == Daemon("unix:///var/run/docker.sock")


def test_docker_host_overrides_every_context(config: Path) -> None:
    use_context(config, "gone")
    environment = {"DOCKER_HOST": "unix:///x", "DOCKER_CONTEXT": "gone"}
    assert Daemon.find(environment).host == "unix:///x"


def test_a_missing_context_is_an_error(config: Path) -> None:
    use_context(config, "gone")
    with pytest.raises(NotFoundError, match="no context 'gone'"):
        Daemon.find()


@pytest.mark.parametrize(
    "data", [b"", b"[]", b'{"Endpoints": []}', b'{"Endpoints": {"docker": {"Host": 1}}}', b"{}"]
)
def test_a_malformed_context_is_an_error(config: Path, data: bytes) -> None:
    files = add_context(config, "bad", {})
    meta = config / "contexts" / "meta" / files.parent.name / "meta.json"
    meta.write_bytes(data)
    with pytest.raises(MalformedError, match=r"meta\.json"):
        Daemon.find({"DOCKER_CONTEXT": "bad"})


def test_a_context_has_tls_files(config: Path) -> None:
    files = add_context(config, "remote", {"Host": "tcp://far:2376"}, tls=True)
    assert Daemon.find({"DOCKER_CONTEXT": "remote"}).tls == TlsFiles(files)


def test_a_context_may_skip_verification(config: Path) -> None:
    add_context(config, "remote", {"Host": "tcp://far:2376", "SkipTLSVerify": True})
    found = Daemon.find({"DOCKER_CONTEXT": "remote"})
    assert found.tls is not None
    assert not found.tls.verify


def test_the_environment_enables_tls(config: Path) -> None:
    environment = {"DOCKER_HOST": "tcp://far", "DOCKER_TLS_VERIFY": "1"}
    assert Daemon.find(environment) == Daemon("tcp://far", TlsFiles(config))
    environment["DOCKER_CERT_PATH"] = "/certificates"
    assert Daemon.find(environment) == Daemon("tcp://far", TlsFiles(Path("/certificates")))


@pytest.mark.parametrize(
    ("host", "tls", "address"),
    [
        ("tcp://far", None, ("far", 2375)),
        ("tcp://far", TlsFiles(Path()), ("far", 2376)),
        ("tcp://far:1234/", None, ("far", 1234)),
        ("tcp://[::1]:1234", None, ("::1", 1234)),
    ],
)
def test_a_tcp_host_has_an_address(
    host: str, tls: TlsFiles | None, address: tuple[str, int]
) -> None:
    assert Daemon(host, tls).socket_path is None
    assert Daemon(host, tls).address == address


@pytest.mark.parametrize(
    "host",
    ["tcp://", "tcp://:1", "tcp://far:port", "tcp://far:70000", "tcp://far/path", "tcp://[x"],
)
def test_a_malformed_address_is_an_error(host: str) -> None:
    with pytest.raises(UsageError, match="tcp://host:port"):
        assert Daemon(host).address


def test_a_password_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(UsageError) as caught:
        assert Daemon("tcp://me:secret@far:1").address
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("host", ["npipe:////./pipe/docker_engine", "fd://", "far:2375"])
def test_other_schemes_are_unsupported(host: str) -> None:
    with pytest.raises(UnsupportedError, match="set DOCKER_HOST to unix://"):
        assert Daemon(host).socket_path


def test_ssh_is_unsupported_with_a_hint() -> None:
    with pytest.raises(UnsupportedError, match="ssh -L") as caught:
        assert Daemon("ssh://me:secret@far").socket_path
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("docker-daemon:", None),
        ("docker-daemon:app", "app"),
        ("docker-daemon:localhost:5000/app:1", "localhost:5000/app:1"),
        (f"docker-daemon:sha256:{'0' * 64}", f"sha256:{'0' * 64}"),
    ],
)
def test_a_location_names_an_image_and_no_path(text: str, name: str | None) -> None:
    location = Location.parse(text)
    assert location == Location(Transport.DOCKER_DAEMON, "", name)
    assert str(location) == text
