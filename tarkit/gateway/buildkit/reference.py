"""References to results in a daemon."""

from __future__ import annotations

from tarkit.errors import LimitExceededError
from tarkit.gateway.buildkit.bridge import Bridge
from tarkit.gateway.buildkit.definitions import from_message
from tarkit.gateway.buildkit.messages import bridge as wire
from tarkit.gateway.buildkit.messages import files
from tarkit.gateway.buildkit.messages.status import Empty
from tarkit.gateway.buildkit.status import StatusError, file_error
from tarkit.gateway.capabilities import CapSet
from tarkit.gateway.reference import Reference
from tarkit.gateway.requests import FileRange, ReadDirRequest, ReadRequest, StatRequest
from tarkit.gateway.stat import Stat
from tarkit.llb.state import State

LARGEST = 16 << 20
_PART = 2 << 20  # bytes of a file in one message


class RemoteReference(Reference):
    """The result with an ``id`` in the daemon, which may still have to make it."""

    def __init__(self, bridge: Bridge, caps: CapSet, ref: wire.Ref) -> None:
        self._bridge = bridge
        self._caps = caps
        self._ref = ref
        self.id = ref.id

    def to_state(self) -> State:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        self._caps.check("reference.output")
        return State.from_definition(from_message(self._ref.definition))

    def evaluate(self) -> None:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        if "gateway.evaluate" in self._caps:
            self._bridge.call("Evaluate", wire.EvaluateRequest(ref=self.id), Empty)
        else:
            request = wire.StatFileRequest(ref=self.id, path=".")
            self._bridge.call("StatFile", request, wire.StatFileResponse)

    def read_file(self, request: ReadRequest | str) -> bytes:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        wanted = ReadRequest(request) if isinstance(request, str) else request
        span = wanted.range or FileRange(0, LARGEST + 1)
        parts: list[bytes] = []
        size = 0
        while size < span.length or not parts:
            length = min(_PART, span.length - size)
            part = self._part(wanted.filename, span.offset + size, length)
            parts.append(part)
            size += len(part)
            if size > LARGEST:
                raise LimitExceededError(
                    f"the content exceeds {LARGEST} bytes", limit=LARGEST,
                    where=wanted.filename[:200], hint="read it in parts",
                )  # fmt: skip
            if len(part) < length:
                break
        return b"".join(parts)

    def _part(self, path: str, offset: int, length: int) -> bytes:
        span = wire.FileRange(offset=offset, length=length)
        request = wire.ReadFileRequest(ref=self.id, path=path, range=span)
        try:
            return bytes(self._bridge.raw("ReadFile", request, wire.ReadFileResponse).data)
        except StatusError as error:
            raise file_error(error, path) from error

    def stat_file(self, request: StatRequest | str) -> Stat:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        path = request if isinstance(request, str) else request.path
        self._caps.check("statfile")
        try:
            found = self._bridge.raw(
                "StatFile", wire.StatFileRequest(ref=self.id, path=path), wire.StatFileResponse
            )
        except StatusError as error:
            raise file_error(error, path) from error
        return _stat(found.stat or files.Stat())

    def read_dir(self, request: ReadDirRequest | str) -> list[Stat]:
        """See :class:`~tarkit.gateway.reference.Reference`."""
        wanted = ReadDirRequest(request) if isinstance(request, str) else request
        self._caps.check("readdir")
        message = wire.ReadDirRequest(
            ref=self.id, path=wanted.path, include_pattern=wanted.include_pattern
        )
        try:
            found = self._bridge.raw("ReadDir", message, wire.ReadDirResponse)
        except StatusError as error:
            raise file_error(error, wanted.path) from error
        return [_stat(each) for each in found.entries]


def _stat(message: files.Stat) -> Stat:
    return Stat(
        path=message.path,
        mode=message.mode,
        uid=message.uid,
        gid=message.gid,
        size=message.size,
        mod_time=message.mod_time,
        linkname=message.linkname,
        devmajor=message.devmajor,
        devminor=message.devminor,
        xattrs=dict(message.xattrs),
    )
