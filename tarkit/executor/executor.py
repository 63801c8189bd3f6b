"""Run containers: bundles on a private filesystem in memory, networks, output and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO

from tarkit.errors import TransportError
from tarkit.executor.bundle import SECRET_MODE, config, process_config
from tarkit.executor.container import Container, Network, Process
from tarkit.executor.files import with_files
from tarkit.executor.namespaces import network_namespace, surroundings
from tarkit.executor.network import Sandbox, sandbox
from tarkit.executor.runtime import Runtime, find_programs, require_program
from tarkit.executor.workspace import Workspaces
from tarkit.streams.cancellation import check
from tarkit.values import replace

Output = Callable[[int, bytes], None]
"""Receives the output of a process: 1 and its output, or 2 and its errors."""

_CHUNK = 64 << 10
_SLICE = 0.05  # seconds between checks for cancellation
_GRACE = 10.0
_SIGNALLED = 128


class Executor:
    """Runs containers with runc or crun."""

    @contextmanager
    def open(self, container: Container) -> Iterator[RunningContainer]:
        """Prepare a container for the block; its first process starts it, and its end ends all.

        Raises :class:`~tarkit.errors.UnsupportedError`, which names the missing packages.
        """
        program = require_program(find_programs())
        workspaces = Workspaces()
        with ExitStack() as stack:
            around = stack.enter_context(surroundings(container.root))
            runtime = Runtime(program, workspaces.path / "state", around.enter)
            end = lambda name: runtime.call("delete", "--force", name)  # noqa: E731
            directory = stack.enter_context(workspaces.new(end))
            network = None
            if container.network is Network.SANDBOX:
                holder = stack.enter_context(network_namespace(around.enter))
                network = stack.enter_context(sandbox(holder))
            container = replace(container, root=around.root)
            prepared = with_files(container, directory, network, stack)
            running = RunningContainer(runtime, directory, prepared, network)
            stack.callback(running.end)
            yield running


class RunningContainer:
    """A container, from before the start of its first process to the end of all."""

    def __init__(
        self, runtime: Runtime, directory: Path, container: Container, network: Sandbox | None
    ) -> None:
        self.name = directory.name
        self.directory = directory
        self._runtime = runtime
        self._container = container
        self._network = network
        self._is_started = False

    def run(self, process: Process, output: Output) -> int:
        """Run a process to its end; return its exit code, or 128 and the signal that ended it.

        The first process of the container is its process 1. Raises
        :class:`~tarkit.errors.CancelledError` after ending all processes.
        """
        is_first = not self._is_started
        pipes = (subprocess.DEVNULL, subprocess.PIPE, subprocess.PIPE)
        with self.start(process, self.directory / "pid", *pipes) as child:
            threads = [
                Thread(target=_forward, args=(stream, number, output), daemon=True)
                for number, stream in ((1, child.stdout), (2, child.stderr))
                if stream is not None
            ]
            for thread in threads:
                thread.start()
            try:
                code = _wait(child, threads)
            except BaseException:
                self.end()
                child.kill()
                raise
            finally:
                for thread in threads:
                    thread.join(_GRACE)
        if is_first and code >= 0:
            self._is_started = False  # the runtime has removed the container
        return code if code >= 0 else _SIGNALLED - code

    def start(
        self, process: Process, pid_file: Path, stdin: int, stdout: int, stderr: int
    ) -> subprocess.Popen[bytes]:
        """Start a process; the exit code of the child is that of the process.

        When the process runs, its ID on this machine is written to *pid_file*.
        """
        command = self._command(process, str(pid_file))
        try:
            return subprocess.Popen(
                command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True
            )
        except OSError as error:
            raise TransportError(f"cannot start {command[0]}: {error.strerror}") from error

    def _command(self, process: Process, pid_file: str) -> list[str]:
        options = ("--pid-file", pid_file)
        if self._is_started:
            file = self.directory / f"process-{os.urandom(4).hex()}.json"
            insecure, is_root = self._container.insecure, os.geteuid() == 0
            _write(file, process_config(process, insecure=insecure, has_all_users=is_root))
            return self._runtime.command("exec", *options, "--process", str(file), self.name)
        self._is_started = True
        _write(
            self.directory / "config.json",
            config(
                self._container,
                process,
                network_path=self._network.path if self._network else "",
                cgroup=_cgroup(self._container, self.name),
            ),
        )
        return self._runtime.command("run", *options, "--bundle", str(self.directory), self.name)

    def end(self) -> None:
        """End all processes of the container; do nothing if it has not been started."""
        if self._is_started:
            self._is_started = False
            self._runtime.call("kill", self.name, str(int(signal.SIGKILL)))
            self._runtime.call("delete", "--force", self.name)


def _wait(child: subprocess.Popen[bytes], threads: Sequence[Thread]) -> int:
    """Wait for the end of the output, which needs no polling, then of the process."""
    for thread in threads:
        while thread.is_alive():
            check()
            thread.join(_SLICE)
    while True:  # a process may close its output early
        check()
        with suppress(subprocess.TimeoutExpired):
            return child.wait(_SLICE)


def _cgroup(container: Container, name: str) -> str:
    if os.geteuid() != 0:
        return ""
    return f"/{container.cgroup_parent.strip('/') or 'tarkit'}/{name}"


def _write(path: Path, document: dict[str, object]) -> None:
    # it may contain secrets, and is on a filesystem in memory
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, SECRET_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file)


def _forward(stream: IO[bytes], number: int, output: Output) -> None:
    """Pass on the output of a process as it comes."""
    while chunk := os.read(stream.fileno(), _CHUNK):
        output(number, chunk)
