"""Archives from before Docker 1.10, which state no digest: whether all they name is there and can be read."""

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
    contents: ArchiveContents, book: VerificationContext, only: str | None = None
) -> None:
    """Check every image that ``repositories`` names, or *only* that one, down to its lowest layer."""
    document = read_document(contents, REPOSITORIES_FILE, None, book.findings)
    if document == {}:
        book.findings.add(Rule.NO_IMAGES, REPOSITORIES_FILE, "names no image")
    known: set[str] = set()
    for image_id in _image_ids(document, book):
        if only in (None, image_id):
            _check_chain(image_id, known, contents, book)


def _image_ids(document: object, book: VerificationContext) -> Iterable[str]:
    if document is None:
        return
    tags = list(document.values()) if isinstance(document, dict) else [document]
    for ids in tags:
        if not isinstance(ids, dict) or not all(v and isinstance(v, str) for v in ids.values()):
            message = "is not an object of repositories, each with the image ID of every tag"
            book.findings.add(Rule.MALFORMED_DOCUMENT, REPOSITORIES_FILE, message)
        else:
            yield from ids.values()


def _check_chain(
    image_id: str, known: set[str], contents: ArchiveContents, book: VerificationContext
) -> None:
    """Check a layer and all below it, but for those that are *known*."""
    chain: set[str] = set()
    while image_id and image_id not in known:
        known.add(image_id)
        chain.add(image_id)
        image_id = _check_layer(image_id, contents, book)
    if image_id in chain:
        message = "a layer that is its own ancestor"
        book.findings.add(Rule.MALFORMED_DOCUMENT, f"{image_id}/json", message)


def _check_layer(layer_id: str, contents: ArchiveContents, book: VerificationContext) -> str:
    """Check one layer; the ID of its parent, if it has one."""
    parent: object = ""
    name, layer = f"{layer_id}/json", f"{layer_id}/layer.tar"
    try:
        found = contents.named(layer)
        if not found:
            book.findings.add(Rule.MISSING_BLOB, REPOSITORIES_FILE, f"layer {layer!r} is missing")
        for content in found:
            book.referenced.add(content)
            book.claims.add(content, Claim(layer=True))
        book.referenced.update(contents.named(name))
        parent = parse_object(contents.archive.read(name, METADATA_LIMIT)).get("parent") or ""
    except TarkitError as error:
        book.findings.blame(error, name, Rule.MALFORMED_DOCUMENT)
    if not isinstance(parent, str):
        book.findings.add(Rule.MALFORMED_DOCUMENT, name, "'parent' is not a string")
        return ""
    return parent
