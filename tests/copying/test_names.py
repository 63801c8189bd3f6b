"""Test the names that copies get."""

from __future__ import annotations

import pytest

from tarkit.copying.names import NameRules

HEX = "a" * 64
FULL, TAG = "docker.io/library/app:1", "1.0"


@pytest.mark.parametrize("rules", NameRules)
def test_requested_names_win(rules: NameRules) -> None:
    assert rules.choose(["b:2", "c:3"], ["a:1"]) == ["b:2", "c:3"]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (NameRules.ANY, [FULL, TAG]),
        (NameRules.DOCKER, [FULL]),
        (NameRules.EXPLICIT, []),
    ],
)
def test_names_are_inherited_by_rule(rules: NameRules, expected: list[str]) -> None:
    assert rules.choose([], [FULL, TAG]) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("app:1", ["app:1"]),
        ("host:5000/app", ["host:5000/app"]),
        (f"app:1@sha256:{HEX}", ["app:1"]),
        (f"host/app@sha256:{HEX}", []),
        (f"sha256:{HEX}", []),
        ("latest", []),
        ("Not A Name", []),
    ],
)
def test_docker_names_have_a_tag_and_no_digest(name: str, expected: list[str]) -> None:
    assert NameRules.DOCKER.choose([], [name]) == expected


def test_docker_names_compare_in_full() -> None:
    assert NameRules.DOCKER.normalize("app:1") == NameRules.DOCKER.normalize(FULL)
    assert NameRules.DOCKER.normalize("Not A Name") is None
    assert NameRules.ANY.normalize("Not A Name") == "Not A Name"
