"""Test that requests and decisions are reported safely."""

from __future__ import annotations

import threading

from tarkit.redaction import Secrets
from tarkit.tracing import trace, tracing


class Unprintable:
    def __str__(self) -> str:
        raise AssertionError("nobody listens")


def test_without_a_listener_nothing_is_formatted() -> None:
    trace("%s", Unprintable())


def test_secrets_and_control_characters_are_hidden() -> None:
    said: list[str] = []
    secrets = Secrets()
    secrets.add("hunter2-is-secret")
    with tracing(said.append):
        trace("%s %s\n", "hunter2-is-secret", "\x1b[31m")
    # a thread that an earlier test left behind may report, too
    assert "*** \\x1b[31m\\n" in said
    assert not any("hunter2" in text or "\x1b" in text for text in said)


def test_the_listener_before_is_restored() -> None:
    outer: list[str] = []
    inner: list[str] = []
    with tracing(outer.append):
        with tracing(inner.append):
            trace("one")
        thread = threading.Thread(target=trace, args=("two",))
        thread.start()
        thread.join()
    trace("three")
    assert (outer, inner) == (["two"], ["one"])
