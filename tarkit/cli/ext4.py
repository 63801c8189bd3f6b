"""``tarkit ext4 SRC OUT``."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from tarkit.artifacts.build import BuildResult, build_ext4
from tarkit.cli.combinations import require_effect
from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    PlatformOption,
    Quiet,
    SourceArgument,
    StoreOption,
    print_json,
    table,
)
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.overlays import AddOption, CertificateOption, RemoveOption, overlay_of
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, open_image
from tarkit.cli.sizes import parse_free, parse_policy, parse_size
from tarkit.errors import UsageError
from tarkit.ext4 import Ext4Options, Ext4Profile


def _profile(text: str) -> Ext4Profile:
    match text:
        case "default" | "ro" | "compat":
            return text
    raise UsageError(f"unknown profile {text!r}", hint="use default, ro or compat")


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise UsageError(f"invalid UUID {text!r}") from None


def ext4_command(
    source: SourceArgument,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="Ext4 image to write.")],
    size: Annotated[
        str, typer.Option(metavar="auto|min|BYTES", help="Image size; suffixes K, M, G, T.")
    ] = "auto",
    free: Annotated[
        str | None,
        typer.Option(metavar="PERCENT|BYTES", help="Free space if the size is auto; default 10%."),
    ] = None,
    inodes: Annotated[int | None, typer.Option(help="Minimum number of inodes.")] = None,
    align: Annotated[
        str | None,
        typer.Option(
            metavar="BYTES",
            help="Round the size up to a multiple of this unless given; default 2M.",
        ),
    ] = None,
    profile: Annotated[
        Ext4Profile,
        typer.Option(
            parser=_profile,
            metavar="default|ro|compat",
            help="ro: no journal, no space for growth. compat: no metadata checksums.",
        ),
    ] = "default",
    label: Annotated[str, typer.Option(help="Volume label, up to 16 bytes.")] = "",
    uuid: Annotated[
        UUID | None,
        typer.Option(
            "--uuid",
            parser=_uuid,
            metavar="UUID",
            help="Volume UUID; by default derived from the image.",
        ),
    ] = None,
    sparse: Annotated[
        bool,
        typer.Option("--sparse/--no-sparse", help="Leave free blocks unallocated in the file."),
    ] = True,
    add: AddOption = None,
    remove: RemoveOption = None,
    ca_cert: CertificateOption = None,
    platform: PlatformOption = None,
    follow_links: FollowLinks = False,
    store: StoreOption = None,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write the merged layers of an image as an ext4 filesystem image."""
    chosen = size in ("auto", "min")
    require_effect("--free", given=free is not None, applies=size == "auto", to="--size auto")
    require_effect("--align", given=align is not None, applies=chosen, to="--size auto and min")
    options = Ext4Options(
        size=parse_policy(size),
        free=parse_free(free or "10%"),
        inodes=inodes,
        align=parse_size(align or "2M"),
        profile=profile,
        label=label,
        uuid=uuid,
        sparse=sparse,
    )
    overlay = overlay_of(add, remove, ca_cert)
    with (
        progress_listener(as_json=json_output, quiet=quiet) as listener,
        open_image(
            source, creds, authfile, tls_verify, cert_dir, follow_links=follow_links, output=output
        ) as image,
    ):
        result = build_ext4(
            image, output, options, platform=platform, overlay=overlay, on_progress=listener
        )
    if not quiet:
        for text in result.notes:
            note(text)
    with reporting_success():
        if json_output:
            print_json(_as_json(result))
        elif not quiet:
            facts = _as_json(result)
            del facts["notes"]
            print(table([(name, str(value)) for name, value in facts.items() if value != ""]))


def _as_json(result: BuildResult) -> dict[str, object]:
    return {
        "path": str(result.path),
        "size": result.size,
        "used": result.used,
        "inodes": result.inodes,
        "used_inodes": result.used_inodes,
        "uuid": str(result.uuid),
        "label": result.label,
        "sha256": result.sha256.hex,
        "manifest": str(result.manifest),
        "notes": list(result.notes),
    }
