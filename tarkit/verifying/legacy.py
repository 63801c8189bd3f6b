"""Check archives from before Docker 1.10, which state no digests, for missing files."""

from __future__ import annotations

from collections.abc import Iterable

from tarkit.errors import TarkitError
from tarkit.findings import Rule
from tarkit.image.document import METADATA_LIMIT, parse_object
from tarkit.transports.docker_archive.format import REPOSITORIES_FILE
from tarkit.verifying.contents import ArchiveContents
from tarkit.verifying.documents import read_document
from tarkit.verifying.images import VerificationContext
from tarkit.verifying.layers import Claim


def check_legacy(
    contents: ArchiveContents, context: VerificationContext, only: str | None = None
) -> None:
    """Check every image in ``repositories``, or *only* the given one, down to its lowest layer."""
    document = read_document(contents, REPOSITORIES_FILE, None, context.findings)
    if document == {}:
        context.findings.add(Rule.NO_IMAGES, REPOSITORIES_FILE, "lists no image")
    known: set[str] = set()
    for image_id in _image_ids(document, context):
        if only in (None, image_id):
            _check_chain(image_id, known, contents, context)


def _image_ids(document: object, context: VerificationContext) -> Iterable[str]:
    if document is None:
        return
    tags = list(document.values()) if isinstance(document, dict) else [document]
    for ids in tags:
        if not isinstance(ids, dict) or not all(v and isinstance(v, str) for v in ids.values()):
            message = "must be an object of repositories, each an object of tags and image IDs"
            context.findings.add(Rule.MALFORMED_DOCUMENT, REPOSITORIES_FILE, message)
        else:
            yield from ids.values()


def _check_chain(
    image_id: str, known: set[str], contents: ArchiveContents, context: VerificationContext
) -> None:
    """Check a layer and its ancestors, except the *known* layers."""
    chain: set[str] = set()
    while image_id and image_id not in known:
        known.add(image_id)
        chain.add(image_id)
        image_id = _check_layer(image_id, contents, context)
    # Not merely a layer that another image has in common with this one.
    if image_id in chain:
        message = "the layer is its own ancestor"
        context.findings.add(Rule.MALFORMED_DOCUMENT, f"{image_id}/json", message)


def _check_layer(layer_id: str, contents: ArchiveContents, context: VerificationContext) -> str:
    """Check a layer; return the ID of its parent, or an empty string if it has none."""
    parent: object = ""
    name, layer = f"{layer_id}/json", f"{layer_id}/layer.tar"
    try:
        found = contents.named(layer)
        if not found:
            context.findings.add(
                Rule.MISSING_BLOB, REPOSITORIES_FILE, f"layer {layer!r} is missing"
            )
        for content in found:
            context.referenced.add(content)
            context.claims.add(content, Claim(layer=True))
        context.referenced.update(contents.named(name))
        parent = parse_object(contents.archive.read(name, METADATA_LIMIT)).get("parent") or ""
    except TarkitError as error:
        context.findings.blame(error, name, Rule.MALFORMED_DOCUMENT)
    if not isinstance(parent, str):
        context.findings.add(Rule.MALFORMED_DOCUMENT, name, "'parent' is not a string")
        return ""
    return parent
