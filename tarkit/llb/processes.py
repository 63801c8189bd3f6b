"""The vertex of a process."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tarkit.errors import UsageError
from tarkit.llb import messages
from tarkit.llb.constraints import Constraints
from tarkit.llb.environment import Environment
from tarkit.llb.messages import MountContentCache, MountType, NetMode, SecurityMode
from tarkit.llb.mounts import SSH, Mount, Secret
from tarkit.llb.sourcemaps import Caller
from tarkit.llb.vertices import Context, Encoded, Inputs, Output
from tarkit.values import dataclass

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SETS_PATH = "exec.meta.setsdefaultpath"
_SOCKET = "SSH_AUTH_SOCK"


@dataclass(frozen=True, slots=True, eq=False)
class ExecVertex:
    """A process; ``mounts`` are sorted by their destinations, the root included."""

    environment: Environment
    mounts: tuple[Mount, ...]
    secrets: tuple[Secret, ...]
    ssh: tuple[SSH, ...]
    proxy: messages.ProxyEnv | None
    devices: tuple[messages.CDIDevice, ...]
    constraints: Constraints
    caller: Caller | None

    def inputs(self) -> Sequence[Output]:
        """Return the sources of the mounts."""
        return [mount.source.output for mount in self.mounts if mount.source.output is not None]

    def output(self, mount: Mount) -> Output | None:
        """Return *mount* after the process has run; a read-only mount stays its source."""
        if mount.readonly:
            return mount.source.output
        error = ""
        if mount.is_tmpfs:
            error = f"the memory mounted at {mount.dest} has no result"
        elif mount.no_output or mount.cache_id:
            error = f"the mount at {mount.dest} has no result"
        kept = [each for each in self.mounts if each.has_output]
        index = 0 if error else next(n for n, each in enumerate(kept) if each is mount)
        return Output(self, index, self.constraints.platform, error)

    def encode(self, context: Context) -> Encoded:
        """Encode the operation; raise UsageError without arguments, or if a mount is invalid."""
        if not self.environment.args:
            raise UsageError("a process needs arguments")
        inputs = Inputs(context)
        mounts = [*self._mounts(inputs), *self._secret_mounts(), *self._ssh_mounts()]
        operation = messages.ExecOp(
            meta=self._meta(context),
            mounts=mounts,
            network=self.environment.network,
            security=self.environment.security,
            secret_env=[
                messages.SecretEnv(id=secret.id, name=secret.env, optional=secret.optional)
                for secret in self.secrets
                if secret.env is not None
            ],
            cdi_devices=self.devices,
        )
        platform = self.constraints.platform or self.environment.platform or context.platform
        return context.finish(
            self.constraints,
            self._caps(context),
            platform=platform,
            inputs=inputs.messages,
            caller=self.caller,
            exec=operation,
        )

    def _meta(self, context: Context) -> messages.Meta:
        values = self.environment
        return messages.Meta(
            args=values.args,
            env=[f"{name}={value}" for name, value in self._env(context).items()],
            cwd=values.directory(context.platform.os),
            user=values.user,
            proxy_env=self.proxy,
            extra_hosts=values.extra_hosts,
            hostname=values.hostname,
            ulimit=values.ulimits,
            cgroup_parent=values.cgroup_parent,
            remove_mount_stubs_recursive=True,
            valid_exit_codes=values.valid_exit_codes or (),
        )

    def _env(self, context: Context) -> dict[str, str]:
        env = dict(self.environment.env)
        if self.ssh:
            env.setdefault(_SOCKET, _socket(0, self.ssh[0]))
        known = context.capabilities
        if known is not None and _SETS_PATH not in known and context.platform.os != "windows":
            env.setdefault("PATH", _PATH)
        return env

    def _mounts(self, inputs: Inputs) -> Iterator[messages.Mount]:
        kept = 0
        for mount in self.mounts:
            if mount.is_tmpfs and mount.source.output is not None:
                raise UsageError(f"the memory mounted at {mount.dest} cannot have a source")
            yield messages.Mount(
                input=inputs.add(mount.source.output),
                selector=mount.selector,
                dest=mount.dest,
                output=kept if mount.has_output else -1,
                readonly=mount.readonly,
                content_cache=mount.content_cache,
                **_special(mount),  # type: ignore[arg-type]
            )
            kept += mount.has_output

    def _secret_mounts(self) -> Iterator[messages.Mount]:
        for secret in self.secrets:
            if secret.dest is not None:
                option = messages.SecretOpt(
                    id=secret.id,
                    uid=secret.uid,
                    gid=secret.gid,
                    mode=secret.mode,
                    optional=secret.optional,
                )
                yield messages.Mount(
                    input=-1, dest=secret.dest, mount_type=MountType.SECRET, secret=option
                )

    def _ssh_mounts(self) -> Iterator[messages.Mount]:
        for number, ssh in enumerate(self.ssh):
            option = messages.SSHOpt(
                id=ssh.id, uid=ssh.uid, gid=ssh.gid, mode=ssh.mode, optional=ssh.optional
            )
            dest = _socket(number, ssh)
            yield messages.Mount(input=-1, dest=dest, mount_type=MountType.SSH, ssh=option)

    def _caps(self, context: Context) -> list[str]:
        caps = ["exec.meta.base", *self._meta_caps()]
        if context.capabilities is not None and _SETS_PATH in context.capabilities:
            caps.append(_SETS_PATH)
        for mount in self.mounts:
            caps += _mount_caps(mount)
        if self.secrets:
            caps.append("exec.mount.secret")
            if any(secret.env is not None for secret in self.secrets):
                caps.append("exec.secretenv")
        if self.ssh:
            caps.append("exec.mount.ssh")
        return caps

    def _meta_caps(self) -> Iterator[str]:
        values = self.environment
        if self.devices:
            yield "exec.meta.cdi"
        if self.constraints.metadata.linux_resources is not None:
            yield "exec.meta.linux.resources"
        if values.network != NetMode.UNSET:
            yield "exec.meta.network"
        if self.proxy is not None:
            yield "exec.meta.proxyenv"
        if values.security != SecurityMode.SANDBOX:
            yield "exec.meta.security"
        if values.ulimits:
            yield "exec.meta.ulimit"
        if values.valid_exit_codes is not None:
            yield "exec.validexitcode"


def _special(mount: Mount) -> dict[str, object]:
    """Return the fields of a cache or of memory."""
    values: dict[str, object] = {}
    if mount.cache_id:
        option = messages.CacheOpt(id=mount.cache_id, sharing=mount.sharing)
        values = {"mount_type": MountType.CACHE, "cache": option}
    if mount.tmpfs_size is not None:
        size = messages.TmpfsOpt(size=mount.tmpfs_size)
        values |= {"mount_type": MountType.TMPFS, "tmpfs": size}
    return values


def _mount_caps(mount: Mount) -> Iterator[str]:
    if mount.selector:
        yield "exec.mount.selector"
    if mount.cache_id:
        yield from ("exec.mount.cache", "exec.mount.cache.sharing")
    elif mount.tmpfs_size is not None:
        yield "exec.mount.tmpfs"
        if mount.tmpfs_size > 0:
            yield "exec.mount.tmpfs.size"
    elif mount.source.output is not None:
        yield "exec.mount.bind"
    if mount.content_cache != MountContentCache.DEFAULT:
        yield "exec.mount.cache.content"


def _socket(number: int, ssh: SSH) -> str:
    return ssh.dest or f"/run/buildkit/ssh_agent.{number}"
