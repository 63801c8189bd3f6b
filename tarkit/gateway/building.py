"""Builders: engines that carry out builds and write their outputs."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from pathlib import Path

from tarkit.errors import UsageError
from tarkit.exporters.outputs import Output
from tarkit.gateway.client import Client
from tarkit.gateway.containers import Container
from tarkit.gateway.reference import Reference
from tarkit.gateway.requests import CacheOptionsEntry
from tarkit.gateway.result import PLATFORMS, Result
from tarkit.image.platform import Platform
from tarkit.llb.definition import Definition
from tarkit.llb.messages import Meta
from tarkit.llb.platforms import to_platform
from tarkit.llb.state import State
from tarkit.solver.events import OnEvent
from tarkit.solver.explaining import Explanation
from tarkit.streams.closeable import Closeable
from tarkit.values import dataclass

BuildFunc = Callable[[Client], Result | Reference | State | Definition | None]
"""A build function: it solves definitions with the client, and returns the result of the build."""


OnFailure = Callable[[Container, Meta], None]
"""Receives a container in the state before a process failed, and the description of that process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """The inputs of a build, and its outputs; see :meth:`Builder.build`."""

    outputs: tuple[Output, ...] = ()
    local: Mapping[str, Path] = field(default_factory=dict)
    opts: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, State | Definition] = field(default_factory=dict)
    secrets: Mapping[str, bytes] = field(default_factory=dict)
    ssh: Mapping[str, Path] = field(default_factory=dict)
    allow: frozenset[str] = frozenset()
    cache_from: tuple[CacheOptionsEntry, ...] = ()
    cache_to: tuple[CacheOptionsEntry, ...] = ()
    no_cache: bool = False
    name: str = ""
    on_event: OnEvent | None = None
    on_failure: OnFailure | None = None


@dataclass(frozen=True, slots=True)
class BuildResponse:
    """Facts about a build.

    - ``exporter_response``: about the written outputs, as text: ``containerimage.digest`` and others.
    - ``explanations``: why steps ran, if the build has a name.
    """

    exporter_response: Mapping[str, str] = field(default_factory=dict)
    explanations: tuple[Explanation, ...] = ()


PRIVILEGES = frozenset({"network.host", "security.insecure"})
"""What users can allow to processes."""


def allowed(privileges: Collection[str]) -> frozenset[str]:
    """Return *privileges* as a set; raises UsageError for unknown ones."""
    for each in privileges:
        if each not in PRIVILEGES:
            raise UsageError(f"{each[:80]!r} is not one of {', '.join(sorted(PRIVILEGES))}")
    return frozenset(privileges)


class Builder(Closeable):
    """An engine with a store or a daemon behind it; a context manager.

    :func:`tarkit.build_client` returns one.

    >>> from pathlib import Path
    >>> from tarkit import llb
    >>> def build(client):
    ...     version = client.build_opts().build_args["VERSION"]
    ...     return llb.scratch().file(llb.mkfile("/version", version))
    >>> with tarkit.build_client(store="store") as builder:
    ...     response = builder.build(
    ...         build, output="type=local,dest=out", opts={"build-arg:VERSION": "1.2"}
    ...     )
    >>> Path("out/version").read_text()
    '1.2'
    """

    output_type: type[Output] = Output
    """The class of outputs, which knows the types that the engine has."""

    def build(
        self,
        function: BuildFunc | State | Definition,
        *,
        output: str | Output | Sequence[str | Output] = (),
        local: Mapping[str, str | Path] | None = None,
        opts: Mapping[str, str] | None = None,
        platform: Platform | str | Sequence[Platform | str] = (),
        inputs: Mapping[str, State | Definition] | None = None,
        secrets: Mapping[str, bytes] | None = None,
        ssh: Mapping[str, str | Path] | None = None,
        allow: Collection[str] = (),
        cache_from: Sequence[CacheOptionsEntry] = (),
        cache_to: Sequence[CacheOptionsEntry] = (),
        no_cache: bool = False,
        name: str = "",
        on_event: OnEvent | None = None,
        on_failure: OnFailure | None = None,
    ) -> BuildResponse:
        """Call *function* with a client, wait for its result, and write it to each *output*.

        - *output*: ``type=oci,dest=hello.tar`` and the like; see
          :class:`~tarkit.exporters.outputs.Output`. Without any, the steps run all the same.
        - *local*: directories that definitions may read, by name.
        - *opts*: options for the function, such as ``build-arg:VERSION``.
        - *platform*: the platforms to build for, that of the engine's first worker by default. A
          state is built for each of them.
        - *inputs*: states that the function gets from ``client.inputs()``.
        - *secrets*: contents by name, for steps that ask for them.
        - *ssh*: sockets of SSH agents by name, for steps that ask for them.
        - *allow*: privileges of processes: ``network.host``, ``security.insecure``.
        - *cache_from*, *cache_to*: caches that a daemon imports and exports; the local engine has none
          yet.
        - *no_cache*: run all steps, even if their results are known.
        - *name*: the same text for the next build of the same kind, such as the path of its file. Then
          the response tells for each step that ran which part of its cache key has changed.
        - *on_event*: receives the progress; see :mod:`tarkit.solver.events`.
        - *on_failure*: receives a container in the state before the process that failed, and its
          description; the error follows. Daemons do not call it.

        Outputs appear complete or not at all, after all steps. Raises
        :class:`~tarkit.errors.UsageError` for invalid options,
        :class:`~tarkit.errors.BuildError` if a step fails, the errors of *function*, and those of
        writing.
        """
        chosen = dict(opts or {})
        platforms = [platform] if isinstance(platform, str | Platform) else platform
        if platforms:
            chosen["platform"] = ",".join(str(to_platform(each)) for each in platforms)
        given = [output] if isinstance(output, str | Output) else output
        options = BuildOptions(
            outputs=tuple(
                self.output_type.parse(each) if isinstance(each, str) else each for each in given
            ),
            local={name: Path(path) for name, path in (local or {}).items()},
            opts=chosen,
            inputs=dict(inputs or {}),
            secrets=dict(secrets or {}),
            ssh={name: Path(path) for name, path in (ssh or {}).items()},
            allow=allowed(allow),
            cache_from=tuple(cache_from),
            cache_to=tuple(cache_to),
            no_cache=no_cache,
            name=name,
            on_event=on_event,
            on_failure=on_failure,
        )
        return self.run(function, options)

    @abstractmethod
    def run(self, function: BuildFunc | State | Definition, options: BuildOptions) -> BuildResponse:
        """Carry out a build; raises the errors of :meth:`build`."""


def result_of(function: BuildFunc | State | Definition, client: Client) -> Result:
    """Return the result of a build function, state or definition.

    Raises the errors of the function, and UsageError if it returns something else.
    """
    made = function if isinstance(function, State | Definition) else function(client)
    if isinstance(made, Result):
        return made
    if isinstance(made, State) and len(client.platforms) > 1:
        return _for_platforms(made, client)
    if isinstance(made, State | Definition):
        return client.solve(made)
    if made is None or isinstance(made, Reference):
        return Result(made)
    raise UsageError(f"the function returned {type(made).__name__}, not a result or state")


def _for_platforms(state: State, client: Client) -> Result:
    """Return a reference for each platform of the build."""
    result = Result()
    listed = []
    for platform in client.platforms:
        definition = client.marshal(state, platform=platform)
        result.add_ref(str(platform), client.solve(definition).single_ref())
        listed.append({"ID": str(platform), "Platform": platform.to_json()})
    result.add_meta(PLATFORMS, json.dumps({"Platforms": listed}).encode())
    return result
