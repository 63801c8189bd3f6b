"""Receive the files of a directory from the daemon, which is not trusted."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO

from tarkit.errors import LimitExceededError, RefusedError, TransportError, UnsafePathError
from tarkit.gateway import stat as modes
from tarkit.gateway.buildkit.messages.files import Packet, PacketType, Stat
from tarkit.gateway.buildkit.peer import Call
from tarkit.gateway.stat import Stat as Facts
from tarkit.streams.directory import Directory

_MOST_ENTRIES = 5_000_000
_MOST_OPEN = 64
_TYPES = modes.DIRECTORY | modes.SYMLINK | modes.DEVICE | modes.FIFO
_OTHERS = 1 << 24 | 1 << 19  # sockets, and what Go does not know


class Receiver:
    """Writes what the daemon lists below *top*, a new directory that nobody else can enter.

    Paths ascend, with "/" as the smallest byte, and every parent precedes its entries; so nothing
    is written twice or through a link.
    """

    def __init__(self, call: Call, top: Directory) -> None:
        self._call, self._top = call, top
        self._count = 0
        self._last: tuple[bytes, ...] = ()
        self._parents: list[bytes] = []  # the directories above the last entry, and itself
        self._files: dict[int, tuple[str, int, int]] = {}  # requested: path, mode, time
        self._names: set[str] = set()  # regular files, to which links may lead
        self._open: dict[int, BinaryIO] = {}
        self._later: list[tuple[str, int, int]] = []  # modes and times of directories

    def run(self) -> None:
        """Receive everything; raises UnsafePathError for paths that could lead out."""
        listing = True
        try:
            while listing or self._files:
                packet = self._call.receive(Packet)
                if packet is None:
                    raise TransportError("the daemon ended the transfer early")
                match packet.type:
                    case PacketType.STAT if listing:
                        listing = packet.stat is not None
                        if packet.stat is not None:
                            self._entry(packet.stat)
                    case PacketType.DATA:
                        self._data(packet)
                    case PacketType.ERR:
                        raise TransportError(packet.data.decode(errors="replace")[:500])
                    case _:
                        raise TransportError("the daemon sent an unexpected packet")
        finally:
            for file in self._open.values():
                file.close()
        for path, mode, time in reversed(self._later):
            self._finish(path, mode, time)
        self._call.send(Packet(type=PacketType.FIN))
        while (packet := self._call.receive(Packet)) is not None:
            if packet.type is PacketType.FIN:
                return

    def _entry(self, entry: Stat) -> None:
        number, self._count = self._count, self._count + 1
        if number >= _MOST_ENTRIES:
            raise LimitExceededError(f"more than {_MOST_ENTRIES} files", limit=_MOST_ENTRIES)
        path = self._checked(entry)
        mode = Facts(path, entry.mode).permissions
        at, top = self._top.at(path), self._top.descriptor
        match entry.mode & _TYPES:
            case modes.DIRECTORY:
                os.mkdir(at, 0o700, dir_fd=top)
                self._later.append((path, mode, entry.mod_time))
                return
            case modes.SYMLINK:
                os.symlink(entry.linkname, at, dir_fd=top)
            case 0 if entry.linkname:
                if entry.linkname not in self._names:
                    raise UnsafePathError("link to no file", where=path[:200])
                first = self._top.at(entry.linkname)
                os.link(first, at, src_dir_fd=top, dst_dir_fd=top, follow_symlinks=False)
                return
            case 0:
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
                os.close(os.open(at, flags, 0o600, dir_fd=top))
                self._names.add(path)
                self._files[number] = path, mode, entry.mod_time
                self._call.send(Packet(type=PacketType.REQ, id=number), flush=False)
                return
            case modes.FIFO:
                os.mkfifo(at, mode, dir_fd=top)
            case _:
                kind = stat.S_IFCHR if entry.mode & modes.CHARACTER else stat.S_IFBLK
                os.mknod(at, kind | mode, os.makedev(entry.devmajor, entry.devminor), dir_fd=top)
        self._finish(path, None if entry.mode & modes.SYMLINK else mode, entry.mod_time)

    def _checked(self, entry: Stat) -> str:
        """Return the path of an entry if it is clean, in order and below a listed directory."""
        path = entry.path
        parts = tuple(path.encode().split(b"/"))
        if b"" in parts or b"." in parts or b".." in parts or "\0" in path:
            raise UnsafePathError("the daemon sent an unclean path", where=path[:200])
        if entry.mode & _OTHERS:
            raise RefusedError("is no file, directory, link, pipe or device", where=path[:200])
        if parts <= self._last:
            raise UnsafePathError("the daemon sent a path out of order", where=path[:200])
        self._last = parts
        if list(parts[:-1]) != self._parents[: len(parts) - 1]:
            raise UnsafePathError("the daemon sent no directory for it", where=path[:200])
        del self._parents[len(parts) - 1 :]
        if entry.mode & modes.DIRECTORY:
            self._parents.append(parts[-1])
        return path

    def _data(self, packet: Packet) -> None:
        wanted = self._files.get(packet.id)
        if wanted is None:
            raise TransportError("the daemon sent a file that nobody asked for")
        file = self._open.get(packet.id)
        if packet.data:
            if file is None:
                file = self._opened(packet.id, wanted[0])
            file.write(packet.data)
            return
        if file is not None:
            file.close()
            del self._open[packet.id]
        del self._files[packet.id]
        self._finish(*wanted)

    def _opened(self, number: int, path: str) -> BinaryIO:
        if len(self._open) >= _MOST_OPEN:
            raise LimitExceededError(f"more than {_MOST_OPEN} files at once", limit=_MOST_OPEN)
        flags = os.O_WRONLY | os.O_NOFOLLOW
        descriptor = os.open(self._top.at(path), flags, dir_fd=self._top.descriptor)
        self._open[number] = file = os.fdopen(descriptor, "wb", buffering=0)
        return file

    def _finish(self, path: str, mode: int | None, time: int) -> None:
        at, top = self._top.at(path), self._top.descriptor
        if mode is not None:
            os.chmod(at, mode, dir_fd=top)
        os.utime(at, ns=(time, time), dir_fd=top, follow_symlinks=False)
