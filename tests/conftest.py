"""Fixtures for every test: the committed files, unpacked once a session, and repeatable hypothesis runs."""

from __future__ import annotations

import tarfile
from pathlib import Path

import hypothesis
import pytest

FIXTURES = Path(__file__).parent.parent / "fixtures"

hypothesis.settings.register_profile(
    "repeatable", deadline=None, derandomize=True, database=None, print_blob=True
)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile("repeatable")


@pytest.fixture(scope="session")
def fixtures() -> Path:
    """The directory of committed fixture files; read only."""
    return FIXTURES


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One pair of images as twelve producers write it, unpacked; shared by all tests, so read only."""
    directory = tmp_path_factory.mktemp("corpus")
    with tarfile.open(FIXTURES / "alpha.tar.xz") as archive:
        for member in archive:  # plain files only; extractall's filters need Python 3.11.4
            if content := archive.extractfile(member):
                target = directory / member.name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content.read())
    return directory / "alpha"
