"""Sources: images, local directories, files and repositories from outside the graph."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from tarkit.errors import RefusedError, UsageError
from tarkit.llb.constraints import CUSTOM_NAME, Constraints, merged_metadata
from tarkit.llb.messages import OpMetadata, SourceOp
from tarkit.llb.sourcemaps import Caller, caller
from tarkit.llb.vertices import Context, Encoded, Output
from tarkit.values import dataclass, replace

_OF_A_PLATFORM = ("docker-image://", "oci-layout://")


@dataclass(frozen=True, slots=True, eq=False)
class SourceVertex:
    """A source; ``caps`` are the capabilities that a daemon needs for it."""

    identifier: str
    attrs: Mapping[str, str]
    caps: tuple[str, ...]
    constraints: Constraints
    caller: Caller | None

    def inputs(self) -> Sequence[Output]:
        """Return nothing: sources have no inputs."""
        return ()

    def encode(self, context: Context) -> Encoded:
        """Encode the source."""
        if not self.identifier:
            raise UsageError("the source has no identifier")
        of_a_platform = self.identifier.startswith(_OF_A_PLATFORM)
        platform = self.constraints.platform or context.platform
        return context.finish(
            self.constraints,
            self.caps,
            platform=platform if of_a_platform else None,
            caller=self.caller,
            source=SourceOp(identifier=self.identifier, attrs=self.attrs),
        )


class LocalVertex(SourceVertex):
    """A local directory; without a session, an identifier tells it from those of other builds."""

    __slots__ = ()

    def encode(self, context: Context) -> Encoded:
        """Encode the source."""
        if "local.session" in self.attrs:
            return SourceVertex.encode(self, context)
        unique = self.constraints.local_unique_id or context.constraints.local_unique_id
        identified = SourceVertex(
            self.identifier,
            {**self.attrs, "local.unique": unique},
            (*self.caps, "source.local.unique"),
            self.constraints,
            self.caller,
        )
        return identified.encode(context)


class LocatedVertex(SourceVertex):
    """An image at a location, which a client serves as an OCI layout."""

    __slots__ = ()

    def encode(self, context: Context) -> Encoded:
        """Encode the source as the client resolves it, with the location as its name.

        Raises RefusedError without a client.
        """
        if context.resolve is None:
            raise RefusedError(
                "only a client can serve this image to a build", where=self.identifier
            )
        platform = self.constraints.platform or context.platform
        image = context.resolve(self.identifier, platform)
        named = OpMetadata(description={CUSTOM_NAME: self.identifier})
        metadata = merged_metadata(named, self.constraints.metadata)
        served = {"oci.session": image.session, "oci.store": image.store}
        resolved = SourceVertex(
            f"oci-layout://{image.reference}",
            {**self.attrs, **{name: value for name, value in served.items() if value}},
            self.caps,
            replace(self.constraints, metadata=metadata),
            self.caller,
        )
        return resolved.encode(context)


def source(
    identifier: str,
    attrs: Mapping[str, str | None],
    caps: Iterable[str],
    constraints: Constraints,
    *,
    kind: type[SourceVertex] = SourceVertex,
) -> Output:
    """Return the output of a new source; attributes that are None or empty are left out."""
    given = {name: value for name, value in attrs.items() if value}
    vertex = kind(identifier, given, tuple(caps), constraints, caller())
    return Output(vertex, platform=constraints.platform)
