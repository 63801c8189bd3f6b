"""``tarkit copy SRC… DST``."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tarkit.cli.combinations import check_copying, check_reading, require_effect
from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    Quiet,
    StoreOption,
    print_json,
    selected_store,
    size_text,
)
from tarkit.cli.many import (
    AllPlatforms,
    KeepGoing,
    Prefix,
    Scoped,
    SourceArguments,
    copy_many,
    destination_of,
    half_platform,
    is_prefix,
    kept_document,
    note_kept,
)
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import (
    AuthFile,
    CertDir,
    Creds,
    DestinationCreds,
    SourceCreds,
    TlsVerify,
    any_registry,
    registry_options,
    stored_source,
)
from tarkit.copying.options import CopyOptions, LayerCompression, Sparse
from tarkit.errors import PathNotFoundError, UsageError
from tarkit.image.descriptor import Descriptor
from tarkit.image.platform import Platform
from tarkit.library.saving import SavedImage, save_image
from tarkit.streams.atomic import atomic_file, output_path
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.location import (
    Location,
    open_source,
)
from tarkit.values import replace


def copy_command(
    sources: SourceArguments,  # none if there is only one argument, which is then DST
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DST",
            help="Destination: TRANSPORT:PATH[:NAME]; - as the path for standard output.",
        ),
    ],
    all_platforms: AllPlatforms = False,
    all_images: Annotated[
        bool, typer.Option("--all-images", help="Copy every image of each source.")
    ] = False,
    keep_going: KeepGoing = False,
    prefix: Prefix = "",
    scoped: Scoped = False,
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
    compression: Annotated[
        LayerCompression, typer.Option(help="Compression for layers.")
    ] = LayerCompression.AUTO,
    compression_level: Annotated[
        int | None, typer.Option(min=0, max=22, help="Compression level; depends on the codec.")
    ] = None,
    preserve_digests: Annotated[
        bool,
        typer.Option("--preserve-digests", help="Fail instead of changing a manifest or layer."),
    ] = False,
    tag: Annotated[
        list[str] | None, typer.Option(help="Additional name for the copy; may be repeated.")
    ] = None,
    docker_format: Annotated[
        DockerFormat | None, typer.Option(help="Format of docker archives; dual by default.")
    ] = None,
    verify_existing: Annotated[
        bool, typer.Option("--verify-existing", help="Verify existing blobs before reusing them.")
    ] = False,
    verify_diff_ids: Annotated[
        bool,
        typer.Option(
            "--verify-diff-ids",
            help="Verify diff IDs even of layers that are copied unchanged.",
        ),
    ] = False,
    fetch_foreign: Annotated[
        bool,
        typer.Option(
            "--fetch-foreign",
            help="Download non-distributable layers from their URLs.",
        ),
    ] = False,
    referrers: Annotated[
        bool,
        typer.Option(
            "--referrers",
            help="Copy signatures and other referrers, too; implies --preserve-digests.",
        ),
    ] = False,
    digest_file: Annotated[
        Path | None, typer.Option(help="Write the digest of the copy to this file.")
    ] = None,
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
    """Copy images to another location or format and verify all data.

    Several sources, and --all-images, go to one archive, layout or registry, and keep their names.
    """
    if not sources:
        raise UsageError("missing DST", hint=f"example: tarkit copy {destination} oci:layout:app")
    platforms = tuple(platform or ())
    docker_platform = half_platform(destination, platforms) if all_platforms else None
    options = CopyOptions(
        all=all_platforms,
        platforms=() if all_platforms else platforms,
        sparse=sparse,
        compression=compression,
        level=compression_level,
        preserve_digests=preserve_digests or referrers,
        jobs=jobs,
        verify_diff_ids=verify_diff_ids,
        fetch_foreign=_fetcher(tls_verify) if fetch_foreign else None,
    )
    from_locations = [Location.parse(source) for source in sources]
    if not fetch_foreign:  # which connects to the hosts of layers
        check_reading(
            *from_locations,
            destination_of(destination),
            creds=creds,
            authfile=authfile,
            tls_verify=tls_verify,
            cert_dir=cert_dir,
        )
    check_copying(
        from_locations,
        destination_of(destination),
        src_creds=src_creds,
        dest_creds=dest_creds,
        follow_links=follow_links,
        tags=bool(tag),
        docker_format=docker_format is not None,
        verify_existing=verify_existing,
    )
    if len(sources) > 1 or all_images or is_prefix(destination):
        if tag or digest_file or referrers:
            raise UsageError("--tag, --digest-file and --referrers need a single image")
        from tarkit.syncing.options import SyncOptions

        together = SyncOptions(
            copy=options,
            all_images=all_images,
            keep_going=keep_going,
            prefix=prefix,
            scoped=scoped,
            docker_format=docker_format,
            docker_platform=docker_platform,
            verify_existing=verify_existing,
            follow_links=follow_links,
            store=selected_store(),
            source_registry=any_registry(src_creds or creds, authfile, tls_verify, cert_dir),
            destination_registry=any_registry(dest_creds or creds, authfile, tls_verify, cert_dir),
        )
        return copy_many(sources, destination, together, as_json=json_output, quiet=quiet)
    if keep_going or prefix or scoped:
        raise UsageError("--keep-going, --prefix and --scoped need several images")
    from_location, to_location = from_locations[0], Location.parse(destination)
    if json_output and to_location.is_stream:
        raise UsageError("--json and the archive cannot both use standard output")
    # Fail before the copy instead of after it.
    if digest_file and not output_path(digest_file).parent.is_dir():
        raise PathNotFoundError("no such directory", where=str(digest_file.parent))
    with ExitStack() as stack:
        listener = stack.enter_context(progress_listener(as_json=json_output, quiet=quiet))
        options = replace(options, on_progress=listener)
        registry = registry_options(
            from_location, src_creds or creds, authfile, tls_verify, cert_dir
        )
        image = stack.enter_context(
            stored_source(
                open_source(from_location, follow_links=follow_links, registry=registry),
                from_location,
            )
        )
        # A missing image must fail before the destination is created.
        is_index = image.manifest().is_index
        require_effect("--sparse", given=sparse is not None, applies=is_index, to="an index")
        saved = save_image(
            image,
            to_location,
            options,
            names=tag or (),
            referrers=referrers,
            docker_format=docker_format,
            docker_platform=docker_platform,
            verify_existing=verify_existing,
            registry=registry_options(
                to_location, dest_creds or creds, authfile, tls_verify, cert_dir
            ),
        )
    # Only now, so that the file never names an image that was not published.
    if digest_file:
        with atomic_file(digest_file.absolute()) as file:
            file.write(f"{saved.copy.descriptor.digest}\n".encode())
    with reporting_success():
        _report(saved, to_location, as_json=json_output, quiet=quiet)
    return 0


def _fetcher(tls_verify: bool) -> Callable[[Descriptor], BinaryIO]:
    from tarkit.transports.registry.foreign import fetch_layer
    from tarkit.transports.registry.options import RegistryOptions

    return partial(fetch_layer, registry=RegistryOptions(tls_verify=tls_verify))


def _report(saved: SavedImage, location: Location, *, as_json: bool, quiet: bool) -> None:
    result = saved.copy
    if as_json:
        print_json(
            {
                "digest": str(result.descriptor.digest),
                "media_type": result.descriptor.media_type,
                "blobs": {
                    "copied": result.copied,
                    "reused": result.reused,
                    "recompressed": result.recompressed,
                },
                "bytes": {"read": result.bytes_read, "written": result.bytes_written},
                "kept": kept_document(saved.kept),
                "names": list(saved.names),
                "notes": list(result.notes),
            }
        )
        return
    if not location.is_stream:
        print(result.descriptor.digest)
    if not quiet:
        for text in result.notes:
            note(text)
        note(
            f"blobs: {result.copied} copied, {result.recompressed} recompressed, "
            f"{result.reused} reused; {size_text(result.bytes_read)} read, "
            f"{size_text(result.bytes_written)} written"
        )
        note_kept(saved.kept)
