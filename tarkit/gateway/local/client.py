"""The client that the embedded engine gives to build functions."""

from __future__ import annotations

from collections.abc import Mapping

from tarkit.errors import UsageError
from tarkit.gateway.building import result_of
from tarkit.gateway.client import Client
from tarkit.gateway.containers import Container, NewContainerRequest
from tarkit.gateway.local.images import resolve_config, resolve_source
from tarkit.gateway.local.reference import LocalReference
from tarkit.gateway.local.session import Session
from tarkit.gateway.options import BuildOpts
from tarkit.gateway.requests import (
    ImageConfig,
    ResolveImageConfigOpt,
    SolveRequest,
    SourceMeta,
    WarnOpts,
)
from tarkit.gateway.result import Result
from tarkit.image.platform import Platform
from tarkit.llb.definition import Definition
from tarkit.llb.state import State
from tarkit.solver.events import WarningEvent
from tarkit.values import replace


class LocalClient(Client):
    """The client of one build function; frontends that it calls share its *session*."""

    def __init__(
        self, session: Session, options: BuildOpts, inputs: Mapping[str, State | Definition]
    ) -> None:
        self._session = session
        self._options = options
        self._inputs = inputs

    def build_opts(self) -> BuildOpts:
        """Return the options of the build, and facts about the engine."""
        return self._options

    def inputs(self) -> dict[str, State]:
        """Return the input states of the function, by name."""
        return {
            name: each if isinstance(each, State) else State.from_definition(each)
            for name, each in self._inputs.items()
        }

    def solve(
        self, request: SolveRequest | State | Definition, *, evaluate: bool = False
    ) -> Result:
        """Return the result of a definition or frontend."""
        wanted = request if isinstance(request, SolveRequest) else SolveRequest(definition=request)
        if wanted.definition is not None and wanted.frontend:
            raise UsageError("a request has a definition or a frontend, not both")
        result = self._frontend(wanted) if wanted.frontend else Result(self._reference(wanted))
        if evaluate or wanted.evaluate:
            for ref in result.each_ref():
                ref.evaluate()
        return result

    def _frontend(self, request: SolveRequest) -> Result:
        if not callable(request.frontend):
            raise UsageError(
                f"no frontend {request.frontend[:80]!r}",
                hint="the embedded engine takes functions as frontends",
            )
        options = replace(self._options, opts=dict(request.frontend_opt))
        client = LocalClient(self._session, options, request.frontend_inputs)
        return result_of(request.frontend, client)

    def _reference(self, request: SolveRequest) -> LocalReference | None:
        definition = request.definition
        if isinstance(definition, State):
            definition = self.marshal(definition)
        if definition is None:
            return None
        self._options.llb_caps.require(definition.capabilities)
        return self._session.solve(definition, request.cache_imports)

    def _marshal(self, state: State, platform: Platform | str) -> Definition:
        return state.marshal(
            platform=platform,
            capabilities=self._options.llb_caps,
            resolve=self._session.solver.resolve,
            local_unique_id=self._options.session_id,  # a directory is read once in a build
        )

    def resolve_image_config(
        self, reference: str, options: ResolveImageConfigOpt | None = None
    ) -> ImageConfig:
        """Return the digest and config of an image."""
        options = options or ResolveImageConfigOpt()
        return resolve_config(self._session.solver, reference, options, self.platforms[0])

    def resolve_source(
        self, source: State, options: ResolveImageConfigOpt | None = None
    ) -> SourceMeta:
        """Resolve *source*, a state such as ``llb.image("alpine")``, as of now."""
        options = options or ResolveImageConfigOpt()
        definition = self.marshal(source, platform=options.platform)
        return resolve_source(self._session.solver, definition, options, self.platforms[0])

    def new_container(self, request: NewContainerRequest) -> Container:
        """Return a container on copies of references; it ends with the build at the latest."""
        return self._session.container(request)

    def warn(self, digest: str, message: str, options: WarnOpts | None = None) -> None:
        """Show a warning about the vertex *digest*, which need not exist."""
        options = options or WarnOpts()
        self._session.emit(
            WarningEvent(
                digest,
                options.level or 1,
                message.encode("utf-8", "surrogateescape"),
                tuple(options.detail),
                options.url,
                options.source,
                tuple(options.ranges),
            )
        )
