"""``tarkit store du|prune``: the space that the store takes."""

from typing import Annotated, Any

import typer

from tarkit.cli.common import Debug, Json, Quiet, StoreOption, print_json, size_text
from tarkit.cli.durations import parse_duration
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.sizes import parse_size
from tarkit.errors import one_line
from tarkit.store.roots import store_root

Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Only refs that match, for example type==regular or id~=^r. Several filters are alternatives.",
    ),
]


def usage_command(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every ref.")] = False,
    filters: Filters = None,
    store: StoreOption = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Show the space that images, refs and derived data take in the store."""
    from tarkit.cache.filters import Filter
    from tarkit.cache.manager import CacheManager
    from tarkit.store.store import Store

    matching = Filter.parse(filters or [])
    with CacheManager(Store.open(store_root(), create=False)) as manager:
        usage = manager.store_usage()
    refs = [info for info in usage.refs if matching.matches(info.fields())]
    parts = {
        "images": usage.images,
        "refs": usage.content,
        "pulled": usage.pulled,
        "derived": usage.derived,
        "unneeded": usage.unneeded,
        "total": usage.total,
    }
    with reporting_success():
        if json_output:
            print_json({"bytes": parts, "refs": list(map(_ref, refs))})
            return
        for info in refs if verbose or filters else ():
            used = "in use" if info.in_use else _time(info.last_used_at) or "never used"
            kind = "mutable" if info.mutable else info.record_type.value
            print(
                one_line(
                    f"{info.id}  {size_text(info.size):>9}  {kind}  {used}  {info.description}"
                )
            )
        for name, size in parts.items():
            print(f"{name:<9} {size_text(size):>9}")


def prune_store_command(
    every: Annotated[
        bool, typer.Option("--all", help="Also remove internal and shared refs.")
    ] = False,
    keep_bytes: Annotated[
        str,
        typer.Option("--keep-bytes", metavar="SIZE", help="Remove only the excess over this size."),
    ] = "0",
    keep_duration: Annotated[
        str,
        typer.Option(
            "--keep-duration", metavar="TIME", help="Keep refs used within this time, such as 48h."
        ),
    ] = "0s",
    min_free: Annotated[
        str,
        typer.Option(
            "--min-free", metavar="SIZE", help="Remove only until this much of the disk is free."
        ),
    ] = "0",
    filters: Filters = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="List content without removing it.")
    ] = False,
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Give the reason for each ref that is removed or kept."),
    ] = False,
    store: StoreOption = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Remove content that no image or process needs: derived data first, then refs."""
    from tarkit.cache.manager import CacheManager
    from tarkit.cache.policies import PrunePolicy
    from tarkit.store.store import Store

    policy = PrunePolicy(
        filters or [],
        every,
        parse_duration(keep_duration),
        max_used=parse_size(keep_bytes),
        min_free=parse_size(min_free),
    )
    with CacheManager(Store.open(store_root(), create=False)) as manager:
        result = manager.prune_store(policy, dry_run=dry_run)
    shown = [each for each in result.plan.decisions if explain or each.removed]
    with reporting_success():
        if json_output:
            print_json(
                {
                    "removed": not dry_run,
                    "bytes": result.bytes,
                    "blobs": [str(blob.digest) for blob in result.blobs],
                    "layers": [layer.key for layer in result.layers],
                    "refs": [
                        {**_ref(each.info), "removed": each.removed, "reason": each.reason}
                        for each in shown
                    ],
                }
            )
            return
        for each in () if quiet else shown:
            fate = "remove" if each.removed else "keep"
            print(one_line(f"{fate}  {each.info.id}  {each.reason}" if explain else each.info.id))
        if not quiet:
            done = "would remove" if dry_run else "removed"
            note(
                f"{done} {len(result.plan.victims)} refs, {len(result.blobs)} blobs and "
                f"{len(result.layers)} layers: {size_text(result.bytes)}"
            )


def _ref(info: Any) -> dict[str, object]:
    return {
        "id": info.id,
        "type": info.record_type.value,
        "mutable": info.mutable,
        "in_use": info.in_use,
        "shared": info.shared,
        "size": info.size,
        "parents": list(info.parents),
        "created": _time(info.created_at),
        "last_used": _time(info.last_used_at),
        "usage_count": info.usage_count,
        "description": info.description,
    }


def _time(moment: Any) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment is not None else None
