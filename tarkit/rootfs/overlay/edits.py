"""Changes to single paths: write a file, remove a path, edit a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from tarkit.errors import UsageError
from tarkit.rootfs.overlay.context import OverlayContext
from tarkit.tar.member import Member
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class WriteFile:
    """A change that writes *data* to the file *destination*, owned by 0:0."""

    destination: str
    data: bytes
    mode: int

    def parts(self) -> Iterator[bytes]:
        """Yield everything that determines the effect of the change, to be hashed."""
        yield os.fsencode(self.destination)
        yield b"%o" % self.mode
        yield self.data

    def make(self, work: OverlayContext) -> None:
        """Apply the change to *work*."""
        member = Member(b"", mode=self.mode & 0o7777, size=len(self.data), mtime_ns=work.mtime_ns)
        work.put(self.destination, member, self.data)


@dataclass(frozen=True, slots=True)
class RemovePath:
    """A change that removes *path* and everything below it."""

    path: str

    def parts(self) -> Iterator[bytes]:
        """Yield everything that determines the effect of the change, to be hashed."""
        yield os.fsencode(self.path)

    def make(self, work: OverlayContext) -> None:
        """Apply the change to *work*."""
        work.find(self.path, follow=False)
        work.remove(self.path)


@dataclass(frozen=True, slots=True)
class EditFile:
    """A change that replaces the content of the file at *path* with the result of *change*."""

    path: str
    change: Callable[[bytes], bytes]
    name: str | None

    def parts(self) -> Iterator[bytes]:
        """Yield everything that determines the effect of the change, to be hashed."""
        if self.name is None:
            raise UsageError(
                "cannot identify the function of this edit", where=self.path, hint="pass a name"
            )
        yield os.fsencode(self.path)
        yield os.fsencode(self.name)

    def make(self, work: OverlayContext) -> None:
        """Apply the change to *work*."""
        node = work.find(self.path)
        work.rewrite(work.real_path(self.path), node, self.change(work.read(node, self.path)))
