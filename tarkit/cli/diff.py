"""``tarkit diff SRC1 SRC2``."""

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
    print_json,
)
from tarkit.cli.registry import AuthFile, CertDir, Creds, TlsVerify, open_image
from tarkit.errors import one_line
from tarkit.rootfs.diff import Difference, DifferenceKind, diff
from tarkit.rootfs.filesystem import FileSystem

_SIGNS = {
    DifferenceKind.ADDED: "+",
    DifferenceKind.REMOVED: "-",
    DifferenceKind.CHANGED: "C",
    DifferenceKind.METADATA: "M",
}


def diff_command(
    old: SourceArgument,
    new: Annotated[
        str, typer.Argument(metavar="SRC2", help="Image to compare it with, in any format.")
    ],
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
) -> int:
    """Compare the files of two images; exit with 1 if they differ.

    + added, - removed, C content changed, M only metadata changed.
    """
    with (
        open_image(
            old, creds, authfile, tls_verify, cert_dir, follow_links=follow_links, other=new
        ) as old_image,
        open_image(
            new, creds, authfile, tls_verify, cert_dir, follow_links=follow_links, other=old
        ) as new_image,
        FileSystem.of(old_image, platform=platform) as before,
        FileSystem.of(new_image, platform=platform) as after,
    ):
        found = diff(before, after)
    if json_output:
        print_json({"differences": [_as_json(difference) for difference in found]})
    else:
        for difference in found:
            fields = f" ({', '.join(difference.fields)})" if difference.fields else ""
            print(f"{_SIGNS[difference.kind]} {one_line(difference.path)}{fields}")
    return 1 if found else 0


def _as_json(difference: Difference) -> dict[str, object]:
    document: dict[str, object] = {"path": difference.path, "kind": difference.kind.value}
    if difference.fields:
        document["fields"] = list(difference.fields)
    return document
