"""States: file systems to be built, and the values for processes in them."""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from tarkit.errors import MalformedError, UsageError
from tarkit.image.platform import Platform
from tarkit.llb import messages
from tarkit.llb.actions import FileActions
from tarkit.llb.combining import BuildVertex, DiffVertex, MergeVertex, PassthroughVertex
from tarkit.llb.constraints import ConstraintOptions, to_constraints
from tarkit.llb.definition import Definition
from tarkit.llb.environment import Environment
from tarkit.llb.files import FileVertex
from tarkit.llb.loaded import load
from tarkit.llb.marshal import MarshalOptions, marshal
from tarkit.llb.messages import NetMode, SecurityMode
from tarkit.llb.mounts import SSH, Mount, Secret
from tarkit.llb.platforms import to_platform
from tarkit.llb.processes import ExecVertex
from tarkit.llb.sourcemaps import caller
from tarkit.llb.tree import Tree
from tarkit.llb.vertices import Output, Resolve
from tarkit.llb.words import split_words
from tarkit.values import replace

if TYPE_CHECKING:
    from typing import Unpack


class State(Tree):
    """A file system to be built, and values for the processes that will run in it.

    A state is immutable: each method returns a new one. Nothing is built until a client solves it;
    :meth:`marshal` returns its definition. Operations take the options of
    :class:`ConstraintOptions` as keywords.
    """

    __slots__ = ()

    @classmethod
    def of(cls, output: Output | None) -> Self:
        """Return a new state of *output*, which gives it its platform."""
        return cls(output, Environment().on(output.platform if output else None))

    @classmethod
    def from_definition(cls, definition: Definition | messages.Definition) -> Self:
        """Return the result of *definition*, whose vertices keep their bytes and digests.

        Raises :class:`MalformedError` or LimitExceededError if the definition is invalid.
        """
        if isinstance(definition, messages.Definition):
            definition = Definition(definition)
        return cls.of(load(definition))

    def _with(self, **changes: Any) -> State:
        return State(self.output, self.environment.changed(**changes))

    def _after(self, output: Output | None) -> State:
        """Return the state of *output* with the values of this one."""
        return State(output, self.environment.on(output.platform if output else None))

    def dir(self, path: str) -> State:
        """Set the working directory; a relative *path* extends the present one."""
        return State(self.output, self.environment.in_dir(path))

    def env(self, name: str, value: str) -> State:
        """Set a variable."""
        return State(self.output, self.environment.with_env({name: value}))

    def args(self, args: Sequence[str]) -> State:
        """Set the arguments of processes that :meth:`run` starts without any."""
        return self._with(args=tuple(args))

    def user(self, user: str) -> State:
        """Set the user that processes run as: ``user[:group]``, names or numbers."""
        return self._with(user=user)

    def hostname(self, name: str) -> State:
        """Set the host name that processes see."""
        return self._with(hostname=name)

    def platform(self, platform: Platform | str) -> State:
        """Set the platform of processes."""
        return State(self.output, self.environment.on(to_platform(platform)))

    def network(self, mode: NetMode | str) -> State:
        """Set the network of processes: "sandbox", "host" or "none"."""
        return self._with(network=_net_mode(mode))

    def security(self, mode: SecurityMode | str) -> State:
        """Set the privileges of processes: "sandbox" or "insecure"."""
        return self._with(security=_security_mode(mode))

    def extra_host(self, name: str, address: str) -> State:
        """Add a line to ``/etc/hosts``; raise UsageError if *address* is not an IP address."""
        return State(self.output, self.environment.with_host(name, address))

    def ulimit(self, name: str, soft: int, hard: int) -> State:
        """Add a resource limit."""
        limit = messages.Ulimit(name=name, soft=soft, hard=hard)
        return self._with(ulimits=(*self.environment.ulimits, limit))

    def cgroup_parent(self, name: str) -> State:
        """Set the cgroup above those of processes."""
        return self._with(cgroup_parent=name)

    def valid_exit_codes(self, *codes: int) -> State:
        """Set the exit codes that mean success; 0 is not among them unless given."""
        return self._with(valid_exit_codes=codes)

    def image_config(self, config: bytes | str | Mapping[str, Any]) -> State:
        """Set variables, working directory and platform of an image's *config*.

        Raises :class:`MalformedError` if it is not the JSON of an image config.
        """
        document = config if isinstance(config, Mapping) else _parsed(config)
        runtime = _object(document, "config")
        variables: dict[str, str] = {}
        for variable in _texts(runtime, "Env"):
            name, _, value = variable.partition("=")
            if name:
                variables.pop(name, None)
                variables[name] = value
        working_dir = runtime.get("WorkingDir") or ""
        values = self.environment.with_env(variables).in_dir(str(working_dir))
        if document.get("architecture") and document.get("os"):
            values = values.on(replace(Platform.from_json(document), extra={}))
        return State(self.output, values)

    def run(
        self,
        args: Sequence[str] | str = (),
        *,
        mounts: Iterable[Mount | Secret | SSH] = (),
        readonly_root: bool = False,
        dir: str | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        hostname: str | None = None,
        cgroup_parent: str | None = None,
        network: NetMode | str | None = None,
        security: SecurityMode | str | None = None,
        extra_hosts: Mapping[str, str] | None = None,
        ulimits: Mapping[str, tuple[int, int]] | None = None,
        valid_exit_codes: Sequence[int] | None = None,
        proxy: messages.ProxyEnv | None = None,
        devices: Sequence[messages.CDIDevice] = (),
        **constraints: Unpack[ConstraintOptions],
    ) -> ExecState:
        """Run a process: *args*, or a line that is split into words without a shell.

        *mounts* are made by :func:`bind`, :func:`cache`, :func:`tmpfs`, :func:`secret` and
        :func:`ssh`. The other values hold for this process only, those of the state for all.
        *proxy* is not a part of the cache key. Raises :class:`UsageError` if a value is malformed;
        missing arguments are an error when the state is marshalled.
        """
        words = split_words(args) if isinstance(args, str) else args
        changes = {
            "args": tuple(words) or None,
            "user": user,
            "hostname": hostname,
            "cgroup_parent": cgroup_parent,
            "network": None if network is None else _net_mode(network),
            "security": None if security is None else _security_mode(security),
        }
        given = {name: value for name, value in changes.items() if value is not None}
        state = State(self.output, self.environment.changed(**given).with_env(env or {}))
        if dir is not None:
            state = state.dir(dir)
        for name, address in (extra_hosts or {}).items():
            state = state.extra_host(name, address)
        for name, (soft, hard) in (ulimits or {}).items():
            state = state.ulimit(name, soft, hard)
        if valid_exit_codes is not None:
            state = state.valid_exit_codes(*valid_exit_codes)
        root, others = Mount("/", self, readonly=readonly_root), list(mounts)
        trees = [root, *(mount for mount in others if isinstance(mount, Mount))]
        vertex = ExecVertex(
            state.environment,
            tuple(sorted(trees, key=lambda mount: mount.dest)),
            tuple(mount for mount in others if isinstance(mount, Secret)),
            tuple(mount for mount in others if isinstance(mount, SSH)),
            proxy,
            tuple(devices),
            to_constraints(constraints),
            caller(),
        )
        return ExecState(self, vertex, root)

    def file(self, actions: FileActions, **constraints: Unpack[ConstraintOptions]) -> State:
        """Carry out *actions*, such as ``llb.mkdir("/a").mkfile("/a/b", "text")``."""
        vertex = FileVertex(actions.on(self), to_constraints(constraints), caller())
        return self._after(Output(vertex))

    def diff(self, upper: Tree, **constraints: Unpack[ConstraintOptions]) -> State:
        """Return the changes from this state to *upper*; see :func:`~tarkit.llb.state.diff`."""
        if self.output is None:
            return State(upper.output, upper.environment)
        vertex = DiffVertex(self.output, upper.output, to_constraints(constraints), caller())
        return self._after(Output(vertex))

    def requires(self, id: str, *required: Tree, **constraints: Unpack[ConstraintOptions]) -> State:
        """Return this state, available only if all *required* states are."""
        if not required:
            return self
        outputs = tuple(tree.output for tree in required if tree.output is not None)
        own = to_constraints(constraints)
        return self._after(Output(PassthroughVertex(id, self.output, outputs, own, caller())))

    def build(self, filename: str = "", **constraints: Unpack[ConstraintOptions]) -> State:
        """Build the definition in the file *filename* of this state."""
        vertex = BuildVertex(self.output, filename, to_constraints(constraints), caller())
        return self._after(Output(vertex))

    def marshal(
        self,
        *,
        capabilities: Container[str] | None = None,
        resolve: Resolve | None = None,
        record_lines: bool = True,
        include_source: bool = False,
        **constraints: Unpack[ConstraintOptions],
    ) -> Definition:
        """Return the definition of this state.

        The constraints hold for all vertices; ``platform`` is this machine's by default.
        *capabilities* are the daemon's, None if unknown. *resolve* turns locations of images into
        served images. *record_lines* adds the lines of Python that made the vertices, and
        *include_source* the text of these files.

        Raises :class:`UsageError` if an operation is invalid, RefusedError if a location needs a
        client, and LimitExceededError if there are too many operations.
        """
        options = MarshalOptions(
            to_constraints(constraints), capabilities, resolve, record_lines, include_source
        )
        return marshal(self.output, options)


