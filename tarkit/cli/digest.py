"""``tarkit digest SRC``."""

from typing import Annotated

import typer

from tarkit.cli.common import (
    Debug,
    FollowLinks,
    Json,
    PlatformOption,
    Quiet,
    SourceArgument,
    platform_text,
    print_json,
    table,
)
from tarkit.cli.registry import Access
from tarkit.errors import UsageError
from tarkit.protocols import Source
from tarkit.transports.location import Location, open_source


def digest_command(
    source: SourceArgument,
    every: Annotated[
        bool, typer.Option("--all", "-a", help="Print the digest of each platform's manifest.")
    ] = False,
    platform: PlatformOption = None,
    follow_links: FollowLinks = False,
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Print the digest of an image's manifest, or of its index if it has several platforms."""
    if every and platform:
        raise UsageError("--all and --platform are mutually exclusive")
    location = Location.parse(source)
    registry = access.of(location, follow_links=follow_links)
    with open_source(
        location, metadata_only=True, follow_links=follow_links, registry=registry
    ) as image:
        if every:
            _print_all(image, as_json=json_output)
            return
        from tarkit.selection.select import select_image

        raw = select_image(image, platform) if platform else image.manifest()
    if json_output:
        print_json({"digest": str(raw.digest), "media_type": raw.media_type})
    else:
        print(raw.digest)


def _print_all(image: Source, *, as_json: bool) -> None:
    from tarkit.selection.digests import platform_digests

    found = platform_digests(image)
    rows = [(str(each.digest), platform_text(each.platform)) for each in found]
    if as_json:
        names = ("digest", "platform")
        manifests = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"digest": str(image.manifest().digest), "manifests": manifests})
    elif rows:
        print(table([(digest, platform or "") for digest, platform in rows]))
