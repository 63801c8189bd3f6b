"""``tarkit squashfs SRC OUT``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tarkit.cli.common import Debug, Json, PlatformOption, Quiet, SourceArgument
from tarkit.cli.overlays import AddOption, CertificateOption, RemoveOption, overlay_of
from tarkit.cli.progress import progress_listener
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, open_image
from tarkit.cli.rootfs import report
from tarkit.rootfs.mkfs import write_squashfs


def squashfs_command(
    source: SourceArgument,
    output: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    add: AddOption = None,
    remove: RemoveOption = None,
    ca_cert: CertificateOption = None,
    platform: PlatformOption = None,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write an image's files as a squashfs image, with mksquashfs."""
    overlay = overlay_of(add, remove, ca_cert)
    with (
        progress_listener(as_json=json_output, quiet=quiet) as listener,
        open_image(source, creds, authfile, tls_verify, cert_dir, output=output) as image,
    ):
        result = write_squashfs(
            image, output, platform=platform, overlay=overlay, on_progress=listener
        )
    report(result, str(output), as_json=json_output, quiet=quiet)
