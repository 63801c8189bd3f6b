"""``tarkit copy SRC… DST``."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

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
)
from tarkit.cli.many import (
    AllPlatforms,
    KeepGoing,
    Prefix,
    Scoped,
    SourceArguments,
    any_registry,
    copy_many,
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
    registry_options,
    stored_source,
)
from tarkit.copying.engine import copy_image
from tarkit.copying.existing import Kept, keep_archive
from tarkit.copying.known import KnownLayers
from tarkit.copying.names import NameRules
from tarkit.copying.options import CopyOptions, CopyResult, LayerCompression, Sparse
from tarkit.errors import PathNotFoundError, UsageError
from tarkit.image.descriptor import Descriptor
from tarkit.image.platform import Platform
from tarkit.streams.atomic import atomic_file, output_path
from tarkit.transports.docker_archive.format import DockerFormat
from tarkit.transports.location import (
    Location,
    Transport,
    open_reader,
    open_source,
    open_writer,
)
from tarkit.values import replace

_ARCHIVES = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE)
_NAME_RULES = {
    Transport.DOCKER_ARCHIVE: NameRules.DOCKER,
    Transport.DOCKER_DAEMON: NameRules.DOCKER,
    Transport.REGISTRY: NameRules.EXPLICIT,
}  # other transports accept any name


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
        Sparse | None, typer.Option(help="How to handle a partially copied index.")
    ] = None,
    compression: Annotated[
        LayerCompression, typer.Option(help="Compression for layers.")
    ] = LayerCompression.AUTO,
    compression_level: Annotated[
        int | None, typer.Option(min=0, max=22, help="Compression level; depends on the codec.")
    ] = None,
    preserve_digests: Annotated[
        bool,
        typer.Option("--preserve-digests", help="Fail rather than change a manifest or layer."),
    ] = False,
    tag: Annotated[
        list[str] | None, typer.Option(help="Additional name for the copy; may be repeated.")
    ] = None,
    docker_format: Annotated[
        DockerFormat, typer.Option(help="Format of docker archives.")
    ] = DockerFormat.DUAL,
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
        int | None, typer.Option(min=1, max=64, help="Maximum number of concurrent blobs.")
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
    """Copy images to another location or format; all data is verified.

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
    from_location, to_location = Location.parse(sources[0]), Location.parse(destination)
    if json_output and to_location.is_stream:
        raise UsageError("--json and the archive cannot both use standard output")
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
        image.manifest()  # fail on a missing image before creating the destination
        registry = registry_options(
            to_location, dest_creds or creds, authfile, tls_verify, cert_dir
        )
        writer = stack.enter_context(
            open_writer(
                to_location,
                docker_format=docker_format,
                docker_platform=docker_platform,
                verify_existing=verify_existing,
                registry=registry,
            )
        )
        kept, known = Kept(), KnownLayers()
        rules = _NAME_RULES.get(to_location.transport, NameRules.ANY)
        requested = ([to_location.name] if to_location.name else []) + (tag or [])
        names = rules.choose(requested, image.names)
        if to_location.transport in _ARCHIVES and not to_location.is_stream:
            kept = keep_archive(
                Path(to_location.path),
                partial(open_reader, replace(to_location, name=None)),
                writer,
                except_names=names,
                rules=rules,
                known=known,
                verify=verify_existing,
            )
        if referrers:
            from tarkit.copying.referrers import copy_referrers, require_referrers

            require_referrers(image, writer)
        result = copy_image(image, writer.destination(*names), options, known=known)
        if referrers:
            copied = copy_referrers(image, writer, result.descriptor, options)
            text = f"copied {copied} referrer{'' if copied == 1 else 's'}"
            result = replace(result, notes=(*result.notes, text))
    if digest_file:
        with atomic_file(digest_file.absolute()) as file:
            file.write(f"{result.descriptor.digest}\n".encode())
    with reporting_success():
        _report(result, kept, to_location, names, as_json=json_output, quiet=quiet)
    return 0


def _fetcher(tls_verify: bool) -> Callable[[Descriptor], BinaryIO]:
    from tarkit.transports.registry.foreign import fetch_layer
    from tarkit.transports.registry.options import RegistryOptions

    return partial(fetch_layer, registry=RegistryOptions(tls_verify=tls_verify))


def _report(
    result: CopyResult,
    kept: Kept,
    location: Location,
    names: list[str],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
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
                "kept": kept_document(kept),
                "names": names,
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
        note_kept(kept)
