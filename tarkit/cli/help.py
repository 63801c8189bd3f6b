"""``tarkit help [COMMAND]``."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from tarkit.errors import UsageError


def help_command(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="Command to explain.")
    ] = None,
) -> None:
    """Show the help of a command, as --help does."""
    explained: Any = context.parent
    for name in names or ():
        group = explained.command
        found = group.get_command(explained, name) if isinstance(group, TyperGroup) else None
        if found is None:
            raise UsageError(
                f"no such command {' '.join(names or ())[:100]!r}",
                hint="'tarkit help' lists the commands",
            )
        explained = typer.Context(found, info_name=name, parent=explained)
    print(explained.get_help())
