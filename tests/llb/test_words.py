"""Test the splitting of command lines, and paths."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tarkit.errors import UsageError
from tarkit.llb.paths import clean, directory, join, rooted, rooted_target
from tarkit.llb.words import split_words


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("  \n\t", []),
        ("make install", ["make", "install"]),
        ("sh -c 'echo \"a b\" > /x' # c", ["sh", "-c", 'echo "a b" > /x']),
        ("a#b #c", ["a#b"]),
        ("a # b\nc", ["a", "c"]),
        (r"a\ b", ["a b"]),
        ("''", [""]),
        ("a''b\"\"", ["ab"]),
        (r'"\$x \a"', ["$x a"]),
        (r"'\$x'", [r"\$x"]),
        ("a\\\nb", ["a\nb"]),
    ],
)
def test_lines_are_split_into_words(line: str, words: list[str]) -> None:
    assert split_words(line) == words


@pytest.mark.parametrize("line", ["'a", '"a', 'x "a\\', "a\\"])
def test_incomplete_lines_are_refused(line: str) -> None:
    with pytest.raises(UsageError, match="command line"):
        split_words(line)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)))
def test_quoted_words_are_read_back(words: list[str]) -> None:
    assert split_words(shlex.join(words)) == words


@pytest.mark.parametrize(
    ("path", "cleaned"),
    [("", "."), ("/", "/"), ("//a//b/", "/a/b"), ("a/./b/../c", "a/c"), ("/../x", "/x"), ("../x", "../x")],
)  # fmt: skip
def test_paths_are_cleaned_like_in_go(path: str, cleaned: str) -> None:
    assert clean(path) == cleaned


def test_relative_paths_stay_below_the_root() -> None:
    assert rooted("/work", "../../up") == "/up"
    assert rooted("/work", "/abs/.") == "/abs"
    assert join("", "", "") == ""
    assert join("/", "", "a") == "/a"


@pytest.mark.parametrize(
    ("path", "target"), [("b/", "/w/b/"), ("/.", "/."), ("/c/.", "/c/."), (".", "/w"), ("/", "/")]
)
def test_endings_of_targets_are_kept(path: str, target: str) -> None:
    assert rooted_target("/w", path) == target


@pytest.mark.parametrize(
    ("steps", "system", "result"),
    [
        (("/", "/w", "sub/../x"), "linux", "/w/x"),
        (("/", "/a/../b"), "linux", "/a/../b"),  # absolute paths stay as they are
        (("/", ""), "linux", "/"),
        (("/", r"C:\app"), "windows", r"C:\app"),
        (("/", r"C:\app", r"sub\x"), "windows", "/app/sub/x"),
        (("/", r"C:\app"), "linux", r"/C:\app"),
    ],
)
def test_the_working_directory_follows_the_rules_of_the_platform(
    steps: tuple[str, ...], system: str, result: str
) -> None:
    assert directory(steps, system) == result


def test_other_drives_are_refused() -> None:
    with pytest.raises(UsageError, match="system drive"):
        directory(("/", r"D:\app"), "windows")
