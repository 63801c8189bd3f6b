"""Definitions: graphs as they travel between clients and daemons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from tarkit.llb import messages
from tarkit.llb.graph import Graph, read_graph
from tarkit.llb.messages import Input, Op, OpMetadata
from tarkit.llb.vertices import digest_of
from tarkit.llb.wire.base import LARGEST
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Definition:
    """A marshalled graph. ``message`` is BuildKit's form, whose vertices are kept as they are.

    A definition without vertices stands for an empty file system.
    """

    message: messages.Definition

    @classmethod
    def decode(cls, data: bytes, *, limit: int = LARGEST, where: str | None = None) -> Self:
        """Decode a definition of at most *limit* bytes; *where* names its origin in errors.

        Raises :class:`VerificationError` if it is malformed. Only :meth:`graph` checks the vertices.
        """
        return cls(messages.Definition.decode(data, limit=limit, where=where))

    def encode(self) -> bytes:
        """Return the bytes of the definition, unknown fields included."""
        return self.message.encode()

    @property
    def vertices(self) -> tuple[bytes, ...]:
        """The encoded vertices, inputs first; the last names the result."""
        return tuple(self.message.vertices)

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests of the vertices, in their order."""
        return tuple(digest_of(vertex) for vertex in self.message.vertices)

    @property
    def metadata(self) -> Mapping[str, OpMetadata]:
        """Facts about vertices by digest."""
        return self.message.metadata

    @property
    def source(self) -> messages.Source | None:
        """Source files, and the origin of vertices in them."""
        return self.message.source

    @property
    def head(self) -> Input | None:
        """The result: the digest of a vertex and the index of its output.

        None if the definition is empty. Raises MalformedError if the last vertex is malformed.
        """
        if not self.message.vertices:
            return None
        terminal = Op.decode(self.message.vertices[-1], where="last vertex")
        return terminal.inputs[0] if terminal.inputs else None

    @property
    def capabilities(self) -> frozenset[str]:
        """The capabilities that a daemon needs for this definition."""
        return frozenset(
            cap for facts in self.metadata.values() for cap, needed in facts.caps.items() if needed
        )

    def graph(self, *, where: str | None = None) -> Graph:
        """Return the decoded and checked graph; see :func:`~tarkit.llb.graph.read_graph`."""
        return read_graph(self.message.vertices, where=where)
