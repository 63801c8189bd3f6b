"""Test the options that users of skopeo, crane and docker type by habit."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tarkit.cli.limits import parse_duration
from tarkit.errors import UsageError
from tests.builders import multi_platform, named, write_files
from tests.cli.conftest import Tarkit


@pytest.fixture
def several(tmp_path: Path) -> str:
    """Return the location of an image for amd64, arm64 and arm in a layout."""
    layout, index, _ = multi_platform("amd64", "arm64", "arm")
    write_files(tmp_path / "several", layout.finish(named(index, "app")))
    return f"oci:{tmp_path / 'several'}:app"


def platforms(tarkit: Tarkit, location: str) -> list[str]:
    """Return the platforms of the image at *location*."""
    path = location.rpartition(":")[0]
    found: list[str] = tarkit("list", "--json", path).document["images"][0]["platforms"]
    return found


@pytest.mark.parametrize("option", ["-a", "--all", "--multi-arch=all"])
def test_all_platforms(tarkit: Tarkit, several: str, tmp_path: Path, option: str) -> None:
    out = f"oci:{tmp_path / 'out'}:x"
    assert tarkit("copy", option, several, out).code == 0
    assert platforms(tarkit, out) == ["linux/amd64", "linux/arm64", "linux/arm"]


@pytest.mark.parametrize(
    "options",
    [
        ["--override-arch", "arm64", "--override-os", "linux"],
        ["--override-arch=arm64"],
    ],
)
def test_parts_of_the_platform_are_overridden(
    tarkit: Tarkit, several: str, tmp_path: Path, options: list[str]
) -> None:
    for before, after in ((options, []), ([], options)):
        out = f"oci:{tmp_path / f'out{len(before)}'}:x"
        assert tarkit(*before, "copy", several, out, *after).code == 0
        assert platforms(tarkit, out) == ["linux/arm64"]


def test_a_variant_is_overridden(tarkit: Tarkit, several: str) -> None:
    result = tarkit("inspect", "--override-arch", "arm", "--override-variant", "v6", several)
    assert (result.code, "linux/arm\n" in result.out) == (0, True)
    for command in (["digest"], ["manifest", "get"]):
        plain = tarkit(*command, "--platform", "linux/arm64", several)
        assert tarkit("--override-arch", "arm64", *command, several) == plain


def test_overrides_have_no_effect_on_all_platforms(
    tarkit: Tarkit, several: str, tmp_path: Path
) -> None:
    out = f"oci:{tmp_path / 'out'}:x"
    assert tarkit("--override-arch", "arm64", "copy", "-a", several, out).code == 0
    assert len(platforms(tarkit, out)) == 3
    assert tarkit("--override-arch", "arm64", "digest", "-a", several).out.count("\n") == 3


def test_overrides_and_a_platform_are_exclusive(tarkit: Tarkit, several: str) -> None:
    result = tarkit("digest", "--override-os", "linux", "--platform", "linux/arm64", several)
    assert (result.code, result.out) == (2, "")
    assert "--platform and --override-" in result.err


def test_the_index_alone(tarkit: Tarkit, several: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = tarkit("copy", "--multi-arch", "index-only", several, f"oci:{out}:x")
    assert (result.code, result.out) == (0, tarkit("digest", several).out)
    assert "3 of 3 manifests of the index were not copied" in result.err
    assert [path.name for path in (out / "blobs/sha256").iterdir()] == [result.out.strip()[7:]]


@pytest.mark.parametrize("more", [["--all"], ["--platform", "linux/amd64"], ["--sparse", "keep"]])
def test_multi_arch_excludes_its_equivalents(
    tarkit: Tarkit, several: str, tmp_path: Path, more: list[str]
) -> None:
    result = tarkit("copy", "--multi-arch", "system", *more, several, f"oci:{tmp_path / 'out'}:x")
    assert result.code == 2
    assert "mutually exclusive" in result.err


def test_other_names_of_options_of_a_copy(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    out, digest = tmp_path / "out", tmp_path / "digest"
    result = tarkit(
        "copy", "--additional-tag", "two", f"--digestfile={digest}", "--dest-compress-format", "zstd",
        "--dest-compress-level", "3", f"{save}:one:1", f"oci:{out}:one",
    )  # fmt: skip
    assert result.code == 0
    assert digest.read_text() == result.out
    manifest = json.loads(tarkit("manifest", "get", f"oci:{out}:two").out)
    assert {layer["mediaType"][-4:] for layer in manifest["layers"]} == {"zstd"}


SKOPEO_WITHOUT_EFFECT = [
    "--src-tls-verify=false", "--dest-tls-verify=true", "--src-tls-verify", "--no-dest-tls-verify",
    "--no-src-tls-verify", "--src-cert-dir=.", "--dest-cert-dir=.", "--src-no-creds", "--no-src-no-creds",
    "--dest-no-creds", "--no-dest-no-creds", "--src-registry-token=t", "--dest-registry-token=t",
    "--registry-token=t", "--no-creds", "--retry-times=3", "--no-creds=false",
]  # fmt: skip


@pytest.mark.parametrize("option", SKOPEO_WITHOUT_EFFECT)
def test_options_that_skopeo_accepts_without_effect(
    tarkit: Tarkit, save: str, tmp_path: Path, option: str
) -> None:
    assert tarkit("copy", option, f"{save}:one:1", f"oci:{tmp_path / 'out'}:x").code == 0
    assert tarkit("sync", option, save, f"oci:{tmp_path / 'synced'}").code == 0


@pytest.mark.parametrize("option", ["--authfile", "--src-authfile", "--dest-authfile"])
def test_a_missing_credentials_file_is_an_error_without_a_registry(
    tarkit: Tarkit, save: str, tmp_path: Path, option: str
) -> None:
    for command in ("copy", "sync"):
        if (command, option) == ("copy", "--authfile"):
            continue  # refused, because it has no effect
        result = tarkit(command, option, "absent.json", f"{save}", f"oci:{tmp_path / 'out'}")
        assert (result.code, result.err) == (1, "tarkit: absent.json: no such credentials file\n")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("place", [0, 2])
def test_the_policy_that_tarkit_lacks_is_mentioned_once(
    tarkit: Tarkit, save: str, place: int
) -> None:
    arguments = ["digest", f"{save}:one:1"]
    arguments.insert(place, "--insecure-policy")
    result = tarkit(*arguments)
    assert result.err == "tarkit: --insecure-policy has no effect: tarkit has no signature policy\n"
    assert tarkit(*arguments, "-q").err == ""
    assert tarkit("--insecure-policy=false", "digest", f"{save}:one:1").err == ""


def test_a_policy_is_refused(tarkit: Tarkit, save: str) -> None:
    result = tarkit("--policy", "policy.json", "list", save)
    assert (result.code, result.out) == (2, "")
    assert "verifies digests, not signatures" in result.err
    result = tarkit("--registries.d", "/etc", "list", save)
    assert (result.code, result.err.count("has no effect")) == (0, 1)


def test_flags_accept_truth_values(tarkit: Tarkit, save: str, tmp_path: Path) -> None:
    result = tarkit("list", "--json=true", save)
    assert json.loads(result.out)["images"][0]["names"] == ["one:1"]
    assert tarkit("list", "--json=false", save).out.startswith("INDEX")
    result = tarkit("list", "--tls-verify=false", save)
    assert (result.code, "--no-tls-verify has no effect" in result.err) == (2, True)
    assert tarkit("list", "--no-tls-verify=F", "--tls-verify=1", save).code == 0
    assert tarkit("list", "--tls-verify=maybe", save).code == 2
    out = tmp_path / "out"
    assert tarkit("rootfs", f"{save}:one:1", out, "--quiet=TRUE").err == ""


def test_what_follows_two_dashes_is_no_option(
    tarkit: Tarkit, save: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert tarkit("rootfs", "-q", "--", f"{save}:one:1", "--rootless=true").code == 0
    assert (tmp_path / "--rootless=true").is_dir()


def test_the_version(tarkit: Tarkit) -> None:
    short, long = tarkit("-V"), tarkit("--version")
    assert (short.code, short.out) == (0, long.out)
    assert short.out.startswith("tarkit ")


def test_debugging_may_be_asked_for_before_the_command(tarkit: Tarkit) -> None:
    assert "Traceback" in tarkit("--debug", "list", "absent.tar").err
    assert "Traceback" in tarkit("list", "absent.tar", "--debug=true").err
    assert "Traceback" not in tarkit("list", "absent.tar", "--debug=false").err
    assert "Traceback" not in tarkit("list", "absent.tar").err
    assert json.loads(tarkit("list", "absent.tar", "--json=1").err)["event"] == "error"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("list-tags", "list"), ("pull", "copy"), ("export", "rootfs"), ("lst", "list")],
)
def test_commands_of_other_tools_are_recognized(tarkit: Tarkit, typed: str, meant: str) -> None:
    result = tarkit(typed, "app.tar")
    assert result.err == f"tarkit: no such command {typed!r}; did you mean {meant!r}?\n"
    assert result.code == 2
    assert tarkit("qqq").err == "tarkit: no such command 'qqq'; 'tarkit help' lists the commands\n"


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1m30s", 90), ("2h", 7200), ("1.5s", 1.5), ("500ms", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "3", "s", "1m 30s", "-1s", "1d"])
def test_invalid_durations(tarkit: Tarkit, text: str) -> None:
    with pytest.raises(UsageError):
        parse_duration(text)
    assert tarkit(f"--command-timeout={text}", "list", "x").code == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_a_command_ends_after_its_timeout() -> None:
    command = [sys.executable, "-m", "tarkit", "--command-timeout", "300ms", "list", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.wait(60) in (143, -signal.SIGTERM)
        assert process.stderr is not None
        assert b"longer than --command-timeout 300ms" in process.stderr.read()


def test_temporary_files(
    tarkit: Tarkit, save: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", "")
    assert tarkit("--tmpdir", tmp_path / "absent", "list", save).code == 3
    assert tarkit("--tmpdir", tmp_path, "list", save).code == 0
    assert os.environ["TMPDIR"] == str(tmp_path)
