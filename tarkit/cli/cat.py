"""``tarkit cat SRC PATH``."""

from collections.abc import Iterator
from typing import Annotated

import typer

from tarkit.cli.common import Debug, FollowLinks, PlatformOption, Quiet, SourceArgument, StoreOption
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, open_image
from tarkit.rootfs.filesystem import FileSystem
from tarkit.rootfs.table import DataLocation
from tarkit.streams.chunks import chunks_of, write_all
from tarkit.streams.standard import standard_output
from tarkit.tar.member import Member
from tarkit.tar.sparse import logical


def cat_command(
    source: SourceArgument,
    path: Annotated[str, typer.Argument(metavar="PATH", help="Path of the file in the image.")],
    platform: PlatformOption = None,
    follow_links: FollowLinks = False,
    store: StoreOption = None,
    creds: Creds = None,
    authfile: AuthFile = None,
    tls_verify: TlsVerify = True,
    cert_dir: CertDir = None,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Write a file of an image to standard output, verified.

    In a store, the file is verified by itself, and elsewhere with its whole layer.
    """
    with (
        open_image(
            source, creds, authfile, tls_verify, cert_dir, follow_links=follow_links
        ) as image,
        FileSystem.of(image, platform=platform) as files,
    ):
        node = files.file(path)
        if node.place is not None and not files.contents.is_intact(node):
            files.contents.deliver([node.row], _Output())
        else:  # verified by itself; or empty or a single hole: there is no layer data to read
            with files.contents.open(node) as stream:
                for chunk in chunks_of(stream):
                    write_all(standard_output(), chunk)


class _Output:
    """A sink that writes to standard output."""

    def store(self, place: DataLocation, member: Member, chunks: Iterator[memoryview]) -> None:
        for chunk in logical(member, chunks):
            write_all(standard_output(), chunk)
