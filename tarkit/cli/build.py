"""``tarkit build FILE.py[:FUNCTION]`` and ``tarkit build -``."""

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from tarkit.cli.building import ProgressMode, build_view
from tarkit.cli.common import Debug, Json, StoreOption, print_json
from tarkit.cli.definitions import print_definition, read_definition
from tarkit.cli.executor_check import print_check
from tarkit.cli.messages import note, reporting_success, use_json
from tarkit.cli.pairs import parse_arguments, parse_directories, parse_pairs
from tarkit.cli.programs import Program, function_of, load_program
from tarkit.cli.registry import Access
from tarkit.cli.secrets import parse_agents, parse_secrets
from tarkit.cli.shells import OnError, require_terminal, shell_opener
from tarkit.errors import PathNotFoundError, UsageError, one_line
from tarkit.exporters.outputs import Output
from tarkit.gateway.building import BuildFunc
from tarkit.gateway.engines import build_client, output_type
from tarkit.gateway.frontends import FrontendCall, frontend_call
from tarkit.gateway.metadata import metadata_document, write_metadata
from tarkit.image.platform import Platform
from tarkit.llb.definition import Definition
from tarkit.transports.docker_daemon.daemon import TlsFiles


class Form(StrEnum):
    """The forms of a printed definition."""

    JSON = "json"
    DOT = "dot"
    SVG = "svg"


