"""Send local directories to the daemon: ``moby.filesync.v1.FileSync``."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote_plus

from tarkit.errors import MalformedError, RefusedError
from tarkit.gateway.buildkit.messages.files import Packet, PacketType, Stat
from tarkit.gateway.buildkit.peer import Call, Handler
from tarkit.gateway.buildkit.status import Code, StatusError
from tarkit.gateway.stat import stat_of_member
from tarkit.solver.operations.local_filter import LocalFilter, followed
from tarkit.solver.operations.local_sync import LocalWalk, member_of
from tarkit.streams.directory import Directory
from tarkit.streams.os_errors import os_errors
from tarkit.streams.walking import Found
from tarkit.tar.member import MemberType

_CHUNK = 32 << 10  # like other clients


def sync_handlers(directories: Mapping[str, Path]) -> dict[str, Handler]:
    """Return the handler that sends *directories*, by name, and nothing else."""

    def handle(call: Call) -> None:
        name = next(iter(_values(call, "dir-name")), "")
        path = directories.get(name)
        if path is None:
            raise StatusError(Code.NOT_FOUND, f'no access allowed to dir "{name}"')
        with os_errors(path):
            top = Directory.open(path)
        with top, os_errors(path):
            _Sender(call, LocalWalk(top, _filter(call, top))).run()

    return {"/moby.filesync.v1.FileSync/DiffCopy": handle}


def _filter(call: Call, top: Directory) -> LocalFilter:
    include = _values(call, "include-patterns")
    paths = _values(call, "followpaths")
    targets = followed(top, paths) if paths else []
    return LocalFilter([*include, *targets], _values(call, "exclude-patterns"))


def _values(call: Call, name: str) -> list[str]:
    values = call.values(name)
    if call.values(f"{name}-encoded"):
        return [unquote_plus(value) for value in values]
    return values


class _Sender:
    """Sends the list of a directory, and the files that the daemon asks for.

    Requests are read while the list is sent, or both sides could wait for each other.
    """

    def __init__(self, call: Call, walk: LocalWalk) -> None:
        self._call, self._walk = call, walk
        self._paths: list[bytes | None] = []  # by ID; None for what has no content
        self._wanted: deque[int] = deque()
        self._is_finished = False

    def run(self) -> None:
        """Serve the transfer until its end."""
        for found in self._walk.selected():
            self._list(found)
            while (packet := self._call.poll(Packet)) is not None:
                self._take(packet)
        self._call.send(Packet())
        while not self._is_finished:
            while self._wanted:
                self._send(self._wanted.popleft())
            packet = self._call.receive(Packet)
            if packet is None:
                return  # the daemon has given up
            self._take(packet)
        self._call.send(Packet(type=PacketType.FIN))

    def _list(self, found: Found) -> None:
        path = os.fsdecode(found.path)
        try:
            path.encode()
        except UnicodeEncodeError:
            raise MalformedError("the name is not UTF-8", where=path) from None
        first = self._walk.first(path, found.status)
        try:
            member = member_of(found)
            target = os.fsdecode(found.readlink()) if member.type is MemberType.SYMLINK else first
        except FileNotFoundError:
            return  # it vanished meanwhile
        stat = stat_of_member(member, path)
        size = found.status.st_size if member.type is MemberType.FILE else len(target.encode())
        self._call.send(
            Packet(
                stat=Stat(
                    path=path, mode=stat.mode, mod_time=stat.mod_time, linkname=target, size=size,
                    devmajor=stat.devmajor, devminor=stat.devminor, xattrs=stat.xattrs,
                )
            ),
            flush=False,
        )  # fmt: skip
        has_content = member.type is MemberType.FILE and not first
        self._paths.append(found.path if has_content else None)

    def _take(self, packet: Packet) -> None:
        match packet.type:
            case PacketType.REQ:
                if packet.id >= len(self._paths) or self._paths[packet.id] is None:
                    raise RefusedError(f"no file has the ID {packet.id}")
                self._wanted.append(packet.id)
            case PacketType.FIN:
                self._is_finished = True
            case PacketType.ERR:
                raise RefusedError(packet.data.decode(errors="replace")[:500])

    def _send(self, number: int) -> None:
        path = self._paths[number]
        assert path is not None
        try:
            file = _open(self._walk.top, path)
        except OSError as error:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):
                raise
        else:
            with os.fdopen(file, "rb", buffering=0) as stream:
                while data := stream.read(_CHUNK):
                    self._call.send(Packet(type=PacketType.DATA, id=number, data=data), flush=False)
        self._call.send(Packet(type=PacketType.DATA, id=number), flush=False)


def _open(top: Directory, path: bytes) -> int:
    """Open a file below *top* without following any link."""
    *parents, name = path.split(b"/")
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    current = os.dup(top.fileno())
    try:
        for parent in parents:
            inner = os.open(parent, flags | os.O_DIRECTORY, dir_fd=current)
            os.close(current)
            current = inner
        return os.open(name, flags, dir_fd=current)
    finally:
        os.close(current)
