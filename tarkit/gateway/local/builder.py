"""The embedded engine as a builder."""

from __future__ import annotations

import os

from tarkit.cache.manager import CacheManager
from tarkit.errors import BuildError, PathNotFoundError, UnsupportedError
from tarkit.exporters.images import BuiltImage, BuiltImages
from tarkit.exporters.writing import write_output
from tarkit.gateway.building import (
    Builder,
    BuildFunc,
    BuildOptions,
    BuildResponse,
    result_of,
)
from tarkit.gateway.capabilities import GATEWAY, LLB, CapSet
from tarkit.gateway.local.client import LocalClient
from tarkit.gateway.local.exporting import exporting
from tarkit.gateway.local.reference import LocalReference
from tarkit.gateway.local.session import Session
from tarkit.gateway.options import BuildOpts, WorkerInfo
from tarkit.gateway.reference import Reference
from tarkit.gateway.result import Result
from tarkit.image.platform import Platform
from tarkit.llb.definition import Definition
from tarkit.llb.platforms import normalized
from tarkit.llb.state import State
from tarkit.solver.operations.sources import OpenLocation

_MISSING = frozenset(
    {"gateway.exec.secretenv", "gateway.exec.filesystem", "importcaches", "reference.attestations",
     "source.metaresolver.image.attestations", "source.metaresolver.http.checksumrequest"}
)  # fmt: skip

_LATER = frozenset({"cache-imports", "cache-from", "source-policy"})


class LocalBuilder(Builder):
    """Builds with the results in the store of *manager*, which it closes; images come from *open_location*."""

    def __init__(self, manager: CacheManager, open_location: OpenLocation) -> None:
        self._manager = manager
        self._open_location = open_location

    def run(self, function: BuildFunc | State | Definition, options: BuildOptions) -> BuildResponse:
        """Carry out a build; raises the errors of :meth:`build`."""
        _check(options)
        with Session(self._manager, options, self._open_location) as session:
            client = LocalClient(session, _build_opts(options), options.inputs)
            try:
                result = result_of(function, client)
                images = _built(result, client.platforms[0])
            except BuildError:
                if options.on_failure is not None:
                    session.show_failure(options.on_failure)
                raise
            response: dict[str, str] = {}
            for output in options.outputs:
                with exporting(output, session.emit):
                    response |= write_output(output, images)
            return BuildResponse(response, session.explanations())

    def close(self) -> None:
        """Close the store."""
        self._manager.close()


def _check(options: BuildOptions) -> None:
    """Raise errors that can be detected before the build."""
    for name in options.opts:
        if name in _LATER or name.startswith("attest:"):
            raise UnsupportedError(f"the option {name[:80]!r} comes in a later version")
    if options.cache_from or options.cache_to:
        raise UnsupportedError("imports and exports of caches come in a later version")
    for path in options.local.values():
        if not path.is_dir():
            raise PathNotFoundError("is not a directory", where=str(path))
    for output in options.outputs:
        output.check()


def _build_opts(options: BuildOptions) -> BuildOpts:
    platform = normalized(Platform.system())
    worker = WorkerInfo("tarkit", {"tarkit.worker.executor": "oci"}, (platform,))
    return BuildOpts(
        opts=options.opts,
        session_id=os.urandom(13).hex(),
        workers=(worker,),
        product="tarkit",
        llb_caps=CapSet.of(LLB),
        caps=CapSet.of(GATEWAY - _MISSING, known=GATEWAY),
    )


def _built(result: Result, platform: Platform) -> BuiltImages:
    """Wait for all references of *result*, and return them as images."""
    platforms = result.platforms()
    for ref in result.each_ref():
        ref.evaluate()
    if not platforms:
        config = result.metadata.get("containerimage.config")
        return BuiltImages((_image(result.single_ref(), platform, config),))
    images = []
    for each in platforms:
        config = result.metadata.get(f"containerimage.config/{each.id}")
        images.append(_image(result.find_ref(each.id), each.platform, config))
    return BuiltImages(tuple(images), is_index=True)


def _image(ref: Reference | None, platform: Platform, config: bytes | None) -> BuiltImage:
    assert ref is None or isinstance(ref, LocalReference)
    return BuiltImage(ref.result() if ref is not None else None, platform, config)
