"""A daemon as a builder."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

from tarkit.errors import PathNotFoundError, TarkitError
from tarkit.gateway.building import (
    Builder,
    BuildFunc,
    BuildOptions,
    BuildResponse,
    result_of,
)
from tarkit.gateway.buildkit.bridge import Bridge
from tarkit.gateway.buildkit.capabilities import gateway_caps, llb_caps, worker_info
from tarkit.gateway.buildkit.client import RemoteClient
from tarkit.gateway.buildkit.control import Control
from tarkit.gateway.buildkit.definitions import result_message
from tarkit.gateway.buildkit.dial import Endpoint
from tarkit.gateway.buildkit.events import Watcher
from tarkit.gateway.buildkit.images import offer
from tarkit.gateway.buildkit.messages.bridge import ReturnRequest
from tarkit.gateway.buildkit.messages.control import CacheOptions, SolveRequest, SolveResponse
from tarkit.gateway.buildkit.messages.control import CacheOptionsEntry as Entry
from tarkit.gateway.buildkit.outputs import RemoteOutput, exporter_of
from tarkit.gateway.buildkit.peer import Call, Peer
from tarkit.gateway.buildkit.reference import RemoteReference
from tarkit.gateway.buildkit.services.agent import agent_handlers
from tarkit.gateway.buildkit.services.auth import auth_handlers
from tarkit.gateway.buildkit.services.content import content_handlers
from tarkit.gateway.buildkit.services.filesend import Target, send_handlers
from tarkit.gateway.buildkit.services.filesync import sync_handlers
from tarkit.gateway.buildkit.services.secrets import secret_handlers
from tarkit.gateway.buildkit.services.targets import target_of
from tarkit.gateway.buildkit.session import Session, random_id
from tarkit.gateway.buildkit.status import StatusError, status_of, translated
from tarkit.gateway.options import BuildOpts
from tarkit.gateway.reference import Reference
from tarkit.gateway.result import Result
from tarkit.llb.definition import Definition
from tarkit.llb.state import State
from tarkit.solver.events import BuildEvent
from tarkit.solver.operations.opened import OpenedImages
from tarkit.solver.operations.sources import OpenLocation

if TYPE_CHECKING:
    from tarkit.transports.registry.options import RegistryOptions


class RemoteBuilder(Builder):
    """Builds in the daemon at *endpoint*; images at locations come from *open_location*."""

    output_type = RemoteOutput

    def __init__(
        self,
        endpoint: Endpoint,
        open_location: OpenLocation,
        registry: RegistryOptions | None = None,
    ) -> None:
        self._endpoint = endpoint
        self._open_location = open_location
        self._auth = auth_handlers(registry)
        self._peer = Peer(endpoint.connect(), where=endpoint.where)

    def run(self, function: BuildFunc | State | Definition, options: BuildOptions) -> BuildResponse:
        """See :class:`~tarkit.gateway.building.Builder`."""
        for path in options.local.values():
            if not path.is_dir():
                raise PathNotFoundError("is not a directory", where=str(path))
        for output in options.outputs:
            output.check()
        with ExitStack() as stack:
            targets = [stack.enter_context(target_of(output)) for output in options.outputs]
            images = stack.enter_context(OpenedImages(self._open_location))
            session = Session(self._handlers(options, targets, images))
            stack.enter_context(session.running(self._endpoint, self._peer))
            build = _Build(self._peer, session, images, options)
            return BuildResponse(dict(build.run(function).exporter_response))

    def _handlers(
        self, options: BuildOptions, targets: Sequence[Target | None], images: OpenedImages
    ) -> dict[str, Callable[[Call], None]]:
        return {
            **sync_handlers(options.local),
            **send_handlers(targets),
            **self._auth,
            **secret_handlers(options.secrets),
            **agent_handlers(options.ssh),
            **content_handlers(images),
        }

    def close(self) -> None:
        """Close the connection."""
        self._peer.close()


class _Build:
    """One build: its calls, which the daemon knows by the same ID."""

    def __init__(
        self, peer: Peer, session: Session, images: OpenedImages, options: BuildOptions
    ) -> None:
        self._session, self._images, self._options = session, images, options
        self._ref = random_id()
        self._control = Control(peer)
        self._bridge = Bridge(peer, self._ref)

    def run(self, function: BuildFunc | State | Definition) -> SolveResponse:
        """Carry out the build; the error of the function takes precedence over the daemon's."""
        solve = self._control.solve(self._request())
        watcher = Watcher(self._control, self._ref, solve, self._options.on_event or _ignore)
        try:
            self._call(function, solve)
            response = self._finished(solve)
        except TarkitError:
            if watcher.failure is not None:
                raise watcher.failure from None
            raise
        finally:
            solve.cancel()
            watcher.finish()
        if watcher.failure is not None:
            raise watcher.failure
        return response

    def _request(self) -> SolveRequest:
        exporters = [exporter_of(output) for output in self._options.outputs]
        first = exporters[0] if exporters else None
        return SolveRequest(
            ref=self._ref,
            session=self._session.id,
            exporter=first.type if first else "",  # old daemons read only this
            exporter_attrs=first.attrs if first else {},
            exporters=exporters,
            frontend_attrs=dict(self._options.opts),
            entitlements=sorted(self._options.allow),
            cache=_caches(self._options),
        )

    def _call(self, function: BuildFunc | State | Definition, solve: Call) -> None:
        try:
            client = self._client()
            result = result_of(function, client)
            message = result_message(
                result, _ids(result), arrays="proto.refarray" in client.build_opts().caps
            )
            self._bridge.finish(ReturnRequest(result=message))
        except StatusError as error:
            self._finished(solve, patience=1)  # its failure is the cause, if it has failed
            raise translated(error) from error
        except BaseException as error:
            self._give_up(error)
            raise

    def _client(self) -> RemoteClient:
        pong = self._bridge.ping()
        workers = pong.workers or self._control.workers()
        options = BuildOpts(
            opts=self._options.opts,
            session_id=self._session.id,
            workers=tuple(worker_info(each) for each in workers),
            product="buildkit",
            llb_caps=llb_caps(pong),
            caps=gateway_caps(pong),
        )
        return RemoteClient(
            self._bridge, options, self._options.inputs,
            lambda location, _: offer(self._images, self._session, location),
            no_cache=self._options.no_cache,
        )  # fmt: skip

    def _give_up(self, error: BaseException) -> None:
        """Tell the daemon that the function has failed."""
        try:
            self._bridge.finish(ReturnRequest(error=status_of(error)))
        except TarkitError:
            return  # it knows already, or is lost

    def _finished(self, solve: Call, patience: float | None = None) -> SolveResponse:
        """Wait for the end of the build; with *patience*, at most for these seconds."""
        deadline = None if patience is None else time.monotonic() + patience
        try:
            found = solve.receive(SolveResponse, deadline=deadline)
            if found is not None:
                solve.receive(SolveResponse, deadline=deadline)
            return found or SolveResponse()
        except StatusError as error:
            if patience is not None and solve.status is None:
                return SolveResponse()
            raise translated(error) from error


def _caches(options: BuildOptions) -> CacheOptions | None:
    if not options.cache_from and not options.cache_to:
        return None
    exports, imports = (
        [Entry(type=each.type, attrs=dict(each.attrs)) for each in given]
        for given in (options.cache_to, options.cache_from)
    )
    return CacheOptions(exports=exports, imports=imports)


def _ids(result: Result) -> dict[Reference | None, str]:
    ids: dict[Reference | None, str] = {None: ""}
    for ref in result.each_ref():
        assert isinstance(ref, RemoteReference)
        ids[ref] = ref.id
    return ids


def _ignore(event: BuildEvent) -> None:
    """Do nothing."""