def build_command(
    program: Annotated[
        str | None,
        typer.Argument(
            metavar="FILE.py[:FUNCTION]",
            help="Python file, and the function in it (build by default) that takes a client or "
            "returns a state; or - for a definition on standard input; with --frontend, a "
            "directory or Dockerfile.",
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            "-o",
            metavar="type=TYPE,dest=PATH",
            help="Write the result: type local, tar, oci or docker; further options such as "
            "name=NAME; - as the path for standard output. Repeatable.",
        ),
    ] = None,
    local: Annotated[
        list[str] | None,
        typer.Option(
            "--local", metavar="NAME=DIR", help="Let the build read a directory. Repeatable."
        ),
    ] = None,
    opt: Annotated[
        list[str] | None,
        typer.Option(
            "--opt", metavar="NAME=VALUE", help="Option for the build function. Repeatable."
        ),
    ] = None,
    build_arg: Annotated[
        list[str] | None,
        typer.Option(
            "--build-arg",
            metavar="NAME[=VALUE]",
            help="Argument for the build function, by default from the environment. Repeatable.",
        ),
    ] = None,
    platform: Annotated[
        list[Platform] | None,
        typer.Option(
            "--platform",
            parser=Platform.parse,
            metavar="OS/ARCH[/VARIANT]",
            help="Platform to build for; this machine's by default. Repeatable.",
        ),
    ] = None,
    secret: Annotated[
        list[str] | None,
        typer.Option(
            "--secret",
            metavar="id=ID[,src=FILE|,env=NAME]",
            help="Secret for steps that ask for it; it never reaches a layer. Repeatable.",
        ),
    ] = None,
    ssh: Annotated[
        list[str] | None,
        typer.Option(
            "--ssh",
            metavar="ID[=SOCKET]",
            help="SSH agent for steps that ask for it, by default that of SSH_AUTH_SOCK. "
            "Repeatable.",
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            "--allow",
            metavar="PRIVILEGE",
            help="Privilege for processes: network.host or security.insecure. Repeatable.",
        ),
    ] = None,
    on_error: Annotated[
        OnError | None,
        typer.Option(
            "--on-error",
            help="After a process has failed, open a shell in the state before it.",
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option("--check", help="Print what this machine can run, and why not, and exit."),
    ] = False,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Run all steps, even if their results are known.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Print why steps ran: the inputs that changed since the last build."
        ),
    ] = False,
    progress: Annotated[
        ProgressMode, typer.Option("--progress", help="Form of progress on standard error.")
    ] = ProgressMode.AUTO,
    metadata_file: Annotated[
        Path | None,
        typer.Option(
            "--metadata-file", metavar="FILE", help="Write digests of the outputs as JSON."
        ),
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option("--print", help="Print the definition instead of building it."),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="ENGINE",
            help="Engine: local, in this process; or a BuildKit daemon: docker-daemon:, "
            "unix:///PATH, tcp://HOST:PORT, docker-container://NAME.",
        ),
    ] = "local",
    frontend: Annotated[
        str | None,
        typer.Option(
            "--frontend",
            metavar="NAME",
            help="Frontend of the engine, such as dockerfile.v0, for a directory or Dockerfile.",
        ),
    ] = None,
    tlsdir: Annotated[
        Path | None,
        typer.Option(
            "--tlsdir",
            metavar="DIR",
            help="Directory with ca.pem, cert.pem and key.pem for an engine at tcp://.",
        ),
    ] = None,
    store: StoreOption = None,
    access: Access = Access(),
    json_output: Json = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="The same as --progress quiet.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Build the result of a Python function or a definition, or print the definition."""
    if check:
        print_check(json_output=json_output)
        return
    if on_error is OnError.SHELL:
        require_terminal()
    if program is None:
        raise UsageError("no program given", hint="tarkit build FILE.py")
    platforms = tuple(platform or ())
    if form is not None:
        loaded = None if program == "-" else load_program(program)
        print_definition(loaded or read_definition(), form.value, platforms)
        return
    progress = ProgressMode.QUIET if quiet else progress
    if json_output or progress is ProgressMode.JSON:
        progress = ProgressMode.JSON
        use_json(True)
    outputs = [output_type(engine).parse(text) for text in output or ()]
    _check_streams(outputs, json_output)
    if metadata_file is not None and not metadata_file.absolute().parent.is_dir():
        raise PathNotFoundError("no such directory", where=str(metadata_file.parent))
    call = frontend_call(program, frontend, engine)
    loaded = None if call or program == "-" else load_program(program)
    options = {**parse_pairs("--opt", opt or ()), **parse_arguments(build_arg or ())}
    with (
        build_client(
            engine,
            store=store,
            registry=access.anywhere(),
            tls=TlsFiles(tlsdir) if tlsdir else None,
        ) as client,
        build_view(progress, loaded) as view,
    ):
        response = client.build(
            _task(call, loaded),
            output=outputs,
            local={**(call.local if call else {}), **parse_directories(local or ())},
            opts={**(call.opts if call else {}), **options},
            platform=platforms,
            secrets=parse_secrets(secret or ()),
            ssh=parse_agents(ssh or ()),
            allow=allow or (),
            no_cache=no_cache,
            name=_name(program),
            on_event=view,
            on_failure=shell_opener(view.finish) if on_error is OnError.SHELL else None,
        )
    if metadata_file is not None:
        write_metadata(response.exporter_response, metadata_file)
    with reporting_success():
        if explain:
            for each in response.explanations:
                note(one_line(str(each)))
        if json_output:
            print_json(metadata_document(response.exporter_response))
        elif progress in (ProgressMode.AUTO, ProgressMode.PLAIN):
            _note_outputs(outputs)


def _task(call: FrontendCall | None, loaded: Program | None) -> BuildFunc | Definition:
    if call is not None:
        return call.function
    return function_of(loaded) if loaded else read_definition()


def _name(program: str) -> str:
    """Return the name under which the keys of the steps are stored."""
    return "-" if program == "-" else str(Path(program).absolute())


def _check_streams(outputs: list[Output], json_output: bool) -> None:
    streams = [each for each in outputs if each.dest == "-"]
    if len(streams) > 1 or (streams and json_output):
        raise UsageError("standard output can have one output only, or the JSON object")
    if streams and sys.stdout is not None and sys.stdout.isatty():
        raise UsageError(
            "will not write an archive to a terminal", hint="redirect it, or use dest=FILE"
        )


def _note_outputs(outputs: list[Output]) -> None:
    for each in outputs:
        if each.dest not in ("-", ""):
            note(f"wrote {each.dest}")
    if not outputs:
        note("no output given: the result stays in the store")
