"""Images that build functions ask about."""

from __future__ import annotations

from tarkit.errors import UsageError
from tarkit.gateway.requests import ImageConfig, ResolveImageConfigOpt, SourceMeta
from tarkit.image.platform import Platform
from tarkit.image.reference import Reference
from tarkit.llb.definition import Definition
from tarkit.llb.platforms import from_message, to_platform
from tarkit.solver.local_solver import LocalSolver

_IMAGES = ("docker-image", "oci-layout")


def resolve_config(
    solver: LocalSolver, reference: str, options: ResolveImageConfigOpt, platform: Platform
) -> ImageConfig:
    """Return the config of an image; see :class:`~tarkit.gateway.client.Client`."""
    if options.store is None:
        identifier = f"docker-image://{Reference.parse(reference).tagged()}"
    else:
        identifier = f"oci-layout://{reference}"
    wanted = to_platform(options.platform) if options.platform is not None else platform
    return _config(solver, identifier, options.store or "", wanted)


def resolve_source(
    solver: LocalSolver, definition: Definition, options: ResolveImageConfigOpt, platform: Platform
) -> SourceMeta:
    """Resolve the only source of a definition; see :class:`~tarkit.gateway.client.Client`."""
    graph = definition.graph()
    op = graph.ops[graph.head.digest] if graph.head is not None else None
    if op is None or op.source is None:
        raise UsageError("the state is not a source")
    identifier = op.source.identifier
    if identifier.partition("://")[0] not in _IMAGES:
        return SourceMeta(identifier)
    wanted = from_message(op.platform) if op.platform is not None else platform
    store = options.store or op.source.attrs.get("oci.store", "")
    return SourceMeta(identifier, _config(solver, identifier, store, wanted))


def _config(solver: LocalSolver, identifier: str, store: str, platform: Platform) -> ImageConfig:
    digest, config = solver.image_config(identifier, platform=platform, store=store)
    return ImageConfig(identifier.partition("://")[2], digest, config)
