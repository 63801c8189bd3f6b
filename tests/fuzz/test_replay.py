"""The fuzz corpus, replayed, and a few thousand mutations of it that are always the same."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.fuzz.fuzz_readers import CORPUS, corpus, mutations, one_input
from tests.fuzz.make_corpus import seeds


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_raises_nothing_unexpected(path: Path) -> None:
    one_input(path.read_bytes())


def test_mutations_of_the_corpus_raise_nothing_unexpected() -> None:
    for data in itertools.islice(mutations(corpus(), seed=1), 500):
        one_input(data)


def test_the_corpus_is_what_its_script_makes() -> None:
    for name, data in seeds().items():
        if not name.endswith((".gz", ".zst", ".xz", ".bz2")):  # their bytes are the library's own
            assert (CORPUS / name).read_bytes() == data, name


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 200_000
