"""``tarkit build FILE.py[:FUNCTION]`` and ``tarkit build -``."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tarkit.cli.common import Debug, print_json
from tarkit.errors import RefusedError, UsageError
from tarkit.image.platform import Platform
from tarkit.streams.standard import is_terminal, standard_input, standard_output

if TYPE_CHECKING:
    from tarkit.llb.definition import Definition


class Form(StrEnum):
    """The forms of a printed definition."""

    JSON = "json"
    DOT = "dot"
    SVG = "svg"


def build_command(
    program: Annotated[
        str,
        typer.Argument(
            metavar="FILE.py[:FUNCTION]",
            help="Python file, and the function in it (build by default) that returns a state; or "
            "- for a definition on standard input.",
        ),
    ],
    form: Annotated[
        Form | None,
        typer.Option("--print", help="Print the definition instead of building it."),
    ] = None,
    platform: Annotated[
        Platform | None,
        typer.Option(
            "--platform",
            parser=Platform.parse,
            metavar="OS/ARCH[/VARIANT]",
            help="Platform to build for; this machine's by default.",
        ),
    ] = None,
    debug: Debug = False,
) -> None:
    """Print the definition of a build, including definitions that other clients have made."""
    if form is None:
        raise RefusedError(
            "this version prints definitions but cannot build", hint="use --print json, dot or svg"
        )
    definition = _read_definition() if program == "-" else _make_definition(program, platform)
    _print(definition, form)


def _read_definition() -> "Definition":
    from tarkit.llb.definition import Definition
    from tarkit.llb.wire.base import LARGEST

    if is_terminal():
        raise UsageError("is a terminal, not a definition", where="standard input")
    data = standard_input().read(LARGEST + 1)
    return Definition.decode(data, where="standard input")


def _make_definition(program: str, platform: Platform | None) -> "Definition":
    from tarkit.cli.programs import load_program
    from tarkit.llb.vertices import ResolvedImage

    state = load_program(program).state()
    return state.marshal(
        resolve=lambda location, _: ResolvedImage(location),  # shown as it was given
        platform=platform or Platform.system(),
    )


def _print(definition: "Definition", form: Form) -> None:
    from tarkit.llb.display.document import to_document
    from tarkit.llb.display.dot import to_dot
    from tarkit.llb.display.svg import to_svg

    if form is Form.JSON:
        print_json(to_document(definition))
        return
    text = to_dot(definition) if form is Form.DOT else to_svg(definition)
    standard_output().write(text.encode())
