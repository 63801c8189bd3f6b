"""The names ``tarkit`` exports, frozen: adding one is a decision, taking one away a break."""

from __future__ import annotations

import tarkit

PUBLIC: list[str] = []


def test_the_public_names_are_these() -> None:
    assert sorted(getattr(tarkit, "__all__", [])) == sorted(PUBLIC)


def test_every_public_name_is_there_and_documented() -> None:
    for name in PUBLIC:
        assert getattr(tarkit, name).__doc__, name
