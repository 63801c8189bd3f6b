"""The commands: each is imported when it is used, and all share one way to parse and to explain."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.main import get_command_from_info, get_group

from tarkit.cli.bundles import expanded
from tarkit.cli.messages import note
from tarkit.errors import UsageError

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
    "completion",
    "help",
)
"""The module of each name defines the function ``NAME_command`` or, for commands with commands of
their own, the application ``NAME_group``."""

_KNOWN_ELSEWHERE = {
    "list-tags": "list", "images": "list", "manifest-digest": "digest", "config": "inspect",
    "cp": "copy", "pull": "copy", "push": "copy", "save": "copy", "load": "copy", "rmi": "delete",
    "export": "rootfs", "unpack": "rootfs", "validate": "verify", "gc": "prune",
}  # fmt: skip
"""Commands of skopeo, crane, docker and umoci, with the equivalent commands of tarkit."""

_TRUTH = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}  # as Go's strconv.ParseBool, which skopeo, crane and docker use

OVERRIDES = ("--override-os", "--override-arch", "--override-variant")
"""skopeo's options for choosing an image from an index."""

_SETTINGS = {"help_option_names": ["-h", "--help"]}


class Command(TyperCommand):
    """A command with the options of every command, and flags that accept ``=true`` and ``=false``."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        own = {parameter.name for parameter in self.params}
        self._common = [option for option in _common_options() if option.name not in own]
        if "platform" in own:
            self._common += [TyperOption(param_decls=[name], hidden=True) for name in OVERRIDES]
        self.params += self._common

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse *args* after translating flags with values."""
        return super().parse_args(ctx, translated(self.params, args))

    def invoke(self, ctx: Any) -> Any:
        """Obey the options of every command, and run this one."""
        given = {option.name: ctx.params.pop(option.name) for option in self._common}
        if any(parts := [given.get(name.lstrip("-").replace("-", "_")) for name in OVERRIDES]):
            from tarkit.cli.overrides import override_platform

            override_platform(self.params, ctx.params, parts)
        if not ctx.params.get("quiet"):
            _note_beforehand(ctx.params, insecure_policy=given["insecure_policy"])
        if not given.get("verbose"):
            return super().invoke(ctx)
        from tarkit.tracing import tracing

        with tracing(note):
            return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help: usage, description, options in groups, examples."""
        from tarkit.cli.manual import write_help

        write_help(self, ctx, formatter)


class Group(TyperGroup):
    """A command with commands of its own."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help: usage, description, commands, options."""
        from tarkit.cli.manual import write_help

        write_help(self, ctx, formatter)


class Commands(Group):
    """All commands. Importing all of them would take longer than running most of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import the command *cmd_name*; return None if there is none."""
        if cmd_name in COMMANDS and cmd_name not in self.commands:
            self.commands[cmd_name] = _loaded(cmd_name)
        return self.commands.get(cmd_name)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the command after translating flags with values."""
        return super().parse_args(ctx, translated(self.params, args))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that *args* begin with; raise :class:`UsageError` if there is none."""
        name = args[0]
        if name not in COMMANDS and not ctx.resilient_parsing:
            from difflib import get_close_matches

            near = [_KNOWN_ELSEWHERE.get(name), *get_close_matches(name, COMMANDS, 1)]
            found = next((each for each in near if each), None)
            raise UsageError(
                f"no such command {name[:100]!r}",
                hint=f"did you mean {found!r}?" if found else "'tarkit help' lists the commands",
            )
        return super().resolve_command(ctx, args)


def _common_options() -> list[TyperOption]:
    return [
        TyperOption(
            param_decls=["--verbose", "-v"],
            is_flag=True,
            default=False,
            help="List each request and decision.",
            rich_help_panel="Output",
        ),
        TyperOption(
            param_decls=["--insecure-policy"],
            is_flag=True,
            default=False,
            hidden=True,
            help="No effect.",
        ),
    ]


def _note_beforehand(values: dict[str, Any], *, insecure_policy: bool) -> None:
    """Print the notes that depend only on the *values* given to the command."""
    if insecure_policy:
        note("--insecure-policy has no effect: tarkit has no signature policy")
    if _reads_input(values):
        from tarkit.cli.files import announce_wait

        announce_wait()


def _reads_input(values: dict[str, Any]) -> bool:
    """Return True if a source in *values* is standard input."""
    sources = [values.get("source"), values.get("old"), values.get("new")]
    sources += values.get("sources") or []
    return any(source == "-" or (source or "").endswith(":-") for source in sources)


def translated(parameters: Sequence[Any], arguments: Sequence[str]) -> list[str]:
    """Return *arguments* with ``--flag=false`` and ``--flag=true`` as the flags that the parser knows.

    A flag that cannot be negated is left out if it is false.
    """
    flags: dict[str, list[str]] = {}
    for option in parameters:
        if getattr(option, "is_flag", False):
            yes, no = list(option.opts), list(option.secondary_opts)
            flags |= dict.fromkeys(yes, no) | dict.fromkeys(no, yes)
    result: list[str] = []
    for position, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[position:]]
        name, _, value = argument.partition("=")
        if name in flags and value in _TRUTH:
            opposite = flags[name]
            result += [name] if _TRUTH[value] else opposite[:1]
        else:
            result.append(argument)
    return result


def _loaded(name: str) -> Any:
    module = import_module(f"tarkit.cli.{name}")
    group: typer.Typer | None = getattr(module, f"{name}_group", None)
    app = group or typer.Typer()
    if group is None:
        app.command(name)(getattr(module, f"{name}_command"))
    for info in app.registered_commands:
        assert info.callback is not None
        info.cls = Command
        info.callback = expanded(info.callback)
        info.context_settings = _SETTINGS
    if group is not None:
        app.info.cls, app.info.name = Group, name
        app.info.context_settings = _SETTINGS
        return get_group(app)
    return get_command_from_info(
        app.registered_commands[0], pretty_exceptions_short=True, rich_markup_mode=None
    )
