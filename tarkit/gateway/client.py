"""The client that build functions receive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tarkit.gateway.containers import Container, NewContainerRequest
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


class Client(ABC):
    """A build in progress, from the inside: solves definitions and answers questions about sources.

    Engines implement it; build functions receive it. It can be used until the function returns, also
    from several threads.

    >>> from tarkit import llb
    >>> def build(client):
    ...     base = llb.docker_archive("fixtures/hello.tar")
    ...     ref = client.solve(base).single_ref()
    ...     print([entry.path for entry in ref.read_dir("/")])
    ...     return ref.to_state().file(llb.mkfile("/more", "more"))
    >>> with tarkit.build_client(store="store") as builder:
    ...     response = builder.build(build)
    [...]
    """

    @abstractmethod
    def build_opts(self) -> BuildOpts:
        """Return the options of the build, and facts about the engine."""

    @abstractmethod
    def inputs(self) -> dict[str, State]:
        """Return the states that the caller of the function gave it, by name."""

    @abstractmethod
    def solve(
        self, request: SolveRequest | State | Definition, *, evaluate: bool = False
    ) -> Result:
        """Return the result of a definition or frontend; a state or definition will do as request.

        Nothing is run before its reference is used, unless *evaluate* or the request asks for it.
        Raises :class:`~tarkit.errors.UsageError` for a request with both, MalformedError for an
        invalid definition, UnsupportedError for a capability that the engine lacks, and
        :class:`~tarkit.errors.BuildError` if a step fails.
        """

    @abstractmethod
    def resolve_image_config(
        self, reference: str, options: ResolveImageConfigOpt | None = None
    ) -> ImageConfig:
        """Return the digest and config of an image.

        Raises :class:`~tarkit.errors.ImageNotFoundError`, and the errors of opening it.
        """

    @abstractmethod
    def resolve_source(
        self, source: State, options: ResolveImageConfigOpt | None = None
    ) -> SourceMeta:
        """Resolve *source*, a state such as ``llb.image("alpine")``, as of now.

        Raises as :meth:`resolve_image_config`, and UsageError if it is no source.
        """

    @abstractmethod
    def new_container(self, request: NewContainerRequest) -> Container:
        """Return a container in which processes can be started.

        Raises :class:`~tarkit.errors.UnsupportedError` if the engine has none.
        """

    @abstractmethod
    def warn(self, digest: str, message: str, options: WarnOpts | None = None) -> None:
        """Show a warning about the vertex *digest*, which need not exist."""

    def marshal(self, state: State, *, platform: Platform | str | None = None) -> Definition:
        """Return the definition of *state* for this engine.

        *platform* is the first of its first worker by default. Images at locations are opened.
        Raises as :meth:`tarkit.llb.state.State.marshal`.
        """
        return self._marshal(state, platform or self.platforms[0])

    @property
    def platforms(self) -> Sequence[Platform]:
        """The platforms to build for: those of the option ``platform``, or the first of the engine."""
        options = self.build_opts()
        wanted = [text for text in options.opts.get("platform", "").split(",") if text]
        return [Platform.parse(text) for text in wanted] or list(options.workers[0].platforms[:1])

    @abstractmethod
    def _marshal(self, state: State, platform: Platform | str) -> Definition:
        """Marshal *state* with the engine's capabilities."""
