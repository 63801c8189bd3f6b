"""``tarkit rootfs SRC DEST``."""

from pathlib import Path
from typing import Annotated

import typer

from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    PlatformOption,
    Quiet,
    SourceArgument,
    StoreOption,
    report_files,
)
from tarkit.cli.overlays import AddOption, CertificateOption, RemoveOption, overlay_of
from tarkit.cli.progress import Listener, progress_listener
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, open_image
from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.protocols import Source
from tarkit.rootfs.output.directory import RootfsResult, write_directory
from tarkit.rootfs.output.tarball import save_tar, stream_tar
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.streams.standard import standard_output

_TAR_NAMES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tzst")
_OTHER_NAMES = (
    *(".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.lz4", ".tar.lzma", ".tar.br"),
    *(".zip", ".7z", ".cpio", ".gz", ".zst", ".xz", ".bz2", ".rar", ".squashfs", ".erofs", ".ext4"),
)


def rootfs_command(
    source: SourceArgument,
    destination: Annotated[
        str,
        typer.Argument(
            metavar="DEST",
            help="New directory, or tar file (.tar, .tar.gz, .tar.zst); - for a tar on standard output.",
        ),
    ],
    add: AddOption = None,
    remove: RemoveOption = None,
    ca_cert: CertificateOption = None,
    rootless: Annotated[
        bool, typer.Option("--rootless", help="Store owners in user.rootlesscontainers attributes.")
    ] = False,
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
    """Write the merged layers of an image to a directory or a tar."""
    path = Path(destination)
    is_stream = destination == "-"
    is_tar = is_stream or destination.lower().endswith(_TAR_NAMES)
    if not is_tar and destination.lower().endswith(_OTHER_NAMES):
        raise UsageError(
            f"unsupported format: {destination!r}",
            hint="use .tar, .tar.gz or .tar.zst, or the name of a directory",
        )
    if is_stream and json_output:
        raise UsageError("--json and the tar cannot both use standard output")
    if rootless and is_tar:
        raise UsageError("--rootless applies only to directories, because a tar stores all owners")
    overlay = overlay_of(add, remove, ca_cert)
    with (
        progress_listener(as_json=json_output, quiet=quiet) as listener,
        open_image(
            source,
            creds,
            authfile,
            tls_verify,
            cert_dir,
            follow_links=follow_links,
            output=None if is_stream else path,
        ) as image,
    ):
        if is_tar:
            result = _write_tar(image, path, platform, overlay, listener, is_stream=is_stream)
        else:
            result = write_directory(
                image,
                path,
                platform=platform,
                overlay=overlay,
                rootless=rootless,
                on_progress=listener,
            )
    report_files(result, destination, as_json=json_output, quiet=quiet)


def _write_tar(
    image: Source,
    path: Path,
    platform: Platform | None,
    overlay: Overlay,
    listener: Listener | None,
    *,
    is_stream: bool,
) -> RootfsResult:
    if is_stream:
        return stream_tar(
            image,
            standard_output(),
            platform=platform,
            overlay=overlay,
            on_progress=listener,
        )
    return save_tar(image, path, platform=platform, overlay=overlay, on_progress=listener)
