"""Processes: their mounts from refs, and the refs that they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tarkit.errors import NotFoundError, ProcessError, RefusedError
from tarkit.executor.container import Container, Network, Process, Ulimit
from tarkit.executor.users import find_user
from tarkit.llb.messages import ExecOp, Meta, NetMode, Op, SecurityMode
from tarkit.rootfs.filesystem import FileSystem
from tarkit.solver.keys.cache_map import CacheMap
from tarkit.solver.keys.operations import operation_map
from tarkit.solver.operation import Ref, Report
from tarkit.solver.operations.exec_mounts import ExecMounts
from tarkit.solver.operations.process_context import ProcessContext
from tarkit.solver.operations.progress import Steps
from tarkit.values import replace

NETWORKS = {
    NetMode.UNSET: Network.SANDBOX,
    NetMode.HOST: Network.HOST,
    NetMode.NONE: Network.NONE,
}


class ExecOperation:
    """A process in a container. Its outputs are the mounts that it may change."""

    def __init__(self, op: Op, context: ProcessContext, name: str) -> None:
        assert op.exec is not None
        self._op, self._exec = op, op.exec
        self._context = context
        self._name = name
        require_allowed(context.allowed, op.exec.network, op.exec.security, name)

    def cache_map(self) -> CacheMap:
        """Return the parts of the cache key that the operation and its inputs contribute."""
        return operation_map(self._op)

    def run(self, inputs: Sequence[Ref], report: Report) -> Sequence[Ref]:
        """Return new references to the results, one for each output; release none of *inputs*.

        Raises :class:`ProcessError` if the process fails, and UnsupportedError if this machine
        cannot run processes.
        """
        steps = Steps(report)
        with ExecMounts(self._exec.mounts, inputs, self._context, self._name) as mounts:
            with mounts.directories() as (container, files):
                process = _process(self._exec, files, self._context.secrets)
                with self._context.executor.open(_container(self._exec, container)) as running:
                    code = running.run(process, lambda stream, data: steps.log(data, stream))
                self._require_success(code)
            return mounts.outputs()

    def _require_success(self, code: int) -> None:
        meta = self._exec.meta or Meta()
        if code not in (meta.valid_exit_codes or (0,)):
            command = " ".join(meta.args)
            raise ProcessError(f"process {command!r} failed with exit code {code}", code)


def require_allowed(
    allowed: frozenset[str], network: NetMode, security: SecurityMode, where: str
) -> None:
    """Raise :class:`RefusedError` if a process needs a privilege that the user did not allow."""
    needed = {
        "security.insecure": security == SecurityMode.INSECURE,
        "network.host": network == NetMode.HOST,
    }
    for privilege, is_needed in needed.items():
        if is_needed and privilege not in allowed:
            raise RefusedError(
                f"{privilege} is not allowed", where=where, hint=f"--allow {privilege}"
            )


def _container(op: ExecOp, container: Container) -> Container:
    meta = op.meta or Meta()
    return replace(
        container,
        network=NETWORKS[NetMode(op.network)],
        insecure=op.security == SecurityMode.INSECURE,
        hostname=meta.hostname or container.hostname,
        hosts=tuple((each.host, each.ip) for each in meta.extra_hosts),
        cgroup_parent=meta.cgroup_parent,
    )


def _process(op: ExecOp, files: FileSystem, secrets: Mapping[str, bytes]) -> Process:
    meta = op.meta or Meta()
    return Process(
        tuple(meta.args),
        (*meta.env, *_proxies(meta), *_secret_env(op, secrets)),
        meta.cwd or "/",
        find_user(meta.user, files),
        tuple(Ulimit(each.name, each.soft, each.hard) for each in meta.ulimit),
    )


def _proxies(meta: Meta) -> list[str]:
    """Return the variables of proxies, in both spellings that programs read."""
    proxies = meta.proxy_env
    if proxies is None:
        return []
    names = ("http_proxy", "https_proxy", "ftp_proxy", "no_proxy", "all_proxy")
    given = [(name, getattr(proxies, name)) for name in names if getattr(proxies, name)]
    return [f"{each}={value}" for name, value in given for each in (name.upper(), name)]


def _secret_env(op: ExecOp, secrets: Mapping[str, bytes]) -> list[str]:
    found = []
    for each in op.secret_env:
        value = secrets.get(each.id)
        if value is not None:
            found.append(f"{each.name}={value.decode('utf-8', 'surrogateescape')}")
        elif not each.optional:
            raise NotFoundError(f"no secret {each.id!r}", hint=f"--secret id={each.id},src=FILE")
    return found
