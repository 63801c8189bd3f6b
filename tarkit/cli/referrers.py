"""``tarkit referrers SRC``."""

from typing import Annotated

import typer

from tarkit.cli.common import (
    Debug,
    Json,
    PlatformOption,
    Quiet,
    SourceArgument,
    described,
    print_json,
    size_text,
    table,
)
from tarkit.cli.registry import Access
from tarkit.errors import UnsupportedError
from tarkit.transports.location import Location, open_source


def referrers_command(
    source: SourceArgument,
    artifact_type: Annotated[
        str, typer.Option(metavar="TYPE", help="List only artifacts of this type.")
    ] = "",
    platform: PlatformOption = None,
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """List the artifacts about an image, such as signatures and attestations."""
    from tarkit.protocols import ReferringSource
    from tarkit.selection.select import select_image

    location = Location.parse(source)
    registry = access.of(location)
    with open_source(location, metadata_only=True, registry=registry) as image:
        if not isinstance(image, ReferringSource):
            raise UnsupportedError(
                "has no referrers", where=str(location), hint="layouts and registries have"
            )
        raw = select_image(image, platform) if platform else image.manifest()
        found = [
            entry
            for entry in image.referrers(raw.digest).manifests
            if artifact_type in ("", entry.artifact_type)
        ]
    if json_output:
        more = [
            described(entry)
            | {"artifact_type": entry.artifact_type, "annotations": dict(entry.annotations)}
            for entry in found
        ]
        print_json({"subject": str(raw.digest), "referrers": more})
    elif found:
        rows = [("DIGEST", "SIZE", "ARTIFACT TYPE")]
        rows += [(str(e.digest), size_text(e.size), e.artifact_type) for e in found]
        print(table(rows))
