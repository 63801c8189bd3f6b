"""Outputs that a daemon makes: their types and attributes are the daemon's business."""

from __future__ import annotations

from tarkit.errors import UnsupportedError, UsageError
from tarkit.exporters.outputs import Output
from tarkit.gateway.buildkit.messages.control import Exporter

_TO_CLIENT = frozenset({"local", "tar", "oci", "docker"})


class RemoteOutput(Output):
    """An output of any type. Those of type local, tar, oci and docker have a ``dest`` here.

    Others stay with the daemon, such as ``type=image,name=NAME,push=true``. Raises UsageError.
    """

    __slots__ = ()

    def __post_init__(self) -> None:
        if self.type not in _TO_CLIENT:
            if self.dest:
                raise UsageError(f"the output of type {self.type[:80]} has no dest")
            return
        if not self.dest:
            raise UsageError(f"the output of type {self.type} has no dest", hint="add dest=PATH")
        if self.dest == "-" and not self.is_file:
            raise UsageError("a directory cannot be written to standard output", where=str(self))
        if "\0" in self.dest:
            raise UsageError("null character in a path", where=str(self))
        if self.type in ("oci", "docker") and not self.is_file:
            raise UnsupportedError(
                "a daemon writes no layout here yet", where=str(self), hint="leave out tar=false"
            )

    def check(self) -> None:
        """Raise an error that is known before the build."""
        if self.dest:
            super().check()


def exporter_of(output: Output) -> Exporter:
    """Return the message for *output*."""
    return Exporter(type=output.type, attrs=dict(output.attrs))
