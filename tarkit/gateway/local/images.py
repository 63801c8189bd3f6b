"""Images that build functions ask about."""

from __future__ import annotations

from tarkit.errors import UsageError
from tarkit.gateway.requests import ImageConfig, ResolveImageConfigOpt, SourceMeta
from tarkit.image.platform import Platform
from tarkit.image.reference import Reference
from tarkit.llb.definition import Definition
from tarkit.llb.platforms import from_message, to_platform
from tarkit.selection.select import read_config
from tarkit.solver.operations.image import find_image, location_of
from tarkit.solver.operations.opened import OpenedImages

_IMAGES = ("docker-image", "oci-layout")


class Images:
    """Finds images in *opened*, where definitions find them, too."""

    def __init__(self, opened: OpenedImages) -> None:
        self._opened = opened

    def config(
        self, reference: str, options: ResolveImageConfigOpt, platform: Platform
    ) -> ImageConfig:
        """Return the config of an image; see :class:`~tarkit.gateway.client.Client`."""
        if options.store is None:
            identifier = f"docker-image://{Reference.parse(reference).tagged()}"
        else:
            identifier = f"oci-layout://{reference}"
        wanted = to_platform(options.platform) if options.platform is not None else platform
        return self._find(identifier, options.store or "", wanted)

    def meta(
        self, definition: Definition, options: ResolveImageConfigOpt, platform: Platform
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
        return SourceMeta(identifier, self._find(identifier, store, wanted))

    def _find(self, identifier: str, store: str, platform: Platform) -> ImageConfig:
        location = location_of(identifier, store, self._opened)
        found = find_image(identifier, location, self._opened, platform)
        config = read_config(found.source, found.manifest)
        return ImageConfig(identifier.partition("://")[2], found.digest, config)
