"""Build the commands ``tarkit squashfs`` and ``tarkit erofs``."""

from collections.abc import Callable
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
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, open_image
from tarkit.rootfs.output.directory import RootfsResult


def mkfs_command(write: Callable[..., RootfsResult], description: str) -> Callable[..., None]:
    """Return a command that writes an image to a file by *write*; *description* is its help."""

    def command(
        source: SourceArgument,
        output: Annotated[Path, typer.Argument(metavar="OUT", help="File to write.")],
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
                output=output,
            ) as image,
        ):
            result = write(image, output, platform=platform, overlay=overlay, on_progress=listener)
        report_files(result, str(output), as_json=json_output, quiet=quiet)

    command.__doc__ = description
    return command
