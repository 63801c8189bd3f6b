"""``tarkit copy SRC DST``."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    Quiet,
    SourceArgument,
    print_json,
    size_text,
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
)
from tarkit.copying.engine import copy_image
from tarkit.copying.existing import keep_archive
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

_ARCHIVES = (Transport.DOCKER_ARCHIVE, Transport.OCI_ARCHIVE)
_NAME_RULES = {
    Transport.DOCKER_ARCHIVE: NameRules.DOCKER,
    Transport.DOCKER_DAEMON: NameRules.DOCKER,
    Transport.REGISTRY: NameRules.EXPLICIT,
}  # other transports accept any name


def copy_command(
    source: SourceArgument,
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DST",
            help="Destination: TRANSPORT:PATH[:NAME]; - as the path for standard output.",
        ),
    ],
    all_images: Annotated[
        bool, typer.Option("--all", help="Copy the whole index with all platforms.")
    ] = False,
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
    digest_file: Annotated[
        Path | None, typer.Option(help="Write the digest of the copy to this file.")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, help="Maximum number of concurrent transfers.")
    ] = None,
    follow_links: FollowLinks = False,
    creds: Creds = None,
    src_creds: SourceCreds = None,
    dest_creds: DestinationCreds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Copy an image to another location or format and verify all data."""
    from_location, to_location = Location.parse(source), Location.parse(destination)
    if json_output and to_location.is_stream:
        raise UsageError("--json and the archive cannot both use standard output")
    if all_images and platform:
        raise UsageError("--all and --platform are mutually exclusive")
    # Fail before the copy instead of after it.
    if digest_file and not output_path(digest_file).parent.is_dir():
        raise PathNotFoundError("no such directory", where=str(digest_file.parent))
    with ExitStack() as stack:
        listener = stack.enter_context(progress_listener(as_json=json_output, quiet=quiet))
        options = CopyOptions(
            all=all_images,
            platforms=tuple(platform or ()),
            sparse=sparse,
            compression=compression,
            level=compression_level,
            preserve_digests=preserve_digests,
            jobs=jobs,
            on_progress=listener,
            verify_diff_ids=verify_diff_ids,
            fetch_foreign=_fetcher(tls_verify) if fetch_foreign else None,
        )
        registry = registry_options(
            from_location, src_creds or creds, authfile, tls_verify, cert_dir
        )
        image = stack.enter_context(
            open_source(from_location, follow_links=follow_links, registry=registry)
        )
        image.manifest()  # a missing image must fail before the destination is created
        registry = registry_options(
            to_location, dest_creds or creds, authfile, tls_verify, cert_dir
        )
        writer = stack.enter_context(
            open_writer(
                to_location,
                docker_format=docker_format,
                verify_existing=verify_existing,
                registry=registry,
            )
        )
        rules = _NAME_RULES.get(to_location.transport, NameRules.ANY)
        requested = ([to_location.name] if to_location.name else []) + (tag or [])
        names = rules.choose(requested, image.names)
        # An archive cannot be changed in place, so its other images are copied too.
        if to_location.transport in _ARCHIVES and not to_location.is_stream:
            keep_archive(
                Path(to_location.path),
                partial(open_reader, replace(to_location, name=None)),
                writer,
                except_names=names,
                rules=rules,
            )
        result = copy_image(image, writer.destination(*names), options)
    # Only now, so that the file never names an image that was not published.
    if digest_file:
        with atomic_file(digest_file.absolute()) as file:
            file.write(f"{result.descriptor.digest}\n".encode())
    with reporting_success():
        _report(result, to_location, names, as_json=json_output, quiet=quiet)


def _fetcher(tls_verify: bool) -> Callable[[Descriptor], BinaryIO]:
    from tarkit.transports.registry.foreign import fetch_layer
    from tarkit.transports.registry.options import RegistryOptions

    return partial(fetch_layer, registry=RegistryOptions(tls_verify=tls_verify))


def _report(
    result: CopyResult, location: Location, names: list[str], *, as_json: bool, quiet: bool
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
