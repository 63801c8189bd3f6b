"""Credentials: from the command line, from files, and from helpers."""

from __future__ import annotations

import base64
import json
import stat
import sys
import threading
import traceback
from pathlib import Path

import pytest

from tarkit import Cancellation
from tarkit.errors import (
    AuthenticationError,
    CancelledError,
    MalformedError,
    NotFoundError,
    PathNotFoundError,
    UsageError,
)
from tarkit.transports.registry import helper
from tarkit.transports.registry.authfile import AuthFile, default_path, find_credentials
from tarkit.transports.registry.credentials import Credentials

SECRET = "s3cr3t-pa:ss"


def auth(username: str, password: str = SECRET) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{username}:{password}".encode()).decode()}


def write(path: Path, document: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))
    return path


def user_of(repository: str, path: Path | None) -> str | None:
    found = find_credentials(repository, path)
    return found.username if found else None


def test_the_first_colon_separates_user_and_password() -> None:
    assert Credentials.parse("me:a:b") == Credentials("me", "a:b")
    assert Credentials.parse("me:") == Credentials("me", "")


@pytest.mark.parametrize("text", ["", "hunter2", ":hunter2"])
def test_malformed_credentials_are_refused_without_showing_them(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Credentials.parse(text)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_no_repr_holds_a_secret() -> None:
    text = repr(Credentials("me", SECRET, identity_token="t0ken"))
    assert "me" in text
    assert SECRET not in text
    assert "t0ken" not in text


def test_the_longest_name_in_a_file_wins(tmp_path: Path) -> None:
    names = ("r.example", "r.example/team", "r.example/team/app", "r.example:5000")
    path = write(
        tmp_path / "auth.json", {"auths": {name: auth(name.replace(":", "_")) for name in names}}
    )
    assert user_of("r.example/team/app", path) == "r.example/team/app"
    assert user_of("r.example/team/other", path) == "r.example/team"
    assert user_of("r.example/teams/app", path) == "r.example"
    assert user_of("r.example:5000/x", path) == "r.example_5000"
    assert user_of("other.example/x", path) is None


@pytest.mark.parametrize(
    "key", ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"]
)
def test_docker_hub_by_any_of_its_names(tmp_path: Path, key: str) -> None:
    path = write(tmp_path / "config.json", {"auths": {key: auth("hub")}})
    assert user_of("docker.io/library/busybox", path) == "hub"
    assert user_of("r.example/library/busybox", path) is None


def test_entries_as_docker_writes_them(tmp_path: Path) -> None:
    auths = {
        "https://old.example/v1/": auth("old"),
        "plain.example": {"username": "plain", "password": SECRET},
        "token.example": {**auth("<token>", ""), "identitytoken": SECRET},
        "empty.example": {},
    }
    file = AuthFile.read(write(tmp_path / "config.json", {"auths": auths}))
    assert file.find("old.example/app") == Credentials("old", SECRET)
    assert file.find("plain.example/app") == Credentials("plain", SECRET)
    assert file.find("token.example/app") == Credentials(identity_token=SECRET)
    assert file.find("empty.example/app") is None


@pytest.mark.parametrize("prefix", ["", "http://", "https://"])
@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v2", "/v2/"])
@pytest.mark.parametrize("host", ["r.example", "r.example:5000"])
def test_forms_of_a_key(tmp_path: Path, host: str, prefix: str, path: str) -> None:
    file = write(tmp_path / "config.json", {"auths": {f"{prefix}{host}{path}": auth("me")}})
    assert user_of(f"{host}/team/app", file) == "me"
    assert user_of("other.example/app", file) is None


def test_other_paths_are_a_namespace_unless_there_is_a_scheme(tmp_path: Path) -> None:
    auths = {"r.example/team": auth("team"), "https://s.example/any/path": auth("whole")}
    file = write(tmp_path / "config.json", {"auths": auths})
    assert user_of("r.example/team/app", file) == "team"
    assert user_of("r.example/other/app", file) is None
    assert user_of("s.example/other/app", file) == "whole"


def test_the_exact_key_takes_precedence(tmp_path: Path) -> None:
    auths = {
        "https://r.example/v1/": auth("old"),
        "r.example/": auth("slash"),
        "r.example": auth("me"),
    }
    file = write(tmp_path / "config.json", {"auths": auths})
    assert user_of("r.example/app", file) == "me"


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r"])
def test_base64_with_line_breaks(tmp_path: Path, line_break: str) -> None:
    encoded = auth("somebody")["auth"]
    broken = line_break.join([encoded[:5], encoded[5:9], encoded[9:], ""])
    file = write(tmp_path / "config.json", {"auths": {"r.example": {"auth": broken}}})
    assert user_of("r.example/app", file) == "somebody"


@pytest.mark.parametrize(
    "entry", [auth("", ""), {"auth": ""}, {"username": "", "password": ""}, {}]
)
def test_empty_credentials_are_none(tmp_path: Path, entry: dict[str, str]) -> None:
    file = write(tmp_path / "config.json", {"auths": {"r.example": entry}})
    assert find_credentials("r.example/app", file) is None


@pytest.mark.parametrize(
    "said", ['{"Username": "", "Secret": ""}', '{"Username": "<token>", "Secret": ""}', "{}",
             '{"ServerURL": "r.example", "Username": null, "Secret": null}'],
)  # fmt: skip
def test_empty_credentials_of_a_helper_mean_anonymous(helper_directory: Path, said: str) -> None:
    program = helper_directory / "docker-credential-empty"
    program.write_text(f"#!{sys.executable}\nprint({said!r})\n")
    program.chmod(0o755)
    assert helper.get("empty", "r.example") is None


def test_a_cancellation_ends_a_helper_that_hangs(helper_directory: Path) -> None:
    program = helper_directory / "docker-credential-hanging"
    program.write_text(f"#!{sys.executable}\nimport time\ntime.sleep(600)\n")
    program.chmod(0o755)
    cancellation = Cancellation()
    timer = threading.Timer(0.2, cancellation.cancel)
    timer.start()
    with pytest.raises(CancelledError), cancellation:
        helper.get("hanging", "r.example")
    timer.join()


def test_the_default_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = "r.example/app"
    assert user_of(repository, None) is None
    for number, (variable, place) in enumerate(
        [
            ("DOCKER_CONFIG", "docker/config.json"),
            ("XDG_CONFIG_HOME", "config/containers/auth.json"),
            ("XDG_RUNTIME_DIR", "run/containers/auth.json"),
            ("REGISTRY_AUTH_FILE", "asked.json"),
        ]
    ):
        path = write(tmp_path / place, {"auths": {"r.example": auth(f"user{number}")}})
        root = {"DOCKER_CONFIG": path.parent, "REGISTRY_AUTH_FILE": path}
        monkeypatch.setenv(variable, str(root.get(variable, path.parent.parent)))
        assert user_of(repository, None) == f"user{number}"
    explicit = write(tmp_path / "explicit.json", {"auths": {"r.example": auth("explicit")}})
    assert user_of(repository, explicit) == "explicit"


def test_without_a_home_directory_there_are_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert user_of("r.example/app", None) is None
    with pytest.raises(UsageError, match="--authfile"):
        default_path(None)


def test_a_requested_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(PathNotFoundError):
        find_credentials("r.example/app", tmp_path / "missing.json")


@pytest.mark.parametrize(
    "text",
    [
        f'{{"auths": {{"r.example": "{SECRET}"',
        f'{{"auths": {{"r.example": {{"auth": "{SECRET}"}}}}}}',
    ],
)
def test_a_broken_file_is_named_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "auth.json"
    path.write_text(text)
    with pytest.raises(MalformedError, match=r"auth\.json") as caught:
        find_credentials("r.example/app", path)
    assert SECRET not in "".join(traceback.format_exception(caught.value))


HELPER = """#!{python}
import json, pathlib, sys
store = pathlib.Path(__file__).with_name("store.json")
log = pathlib.Path(__file__).with_name("argv.log")
log.open("a").write(" ".join(sys.argv) + "\\n")
held = json.loads(store.read_text()) if store.exists() else {{}}
action, text = sys.argv[1], sys.stdin.read()
if action == "store":
    entry = json.loads(text)
    held[entry["ServerURL"]] = entry
elif text not in held:
    sys.exit(print("credentials not found in native keychain") or 1)
elif action == "get":
    print(json.dumps(held[text]))
else:
    del held[text]
store.write_text(json.dumps(held))
"""


@pytest.fixture
def helper_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "bin"
    directory.mkdir()
    program = directory / "docker-credential-kept"
    program.write_text(HELPER.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(directory))
    return directory


def test_a_helper_stores_returns_and_erases(helper_directory: Path) -> None:
    helper.store("kept", "r.example", Credentials("me", SECRET))
    helper.store("kept", "t.example", Credentials(identity_token="tok"))
    assert helper.get("kept", "r.example") == Credentials("me", SECRET)
    assert helper.get("kept", "t.example") == Credentials(identity_token="tok")
    assert helper.get("kept", "other.example") is None
    assert helper.erase("kept", "r.example")
    assert not helper.erase("kept", "r.example")
    assert SECRET not in (helper_directory / "argv.log").read_text()


def test_a_file_names_its_helpers(helper_directory: Path, tmp_path: Path) -> None:
    helper.store("kept", "r.example", Credentials("helped", SECRET))
    helper.store("kept", "https://index.docker.io/v1/", Credentials("hub", SECRET))
    one = write(tmp_path / "one.json", {"credHelpers": {"r.example": "kept", "docker.io": "kept"}})
    assert user_of("r.example/app", one) == "helped"
    assert user_of("docker.io/library/app", one) == "hub"
    assert user_of("other.example/app", one) is None
    every = write(tmp_path / "every.json", {"auths": {"r.example": {}}, "credsStore": "kept"})
    assert user_of("r.example/app", every) == "helped"
    assert user_of("other.example/app", every) is None


@pytest.mark.parametrize("name", ["../evil", "a/b", "", "-x"])
def test_a_helper_is_a_plain_name(name: str) -> None:
    with pytest.raises(UsageError):
        helper.get(name, "r.example")


def test_a_missing_or_failing_helper_is_one_line_without_its_output(helper_directory: Path) -> None:
    with pytest.raises(AuthenticationError, match="docker-credential-absent"):
        helper.get("absent", "r.example")
    program = helper_directory / "docker-credential-kept"
    program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit(print('{SECRET}') or 3)\n")
    with pytest.raises(AuthenticationError, match="exit code 3") as caught:
        helper.get("kept", "r.example")
    assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_logout_requires_stored_credentials(tmp_path: Path) -> None:
    from tarkit.transports.registry.login import logout

    with pytest.raises(NotFoundError, match=r"not logged in to r\.example"):
        logout("r.example", tmp_path / "auth.json")
