"""A builder with a store, and a directory to build from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import tarkit
from tarkit.gateway import Builder, Client


@pytest.fixture
def builder(tmp_path: Path) -> Iterator[Builder]:
    with tarkit.build_client("local", store=tmp_path / "store") as found:
        yield found


@pytest.fixture
def context(tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    directory.mkdir()
    (directory / "a.txt").write_text("hello")
    return directory


Ask = Callable[..., Any]


@pytest.fixture
def ask(builder: Builder) -> Ask:
    """Return a function that calls another with a client, and returns the answer."""

    def call(question: Callable[[Client], Any], **options: Any) -> Any:
        answers = []

        def build(client: Client) -> None:
            answers.append(question(client))

        builder.build(build, **options)
        return answers[0]

    return call
