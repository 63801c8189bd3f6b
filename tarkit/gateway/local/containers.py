"""Containers of the embedded engine."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import IO, BinaryIO, Self

from tarkit.errors import BuildError, CancelledError, NotFoundError, TarkitError, UsageError
from tarkit.executor.container import Process
from tarkit.executor.executor import RunningContainer
from tarkit.executor.users import find_user
from tarkit.gateway.containers import (
    Container,
    ContainerProcess,
    Mount,
    NewContainerRequest,
    StartRequest,
    WinSize,
)
from tarkit.gateway.local.reference import LocalReference
from tarkit.llb import messages
from tarkit.llb.messages import ExecOp, MountType, NetMode, SecurityMode
from tarkit.solver.operation import Ref
from tarkit.solver.operations.exec_mounts import ExecMounts
from tarkit.solver.operations.process_context import ProcessContext
from tarkit.solver.operations.processes import NETWORKS, require_allowed
from tarkit.streams.cancellation import SLICE, check
from tarkit.streams.threads import start_thread
from tarkit.values import replace

_CHUNK = 32 << 10
_SIZE = WinSize(24, 80)
_SIGNALLED = 128


class LocalContainer(Container):
    """A container on copies of refs; it starts with its first process."""

    def __init__(
        self,
        context: ProcessContext,
        request: NewContainerRequest,
        mounts: Sequence[messages.Mount],
        refs: Sequence[Ref],
    ) -> None:
        require_allowed(context.allowed, request.net_mode, SecurityMode.SANDBOX, "the container")
        self._context, self._request = context, request
        self._mounts, self._refs = mounts, refs
        self._stack = ExitStack()
        self._running: RunningContainer | None = None
        self._processes: list[LocalProcess] = []
        self._lock = threading.Lock()
        self._is_released = False

    @classmethod
    def create(cls, context: ProcessContext, request: NewContainerRequest) -> Self:
        """Return a container as a build function asks for it."""
        roots = [mount for mount in request.mounts if mount.dest == "/"]
        if roots and roots[0].mount_type != MountType.BIND:
            raise UsageError(f"a mount of the type {roots[0].mount_type.name} cannot be the root")
        refs: list[Ref] = []
        return cls(context, request, [_message(each, refs) for each in request.mounts], refs)

    @classmethod
    def of_step(cls, context: ProcessContext, op: ExecOp, refs: Sequence[Ref]) -> Self:
        """Return a container in the state before the process *op*, whose inputs are *refs*."""
        meta = op.meta or messages.Meta()
        request = NewContainerRequest(
            net_mode=op.network, extra_hosts=meta.extra_hosts, hostname=meta.hostname
        )
        return cls(context, request, [each.replaced(output=-1) for each in op.mounts], refs)

    def start(self, request: StartRequest) -> ContainerProcess:
        """See :class:`~tarkit.gateway.containers.Container`."""
        security = request.security_mode
        require_allowed(self._context.allowed, NetMode.UNSET, security, "the process")
        if not request.args:
            raise UsageError("a process needs arguments")
        with self._lock:
            if self._is_released:
                raise NotFoundError("the container has been released")
            if self._running is None:
                self._open(insecure=security == SecurityMode.INSECURE)
            elif not self._processes[0].has_started():
                raise NotFoundError("the first process of the container has ended")
            assert self._running is not None
            process = LocalProcess(self._running, self._described(request), request)
            self._processes.append(process)
            return process

    def _open(self, *, insecure: bool) -> None:
        mounts = self._stack.enter_context(
            ExecMounts(self._mounts, self._refs, self._context, "container")
        )
        container, self._files = self._stack.enter_context(mounts.directories())
        request = self._request
        container = replace(
            container,
            network=NETWORKS[NetMode(request.net_mode)],
            insecure=insecure,
            hostname=request.hostname or container.hostname,
            hosts=tuple((each.host, each.ip) for each in request.extra_hosts),
        )
        self._running = self._stack.enter_context(self._context.executor.open(container))

    def _described(self, request: StartRequest) -> Process:
        return Process(
            tuple(request.args),
            tuple(request.env),
            request.cwd or "/",
            find_user(request.user, self._files),
            terminal=request.tty,
        )

    def release(self) -> None:
        """See :class:`~tarkit.gateway.containers.Container`."""
        with self._lock:
            if self._is_released:
                return
            self._is_released = True
        failed = [each.failure for each in self._processes if each.has_ended() and each.failure]
        for process in self._processes:
            process.cancel()
        if self._running is not None:
            self._running.end()
        for process in self._processes:
            process.join()
        self._stack.close()
        if failed:
            raise failed[0]


def _message(mount: Mount, refs: list[Ref]) -> messages.Mount:
    """Return the mount of an operation, whose input is added to *refs*."""
    position = -1
    if mount.result_id:
        raise NotFoundError(f"no result {mount.result_id[:80]!r}", where=mount.dest)
    if mount.ref is not None:
        if not isinstance(mount.ref, LocalReference):
            raise UsageError("the reference belongs to another engine", where=mount.dest)
        position = len(refs)
        refs.append(mount.ref.result())
    return messages.Mount(
        input=position,
        dest=mount.dest,
        selector=mount.selector,
        output=-1,
        readonly=mount.readonly,
        mount_type=mount.mount_type,
        cache=mount.cache_opt,
        secret=mount.secret_opt,
        ssh=mount.ssh_opt,
    )


class LocalProcess(ContainerProcess):
    """A process; threads pass on its input and output."""

    def __init__(self, running: RunningContainer, process: Process, request: StartRequest) -> None:
        self._pid_file = running.directory / f"pid-{os.urandom(4).hex()}"
        self._master = -1
        self._is_cancelled = False
        self.failure: TarkitError | None = None
        streams: list[tuple[IO[bytes], BinaryIO | None]]
        if request.tty:
            streams = self._start_on_terminal(running, process, request)
        else:
            streams = self._start(running, process, request)
        self._threads = [start_thread(_copier(*pair), "container-output") for pair in streams]
        self._waiter = start_thread(self._finish, "container-process")

    def _start(
        self, running: RunningContainer, process: Process, request: StartRequest
    ) -> list[tuple[IO[bytes], BinaryIO | None]]:
        pipe = subprocess.PIPE
        stdin = pipe if request.stdin is not None else subprocess.DEVNULL
        self._child = running.start(process, self._pid_file, stdin, pipe, pipe)
        if request.stdin is not None:
            assert self._child.stdin is not None
            start_thread(_feeder(request.stdin, self._child.stdin), "container-input")
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        return [(self._child.stdout, request.stdout), (self._child.stderr, request.stderr)]

    def _start_on_terminal(
        self, running: RunningContainer, process: Process, request: StartRequest
    ) -> list[tuple[IO[bytes], BinaryIO | None]]:
        self._master, terminal = os.openpty()
        _set_size(self._master, _SIZE)
        try:
            self._child = running.start(process, self._pid_file, terminal, terminal, terminal)
        finally:
            os.close(terminal)
        if request.stdin is not None:
            target = os.fdopen(os.dup(self._master), "wb", buffering=0)
            start_thread(_feeder(request.stdin, target), "container-input")
        source = os.fdopen(self._master, "rb", buffering=0)
        return [(source, request.stdout or request.stderr)]

    def _finish(self) -> None:
        code = self._child.wait()
        for thread in self._threads:
            thread.join()
        code = code if code >= 0 else _SIGNALLED - code
        if self._is_cancelled:
            self.failure = CancelledError("cancelled")
        elif code:
            self.failure = BuildError(f"exit code: {code}", exit_code=code)

    def wait(self) -> None:
        """See :class:`~tarkit.gateway.containers.ContainerProcess`."""
        while self._waiter.is_alive():
            check()
            self._waiter.join(SLICE)
        if self.failure is not None:
            raise self.failure

    def resize(self, size: WinSize) -> None:
        """See :class:`~tarkit.gateway.containers.ContainerProcess`."""
        if self._master < 0:
            raise UsageError("the process has no terminal")
        with suppress(OSError):  # it may have ended
            _set_size(self._master, size)
            self._child.send_signal(signal.SIGWINCH)

    def signal(self, number: int) -> None:
        """See :class:`~tarkit.gateway.containers.ContainerProcess`."""
        if self.has_started():
            with suppress(ProcessLookupError, ValueError):
                os.kill(int(self._pid_file.read_text()), number)

    def has_started(self) -> bool:
        """Wait until the process runs; return False if it has ended."""
        while not self._pid_file.is_file():
            check()
            if self._child.poll() is not None:
                return False
            threading.Event().wait(SLICE / 10)
        return self._child.poll() is None

    def has_ended(self) -> bool:
        """Return True if the process has ended."""
        return not self._waiter.is_alive()

    def cancel(self) -> None:
        """Note that the process, unless it has ended, is ended by the release of its container."""
        self._is_cancelled = not self.has_ended()

    def join(self) -> None:
        """Wait for the end."""
        self._waiter.join()


def _set_size(terminal: int, size: WinSize) -> None:
    packed = struct.pack("HHHH", size.rows, size.cols, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, packed)


def _copier(source: IO[bytes], target: BinaryIO | None) -> Callable[[], None]:
    def copy() -> None:
        with source, suppress(OSError):  # a terminal ends with an error
            while data := os.read(source.fileno(), _CHUNK):
                if target is not None:
                    target.write(data)

    return copy


def _feeder(source: BinaryIO, target: IO[bytes]) -> Callable[[], None]:
    def feed() -> None:
        with suppress(OSError, ValueError), target:
            while data := source.read(_CHUNK):
                target.write(data)
                target.flush()

    return feed
