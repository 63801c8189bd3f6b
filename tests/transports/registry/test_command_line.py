"""``docker://`` on the command line, against the fake registry."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from tarkit.cli.app import run
from tarkit.errors import UsageError
from tarkit.transports.location import Location, Transport
from tests.builders import (
    Layout,
    image_of,
    layout_of,
    make_image,
    named,
    on,
    squeeze,
    write_files,
)
from tests.rootfs.layers import file, pack
from tests.transports.registry.fake_registry import FakeRegistry
from tests.transports.registry.token_server import basic

SECRET = "hunter2-is-secret"
DIGEST = f"sha256:{'a' * 64}"


@pytest.mark.parametrize(
    ("text", "path", "name", "written"),
    [
        ("docker://busybox", "docker.io/library/busybox", None, "docker://docker.io/library/busybox"),
        ("docker://r.example:5000/a/b:v1", "r.example:5000/a/b", "v1", "docker://r.example:5000/a/b:v1"),
        (f"docker://r.example/a@{DIGEST}", "r.example/a", DIGEST, f"docker://r.example/a@{DIGEST}"),
        (f"docker://r.example/a:t@{DIGEST}", "r.example/a", f"t@{DIGEST}", f"docker://r.example/a:t@{DIGEST}"),
    ],
)  # fmt: skip
def test_locations(text: str, path: str, name: str | None, written: str) -> None:
    location = Location.parse(text)
    assert location == Location(Transport.REGISTRY, path, name)
    assert str(location) == written
    assert Location.parse(written) == location


@pytest.mark.parametrize(
    "text", ["docker:busybox", "docker://", "docker://r.example/UPPER", "docker:///x"]
)
def test_invalid_locations(text: str) -> None:
    with pytest.raises(UsageError):
        Location.parse(text)


def tarkit(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Return the exit code and the output, which must not contain the password."""
    code = run(list(arguments))
    output = capsys.readouterr()
    assert SECRET not in output.out + output.err
    return code, output.out, output.err


