"""Containers in a daemon."""

from __future__ import annotations

import signal
import threading
from typing import Any, BinaryIO, Self

from tarkit.errors import BuildError, TarkitError, UsageError
from tarkit.gateway.buildkit.bridge import Bridge
from tarkit.gateway.buildkit.messages import bridge as wire
from tarkit.gateway.buildkit.messages.status import Empty, Status
from tarkit.gateway.buildkit.peer import Call
from tarkit.gateway.buildkit.reference import RemoteReference
from tarkit.gateway.buildkit.session import random_id
from tarkit.gateway.buildkit.status import StatusError, translated
from tarkit.gateway.capabilities import CapSet
from tarkit.gateway.containers import (
    Container,
    ContainerProcess,
    Mount,
    NewContainerRequest,
    StartRequest,
    WinSize,
)
from tarkit.llb import messages
from tarkit.streams.threads import start_thread

_CHUNK = 32 << 10
_UNKNOWN = (1 << 32) - 1


class RemoteContainer(Container):
    """A container; each process has a call of its own."""

    def __init__(self, bridge: Bridge, caps: CapSet, container_id: str) -> None:
        self._bridge, self._caps, self._id = bridge, caps, container_id
        self._is_released = False

    @classmethod
    def create(cls, bridge: Bridge, caps: CapSet, request: NewContainerRequest) -> Self:
        """Create a container."""
        if request.extra_hosts:
            caps.check("gateway.exec.extrahosts")
        container_id = random_id()
        message = wire.NewContainerRequest(
            container_id=container_id,
            mounts=[_mount(each) for each in request.mounts],
            network=request.net_mode,
            platform=request.platform,
            constraints=request.constraints,
            extra_hosts=request.extra_hosts,
            hostname=request.hostname,
        )
        bridge.call("NewContainer", message, Empty)
        return cls(bridge, caps, container_id)

    def start(self, request: StartRequest) -> ContainerProcess:
        """See :class:`~tarkit.gateway.containers.Container`."""
        return RemoteProcess(self._bridge.stream("ExecProcess"), self._caps, self._id, request)

    def release(self) -> None:
        """See :class:`~tarkit.gateway.containers.Container`."""
        if not self._is_released:
            self._is_released = True
            request = wire.ReleaseContainerRequest(container_id=self._id)
            self._bridge.call("ReleaseContainer", request, Empty)


def _mount(mount: Mount) -> messages.Mount:
    if mount.ref is not None and not isinstance(mount.ref, RemoteReference):
        raise UsageError("the reference belongs to another engine", where=mount.dest)
    return messages.Mount(
        dest=mount.dest,
        selector=mount.selector,
        readonly=mount.readonly,
        mount_type=mount.mount_type,
        cache=mount.cache_opt,
        secret=mount.secret_opt,
        ssh=mount.ssh_opt,
        result_id=mount.ref.id if mount.ref is not None else mount.result_id,
    )


class RemoteProcess(ContainerProcess):
    """A process in a container; one thread passes its output on, and one its input."""

    def __init__(self, call: Call, caps: CapSet, container_id: str, request: StartRequest) -> None:
        self._call, self._caps = call, caps
        self._id = f"{container_id}:{random_id()}"
        self._outputs: dict[int, BinaryIO | None] = {1: request.stdout, 2: request.stderr}
        self._sending = threading.Lock()
        self._started = threading.Event()
        self._failure: TarkitError | None = None
        self._send(init=_init(container_id, request))
        self._reader = start_thread(self._receive, "container-output")
        if request.stdin is not None:
            stdin = request.stdin
            start_thread(lambda: self._feed(stdin), "container-input")

    def _send(self, **part: Any) -> None:
        with self._sending:
            self._call.send(wire.ExecMessage(process_id=self._id, **part))

    def _feed(self, stdin: BinaryIO) -> None:
        try:
            self._started.wait()
            while data := stdin.read(_CHUNK):
                self._send(file=wire.FdMessage(fd=0, data=data))
            self._send(file=wire.FdMessage(fd=0, eof=True))
        except (OSError, ValueError, TarkitError):
            return  # the process has ended

    def _receive(self) -> None:
        try:
            for message in self._call.messages(wire.ExecMessage):
                self._started.set()
                if message.done is not None:
                    return
                if message.file is not None and message.file.data:
                    output = self._outputs.get(message.file.fd)
                    if output is not None:
                        output.write(message.file.data)
                elif message.exit is not None:
                    self._failure = _exit_error(message.exit)
        except StatusError as error:
            self._failure = translated(error)
        except OSError as error:
            self._failure = BuildError(f"the output cannot be written ({error.strerror})")
        finally:
            self._started.set()
            self._call.cancel()

    def wait(self) -> None:
        """See :class:`~tarkit.gateway.containers.ContainerProcess`."""
        from tarkit.streams.cancellation import SLICE, check

        while self._reader.is_alive():
            check()
            self._reader.join(SLICE)
        if self._failure is not None:
            raise self._failure

    def resize(self, size: WinSize) -> None:
        """See :class:`~tarkit.gateway.containers.ContainerProcess`."""
        self._send(resize=wire.ResizeMessage(rows=size.rows, cols=size.cols))

    def signal(self, number: int) -> None:
        """See :class:`~tarkit.gateway.containers.ContainerProcess`."""
        self._caps.check("gateway.exec.signals")
        try:
            name = signal.Signals(number).name.removeprefix("SIG")
        except ValueError:
            raise UsageError(f"no signal has the number {number}") from None
        self._send(signal=wire.SignalMessage(name=name))


def _init(container_id: str, request: StartRequest) -> wire.InitMessage:
    given = (request.stdin, request.stdout, request.stderr)
    meta = messages.Meta(args=request.args, env=request.env, cwd=request.cwd, user=request.user)
    return wire.InitMessage(
        container_id=container_id,
        meta=meta,
        fds=[number for number, stream in enumerate(given) if stream is not None],
        tty=request.tty,
        security=request.security_mode,
    )


def _exit_error(message: wire.ExitMessage) -> TarkitError | None:
    status = message.error or Status()
    if not message.code and not status.code:
        return None
    error = StatusError.of(status)
    code = None if message.code == _UNKNOWN else message.code
    return BuildError(error.message or f"exit code: {message.code}", reason=error, exit_code=code)
