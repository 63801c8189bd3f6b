"""Options of skopeo for registries, and the list of requests, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tarkit.transports.registry.credentials import Credentials
from tests.transports.registry.fake_registry import Exchange, FakeRegistry
from tests.transports.registry.test_command_line import SECRET, tarkit
from tests.transports.registry.token_server import basic

TOKEN = "opaque-token-of-the-registry"


@pytest.fixture
def name(registry: FakeRegistry, fixtures: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the location of an image in the registry."""
    location = f"docker://{registry.address}/app:v1"
    assert tarkit(capsys, "copy", str(fixtures / "hello.tar"), location)[0] == 0
    registry.seen.clear()
    return location


def authorizations(registry: FakeRegistry) -> set[str]:
    """Return the kinds of credentials that the registry received."""
    return {seen.headers.get("Authorization", "none") for seen in registry.seen}


def bearer(exchange: Exchange) -> bool:
    """Accept requests with TOKEN, and ask for a bearer token otherwise."""
    if exchange.headers.get("Authorization") == f"Bearer {TOKEN}":
        return True
    challenge = 'Bearer realm="http://127.0.0.1:1/token",service="x"'
    exchange.refuse(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})
    return False


@pytest.mark.parametrize("option", ["--registry-token", "--src-registry-token"])
def test_a_registry_token_is_sent_as_it_is(
    registry: FakeRegistry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:  # fmt: skip
    """The token server of the challenge does not exist, so no token was fetched."""
    registry.authorize = bearer
    arguments = ("copy", option, TOKEN, name, f"oci:{tmp_path / 'out'}")
    assert tarkit(capsys, *arguments)[0] == 0
    assert authorizations(registry) == {"none", f"Bearer {TOKEN}"}
    code, _, error = tarkit(capsys, "digest", "--registry-token", "another-token-xyz", name)
    assert code == 5
    assert "they are from the command line" in error
    assert "another-token-xyz" not in error
    assert tarkit(capsys, "digest", "--registry-token", "line\nbreak", name)[0] == 2


def test_a_registry_token_is_a_secret() -> None:
    credentials = Credentials(registry_token=TOKEN)
    assert TOKEN not in repr(credentials)
    assert credentials.secrets == (TOKEN,)
    assert credentials
    assert not Credentials()


def test_without_credentials_access_is_anonymous(
    registry: FakeRegistry, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    entry = {"auth": Credentials("me", SECRET).basic}
    authfile = tmp_path / "auth.json"
    authfile.write_text(json.dumps({"auths": {registry.address: entry}}))
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(authfile))
    registry.authorize = basic("me", SECRET)
    out = f"oci:{tmp_path / 'out'}"
    assert tarkit(capsys, "digest", name)[0] == 0
    assert tarkit(capsys, "digest", "--no-creds", name)[0] == 5
    assert tarkit(capsys, "copy", "--src-no-creds", name, out)[0] == 5
    assert tarkit(capsys, "copy", "--dest-no-creds", name, f"{name[:-1]}2")[0] == 5
    assert tarkit(capsys, "catalog", "--no-creds", registry.address)[0] == 5
    assert tarkit(capsys, "catalog", registry.address)[0] == 0
    assert tarkit(capsys, "copy", "--no-creds", "--src-creds", f"me:{SECRET}", name, out)[0] == 0
    assert tarkit(capsys, "digest", "--no-creds", "--creds", "a:b", name)[0] == 2


def test_each_end_has_its_own_credentials_file(
    registry: FakeRegistry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.authorize = basic("me", SECRET)
    entry = {"auth": Credentials("me", SECRET).basic}
    good, empty = tmp_path / "good.json", tmp_path / "empty.json"
    good.write_text(json.dumps({"auths": {registry.address: entry}}))
    empty.write_text("{}")
    out = f"oci:{tmp_path / 'out'}"
    shared = ("copy", "--authfile", str(empty))
    assert tarkit(capsys, *shared, name, out)[0] == 5
    assert tarkit(capsys, *shared, "--src-authfile", str(good), name, out)[0] == 0
    assert tarkit(capsys, *shared, "--dest-authfile", str(good), out, name)[0] == 0
    assert tarkit(capsys, *shared, "--src-authfile", str(good), out, name)[0] == 5


@pytest.mark.parametrize(("times", "sent"), [("0", 1), ("2", 3)])
def test_a_request_is_repeated_as_often_as_asked(
    registry: FakeRegistry,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    times: str,
    sent: int,
) -> None:
    monkeypatch.setattr("tarkit.transports.registry.http.Http.pause", lambda *arguments: None)
    registry.fail("GET", "manifests", lambda exchange: exchange.refuse(503, "UNAVAILABLE"))
    assert tarkit(capsys, "digest", "--retry-times", times, name)[0] == 1
    assert len(registry.requests("GET", "manifests")) == sent


def test_certificates_of_each_end(
    registry: FakeRegistry, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, missing = f"oci:{tmp_path / 'out'}", str(tmp_path / "missing")
    assert tarkit(capsys, "copy", "--src-cert-dir", missing, name, out)[0] == 3
    assert tarkit(capsys, "copy", "--dest-cert-dir", str(tmp_path), name, out)[0] == 0
    assert tarkit(capsys, "copy", "--dest-cert-dir", missing, out, name)[0] == 3


def test_the_password_of_a_login_may_be_an_option(
    registry: FakeRegistry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    registry.authorize = basic("me", SECRET)
    monkeypatch.setenv("REGISTRY_AUTH_FILE", str(tmp_path / "auth.json"))
    warning = "tarkit: other users can see --password in the list of processes"
    for option in ("-p", "--password"):
        code, _, error = tarkit(capsys, "login", "-u", "me", option, SECRET, registry.address)
        assert (code, error.count(warning)) == (0, 1)
    quiet = tarkit(capsys, "login", "-q", "-u", "me", "-p", SECRET, registry.address)
    assert quiet == (0, "", "")
    code, _, error = tarkit(capsys, "login", "-u", "me", "-p", "wrong", registry.address)
    assert (code, "check the user name and the password" in error) == (5, True)
    both = ("login", "-u", "me", "-p", SECRET, "--password-stdin", registry.address)
    assert tarkit(capsys, *both)[0] == 2


@pytest.mark.parametrize("verbose", ["-v", "--verbose"])
@pytest.mark.parametrize("first", [True, False])
def test_requests_and_decisions_are_listed_without_secrets(
    registry: FakeRegistry,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    verbose: str,
    first: bool,
) -> None:
    registry.authorize = basic("me", SECRET)
    arguments = ["copy", "--creds", f"me:{SECRET}", name, f"oci:{tmp_path / 'out'}:x"]
    arguments.insert(0 if first else len(arguments), verbose)
    code, _, listed = tarkit(capsys, *arguments)
    assert code == 0
    manifest = f"tarkit: GET http://{registry.address}/v2/app/manifests/v1"
    assert f"{manifest}: 401\n" in listed
    assert f"{manifest}: 200\n" in listed
    assert f"credentials for {registry.address}: from the command line" in listed
    assert len([line for line in listed.splitlines() if line.endswith(": copied")]) == 2
    assert "converted to oci" in listed
    assert Credentials("me", SECRET).basic not in listed
    again = tarkit(capsys, *arguments)[2]
    assert len([line for line in again.splitlines() if line.endswith(": reused")]) == 2
    arguments.remove(verbose)
    assert "GET" not in tarkit(capsys, *arguments)[2]


def test_repeated_requests_and_queries_are_listed_safely(
    registry: FakeRegistry, name: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("tarkit.transports.registry.http.Http.pause", lambda *arguments: None)
    registry.fail_once("GET", "tags", lambda exchange: exchange.refuse(503, "UNAVAILABLE"))
    code, _, listed = tarkit(capsys, "list", "-v", name.removesuffix(":v1"))
    assert (code, "?" in listed) == (0, False)
    assert "attempt 1 of 5 failed" in listed
    code, _, events = tarkit(capsys, "list", "-v", "--json", name)
    requests = [json.loads(line) for line in events.splitlines()]
    assert {event["event"] for event in requests} == {"note"}
