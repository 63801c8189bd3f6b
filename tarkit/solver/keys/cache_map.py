"""Cache maps: the contribution of an operation, and of its inputs, to a cache key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import Any

from tarkit.errors import UsageError
from tarkit.llb.paths import clean
from tarkit.rootfs.content_query import ContentQuery
from tarkit.solver.keys.digests import joined_digest, text_digest
from tarkit.solver.keys.gojson import go_json
from tarkit.values import dataclass, replace

Digests = Callable[[ContentQuery], object]
"""Returns the digest of the files that a query selects, such as ``partial(content_digest, tree)``."""


@dataclass(frozen=True, slots=True)
class InputRule:
    """The part of an input in the key of an operation.

    - ``selector``: a digest of the paths that the operation reads, or empty. It belongs to definition
      keys of the input, not to its content key.
    - ``content``: the files whose content can stand for the input; None if only its definition can.
    """

    selector: str = ""
    content: tuple[ContentQuery, ...] | None = None

    def content_digest(self, digests: Digests) -> str:
        """Return the digest of the files that the operation reads, for a content key.

        *digests* hashes the files of the input. Raises its errors, and UsageError if the input has
        no content key.
        """
        if self.content is None:
            raise UsageError("the content of this input cannot be its cache key")
        queries = [replace(query, path=clean(f"/{query.path}")) for query in self.content]
        return joined_digest(str(digests(query)) for query in queries)


@dataclass(frozen=True, slots=True)
class CacheMap:
    """The key of an operation, apart from the keys of its inputs.

    - ``digests``: the digest of the operation. Images have two: the second counts if the first finds
      no result.
    - ``inputs``: one rule for each input, in order.
    - ``document``: the hashed facts, for :mod:`tarkit.solver.keys.explain`.
    """

    digests: tuple[str, ...]
    inputs: tuple[InputRule, ...] = ()
    document: Mapping[str, Any] = field(default_factory=dict)


def hashed(document: Mapping[str, Any], inputs: Sequence[InputRule] = ()) -> CacheMap:
    """Return the cache map of an operation whose digest is that of *document* as JSON."""
    return CacheMap((text_digest(go_json(document)),), tuple(inputs), document)
