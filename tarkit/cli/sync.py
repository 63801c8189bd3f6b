"""``tarkit sync LIST|SRC DST``."""

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Annotated

import typer

from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    Quiet,
    StoreOption,
    print_json,
    selected_store,
    size_text,
    table,
)
from tarkit.cli.many import (
    AllPlatforms,
    KeepGoing,
    Prefix,
    Scoped,
    half_platform,
    report_images,
    require_free_output,
)
from tarkit.cli.messages import note
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import (
    AuthFile,
    CertDir,
    Creds,
    DestinationCreds,
    SourceCreds,
    TlsVerify,
    any_registry,
)
from tarkit.copying.many import FailedImage
from tarkit.copying.options import CopyOptions, LayerCompression, Sparse
from tarkit.image.platform import Platform
from tarkit.syncing.options import Shard, SyncOptions
from tarkit.syncing.sync import Transfer, plan_sync, sync
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.values import replace


def sync_command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="LIST|SRC",
            help="A list of images (.yaml, .yml, .json), or an archive, layout or repository.",
        ),
    ],
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DST",
            help="Archive, layout or repository, or a prefix in a registry: docker://HOST/PREFIX/",
        ),
    ],
    all_platforms: AllPlatforms = False,
    platform: Annotated[
        list[Platform] | None,
        typer.Option(
            parser=Platform.parse,
            metavar="OS/ARCH[/VARIANT]",
            help="Platform to copy from an index; may be repeated.",
        ),
    ] = None,
    sparse: Annotated[
        Sparse | None, typer.Option(help="How to handle an index that is not copied completely.")
    ] = None,
    tags: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Tags to take from a repository.")
    ] = None,
    prefix: Prefix = "",
    scoped: Scoped = False,
    shard: Annotated[
        Shard | None,
        typer.Option(
            parser=Shard.parse,
            metavar="I/N",
            help="Move only part I of N, counted from 1; the parts together are the whole.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print blobs and bytes per image; write nothing.")
    ] = False,
    keep_going: KeepGoing = False,
    compression: Annotated[
        LayerCompression, typer.Option(help="Compression for layers.")
    ] = LayerCompression.AUTO,
    docker_format: Annotated[
        DockerFormat, typer.Option(help="Format of docker archives.")
    ] = DockerFormat.DUAL,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Maximum number of concurrent transfers.")
    ] = None,
    follow_links: FollowLinks = False,
    store: StoreOption = None,
    creds: Creds = None,
    src_creds: SourceCreds = None,
    dest_creds: DestinationCreds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> int:
    """Copy the images of a list or source that the destination lacks, and those that changed.

    Images keep their digests if the destination can store them unchanged. Nothing is deleted.
    """
    platforms = tuple(platform or ())
    options = SyncOptions(
        copy=CopyOptions(
            all=all_platforms,
            platforms=() if all_platforms else platforms,
            sparse=sparse,
            compression=compression,
            jobs=jobs,
        ),
        tags=tags,
        keep_going=keep_going,
        prefix=prefix,
        scoped=scoped,
        shard=shard,
        docker_format=docker_format,
        docker_platform=half_platform(destination, platforms) if all_platforms else None,
        follow_links=follow_links,
        store=selected_store(),
        source_registry=any_registry(src_creds or creds, authfile, tls_verify, cert_dir),
        destination_registry=any_registry(dest_creds or creds, authfile, tls_verify, cert_dir),
    )
    if dry_run:
        return _report_plan(*plan_sync(source, destination, options), as_json=json_output)
    require_free_output(destination, as_json=json_output)
    with ExitStack() as stack:
        listener = stack.enter_context(progress_listener(as_json=json_output, quiet=quiet))
        options = replace(options, copy=replace(options.copy, on_progress=listener))
        result = sync(source, destination, options)
    return report_images(result, destination, as_json=json_output, quiet=quiet)


def _report_plan(
    transfers: Sequence[Transfer], failed: Sequence[FailedImage], *, as_json: bool
) -> int:
    if as_json:
        print_json(
            {
                "images": [
                    {
                        "source": transfer.source,
                        "names": list(transfer.names),
                        "unchanged": transfer.unchanged,
                        "blobs": transfer.blobs,
                        "bytes": transfer.bytes,
                        "present": transfer.present,
                    }
                    for transfer in transfers
                ],
                "failed": [{"source": f.source, "error": str(f.error)} for f in failed],
            }
        )
    else:
        _print_plan(transfers)
    for image in failed:
        note(f"failed: {image.error}")
    return 1 if failed else 0


def _print_plan(transfers: Sequence[Transfer]) -> None:
    rows = [("BLOBS", "SIZE", "PRESENT", "IMAGE")]
    for transfer in transfers:
        name = " ".join(transfer.names) or transfer.source
        present = "unchanged" if transfer.unchanged else str(transfer.present)
        rows.append((str(transfer.blobs), size_text(transfer.bytes), present, name))
    total = sum(transfer.bytes for transfer in transfers)
    blobs = sum(transfer.blobs for transfer in transfers)
    rows.append((str(blobs), size_text(total), "", f"total of {len(transfers)} images"))
    print(table(rows))
