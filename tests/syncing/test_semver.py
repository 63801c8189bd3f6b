"""Constraints on versions, checked against tables of Masterminds/semver."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import UsageError
from tarkit.syncing.semver import Constraint, Version

YES, NO = True, False


@pytest.mark.parametrize(
    ("constraint", "version", "expected"),
    [
        ("*", "1.2.3", YES), ("=2.0.0", "1.2.3", NO), ("=2.0", "2.0.5", YES), ("2.1", "2.1.9", YES),
        ("=2.0", "1.9.9", NO), ("4.1", "4.1.0", YES), ("!=4.1", "4.1.3", NO), ("!=4.1", "5.1.0", YES),
        ("!=4.1.0", "4.1.0", NO), ("<11", "0.1.0", YES), ("<11", "11.1.0", NO), ("<1.1", "0.1.0", YES),
        ("<1.1", "1.1.0", NO), (">11", "12.1.0", YES), (">11", "11.1.0", NO), (">1.1.1", "1.1.2", YES),
        (">=11", "11.1.2", YES), (">=11.1", "11.0.2", NO), ("<=11", "11.2.1", YES), ("<=11", "12.0.0", NO),
        ("<=1.2.3", "1.2.4", NO), ("~1", "1.9.0", YES), ("~1.2", "1.3.0", NO), ("~1.2.3", "1.2.9", YES),
        ("~>1.2.3", "1.2.2", NO), ("^1.1", "1.9.0", YES), ("^1.1", "2.0.0", NO), ("^0.2.3", "0.2.9", YES),
        ("^0.2.3", "0.3.0", NO), ("^0.0.3", "0.0.4", NO), ("^0.0", "0.0.9", YES), ("^0", "0.9.9", YES),
        ("1.2.x", "1.2.9", YES), ("1.2.x", "1.3.0", NO), ("1.x.x", "1.9.9", YES), ("2 - 3", "3.5.0", YES),
        ("1.2 - 1.4.5", "1.4.6", NO), (">=1.2, <2", "1.9.0", YES), (">= 1.2 < 2", "2.0.0", NO),
        ("<1 || >=3", "3.1.0", YES), ("<1 || >=3", "2.0.0", NO), (">=1.0.0", "1.2.0-rc1", NO),
        (">=1.0.0-0", "1.2.0-rc1", YES), ("v1.2.3", "v1.2.3", YES), ("=1.2.3-beta", "1.2.3-beta", YES),
    ],
)  # fmt: skip
def test_constraints(constraint: str, version: str, expected: bool) -> None:
    parsed = Version.parse(version)
    assert parsed is not None
    assert Constraint.parse(constraint).allows(parsed) is expected


@pytest.mark.parametrize("tag", ["latest", "1.2.3.4", "01.2", "1.2-", "", "x1", "1.2.3 "])
def test_tags_that_are_no_versions(tag: str) -> None:
    assert Version.parse(tag) is None


@pytest.mark.parametrize("text", ["", ">", "1.2.3.4", ">=a", "1 ||", "<1.2.3abc", "a - b"])
def test_malformed_constraints(text: str) -> None:
    with pytest.raises(UsageError, match="malformed version constraint"):
        Constraint.parse(text)


def test_the_order_of_prereleases() -> None:
    """The example of semver.org, section 11."""
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
             "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]  # fmt: skip
    versions = [version for text in order if (version := Version.parse(text))]
    assert sorted(set(versions), key=lambda version: version.key) == versions


numbers = st.tuples(*[st.integers(0, 5)] * 3)


@given(numbers, numbers)
def test_operators_agree(one: tuple[int, int, int], two: tuple[int, int, int]) -> None:
    version, text = Version(one), ".".join(map(str, two))
    allows = {
        operator: Constraint.parse(operator + text).allows(version)
        for operator in ("=", "!=", "<", "<=", ">", ">=", "~", "^")
    }
    assert allows["="] == (one == two) == (not allows["!="])
    assert (allows["<"], allows[">"]) == (one < two, one > two)
    assert (allows["<="], allows[">="]) == (one <= two, one >= two)
    assert not allows["~"] or allows["^"] or two[0] == 0
    assert not (allows["^"] or allows["~"]) or allows[">="]
