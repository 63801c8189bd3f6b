"""Vertices of a graph under construction, and their outputs."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from hashlib import sha256
from typing import Any, Protocol

from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.llb import messages
from tarkit.llb.constraints import NO_METADATA, Constraints, merged_metadata
from tarkit.llb.platforms import to_message
from tarkit.llb.sourcemaps import Caller, SourceLocation
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """An image that a client serves as an OCI layout.

    ``reference`` is a name with a digest; ``session`` and ``store`` tell the daemon who serves it.
    """

    reference: str
    session: str = ""
    store: str = ""


Resolve = Callable[[str, Platform], ResolvedImage]
"""Resolves a location and a platform when a state is marshalled."""


@dataclass(slots=True)
class Encoded:
    """A marshalled vertex."""

    digest: str
    data: bytes
    metadata: messages.OpMetadata
    locations: Sequence[SourceLocation] = ()
    caller: Caller | None = None


class Vertex(Protocol):
    """An operation. Vertices are compared by identity until they are encoded."""

    def inputs(self) -> Sequence[Output]:
        """Return the outputs that this operation needs, in the order of the definition."""

    def encode(self, context: Context) -> Encoded:
        """Encode the operation; its inputs are encoded already.

        Raises :class:`UsageError` if the operation is invalid.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """One result of a vertex; ``error`` says why it cannot be used, if so."""

    vertex: Vertex
    index: int = 0
    platform: Platform | None = None
    error: str = ""


class Context:
    """The surroundings in which vertices are encoded: constraints, and the vertices before."""

    def __init__(
        self,
        constraints: Constraints,
        *,
        platform: Platform,
        capabilities: Container[str] | None,
        resolve: Resolve | None,
    ) -> None:
        self.constraints, self.platform = constraints, platform
        self.capabilities, self.resolve = capabilities, resolve
        self.encoded: dict[Vertex, Encoded] = {}
        # most vertices have equal metadata and platforms
        self._plain: dict[tuple[str, ...], messages.OpMetadata] = {}
        self._platforms: dict[Platform, messages.Platform] = {}
        self._unfiltered = messages.WorkerConstraints(filter=constraints.require)

    def input(self, output: Output) -> messages.Input:
        """Return *output* as an input of another vertex."""
        if output.error:
            raise UsageError(output.error)
        digest = self.encoded[output.vertex].digest
        return messages.Input(digest=digest, index=output.index)

    def finish(
        self,
        own: Constraints,
        caps: Iterable[str],
        *,
        platform: Platform | None = None,
        inputs: Sequence[messages.Input] = (),
        caller: Caller | None = None,
        **operation: Any,
    ) -> Encoded:
        """Return an encoded vertex; *platform* is None if the operation does not depend on it."""
        filters = self._unfiltered
        if own.require:
            filters = filters.replaced(filter=[*filters.filter, *own.require])
        if platform is not None:
            operation["platform"] = self._platform(platform)
        data = messages.Op(inputs=inputs, constraints=filters, **operation).encode()
        metadata = self._metadata(own, tuple(caps))
        return Encoded(digest_of(data), data, metadata, own.locations, caller)

    def _metadata(self, own: Constraints, caps: tuple[str, ...]) -> messages.OpMetadata:
        if own.metadata is not NO_METADATA:
            return merged_metadata(self.constraints.metadata, own.metadata, caps)
        metadata = self._plain.get(caps)
        if metadata is None:
            metadata = merged_metadata(self.constraints.metadata, own.metadata, caps)
            self._plain[caps] = metadata
        return metadata

    def _platform(self, platform: Platform) -> messages.Platform:
        message = self._platforms.get(platform)
        if message is None:
            message = self._platforms[platform] = to_message(platform)
        return message


class Inputs:
    """The inputs of a vertex, each listed once."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._positions: dict[tuple[str, int], int] = {}
        self.messages: list[messages.Input] = []

    def add(self, output: Output | None) -> int:
        """Return the index of *output*, or -1 for scratch."""
        if output is None:
            return -1
        message = self._context.input(output)
        position = self._positions.setdefault((message.digest, message.index), len(self.messages))
        if position == len(self.messages):
            self.messages.append(message)
        return position


def digest_of(data: bytes) -> str:
    """Return the digest of an encoded vertex."""
    return f"sha256:{sha256(data).hexdigest()}"
