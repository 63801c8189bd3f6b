"""The application and its commands."""

import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Annotated

import typer

from tarkit import __version__
from tarkit.cli.failures import INTERRUPTED, report, wants_debugging
from tarkit.cli.messages import flush_output, use_json
from tarkit.cli.output import named_output

COMMANDS = (
    "copy",
    "sync",
    "list",
    "inspect",
    "digest",
    "tag",
    "delete",
    "index",
    "annotate",
    "prune",
    "referrers",
    "manifest",
    "blob",
    "catalog",
    "verify",
    "ls",
    "cat",
    "diff",
    "rootfs",
    "ext4",
    "squashfs",
    "erofs",
    "build",
    "serve",
    "store",
    "mount",
    "login",
    "logout",
)
"""The command names; module NAME defines the function ``NAME_command``, or the application
``NAME_group`` for a command with subcommands."""


def _print_version(value: bool) -> None:
    if value:
        print(f"tarkit {__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Read, verify, convert, unpack and move container images stored as files."""


def build_app(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the command in *arguments*, or with all commands.

    Importing all commands would take longer than running most of them.
    """
    app = typer.Typer(
        name="tarkit",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_root)
    # Options before the command, such as --help, need all commands.
    wanted = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    for name in wanted:
        module = import_module(f"tarkit.cli.{name}")
        if group := getattr(module, f"{name}_group", None):
            app.add_typer(group, name=name)
        else:
            app.command(name)(getattr(module, f"{name}_command"))
    return app


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
    use_json("--json" in arguments)
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
    code = build_app(arguments)(arguments, prog_name="tarkit", standalone_mode=False)
    # Without standalone mode, errors and exit codes are ours to handle.
    if code == INTERRUPTED:  # typer returns it after a KeyboardInterrupt
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0
