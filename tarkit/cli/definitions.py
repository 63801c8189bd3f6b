"""Read definitions from standard input, and print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tarkit.cli.common import print_json
from tarkit.cli.programs import Program
from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.streams.standard import is_terminal, standard_input, standard_output

if TYPE_CHECKING:
    from tarkit.llb.definition import Definition


def read_definition() -> Definition:
    """Return the definition on standard input; raises UsageError if that is a terminal."""
    from tarkit.llb.definition import Definition
    from tarkit.llb.wire.base import LARGEST

    if is_terminal():
        raise UsageError("is a terminal, not a definition", where="standard input")
    data = standard_input().read(LARGEST + 1)
    return Definition.decode(data, where="standard input")


def print_definition(
    given: Program | Definition, form: str, platforms: Sequence[Platform] = ()
) -> None:
    """Print a definition, or that of a program's state for a platform, as json, dot or svg."""
    from tarkit.llb.display.document import to_document
    from tarkit.llb.display.dot import to_dot
    from tarkit.llb.display.svg import to_svg

    definition = _make(given, platforms) if isinstance(given, Program) else given
    if form == "json":
        print_json(to_document(definition))
        return
    text = to_dot(definition) if form == "dot" else to_svg(definition)
    standard_output().write(text.encode())


def _make(program: Program, platforms: Sequence[Platform]) -> Definition:
    from tarkit.llb.vertices import ResolvedImage

    if len(platforms) > 1:
        raise UsageError("a definition is printed for one platform")
    return program.state().marshal(
        resolve=lambda location, _: ResolvedImage(location),  # shown as it was given
        platform=platforms[0] if platforms else Platform.system(),
    )
