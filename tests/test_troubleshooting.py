"""The troubleshooting page quotes messages that exist in the code, word for word."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guides" / "troubleshooting.md"
QUOTED = re.findall(r"^`(.+)`\n: ", PAGE.read_text("utf-8"), re.MULTILINE)


@cache
def messages() -> frozenset[str]:
    """Return every text in the code, with ``…`` for each inserted value."""
    trees = (ast.parse(path.read_bytes()) for path in (ROOT / "tarkit").rglob("*.py"))
    return frozenset(
        template(node)
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, (ast.Constant, ast.JoinedStr))
    )


def template(node: ast.Constant | ast.JoinedStr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    return "".join(map(part, node.values))


def part(node: ast.expr) -> str:
    if isinstance(node, ast.FormattedValue):
        return "'…'" if node.conversion == ord("r") else "…"
    assert isinstance(node, ast.Constant)
    return str(node.value)


def exists(message: str) -> bool:
    """Return whether the code has *message*, alone or before a value."""
    return any(message + value in messages() for value in ("", "…", ": '…'"))


def test_the_page_quotes_messages_of_every_section() -> None:
    sections = PAGE.read_text("utf-8").split("\n## ")[1:-1]
    assert all(re.search(r"^`.+`\n: ", section, re.MULTILINE) for section in sections)
    assert len(QUOTED) == len(set(QUOTED)) > 40


@pytest.mark.parametrize("message", QUOTED)
def test_a_quoted_message_exists(message: str) -> None:
    assert exists(message)


def test_a_message_with_other_words_does_not_exist() -> None:
    assert not exists("no transport given for the target '…'")
