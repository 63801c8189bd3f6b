"""Filters in the syntax of containerd."""

from __future__ import annotations

import pytest

from tarkit.cache.filters import Filter
from tarkit.errors import UsageError

FIELDS = {"id": "r1", "mutable": "true", "type": "source.local", "description": 'a, "b"'}


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ([], True),
        ([""], True),
        (["mutable"], True),
        (["immutable"], False),
        (["mutable==true"], True),
        (["id==r1"], True),
        (["id==r2"], False),
        (["id=="], False),
        (["id!=r2"], True),
        (["shared!=true"], True),
        (["type~=^source"], True),
        (["parents~=."], False),
        (["id==r1,mutable"], True),
        (["id==r1, immutable"], False),
        (["id==r2", "mutable"], True),
        ([r'description=="a, \"b\""'], True),
        (['id==r1,description~="b\\""'], True),
    ],
)
def test_conditions_and_alternatives(filters: list[str], matches: bool) -> None:
    assert Filter.parse(filters).matches(FIELDS) is matches


@pytest.mark.parametrize(
    "text", ["=", "id=r1", "other", "id==r1,", "id==r1 id==r2", "id~=(", 'id=="x']
)
def test_malformed_filters(text: str) -> None:
    with pytest.raises(UsageError):
        Filter.parse([text])
