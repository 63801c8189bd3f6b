"""The application: options before the command, and how a command runs and fails."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from tarkit import __version__
from tarkit.cli.commands import COMMANDS, Commands
from tarkit.cli.failures import INTERRUPTED, report, wants_debugging
from tarkit.cli.messages import flush_output, is_set, note, use_json
from tarkit.cli.output import named_output
from tarkit.errors import UsageError


def _print_version(value: bool) -> None:
    if value:
        print(f"tarkit {__version__}")
        raise typer.Exit


def _root(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            "-V",
            callback=_print_version,
            is_eager=True,
            help="Show the version and exit.",
        ),
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="List each request and decision.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    tmpdir: Annotated[
        Path | None, typer.Option(hidden=True, help="Directory for temporary files: TMPDIR.")
    ] = None,
    command_timeout: Annotated[
        str | None, typer.Option(metavar="DURATION", hidden=True, help="End the command after it.")
    ] = None,
    override_os: Annotated[str | None, typer.Option(hidden=True)] = None,
    override_arch: Annotated[str | None, typer.Option(hidden=True)] = None,
    override_variant: Annotated[str | None, typer.Option(hidden=True)] = None,
    insecure_policy: Annotated[bool, typer.Option("--insecure-policy", hidden=True)] = False,
    policy: Annotated[Path | None, typer.Option(hidden=True)] = None,
    registries_d: Annotated[Path | None, typer.Option("--registries.d", hidden=True)] = None,
) -> None:
    """Read, verify, convert, unpack and move container images stored as files."""
    if policy is not None:
        raise UsageError(
            "--policy is not supported", hint="tarkit verifies digests, not signatures"
        )
    if registries_d is not None:
        note("--registries.d has no effect: tarkit has no signature stores")
    if tmpdir is not None:
        from tarkit.cli.limits import use_temporary

        use_temporary(tmpdir)
    if command_timeout is not None:
        from tarkit.cli.limits import end_after

        end_after(command_timeout)
    passed = {
        "verbose": verbose or None,
        "debug": debug or None,
        "insecure_policy": insecure_policy or None,
        "override_os": override_os,
        "override_arch": override_arch,
        "override_variant": override_variant,
    }
    context.default_map = _defaults(context, passed)


def _defaults(context: typer.Context, values: dict[str, Any]) -> dict[str, Any]:
    """Return *values* as the defaults of the command that runs, or of each command in it."""
    name = context.invoked_subcommand or ""
    command = context.command
    assert isinstance(command, TyperGroup)
    called = command.get_command(context, name)
    if isinstance(called, TyperGroup):
        return {name: dict.fromkeys(called.commands, values)}
    return {name: values}


def _without_options() -> None:
    """Run a command that no option precedes."""


def build_app(arguments: Sequence[str] = ()) -> TyperGroup:
    """Return the application. It imports each command when it is used.

    If *arguments* begin with a command, the options before it need not be declared.
    """
    first = arguments[0] if arguments else "help"
    app = typer.Typer(
        name="tarkit",
        cls=Commands,
        no_args_is_help=True,
        rich_markup_mode=None,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_without_options if first in COMMANDS and first != "help" else _root)
    return get_group(app)


def run(
    arguments: list[str] | None = None,
    *,
    signalled: Callable[[], BaseException | None] = lambda: None,
) -> int:
    """Run the command line and return its exit code; print an error as one line on stderr.

    If *signalled* returns the exception of a signal, report that exception: the cleanup after it may
    have failed with another error.
    """
    arguments = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    use_json(is_set("--json", arguments))
    with named_output():
        try:
            code = _run(arguments)
            flush_output()
        except (Exception, KeyboardInterrupt, SystemExit) as error:  # noqa: BLE001  even a bug prints one line
            code = report(signalled() or error, debug=wants_debugging(arguments))
            with suppress(OSError):
                flush_output()
    return code


def _run(arguments: list[str]) -> int:
    if isinstance(sys.stderr, TextIOWrapper):  # the locale may not support a character of a name
        sys.stderr.reconfigure(errors="backslashreplace")
    if arguments[0] == "__complete":
        from tarkit.cli.completing import complete

        complete(build_app(), *arguments[1:4])
        return 0
    try:
        # Without standalone mode, errors and exit codes are ours to handle.
        code = build_app(arguments).main(arguments, prog_name="tarkit", standalone_mode=False)
    except Exception as error:
        if hasattr(error, "format_message"):  # only the parser's errors have it
            from tarkit.cli.usage import usage_error

            raise usage_error(error) from None
        raise
    if code == INTERRUPTED:  # typer returns it after a KeyboardInterrupt
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
