"""The client that build functions receive, and references to what it solved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from tarkit.gateway.containers import Container, NewContainerRequest
from tarkit.gateway.options import BuildOpts
from tarkit.gateway.requests import (
    ImageConfig,
    ReadDirRequest,
    ReadRequest,
    ResolveImageConfigOpt,
    SolveRequest,
    SourceMeta,
    StatRequest,
    WarnOpts,
)
from tarkit.gateway.result import Result
from tarkit.gateway.stat import Stat
from tarkit.image.platform import Platform
from tarkit.llb.definition import Definition
from tarkit.llb.state import State


class Reference(ABC):
    """A root filesystem that a build may still have to make; its first use waits for that.

    Paths are absolute or relative to the root, and no link or ``..`` leads out of it. A request can
    be given as its only required field. Every method but :meth:`to_state` raises
    :class:`~tarkit.errors.BuildError` if a step fails, and :class:`~tarkit.errors.PathNotFoundError`
    for a missing path.
    """

    @abstractmethod
    def to_state(self) -> State:
        """Return the state of the definition, for further steps."""

    @abstractmethod
    def evaluate(self) -> None:
        """Wait until the files exist."""

    @abstractmethod
    def read_file(self, request: ReadRequest | str) -> bytes:
        """Return the content of a regular file, or a part of it: at most 16 MiB.

        Raises UnsupportedError for other kinds of files, and LimitExceededError.
        """

    @abstractmethod
    def stat_file(self, request: StatRequest | str) -> Stat:
        """Return the facts about a file; links are followed."""

    @abstractmethod
    def read_dir(self, request: ReadDirRequest | str) -> list[Stat]:
        """Return the entries of a directory, sorted by name; links are not followed.

        A link to a directory has no entries. Raises RefusedError if it is no directory, and
        MalformedError for an invalid pattern.
        """


class Client(ABC):
    """A build in progress, from the inside: solves definitions and answers questions about sources.

    Engines implement it; build functions receive it. It can be used until the function returns, also
    from several threads.
    """

    @abstractmethod
    def build_opts(self) -> BuildOpts:
        """Return the options of the build, and facts about the engine."""

    @abstractmethod
    def inputs(self) -> dict[str, State]:
        """Return the states that whoever called the function gave it, by name."""

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
        """Return what *source*, a state such as ``llb.image("alpine")``, stands for now.

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
