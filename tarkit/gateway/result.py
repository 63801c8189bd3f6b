"""Results of builds: one reference or several, and metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tarkit.errors import MalformedError, NotFoundError, RefusedError, UsageError
from tarkit.gateway.reference import Reference
from tarkit.image.platform import Platform
from tarkit.values import dataclass

PLATFORMS = "refs.platforms"
"""The metadata that tells the platform of each reference."""


class Result:
    """The result of a definition or a build function.

    ``ref`` is the reference, None if it has no files, or ``refs`` has several, for example one for
    each platform. ``metadata`` are documents for exporters, such as ``containerimage.config``.
    """

    def __init__(self, ref: Reference | None = None) -> None:
        self.ref = ref
        self.refs: dict[str, Reference | None] = {}
        self.metadata: dict[str, bytes] = {}

    def set_ref(self, ref: Reference | None) -> None:
        """Set the only reference."""
        self.ref = ref

    def add_ref(self, key: str, ref: Reference | None) -> None:
        """Add a reference under the name *key*."""
        self.refs[key] = ref

    def add_meta(self, key: str, value: bytes) -> None:
        """Add metadata."""
        self.metadata[key] = value

    def single_ref(self) -> Reference | None:
        """Return the only reference; raise UsageError if the result has a name for each instead."""
        if self.refs and self.ref is None:
            raise UsageError("the result has no single reference", hint="use find_ref")
        return self.ref

    def find_ref(self, key: str) -> Reference | None:
        """Return the reference *key*; if there is only one, return that for any key.

        Raises NotFoundError.
        """
        if key in self.refs:
            return self.refs[key]
        if len(self.refs) == 1:
            return next(iter(self.refs.values()))
        if not self.refs:
            return self.ref
        raise NotFoundError(f"the result has no reference {key[:80]!r}")

    def each_ref(self) -> Iterator[Reference]:
        """Yield all references with files."""
        for ref in (self.ref, *self.refs.values()):
            if ref is not None:
                yield ref

    def platforms(self) -> list[PlatformRef]:
        """Return the platforms of a result with several references, from its metadata.

        Raises RefusedError if the metadata is missing although there are several references, and
        MalformedError if it is invalid.
        """
        data = self.metadata.get(PLATFORMS)
        if data is None:
            if self.refs:
                raise RefusedError(
                    "the result has references without platforms", hint=f"add {PLATFORMS}"
                )
            return []
        try:
            listed = json.loads(data)["Platforms"]
            found = [
                PlatformRef(each["ID"], Platform.from_json(each["Platform"])) for each in listed
            ]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise MalformedError(f"the metadata {PLATFORMS} is malformed") from None
        if not found:
            raise MalformedError(f"the metadata {PLATFORMS} names no platform")
        return found


@dataclass(frozen=True, slots=True)
class PlatformRef:
    """The name of a reference, and its platform."""

    id: str
    platform: Platform
