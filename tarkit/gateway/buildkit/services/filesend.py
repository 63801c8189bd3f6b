"""Receive outputs from the daemon: ``moby.filesync.v1.FileSend``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tarkit.errors import TransportError
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.gateway.buildkit.status import Code, StatusError


class Target(Protocol):
    """The place of an output: nothing is there under its name before :meth:`publish`."""

    received: bool

    def receive(self, call: Call) -> None:
        """Store what the daemon sends."""
        ...


def send_handlers(targets: Sequence[Target | None]) -> dict[str, Handler]:
    """Return the handler that stores outputs, by their number, each once."""

    def handle(call: Call) -> None:
        text = next(iter(call.values("buildkit-attachable-exporter-id")), "0")
        number = int(text) if text.isdecimal() else -1
        target = targets[number] if 0 <= number < len(targets) else None
        if target is None:
            raise StatusError(Code.NOT_FOUND, f"no output has the number {text[:20]}")
        if target.received:
            raise TransportError("the daemon sent an output twice")
        target.receive(call)
        target.received = True

    return {"/moby.filesync.v1.FileSend/DiffCopy": handle}
