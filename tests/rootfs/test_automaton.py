"""The automaton for patterns agrees with regular expressions, which are its oracle."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from tarkit.rootfs.automaton import Automaton, Wildcard
from tarkit.rootfs.path_patterns import PathPatterns, wildcard

TOKENS = st.lists(st.sampled_from([*Wildcard, "a", "b", "/", "[^/]", "[ab]"]), max_size=8)


@given(TOKENS, st.text("ab/\n", max_size=9))
def test_it_matches_like_the_regular_expression(tokens: list[Wildcard | str], text: str) -> None:
    expression = "".join(t.value if isinstance(t, Wildcard) else t for t in tokens)
    expected = re.fullmatch(expression, text, re.DOTALL) is not None
    assert Automaton(tokens).fullmatch(text) == expected


def test_many_wildcards_end() -> None:
    assert not wildcard("*a" * 200 + "b").fullmatch("a" * 250)
    assert wildcard("*a" * 200).fullmatch("a" * 250)
    assert not PathPatterns(["**/a/" * 50 + "b"]).match("a/" * 100 + "c")
    assert PathPatterns(["**/a/" * 50 + "b"]).match("a/" * 100 + "b")
