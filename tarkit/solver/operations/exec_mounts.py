"""The mounts of a process: refs as directories, and the refs with the changes that it makes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tarkit.cache.options import RefOptions
from tarkit.cache.refs import MutableRef
from tarkit.errors import NotFoundError, UsageError
from tarkit.executor.container import Agent, Bind, Container, SecretFile, Tmpfs
from tarkit.executor.container import Mount as ContainerMount
from tarkit.llb.messages import CacheOpt, Mount, MountType, SecretOpt, SSHOpt
from tarkit.rootfs.filesystem import FileSystem
from tarkit.solver.empty import files_of
from tarkit.solver.operation import Ref
from tarkit.solver.operations.process_context import ProcessContext
from tarkit.solver.operations.stubs import Stubs
from tarkit.streams.closeable import Closeable

_SKIPPED = -1  # the output of a mount whose changes are dropped


class ExecMounts(Closeable):
    """The *mounts* of the process *name* with *inputs*; closing it releases what it has made."""

    def __init__(
        self, mounts: Sequence[Mount], inputs: Sequence[Ref], context: ProcessContext, name: str
    ) -> None:
        # the outermost first, so that a mount is never hidden by a later one
        self._mounts = sorted(mounts, key=lambda mount: mount.dest.rstrip("/").count("/"))
        self._inputs = inputs
        self._context = context
        self._name = name
        self._refs = ExitStack()
        self._changed: dict[int, MutableRef | Ref] = {}

    @contextmanager
    def directories(self) -> Iterator[tuple[Container, FileSystem]]:
        """Provide all mounts for the block; yield the container, and the files in its root.

        If the block succeeds, the changes are staged. Raises the errors of mounting, and
        :class:`NotFoundError` for missing secrets, agents and selected paths.
        """
        with ExitStack() as stack:
            roots = [mount for mount in self._mounts if mount.dest == "/"]
            if len(roots) != 1 or roots[0].mount_type != MountType.BIND:
                raise UsageError("a process needs one root, from a result", where=self._name)
            root, files, changed = self._directory(roots[0], stack)
            others = [mount for mount in self._mounts if mount.dest != "/"]
            made = [each for mount in others if (each := self._made(mount, stack)) is not None]
            stubs = Stubs(files, [mount.dest for mount in made])
            is_readonly = roots[0].readonly
            yield Container(root, is_readonly, made), files
        if changed is not None:
            stubs.remove(changed.files)

    def outputs(self) -> list[Ref]:
        """Return new references to the changed mounts, in the order of their outputs."""
        made: list[Ref] = []
        with ExitStack() as failed:
            for number in sorted(self._changed):
                found = self._changed[number]
                if isinstance(found, MutableRef):
                    ref: Ref = found.commit()
                else:
                    ref = found.clone() if found is not None else None
                made.append(ref)
                if ref is not None:
                    failed.callback(ref.release)
            failed.pop_all()
        return made

    def close(self) -> None:
        """Release the refs of mounts."""
        self._refs.close()

    def _input(self, mount: Mount) -> Ref:
        return self._inputs[mount.input] if mount.input >= 0 else None

    def _made(self, mount: Mount, stack: ExitStack) -> ContainerMount | None:
        match mount.mount_type:
            case MountType.TMPFS:
                return Tmpfs(mount.dest, mount.tmpfs.size if mount.tmpfs else 0)
            case MountType.SECRET:
                return self._secret(mount.dest, mount.secret or SecretOpt())
            case MountType.SSH:
                return self._agent(mount.dest, mount.ssh or SSHOpt())
            case MountType.CACHE:
                return self._cache(mount, mount.cache or CacheOpt(), stack)
            case MountType.BIND:
                path, files, _ = self._directory(mount, stack)
                return Bind(_selected(path, files, mount.selector), mount.dest, mount.readonly)
        raise UsageError(f"the mount {mount.dest!r} has an unknown type", where=self._name)

    def _secret(self, dest: str, option: SecretOpt) -> SecretFile | None:
        data = self._context.secrets.get(option.id)
        if data is not None:
            return SecretFile(dest, data, option.uid, option.gid, option.mode)
        if option.optional:
            return None
        raise NotFoundError(f"no secret {option.id!r}", hint=f"--secret id={option.id},src=FILE")

    def _agent(self, dest: str, option: SSHOpt) -> Agent | None:
        name = option.id or "default"
        socket = self._context.agents.get(name)
        if socket is not None:
            return Agent(dest, socket, option.uid, option.gid, option.mode)
        if option.optional:
            return None
        raise NotFoundError(f"no SSH agent {name!r}", hint=f"--ssh {name}")

    def _cache(self, mount: Mount, option: CacheOpt, stack: ExitStack) -> Bind:
        used = self._context.caches.directory(option.id, self._input(mount), option.sharing)
        ref, path = stack.enter_context(used)
        return Bind(_selected(path, ref.files, mount.selector), mount.dest, mount.readonly)

    def _directory(
        self, mount: Mount, stack: ExitStack
    ) -> tuple[Path, FileSystem, MutableRef | None]:
        """Mount an input; return the directory, the files in it, and the ref with the changes."""
        base = self._input(mount)
        if mount.readonly and base is not None:
            if mount.output != _SKIPPED:
                self._changed[mount.output] = base
            if mount.dest != "/":
                return stack.enter_context(base.mount()), base.files, None
        # also for a read-only root, in which the runtime creates mount points
        ref = self._context.manager.new(base, RefOptions(description=self._name))
        self._refs.enter_context(ref)
        if mount.output != _SKIPPED:
            self._changed.setdefault(mount.output, ref)
        changed = ref if self._changed.get(mount.output) is ref else None
        return stack.enter_context(ref.mount()), files_of(base), changed


def _selected(path: Path, files: FileSystem, selector: str) -> Path:
    """Return the path of *selector* in the directory *path*, which has these *files*."""
    if not selector.strip("/"):
        return path
    return path / files.resolve(selector).lstrip("/")
