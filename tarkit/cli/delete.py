"""``tarkit delete SRC``."""

from tarkit.cli.common import Debug, Json, Quiet, SourceArgument, blobs_text, print_json
from tarkit.cli.messages import note, reporting_success
from tarkit.cli.registry import Access
from tarkit.transports.location import Location, Transport


def delete_command(
    source: SourceArgument,
    access: Access = Access(),
    json_output: Json = False,
    quiet: Quiet = False,
    debug: Debug = False,
) -> None:
    """Delete an image, and the content that no other image uses.

    If the image has several names, only the given one is removed. In a registry, all tags of its
    digest are removed. An archive is replaced by a new one when it is complete.
    """
    from tarkit.managing.deletion import delete_image

    location = Location.parse(source)
    registry = access.of(location)
    result = delete_image(location, registry=registry)
    with reporting_success():
        if json_output:
            print_json({"digest": str(result.digest), "blobs": result.blobs, "bytes": result.bytes})
        elif not quiet:
            removed = f"; removed {blobs_text(result.blobs, result.bytes)}"
            remote = location.transport is Transport.REGISTRY
            note(f"deleted {result.digest}{'' if remote else removed}")
