"""Changes on top of an image, as one more layer: nothing outside the image is read or written by them.

Every path is resolved inside the image, links in it included, so a change can be asked for by the
path a container would use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType, MethodDescriptorType
from typing import Self

from tarkit.image.digest import Digest
from tarkit.rootfs.layer_data import LayerData
from tarkit.rootfs.merge import Merger
from tarkit.rootfs.overlay.additions import AddFiles
from tarkit.rootfs.overlay.certificates import AddCertificates
from tarkit.rootfs.overlay.context import Change, OverlayContext
from tarkit.rootfs.overlay.edits import EditFile, RemovePath, WriteFile


@dataclass(slots=True)
class Overlay:
    """Changes in the order they are made; every method adds one and returns the overlay."""

    changes: list[Change] = field(default_factory=list)

    def add(self, source: str | Path, destination: str) -> Self:
        """Put the file *source* of this machine, or what the directory *source* holds, at *destination*.

        A file's *destination* that ends with a slash is a directory to put it in. Directories that
        are there already keep their metadata, and what is in them. See
        :class:`tarkit.rootfs.overlay.additions.AddFiles` for what of the files is kept.
        """
        return self._with(AddFiles(Path(source), destination))

    def write(self, destination: str, data: bytes, mode: int = 0o644) -> Self:
        """Put a file that holds *data* at *destination*, owned by 0:0; a link there is replaced."""
        return self._with(WriteFile(destination, data, mode))

    def remove(self, path: str) -> Self:
        """Remove *path* and everything below it; a link itself, not what it leads to."""
        return self._with(RemovePath(path))

    def edit(self, path: str, change: Callable[[bytes], bytes], *, name: str | None = None) -> Self:
        """Replace what the file at *path* holds by what *change* makes of it; metadata stays.

        *name* stands for the function in :meth:`digest`, which whoever builds images asks for. A
        function of a module has one; anything else has to be given one, and another one where it
        does something else.
        """
        return self._with(EditFile(path, change, name or _name_of(change)))

    def add_certificate(self, pem: bytes) -> Self:
        """Have the image trust the CA certificates in *pem*; see :mod:`tarkit.rootfs.overlay.certificates`."""
        return self._with(AddCertificates.parse(pem))

    def lay(self, contents: LayerData, merger: Merger) -> None:
        """Make all changes on the merged tree, with their data in *contents*.

        Raises :class:`PathNotFoundError` for what is to be changed and not there,
        :class:`RefusedError` for a file in a directory's place or the other way round, and as
        reading does.
        """
        work = OverlayContext(contents, merger)
        for change in self.changes:
            change.make(work)

    def digest(self) -> Digest:
        """The digest of all changes, with the contents of the files they add.

        Raises :class:`UsageError` for an edit without a name.
        """
        hasher = hashlib.sha256()
        for change in self.changes:
            for part in (type(change).__name__.encode(), *change.parts()):
                hasher.update(b"%d:" % len(part) + part)
            hasher.update(b"\n")
        return Digest("sha256", hasher.hexdigest())

    def _with(self, change: Change) -> Self:
        self.changes.append(change)
        return self


def _name_of(function: Callable[[bytes], bytes]) -> str | None:
    """What tells *function* from all others: its name, where it is one of a module and holds nothing."""
    if isinstance(function, MethodDescriptorType):  # as bytes.upper is
        return f"{function.__objclass__.__module__}.{function.__qualname__}"
    if isinstance(function, FunctionType) and "<" not in function.__qualname__:
        return f"{function.__module__}.{function.__qualname__}"
    return None
