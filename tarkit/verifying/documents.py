"""Read JSON documents within limits, validate them, and parse them entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tarkit.errors import MalformedError, TarkitError, UnsupportedError
from tarkit.findings import Findings, Rule
from tarkit.image import media_types
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import JSON, parse_json
from tarkit.image.manifest import guess_media_type
from tarkit.image.schema import SchemaName, problems
from tarkit.verifying.contents import BlobLookup, StoredBlob

_SCHEMAS: Mapping[str, SchemaName] = {
    media_types.OCI_INDEX: "index",
    media_types.DOCKER_LIST: "docker-manifest-list",
    media_types.OCI_MANIFEST: "manifest",
    media_types.DOCKER_MANIFEST: "docker-manifest",
}


def read_document(
    contents: BlobLookup, name: str, schema: SchemaName | None, findings: Findings
) -> Any:
    """Return the JSON document *name* of a container, or None if it cannot be read."""
    data = read_bytes(contents, name, findings)
    return None if data is None else parse_document(data, schema, name, findings)


def read_bytes(contents: BlobLookup, name: str, findings: Findings) -> bytes | None:
    """Return the bytes of the document *name* of a container, or None if it cannot be read."""
    try:
        data = contents.read(name)
    except TarkitError as error:
        findings.blame(error, name, Rule.MALFORMED_DOCUMENT)
        return None
    if data is None:
        findings.add(Rule.MISSING_DOCUMENT, name, "is missing")
    return data


def parse_document(data: bytes, schema: SchemaName | None, where: str, findings: Findings) -> Any:
    """Parse *data* and validate it with *schema*; return None if it is not JSON."""
    try:
        document = parse_json(data)
    except TarkitError as error:
        findings.blame(error, where, Rule.MALFORMED_DOCUMENT)
        return None
    if schema:
        check_schema(document, schema, where, findings)
    return document


def check_schema(document: object, schema: SchemaName, where: str, findings: Findings) -> None:
    """Add a finding for each violation of *schema* in *document*."""
    for problem in problems(document, schema):
        findings.add(Rule.SCHEMA, where, str(problem))


def parse_manifest(
    data: bytes, media_type: str, where: str, findings: Findings
) -> tuple[str, JSON] | None:
    """Return the actual media type and the content of a manifest or index of type *media_type*.

    Adds a finding and returns None if it cannot be read or has an unsupported type.
    """
    document = parse_document(data, None, where, findings)
    if document is None:
        return None
    actual = _media_type(data, document, media_type)
    if media_type and actual != media_type:
        message = f"is {actual[:100]!r}, but {media_type[:100]!r} was stated"
        findings.add(Rule.MEDIA_TYPE_MISMATCH, where, message)
    schema = _SCHEMAS.get(actual)
    if schema is None:
        findings.add(Rule.UNSUPPORTED, where, f"unsupported manifest type {actual[:200]!r}")
        return None
    check_schema(document, schema, where, findings)
    return (actual, document) if isinstance(document, dict) else None


def _media_type(data: bytes, document: object, stated: str) -> str:
    """Return the declared media type of the document, else *stated*, else the guessed type."""
    declared = document.get("mediaType") if isinstance(document, dict) else None
    if isinstance(declared, str) and declared:
        return declared
    try:
        return stated or guess_media_type(data)
    except TarkitError:
        return media_types.OCI_MANIFEST  # this schema produces the clearest findings


def descriptors(
    document: Mapping[str, Any], key: str, where: str, findings: Findings
) -> list[Descriptor | None]:
    """Return the descriptors in the list *key*, with None for unreadable descriptors."""
    entries = document.get(key)
    if not isinstance(entries, list):
        return []
    return [descriptor(entry, f"{key}[{at}]", where, findings) for at, entry in enumerate(entries)]


def descriptor(value: object, path: str, where: str, findings: Findings) -> Descriptor | None:
    """Parse the descriptor at *path* in the document *where*; return None if it cannot be read."""
    if not isinstance(value, dict):
        return None
    try:
        found = Descriptor.from_json(value)
    except UnsupportedError as error:
        findings.add(Rule.UNSUPPORTED, where, f"{path}: {error.message}")
        return None
    except MalformedError as error:
        _note_malformed(error, path, where, findings)
        return None
    data = found.data
    if data is not None and not (len(data) == found.size and found.digest.matches(data)):
        findings.add(Rule.DIGEST_MISMATCH, where, f"{path}: 'data' does not match its descriptor")
    return found


def digests(values: object, path: str, where: str, findings: Findings) -> list[Digest | None]:
    """Return the digests in the list *values*, with None for unreadable digests."""
    if not isinstance(values, list):
        return []
    found: list[Digest | None] = []
    for at, value in enumerate(values):
        try:
            found.append(Digest.parse(value) if isinstance(value, str) else None)
        except UnsupportedError as error:
            findings.add(Rule.UNSUPPORTED, where, f"{path}[{at}]: {error.message}")
            found.append(None)
        except MalformedError as error:
            _note_malformed(error, f"{path}[{at}]", where, findings)
            found.append(None)
    return found


def _note_malformed(error: MalformedError, path: str, where: str, findings: Findings) -> None:
    """Add a finding, unless the schema already produced one for the document."""
    if not findings.holds(Rule.SCHEMA, where):
        findings.add(Rule.MALFORMED_DOCUMENT, where, f"{path}: {error.message}")


def read_small(content: StoredBlob, findings: Findings) -> bytes | None:
    """Return the bytes of the document stored as *content*, or None if it cannot be read."""
    try:
        return content.read()
    except TarkitError as error:
        findings.blame(error, content.name, Rule.MALFORMED_DOCUMENT)
        return None


def matches_descriptor(data: bytes, described: Descriptor, where: str, findings: Findings) -> bool:
    """Return True if *data* has the digest of *described*; add a finding for each mismatch."""
    if len(data) != described.size:
        message = f"{len(data)} bytes, but {described.size} were stated"
        findings.add(Rule.SIZE_MISMATCH, where, message)
    if described.digest.matches(data):
        return True
    actual = Digest.of(data, described.digest.algorithm)
    findings.add(Rule.DIGEST_MISMATCH, where, f"is {actual}, not {described.digest}")
    return False
