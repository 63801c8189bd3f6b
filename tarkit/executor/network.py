"""Networks for containers: a namespace that a process of the user connects to the world."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tarkit.errors import TransportError, UnsupportedError
from tarkit.values import dataclass

_PATIENCE = 20.0  # seconds
_DNS = "10.0.2.3"  # the name server inside the networks of slirp4netns


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A network namespace: its ``path``, and the ``nameserver`` in it."""

    path: str
    nameserver: str


def missing_network() -> str:
    """Return the reason why there is no network for containers, or an empty text."""
    if shutil.which("slirp4netns") or shutil.which("pasta"):
        return ""
    return "the default network of processes needs passt or slirp4netns"


@contextmanager
def sandbox(holder: int) -> Iterator[Sandbox]:
    """Connect the network namespace of the process *holder* for the block.

    Raises :class:`UnsupportedError`, which names the packages, if no program can do that.
    """
    path = f"/proc/{holder}/ns/net"
    if shutil.which("slirp4netns"):
        with _slirp4netns(holder):
            yield Sandbox(path, _DNS)
    elif shutil.which("pasta"):
        with _pasta(holder):
            yield Sandbox(path, _DNS)
    else:
        raise UnsupportedError(
            missing_network(), hint="install one of these packages, or use network none or host"
        )


@contextmanager
def _slirp4netns(holder: int) -> Iterator[None]:
    ready, report = os.pipe()
    ending, keep = os.pipe()  # the program ends when the other end is closed, even if we are killed
    with ExitStack() as stack:
        for descriptor in (ready, keep):
            stack.callback(os.close, descriptor)
        try:
            program = subprocess.Popen(
                ["slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback",
                 f"--ready-fd={report}", f"--exit-fd={ending}", str(holder), "tap0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                pass_fds=(report, ending),
            )  # fmt: skip
        finally:
            os.close(report)
            os.close(ending)
        stack.enter_context(_ended(program))
        if not select.select([ready], [], [], _PATIENCE)[0] or not os.read(ready, 1):
            program.kill()
            raise TransportError(f"slirp4netns failed: {_last_line(program)}")
        yield


@contextmanager
def _pasta(holder: int) -> Iterator[None]:
    program = subprocess.Popen(
        ["pasta", "--config-net", "--foreground", "--quiet", "--no-map-gw", "--dns-forward", _DNS,
         "-t", "none", "-u", "none", "-T", "none", "-U", "none", str(holder)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    with _ended(program):
        _wait_for_device(holder, program)
        yield


def _wait_for_device(holder: int, program: subprocess.Popen[bytes]) -> None:
    """Wait until the namespace has a route; pasta does not report that it is ready."""
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end:
        if program.poll() is not None:
            raise TransportError(f"pasta failed: {_last_line(program)}")
        routes = Path(f"/proc/{holder}/net/route").read_text(encoding="ascii")
        if len(routes.splitlines()) > 1:
            return
        time.sleep(0.01)
    raise TransportError("pasta gave the network no route")


@contextmanager
def _ended(program: subprocess.Popen[bytes]) -> Iterator[None]:
    with program:
        try:
            yield
        finally:
            program.kill()


def _last_line(program: subprocess.Popen[bytes]) -> str:
    assert program.stderr is not None
    lines = program.stderr.read(4000).decode("utf-8", "replace").strip().splitlines()
    return lines[-1] if lines else "no message"