def test_push_and_pull(
    registry: FakeRegistry, fixtures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"docker://{registry.address}/team/hello"
    archive = f"docker-archive:{fixtures / 'hello.tar'}"
    code, pushed, notes = tarkit(capsys, "copy", archive, f"{name}:v1", "--tag", "v2")
    assert code == 0
    assert "0 B written" not in notes
    assert {"v1", "v2"} <= set(registry.manifests["team/hello"])
    code, again, notes = tarkit(capsys, "copy", archive, f"{name}:v1")
    assert (code, again) == (0, pushed)
    assert "0 B written" in notes
    code, listed, _ = tarkit(capsys, "list", "--json", name)
    names = [image["name"].rpartition(":")[2] for image in json.loads(listed)["images"]]
    assert (code, names) == (0, ["v1", "v2"])
    code, table, _ = tarkit(capsys, "list", name)
    assert f"{registry.address}/team/hello:v2" in table
    code, shown, _ = tarkit(capsys, "inspect", "--json", f"{name}:v2")
    assert json.loads(shown)["digest"] == pushed.strip()
    assert tarkit(capsys, "verify", f"{name}:v1")[:2] == (0, "ok\n")
    assert tarkit(capsys, "cat", f"{name}:v1", "/etc/motd")[0] == 0
    assert "/bin/hello" in tarkit(capsys, "ls", f"{name}:v1")[1]
    assert tarkit(capsys, "rootfs", f"{name}:v1", str(tmp_path / "root"))[0] == 0
    assert (tmp_path / "root" / "etc" / "motd").read_text() == "Welcome.\n"
    assert tarkit(capsys, "diff", f"{name}:v1", str(fixtures / "hello.tar"))[:2] == (0, "")
    exact = f"{name}@{pushed.strip()}"
    code, pulled, _ = tarkit(capsys, "copy", "--preserve-digests", exact, f"dir:{tmp_path / 'out'}")
    assert (code, pulled) == (0, pushed)


@pytest.mark.parametrize("number", [6, 7])
def test_a_tar_asks_for_each_layer_once_where_six_connections_do(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    layers = [pack([file(f"f{layer}", str(layer))]) for layer in range(number)]
    write_files(tmp_path / "layout", layout_of(image_of(layers), pack=squeeze))
    name = f"docker://{registry.address}/app"
    assert tarkit(capsys, "copy", f"oci:{tmp_path / 'layout'}", name)[0] == 0
    assert tarkit(capsys, "rootfs", name, str(tmp_path / "out.tar"))[0] == 0
    config = 1
    asked = len(registry.requests("GET", "/blobs/sha256:"))
    assert asked == config + (number if number == 6 else 2 * number)


def test_a_copy_without_a_tag_is_called_latest(
    registry: FakeRegistry, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = str(fixtures / "hello.tar")
    assert tarkit(capsys, "copy", archive, f"docker://{registry.address}/app")[0] == 0
    assert "latest" in registry.manifests["app"]


def test_a_wrong_blob_is_found(
    registry: FakeRegistry, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"docker://{registry.address}/app:v1"
    tarkit(capsys, "copy", str(fixtures / "hello.tar"), name)
    held = registry.blobs["app"]
    digest = max(held, key=lambda key: len(held[key]))
    held[digest] = bytes(len(held[digest]))
    code, findings, _ = tarkit(capsys, "verify", name)
    assert code == 4
    assert digest in findings
    assert tarkit(capsys, "copy", name, f"oci:{fixtures.name}-never:x")[0] == 4
    assert not Path(f"{fixtures.name}-never").exists()


def test_logging_in_and_out(
    registry: FakeRegistry,
    fixtures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    registry.authorize = basic("me", SECRET)
    authfile = tmp_path / "auth.json"
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(authfile))
    archive, name = str(fixtures / "hello.tar"), f"docker://{registry.address}/app:v1"
    assert tarkit(capsys, "copy", "--creds", f"me:{SECRET}", archive, name)[0] == 0
    login = ("login", "--username", "me", "--password-stdin", registry.address)
    monkeypatch.setattr(sys, "stdin", io.StringIO("wrong\n"))
    code, _, error = tarkit(capsys, *login)
    assert code == 5
    assert "check the user name and the password" in error
    assert "tarkit login" not in error
    assert not authfile.exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{SECRET}\n"))
    code, _, note = tarkit(capsys, *login)
    assert code == 0
    assert str(authfile) in note
    assert tarkit(capsys, "inspect", name)[0] == 0
    assert tarkit(capsys, "logout", registry.address)[0] == 0
    code, _, error = tarkit(capsys, "inspect", name)
    assert code == 5
    assert "tarkit login" in error
    assert tarkit(capsys, "logout", registry.address)[0] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "{name}"),
        ("inspect", "{name}"),
        ("verify", "{name}"),
        ("ls", "{name}"),
        ("copy", "{name}", "oci:out"),
        ("copy", "{archive}", "{name}"),
    ],
)
def test_a_missing_credentials_file_is_named(
    registry: FakeRegistry,
    fixtures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    """Even if the registry would not ask for credentials."""
    name, archive = f"docker://{registry.address}/app:v1", str(fixtures / "hello.tar")
    words = [argument.format(name=name, archive=archive) for argument in arguments]
    missing = str(tmp_path / "missing.json")
    result = tarkit(capsys, *words, "--authfile", missing)
    assert result == (1, "", f"tarkit: {missing}: no such credentials file\n")
    assert registry.seen == []


def test_list_shows_only_the_tag_that_is_named(
    registry: FakeRegistry, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"docker://{registry.address}/app"
    for tag in ("v1", "v2"):
        assert tarkit(capsys, "copy", str(fixtures / "hello.tar"), f"{name}:{tag}")[0] == 0
    assert [image["index"] for image in _listed(capsys, name)] == [0, 1]
    (only,) = _listed(capsys, f"{name}:v2")
    assert (only["index"], only["names"]) == (1, [f"{registry.address}/app:v2"])
    assert only["digest"]
    code, out, error = tarkit(capsys, "list", f"{name}:v3")
    assert (code, out) == (3, "")
    assert "v1" in error
    code, out, error = tarkit(capsys, "list", f"{name}@{DIGEST}")
    assert (code, out) == (2, "")
    assert "tarkit inspect" in error


def _listed(capsys: pytest.CaptureFixture[str], name: str) -> list[dict[str, object]]:
    code, out, _ = tarkit(capsys, "list", "--json", name)
    assert code == 0
    images: list[dict[str, object]] = json.loads(out)["images"]
    return images


def test_no_password_is_asked_for_without_a_terminal(
    registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    name = f"docker://{registry.address}/app"
    for arguments in (
        ("inspect", "--creds", "me", name),
        ("login", registry.address),
        ("login", "-u", "me", registry.address),
        ("login", "-u", "me", "--password-stdin", registry.address),
        ("login", "-u", "me", "--password-stdin", f"{registry.address}/app"),
    ):
        code, _, error = tarkit(capsys, *arguments)
        assert (code, len(error.splitlines())) == (2, 1)
    assert registry.seen == []


def test_a_password_is_read_from_the_terminal(
    registry: FakeRegistry, fixtures: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    registry.authorize = basic("me", SECRET)
    monkeypatch.setattr("getpass.getpass", lambda prompt, stream: SECRET)
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda _: True})())
    name = f"docker://{registry.address}/app:v1"
    assert tarkit(capsys, "copy", "--dest-creds", "me", str(fixtures / "hello.tar"), name)[0] == 0
    assert "v1" in registry.manifests["app"]


def test_errors_have_their_exit_codes(
    registry: FakeRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"docker://{registry.address}/app"
    assert tarkit(capsys, "inspect", name)[0] == 3
    assert tarkit(capsys, "list", name)[0] == 3
    registry.fail("GET", "manifests", lambda exchange: exchange.refuse(403, "DENIED"))
    assert tarkit(capsys, "inspect", name)[0] == 5
    assert tarkit(capsys, "inspect", "docker://registry.invalid/app")[0] == 1


def reading_commands(repository: str, name: str, directory: Path) -> dict[str, tuple[str, ...]]:
    """Every command that reads an image, for the image *name* of *repository*."""
    name = repository + name
    out = str(directory / "out")
    return {
        "copy": ("copy", name, f"oci:{out}:x"),
        "copy --all": ("copy", "--all", name, f"oci:{out}:x"),
        "copy to itself": ("copy", name, f"{repository}:copy"),
        "inspect": ("inspect", name),
        "inspect --platform": ("inspect", "--platform", "linux/amd64", name),
        "verify": ("verify", name),
        "ls": ("ls", name),
        "cat": ("cat", name, "/etc/motd"),
        "diff": ("diff", name, name),
        "rootfs": ("rootfs", name, out),
        "rootfs to a tar": ("rootfs", name, f"{out}.tar"),
        "ext4": ("ext4", name, out),
    }


@pytest.mark.parametrize("command", reading_commands("", "", Path()))
@pytest.mark.parametrize("name", [f"@{DIGEST}", f":v1@{DIGEST}", ":absent"])
def test_every_command_reports_a_missing_image_as_not_found(
    registry: FakeRegistry,
    fixtures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    command: str,
    name: str,
) -> None:
    repository = f"docker://{registry.address}/app"
    tarkit(capsys, "copy", str(fixtures / "hello.tar"), f"{repository}:v1")
    asked = reading_commands(repository, name, tmp_path)[command]
    code, out, error = tarkit(capsys, *asked)
    assert (code, out) == (3, "")
    assert "not found" in error
    assert list(tmp_path.iterdir()) == []
    assert "copy" not in registry.manifests["app"]


@pytest.mark.parametrize("part", ["layer", "config", "manifest of a platform"])
def test_a_missing_part_of_an_image_is_not_a_missing_image(
    registry: FakeRegistry, tmp_path: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    layout = Layout()
    image = on(layout.image(make_image("one")), "linux/amd64")
    files = layout.finish(named(layout.index(image), "x"))
    write_files(tmp_path / "in", files)
    name = f"docker://{registry.address}/app:v1"
    tarkit(capsys, "copy", "--all", f"oci:{tmp_path / 'in'}", name)
    if part == "manifest of a platform":
        del registry.manifests["app"][image["digest"]]
    else:
        held = registry.blobs["app"]
        held.pop(make_image("one").digest if part == "config" else _largest(held))
    assert tarkit(capsys, "copy", "--all", name, f"oci:{tmp_path / 'out'}:x")[0] == 4


def _largest(held: dict[str, bytes]) -> str:
    return next(digest for digest, data in held.items() if data.startswith(b"\x1f\x8b"))


@pytest.mark.parametrize("kind", ["docker-archive", "oci-archive", "oci"])
@pytest.mark.parametrize("tag", ["", ":v1"])
def test_a_digest_does_not_name_the_copy(
    registry: FakeRegistry,
    fixtures: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    tag: str,
) -> None:
    repository = f"{registry.address}/app"
    archive = str(fixtures / "hello.tar")
    digest = tarkit(capsys, "copy", archive, f"docker://{repository}:v1")[1].strip()
    exact, out = f"docker://{repository}{tag}@{digest}", f"{kind}:{tmp_path / 'out'}"
    code, printed, _ = tarkit(capsys, "copy", "--json", exact, out)
    names = [f"{repository}{tag}"] if tag else []
    assert (code, json.loads(printed)["names"]) == (0, names)
    (image,) = json.loads(tarkit(capsys, "list", "--json", out)[1])["images"]
    assert image["names"] == names
    assert tarkit(capsys, "copy", exact, f"{out}-2:given:1")[0] == 0
    (image,) = json.loads(tarkit(capsys, "list", "--json", f"{out}-2")[1])["images"]
    assert image["names"][0].endswith("given:1")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("r.example/app:v1", ["r.example/app:v1"]),
        (f"r.example/app@{DIGEST}", []),
        (f"r.example/app:v1@{DIGEST}", ["r.example/app:v1"]),
        (f"r.example:5000/app@{DIGEST}", []),
        ("r.example/UPPER:v1", []),
        (DIGEST, []),
        ("a" * 64, []),
        ("not a name:1", []),
    ],
)
def test_a_name_that_docker_cannot_store_is_dropped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kept: list[str]
) -> None:
    write_files(tmp_path / "in", layout_of(make_image("one"), name))
    out = f"docker-archive:{tmp_path / 'out.tar'}"
    assert tarkit(capsys, "copy", f"oci:{tmp_path / 'in'}", out)[0] == 0
    (image,) = json.loads(tarkit(capsys, "list", "--json", out)[1])["images"]
    assert image["names"] == kept


def test_a_failed_push_sets_no_tag(
    registry: FakeRegistry, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Blobs come first, then manifests by digest, and tags last."""
    name = f"docker://{registry.address}/app:v1"
    archive = str(fixtures / "hello.tar")
    registry.fail("PUT", "/blobs/", lambda exchange: exchange.refuse(403, "DENIED"))
    assert tarkit(capsys, "copy", archive, name)[0] == 5
    assert registry.manifests == {}
    assert registry.requests("PUT", "/manifests/") == []
    registry.faults.clear()
    registry.seen.clear()
    assert tarkit(capsys, "copy", archive, name)[0] == 0
    put = ["/manifests/" in seen.path for seen in registry.seen if seen.method == "PUT"]
    assert put == sorted(put)
