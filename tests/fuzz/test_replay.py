"""Replays the fuzz corpus and a fixed set of its mutations."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.fuzz.fuzz_readers import CORPUS, corpus, mutations, one_input
from tests.fuzz.make_corpus import seeds


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_raises_only_tarkit_errors(path: Path) -> None:
    one_input(path.read_bytes())


def test_mutations_raise_only_tarkit_errors() -> None:
    for data in itertools.islice(mutations(corpus(), seed=1), 500):
        one_input(data)


def test_the_script_reproduces_the_corpus() -> None:
    for name, data in seeds().items():
        if not name.endswith(
            (".gz", ".zst", ".xz", ".bz2")
        ):  # their bytes depend on the library version
            assert (CORPUS / name).read_bytes() == data, name


def test_the_corpus_is_small() -> None:
    assert sum(path.stat().st_size for path in CORPUS.iterdir()) < 200_000
