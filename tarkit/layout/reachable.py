"""Find all content that a document of a layout refers to, so that nothing in use is removed.

This errs on the side of keeping content. It follows every digest in a document, even in fields that
tarkit does not know, and raises an error for a document that it cannot read. In contrast,
:mod:`tarkit.layout.referenced` must not fail, since it is used after a failure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tarkit.errors import (
    LimitExceededError,
    MalformedError,
    RefusedError,
    VerificationError,
)
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.document import METADATA_LIMIT, parse_json
from tarkit.image.manifest import Index
from tarkit.image.media_types import INDEXES, MANIFESTS, SCHEMA1
from tarkit.layout.layout import Layout
from tarkit.streams.verify import verified

_DOCUMENTS = MANIFESTS | INDEXES | SCHEMA1
_LISTS = ("manifests", "subject")  # fields whose entries are documents, whatever their media type
_DIGESTS = ("digest", "blobSum")  # the latter is in schema 1


def reachable(layout: Layout, document: object, *, strict: bool = True) -> set[Digest]:
    """Return the digests of all content that *document*, parsed JSON, refers to, at any depth.

    Missing content counts, but leads no further. Raises :class:`VerificationError` or
    :class:`RefusedError` for a document that is present but unreadable, unless
    *strict* is false.
    """
    found: set[Digest] = set()
    opened: set[Digest] = set()
    pending = list(_references(document))
    while pending:  # not recursive, because nested indexes may be arbitrarily deep
        text, is_document = pending.pop()
        must_read = is_document and strict
        try:
            digest = Digest.parse(text, where=layout.files.where)
            found.add(digest)
            if is_document and digest not in opened:
                opened.add(digest)
                pending += _references(_read(layout, digest))
        except (VerificationError, RefusedError) as error:
            if must_read:  # otherwise the field may be no digest at all
                error.hint = "nothing was removed, since its references are unknown"
                raise
    return found


def reachable_from(layout: Layout, entries: Iterable[Descriptor]) -> set[Digest]:
    """Return the digests of *entries* and of all content below them; see :func:`reachable`."""
    return reachable(layout, {"manifests": [entry.to_json() for entry in entries]})


def reachable_from_index(layout: Layout, index: Index, *, strict: bool = True) -> set[Digest]:
    """Return the digests of all content below *index*, unreadable entries included."""
    return reachable(layout, parse_json(index.serialize().data), strict=strict)


def subject_in(layout: Layout, digest: Digest) -> Digest | None:
    """Return the subject of the document *digest*, or None if it has none or is not a document."""
    size = layout.files.blob_size(digest)
    if size is None or size > METADATA_LIMIT:
        return None
    with layout.files.open_blob(digest) as blob:
        if blob.read(1) != b"{":  # a layer, for example
            return None
    try:
        document = _read(layout, digest)
    except VerificationError:  # not what its name says, so nothing can refer to it
        return None
    subject = document.get("subject") if isinstance(document, dict) else None
    text = subject.get("digest") if isinstance(subject, dict) else None
    try:
        return Digest.parse(text) if isinstance(text, str) else None
    except (VerificationError, RefusedError):
        return None


def _read(layout: Layout, digest: Digest) -> Any:
    """Return the JSON in the blob *digest*, or None if it is missing or not JSON."""
    where = f"{layout.files.where}: {digest}"
    if digest == layout.top.digest:
        data = layout.top.data
    else:
        size = layout.files.blob_size(digest)
        if size is None:
            return None
        if size > METADATA_LIMIT:
            raise LimitExceededError(
                f"manifest too large: {size} bytes", limit=METADATA_LIMIT, where=where
            )
        data = verified(layout.files.open_blob(digest), digest, None)
    try:
        return parse_json(data, where=where)
    except LimitExceededError:
        raise
    except MalformedError:
        return None


def _references(document: object) -> Iterator[tuple[str, bool]]:
    """Yield every digest in *document* as text, and True if it is that of another document."""
    pending = [(document, False)]
    while pending:
        value, listed = pending.pop()
        if isinstance(value, list):
            pending += ((inner, listed) for inner in value)
        elif isinstance(value, dict):
            for key in _DIGESTS:
                if isinstance(text := value.get(key), str):
                    yield text, listed or value.get("mediaType") in _DOCUMENTS
            pending += ((inner, key in _LISTS) for key, inner in value.items())
