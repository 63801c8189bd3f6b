"""Open a ref as an image, for locations such as ``store:@ID``."""

from __future__ import annotations

from tarkit.cache.cache import Cache
from tarkit.cache.image import RefImage
from tarkit.cache.loading import check
from tarkit.cache.providers import OpenLocation
from tarkit.cache.refs import ImmutableRef
from tarkit.errors import NotFoundError
from tarkit.protocols import Source
from tarkit.store.store import Store


def open_ref(store: Store, ref_id: str, open_location: OpenLocation | None) -> Source | None:
    """Return the ref *ref_id* of *store* as a source until the store is closed, or None.

    An idle mutable ref is committed. Raises :class:`~tarkit.errors.LockedError` if it is in use.
    """
    cache = Cache(store, open_location=open_location)
    store.close_with(cache)
    try:
        if not store.writable:
            return RefImage(cache, cache.ledger.find(ref_id), {})
        check(cache, ref_id)
        _, hold = cache.ledger.get(ref_id)
    except NotFoundError:
        return None
    return ImmutableRef(cache, hold, {})
