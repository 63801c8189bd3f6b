"""Copy the referrers of a copied image: signatures, attestations and other artifacts about it."""

from __future__ import annotations

from collections.abc import Iterator

from tarkit.copying.engine import copy_image
from tarkit.copying.options import CopyOptions, LayerCompression
from tarkit.errors import LimitExceededError, UnsupportedError
from tarkit.image.descriptor import Descriptor
from tarkit.image.digest import Digest
from tarkit.image.manifest import Index
from tarkit.protocols import ReferrerWriter, ReferringSource, Source, Writer
from tarkit.selection.select import is_present
from tarkit.values import replace

_MOST = 10_000


def copy_referrers(
    source: Source, writer: Writer, image: Descriptor, options: CopyOptions | None = None
) -> int:
    """Copy the referrers of *image*, the copied manifest or index of *source*; return their number.

    Those of an index's manifests are included, and referrers of referrers. All are copied byte for
    byte, since they name their subjects by digest; so copy the image with ``preserve_digests``.

    Parameters:

    - *source*: the image in an open reader of a layout, OCI archive or registry.
    - *writer*: the open writer that *source* was copied to.
    - *image*: the ``descriptor`` in the result of that copy.
    - *options*: jobs, progress and more; digests are always preserved.

    Raises :class:`~tarkit.errors.UnsupportedError` if the source or the writer has no referrers,
    :class:`~tarkit.errors.LimitExceededError` if there are more than 10,000, and the errors of
    :func:`~tarkit.copying.engine.copy_image`.

    >>> with (
    ...     tarkit.open_source("oci:alpha/umoci-oci:one") as source,
    ...     tarkit.open_writer("oci:mirror") as writer,
    ... ):
    ...     options = tarkit.CopyOptions(preserve_digests=True)
    ...     image = tarkit.copy_image(source, writer.destination("one"), options).descriptor
    ...     tarkit.copy_referrers(source, writer, image)  # this image has no signature
    0
    """
    found, target = require_referrers(source, writer)
    options = replace(
        options or CopyOptions(),
        all=True,
        platforms=(),
        preserve_digests=True,
        compression=LayerCompression.PRESERVE,
        level=None,
    )
    pending = list(_manifests(source, image))
    seen: set[Digest] = set()
    while pending:
        for entry in found.referrers(pending.pop()).manifests:
            if entry.digest in seen:
                continue
            seen.add(entry.digest)
            if len(seen) > _MOST:
                raise LimitExceededError(
                    f"more than {_MOST} referrers", limit=_MOST, where=source.where
                )
            copy_image(found.referrer(entry), target.referrer(), options)
            pending.append(entry.digest)
    return len(seen)


def require_referrers(source: Source, writer: Writer) -> tuple[ReferringSource, ReferrerWriter]:
    """Return *source* and *writer*; raise :class:`UnsupportedError` if one has no referrers."""
    if not isinstance(source, ReferringSource):
        raise UnsupportedError("has no referrers to copy", where=source.where)
    if not isinstance(writer, ReferrerWriter):
        raise UnsupportedError(
            "cannot store referrers", where=writer.where, hint="copy to a layout or registry"
        )
    return source, writer


def _manifests(source: Source, image: Descriptor) -> Iterator[Digest]:
    """Yield the digests of *image* and of the manifests below it."""
    pending, seen = [image], set[Digest]()
    while pending:
        entry = pending.pop()
        if entry.digest in seen:
            continue
        seen.add(entry.digest)
        yield entry.digest
        top = source.manifest()
        raw = top if entry.digest == top.digest else source.manifest(entry.digest)
        if raw.is_index:
            pending += [child for child in Index.parse(raw).manifests if is_present(source, child)]
