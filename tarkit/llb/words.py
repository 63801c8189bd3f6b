"""Command lines split into words like BuildKit does (its Shlex option).

The rules are simpler than a shell's: a backslash makes any following character literal, also
within double quotes; ``#`` begins a comment only at the beginning of a word; nothing is expanded.
"""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.errors import UsageError

_BLANK = " \t\r\n"


def split_words(line: str) -> list[str]:
    """Return the words of *line*; raise :class:`UsageError` if a quote or escape is incomplete."""
    characters = iter(line)
    words = []
    for first in characters:
        if first == "#":
            _skip_line(characters)
        elif first not in _BLANK:
            words.append(_word(first, characters, line))
    return words


def _word(first: str, characters: Iterator[str], line: str) -> str:
    word, character = "", first
    while character and character not in _BLANK:
        if character in "'\"":
            word += _quoted(character, characters, line)
        else:
            word += _following(characters, line) if character == "\\" else character
        character = next(characters, "")
    return word


def _quoted(quote: str, characters: Iterator[str], line: str) -> str:
    text = ""
    for character in characters:
        if character == quote:
            return text
        is_escape = character == "\\" and quote == '"'
        text += _following(characters, line) if is_escape else character
    raise UsageError(f"command line {line[:160]!r} lacks a closing {quote}")


def _following(characters: Iterator[str], line: str) -> str:
    character = next(characters, "")
    if not character:
        raise UsageError(f"command line {line[:160]!r} ends with a backslash")
    return character


def _skip_line(characters: Iterator[str]) -> None:
    for character in characters:
        if character == "\n":
            return