class ExecState(State):
    """The state after a process."""

    __slots__ = ("_vertex",)

    def __init__(self, base: State, vertex: ExecVertex, root: Mount) -> None:
        after = base._after(vertex.output(root))
        super().__init__(after.output, after.environment)
        self._vertex = vertex

    def root(self) -> State:
        """Return the root file system after the process."""
        return State(self.output, self.environment)

    def mount(self, dest: str) -> State:
        """Return the mount at *dest* after the process; raise UsageError if there is none."""
        for mount in self._vertex.mounts:
            if mount.dest == dest:
                return State.of(self._vertex.output(mount))
        raise UsageError(f"the process has no mount at {dest!r}")


def merge(states: Sequence[State], **constraints: Unpack[ConstraintOptions]) -> State:
    """Lay *states* over each other, the last on top; empty file systems are left out."""
    given = [state for state in states if state.output is not None]
    if len(given) < 2:
        return given[0] if given else State()
    outputs = tuple(state.output for state in given if state.output is not None)
    return State.of(Output(MergeVertex(outputs, to_constraints(constraints), caller())))


def diff(lower: State, upper: State, **constraints: Unpack[ConstraintOptions]) -> State:
    """Return the changes from *lower* to *upper*, as a layer to merge with other states."""
    return lower.diff(upper, **constraints)


