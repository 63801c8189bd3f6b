"""``tarkit mount SRC DIR``."""

from pathlib import Path
from typing import Annotated

import typer

from tarkit.cli.common import Debug, FollowLinks, PlatformOption, Quiet, SourceArgument
from tarkit.cli.messages import note
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, registry_options
from tarkit.errors import one_line
from tarkit.filesystems.mounting import fixed_location, mount_image, require_fuse
from tarkit.library.opened import open_image


def mount_command(
    source: SourceArgument,
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Existing, empty directory to mount at.")
    ],
    foreground: Annotated[
        bool,
        typer.Option("--foreground", "-f", help="Stay in the foreground; Ctrl-C unmounts."),
    ] = False,
    platform: PlatformOption = None,
    follow_links: FollowLinks = False,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Mount the files of an image at a directory, read-only, until it is unmounted."""
    require_fuse(directory)
    location = fixed_location(source)
    registry = registry_options(location, creds, authfile, tls_verify, cert_dir)
    with open_image(
        location, platform=platform, follow_links=follow_links, registry=registry
    ) as image:
        _ = image.files  # report a damaged image before anything is mounted
        if not quiet:
            way = "press Ctrl-C" if foreground else f"run: fusermount3 -u {directory}"
            note(one_line(f"mounting at {directory}; to unmount, {way}"))
        mount_image(image, directory, foreground=foreground)
