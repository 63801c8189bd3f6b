"""Platforms: the written form and selection of the best match."""

from __future__ import annotations

import platform as machine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import UsageError
from tarkit.image.platform import Platform

words = st.text("abcdefghijklmnopqrstuvwxyz0123456789._-", min_size=1, max_size=8)


@given(words, words, st.none() | words)
def test_round_trip_of_text(os: str, architecture: str, variant: str | None) -> None:
    text = "/".join(filter(None, (os, architecture, variant)))
    parsed = Platform.parse(text)
    assert Platform.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("linux/x86_64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("LINUX/ARM64/V8", "linux/arm64/v8"),
        ("linux/i686", "linux/386"),
    ],
)
def test_other_spellings(text: str, expected: str) -> None:
    assert str(Platform.parse(text)) == expected


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux//v8"])
def test_malformed_platforms_are_rejected(text: str) -> None:
    with pytest.raises(UsageError, match="is not a platform"):
        Platform.parse(text)


@pytest.mark.parametrize(
    ("reported", "expected"),
    [("x86_64", "amd64"), ("AMD64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64")],
)
def test_platform_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, reported: str, expected: str
) -> None:
    monkeypatch.setattr(machine, "machine", lambda: reported)
    assert Platform.system().architecture == expected


def test_a_windows_machine_runs_windows_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "win32")
    assert Platform.system().os == "windows"


@pytest.mark.parametrize(
    ("wanted", "offered", "chosen"),
    [
        ("linux/amd64", ["linux/arm64", "linux/amd64"], 1),
        ("linux/amd64", ["windows/amd64", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64/v3", "linux/amd64"], 1),
        ("linux/amd64", ["linux/amd64", "linux/amd64"], 0),
        ("linux/amd64", ["linux/arm64"], None),
        ("linux/amd64", [], None),
        ("linux/amd64/v3", ["linux/amd64", "linux/amd64/v3"], 1),
        ("linux/amd64/v3", ["linux/amd64"], 0),
        ("linux/arm/v7", ["linux/arm/v6", "linux/arm/v7"], 1),
        ("linux/arm/v7", ["linux/arm/v5", "linux/arm/v6"], 1),
        ("linux/arm/v6", ["linux/arm/v7"], None),
        ("linux/arm/v6", ["linux/arm/v7", "linux/arm"], 1),
        ("linux/arm/v8", ["linux/arm/v5", "linux/arm/v7"], 1),
        ("linux/arm", ["linux/arm/v5", "linux/arm/v7"], 1),
        ("linux/arm64", ["linux/arm64/v8"], 0),
        ("linux/arm64/v8", ["linux/arm64"], 0),
        ("linux/arm64/v8", ["linux/arm64", "linux/arm64/v8"], 1),
        ("linux/arm64/v9", ["linux/arm64/v8"], 0),
        ("linux/s390x", ["linux/s390x/z15"], 0),
        ("linux/s390x/z14", ["linux/s390x/z15"], None),
    ],
)
def test_the_best_match(wanted: str, offered: list[str], chosen: int | None) -> None:
    assert Platform.parse(wanted).choose(map(Platform.parse, offered)) == chosen


def test_entries_without_a_platform_never_match() -> None:
    wanted = Platform("linux", "amd64")
    assert wanted.choose([None, wanted]) == 1
    assert wanted.choose([None]) is None


def test_a_windows_version_must_match_exactly() -> None:
    offered = [Platform("windows", "amd64", os_version=version) for version in ("10.1", "10.2")]
    assert Platform("windows", "amd64", os_version="10.2").choose(offered) == 1
    assert Platform("windows", "amd64", os_version="10.3").choose(offered) is None
    assert Platform("windows", "amd64").choose(offered) == 0


def test_unknown_fields_survive() -> None:
    document = {
        "architecture": "amd64",
        "os": "windows",
        "os.version": "10.0",
        "os.features": ["win32k"],
        "features": ["sse4"],
    }
    assert Platform.from_json(document).to_json() == document
