"""``tarkit store list|du|prune|verify|remove|repair|migrate``."""

from pathlib import Path
from typing import Annotated, Any

import typer

from tarkit.cli.common import (
    Debug,
    Json,
    Quiet,
    StoreOption,
    blobs_text,
    print_json,
    size_text,
)
from tarkit.cli.failures import exit_code
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.store_space import prune_store_command, usage_command
from tarkit.errors import VerificationError, one_line
from tarkit.store.roots import store_root
from tarkit.transports.location import Location, Transport

store_group = typer.Typer(
    rich_markup_mode=None,
    help="Manage the store: images, content and layers that several commands share.",
)

_FAILED = exit_code(VerificationError(""))


@store_group.command("list")
def list_images(
    store: StoreOption = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """List the named images of the store, and report broken images."""
    from tarkit.cli.list import list_command

    return list_command("store:", json_output=json_output, quiet=quiet)


store_group.command("du")(usage_command)
store_group.command("prune")(prune_store_command)


@store_group.command("verify")
def verify(
    deep: Annotated[
        bool, typer.Option("--deep", help="Read all content and compare it with its digests.")
    ] = False,
    store: StoreOption = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Check the database, the records, the names and, with --deep, all content of the store."""
    from tarkit.store.store import Store
    from tarkit.store.verification import verify_store

    with Store.open(store_root(), create=False) as opened:
        problems = list(verify_store(opened, deep=deep))
    with reporting_success():
        if json_output:
            print_json({"ok": not problems, "problems": list(map(_problem, problems))})
        else:
            for problem in problems:
                print(one_line(f"{problem.subject}: {problem.message}"))
            if problems and any(problem.repairable for problem in problems) and not quiet:
                note("run: tarkit store repair")
            elif not problems and not quiet:
                print("ok")
    return _FAILED if problems else 0


@store_group.command("remove")
def remove(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Name of the image in the store, or @N.")
    ],
    store: StoreOption = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove an image, and the content that nothing else in the store needs."""
    from tarkit.store.removal import remove_image

    location = Location.parse(f"{Transport.STORE.value}:{name}")
    image, garbage = remove_image(store_root(), location.name, location.index)
    with reporting_success():
        if json_output:
            print_json(
                {
                    "digest": str(image.descriptor.digest),
                    "names": list(image.names),
                    "blobs": len(garbage.blobs),
                    "layers": len(garbage.layers),
                    "bytes": garbage.bytes,
                }
            )
        elif not quiet:
            freed = blobs_text(len(garbage.blobs), sum(blob.size for blob in garbage.blobs))
            layers = sum(layer.size for layer in garbage.layers)
            note(f"removed {image.label} with {freed}, and {size_text(layers)} of plain layers")


@store_group.command("repair")
def repair(
    store: StoreOption = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Rebuild a lost database, and move damaged content aside; report losses."""
    from tarkit.store.repair import repair_store

    result = repair_store(store_root())
    with reporting_success():
        if json_output:
            print_json(
                {
                    "rebuilt": result.rebuilt,
                    "blobs": result.blobs,
                    "layers": result.layers,
                    "records": result.records,
                    "lost": list(map(_problem, result.lost)),
                }
            )
        else:
            for problem in result.lost:
                print(one_line(f"lost: {problem.subject}: {problem.message}"))
            if not quiet:
                rebuilt = "rebuilt the database; " if result.rebuilt else ""
                note(
                    f"{rebuilt}the store has {result.blobs} blobs, {result.layers} layers "
                    f"and {result.records} records"
                )
    return _FAILED if result.lost else 0


@store_group.command("migrate")
def migrate(
    source: Annotated[
        Path, typer.Argument(metavar="FROM", help="Store of any version, or OCI layout.")
    ],
    store: StoreOption = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Copy a store of an older version, or a layout, to a new store; do nothing if that exists."""
    from tarkit.store.migration import migrate_store

    target = store_root()
    done = migrate_store(source, target)
    with reporting_success():
        if json_output:
            print_json({"migrated": done, "path": str(target)})
        elif not quiet:
            note(f"migrated {source} to {target}" if done else f"{target} exists; nothing done")


def _problem(problem: Any) -> dict[str, object]:
    return {
        "subject": problem.subject,
        "message": problem.message,
        "repairable": problem.repairable,
    }
