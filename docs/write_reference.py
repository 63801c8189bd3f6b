"""Write the command reference and the man page from the parser: python docs/write_reference.py"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tarkit.cli.app import build_app  # noqa: E402  needs the path
from tarkit.cli.familiar import FAMILIAR  # noqa: E402
from tarkit.cli.manual import ENVIRONMENT, EXITS, Page, pages_of  # noqa: E402

REFERENCE = ROOT / "docs" / "commands.md"
MAN_PAGE = ROOT / "docs" / "man" / "tarkit.1"

Rows = Sequence[tuple[str, str]]


def reference(pages: Sequence[Page]) -> str:
    """Return the command reference as Markdown."""
    lines = [
        "# Command reference",
        "",
        "The help of each command says the same: `tarkit help COMMAND`. The wheel contains it as a man page, too.",
        "",
    ]
    for page in pages:
        lines += [f"## {page.path}", "", "```text", page.usage, "```", ""]
        for paragraph in page.description:
            lines += [_plain(paragraph), ""]
        for title, rows in page.sections:
            lines += [f"**{title}**", "", *_list(rows), ""]
        if page.examples:
            lines += ["**Examples**", "", "```text"]
            for text, command in page.examples:
                lines += [f"# {text}", command]
            lines += ["```", ""]
    lines += ["## Environment", "", *_list(ENVIRONMENT), ""]
    lines += ["## Exit codes", "", *_list(EXITS), ""]
    lines += [
        "## Options of other tools",
        "",
        "Users of skopeo, crane and docker may also write these options. Flags accept `=true` and `=false`.",
        "Where skopeo accepts such an option without effect, so does tarkit.",
        "",
        "| option | meaning | where |",
        "|---|---|---|",
    ]
    for option in FAMILIAR:
        names = ", ".join(f"`{name}`" for name in option.names)
        lines.append(f"| {names} | {_plain(option.meaning)} | {option.commands} |")
    return "\n".join(lines) + "\n"


def _list(rows: Rows) -> Iterator[str]:
    return (f"- `{term}`: {_plain(text)}" if text else f"- `{term}`" for term, text in rows)


def _plain(text: str) -> str:
    """Return *text* without characters that Markdown would interpret."""
    return "".join(f"\\{mark}" if mark in "*<>|[]_" else mark for mark in text)


def man_page(pages: Sequence[Page]) -> str:
    """Return the man page in the macros of man(7)."""
    first, *others = pages
    lines = [
        '.TH TARKIT 1 "" "tarkit"',
        ".SH NAME",
        f"tarkit \\- {_roff(first.description[0])}",
        ".SH SYNOPSIS",
        _roff(first.usage),
    ]
    lines += [".SH OPTIONS", *_terms(dict(first.sections)["Output"])]
    lines += [".SH COMMANDS"]
    for page in others:
        lines += [f".SS {_roff(page.path)}", ".B " + _roff(page.usage)]
        for paragraph in page.description:
            lines += [".PP", _roff(paragraph)]
        for title, rows in page.sections:
            lines += [".PP", f".I {title}", *_terms(rows)]
        if page.examples:
            lines += [".PP", ".I Examples", ".nf"]
            for text, command in page.examples:
                lines += [_roff(f"# {text}"), _roff(command)]
            lines += [".fi"]
    lines += [".SH ENVIRONMENT", *_terms(ENVIRONMENT)]
    lines += [".SH EXIT STATUS", *_terms(EXITS)]
    lines += [
        ".SH OPTIONS OF OTHER TOOLS",
        "tarkit also accepts these options of skopeo, crane and docker.",
    ]
    lines += _terms([(", ".join(o.names), f"{o.meaning} ({o.commands})") for o in FAMILIAR])
    return "\n".join(lines) + "\n"


def _terms(rows: Rows) -> list[str]:
    lines: list[str] = []
    for term, text in rows:
        lines += [".TP", f".B {_roff(term)}", _roff(text) or "\\&"]
    return lines


def _roff(text: str) -> str:
    """Return *text* without characters that roff would interpret."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{text}" if text.startswith(".") else text


def documents() -> dict[Path, str]:
    """Return each generated file and its text."""
    pages = pages_of(build_app())
    return {REFERENCE: reference(pages), MAN_PAGE: man_page(pages)}


if __name__ == "__main__":
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