def _net_mode(mode: NetMode | str) -> NetMode:
    names = {"sandbox": NetMode.UNSET, "host": NetMode.HOST, "none": NetMode.NONE}
    if mode not in names and not isinstance(mode, NetMode):
        raise UsageError(f"{mode!r} is not a network: sandbox, host or none")
    return mode if isinstance(mode, NetMode) else names[mode]


def _security_mode(mode: SecurityMode | str) -> SecurityMode:
    names = {"sandbox": SecurityMode.SANDBOX, "insecure": SecurityMode.INSECURE}
    if mode not in names and not isinstance(mode, SecurityMode):
        raise UsageError(f"{mode!r} is not a security mode: sandbox or insecure")
    return mode if isinstance(mode, SecurityMode) else names[mode]


def _parsed(text: bytes | str) -> Mapping[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        raise MalformedError("image config is not JSON") from None
    if not isinstance(document, dict):
        raise MalformedError("image config is not a JSON object")
    return document


def _object(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = document.get(name)
    if value is not None and not isinstance(value, dict):
        raise MalformedError(f"{name!r} of the image config is not an object")
    return value or {}


def _texts(document: Mapping[str, Any], name: str) -> list[str]:
    values = document.get(name) or []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise MalformedError(f"{name!r} of the image config is not a list of strings")
    return values
