"""Change an image by applying one more layer on top. Paths never lead out of the image.

Every path, including the links in it, is resolved inside the image, so it is the path that a
container would use.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import field
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
from tarkit.values import dataclass


@dataclass(slots=True)
class Overlay:
    """A list of changes in the order of application; each method appends one and returns the overlay.

    >>> overlay = tarkit.Overlay().write("/etc/motd", b"Hi!").remove("/bin")
    >>> with (
    ...     tarkit.open_source("fixtures/hello.tar") as source,
    ...     tarkit.FileSystem.of(source, overlay=overlay) as files,
    ... ):
    ...     files.read_text("/etc/motd"), files.exists("/bin")
    ('Hi!', False)
    """

    changes: list[Change] = field(default_factory=list)

    def add(self, source: str | Path, destination: str) -> Self:
        """Add the local file *source*, or the contents of the local directory *source*, at *destination*.

        If *source* is a file and *destination* ends with a slash, add it to that directory.
        Existing directories keep their metadata and entries. See
        :class:`tarkit.rootfs.overlay.additions.AddFiles` for the metadata of added files.
        """
        return self._with(AddFiles(Path(source), destination))

    def write(self, destination: str, data: bytes, mode: int = 0o644) -> Self:
        """Write *data* to the file *destination*, owned by 0:0; replace an existing file or link."""
        return self._with(WriteFile(destination, data, mode))

    def remove(self, path: str) -> Self:
        """Remove *path* and everything below it; of a symbolic link, remove only the link."""
        return self._with(RemovePath(path))

    def edit(self, path: str, change: Callable[[bytes], bytes], *, name: str | None = None) -> Self:
        """Replace the content of the file at *path* with the result of *change*; keep its metadata.

        *name* identifies the function in :meth:`digest`, which cached builds require. It defaults to
        the qualified name of a module-level function. Pass one for lambdas, closures and other
        callables, and change it when their behaviour changes.
        """
        return self._with(EditFile(path, change, name or _name_of(change)))

    def add_certificate(self, pem: bytes) -> Self:
        """Add the CA certificates in *pem*; see :mod:`tarkit.rootfs.overlay.certificates`."""
        return self._with(AddCertificates.parse(pem))

    def check(self) -> None:
        """Raise the error of :meth:`lay` for files to add that are missing, before layers are read."""
        for change in self.changes:
            if isinstance(change, AddFiles):
                change.check()

    def lay(self, contents: LayerData, merger: Merger) -> None:
        """Apply all changes to the merged tree, and add their data to *contents*.

        Raises :class:`PathNotFoundError` if a path to change does not exist, :class:`RefusedError`
        if a file would replace a directory or the other way round, and the errors of reading.
        """
        work = OverlayContext(contents, merger)
        for change in self.changes:
            change.make(work)

    def digest(self) -> Digest:
        """Return the digest of all changes, including the contents of added files.

        Raises :class:`UsageError` for an edit without a name.
        """
        hasher = hashlib.sha256()
        for change in self.changes:
            for part in (type(change).__name__.encode(), *change.parts()):
                hasher.update(b"%d:" % len(part) + part)  # lengths keep parts unambiguous
            hasher.update(b"\n")
        return Digest("sha256", hasher.hexdigest())

    def _with(self, change: Change) -> Self:
        self.changes.append(change)
        return self


def _name_of(function: Callable[[bytes], bytes]) -> str | None:
    """Return a name that identifies *function*, or None if it is a closure, lambda or other object."""
    if isinstance(function, MethodDescriptorType):  # bytes.upper, for example
        return f"{function.__objclass__.__module__}.{function.__qualname__}"
    if isinstance(function, FunctionType) and "<" not in function.__qualname__:
        return f"{function.__module__}.{function.__qualname__}"
    return None
