"""``tarkit copy SRC DST``."""

from __future__ import annotations

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
    SourceArgument,
    print_json,
    size_text,
)
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, registry_options
from tarkit.copying.engine import copy_image
from tarkit.copying.existing import copy_existing
from tarkit.copying.options import CopyOptions, CopyResult, LayerCompression, Sparse
from tarkit.errors import PathNotFoundError, UsageError, VerificationError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.layout.names import normalized
from tarkit.protocols import Source, Writer
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
_DOCKER = (Transport.DOCKER_ARCHIVE, Transport.DOCKER_DAEMON)


def copy_command(
    source: SourceArgument,
    destination: Annotated[
        str, typer.Argument(metavar="DST", help="transport:path[:name]; - for standard output.")
    ],
    all_images: Annotated[bool, typer.Option("--all", help="Copy a whole index.")] = False,
    platform: Annotated[
        list[Platform] | None,
        typer.Option(
            parser=Platform.parse,
            metavar="OS/ARCH[/VARIANT]",
            help="What to copy of an index; may be repeated.",
        ),
    ] = None,
    sparse: Annotated[
        Sparse | None, typer.Option(help="What becomes of an index that is not copied whole.")
    ] = None,
    compression: Annotated[
        LayerCompression, typer.Option(help="What layers are compressed with.")
    ] = LayerCompression.AUTO,
    compression_level: Annotated[int | None, typer.Option(min=0, max=22)] = None,
    preserve_digests: Annotated[
        bool, typer.Option("--preserve-digests", help="Refuse to change anything.")
    ] = False,
    tag: Annotated[list[str] | None, typer.Option(help="Another name for the copy.")] = None,
    docker_format: Annotated[
        DockerFormat, typer.Option(help="How a docker archive is laid out.")
    ] = DockerFormat.DUAL,
    verify_existing: Annotated[
        bool, typer.Option("--verify-existing", help="Hash blobs before they are reused.")
    ] = False,
    verify_diff_ids: Annotated[
        bool,
        typer.Option(
            "--verify-diff-ids",
            help="Uncompress layers that are copied as they are, to compare their diff IDs.",
        ),
    ] = False,
    fetch_foreign: Annotated[
        bool,
        typer.Option(
            "--fetch-foreign",
            help="Download layers that are not in the source, only at URLs that it names.",
        ),
    ] = False,
    digest_file: Annotated[Path | None, typer.Option(help="Write the digest to this file.")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, max=64, help="Blobs at a time.")] = None,
    follow_links: FollowLinks = False,
    creds: Creds = None,
    src_creds: Creds = None,
    dest_creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Copy an image, verified on the way, into another place or format."""
    from_location, to_location = Location.parse(source), Location.parse(destination)
    if json_output and to_location.is_stream:
        raise UsageError("--json and the archive cannot both go to standard output")
    if all_images and platform:
        raise UsageError("--all and --platform exclude each other")
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
        image.manifest()  # a source that is not there leaves nothing at the destination
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
        names = _names(image, to_location, tag or [])
        _keep_others(to_location, writer, names)
        result = copy_image(image, writer.destination(*names), options)
    if digest_file:
        with atomic_file(digest_file.absolute()) as file:
            file.write(f"{result.descriptor.digest}\n".encode())
    with reporting_success():
        _report(result, to_location, names, as_json=json_output, quiet=quiet)


def _fetcher(tls_verify: bool) -> Callable[[Descriptor], BinaryIO]:
    from tarkit.transports.registry.foreign import fetch_layer
    from tarkit.transports.registry.options import RegistryOptions

    return partial(fetch_layer, registry=RegistryOptions(tls_verify=tls_verify))


def _names(image: Source, location: Location, tags: list[str]) -> list[str]:
    """What the copy is to be called: as asked, or as it was called before."""
    asked = ([location.name] if location.name else []) + tags
    if asked or location.transport is Transport.REGISTRY:
        return asked
    if location.transport in _DOCKER:
        return [docker for name in image.names if (docker := _docker_name(name))]
    return list(image.names)


def _docker_name(name: str) -> str | None:
    """Return *name* as Docker can keep it, without a digest, or None if nothing is left of it."""
    bare, at, _ = name.partition("@")
    algorithm, _, value = bare.partition(":")
    if normalized(name) is None or Digest.from_parts(algorithm, value):
        return None
    has_tag = ":" in bare.rpartition("/")[2]
    is_bare_tag = ":" not in bare and "/" not in bare
    return bare if has_tag or not (at or is_bare_tag) else None


def _keep_others(location: Location, writer: Writer, names: list[str]) -> None:
    """Carry the images over that an archive holds already: writing it anew would lose them."""
    if location.transport not in _ARCHIVES or location.is_stream:
        return
    path = Path(location.path)
    if path.exists() and path.stat().st_size:
        in_full = normalized if location.transport is Transport.DOCKER_ARCHIVE else str
        try:
            with open_reader(Location(location.transport, location.path)) as reader:
                copy_existing(reader, writer, except_names=names, in_full=in_full)
        except VerificationError as error:
            error.hint = "what it holds would be kept: remove it, or write to another file"
            raise


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
