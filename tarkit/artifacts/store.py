"""The artifact store, which builds each image once and finds it by the digest of its inputs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from tarkit.artifacts.artifact import IMAGE, RECORD, Artifact, check_id, is_id
from tarkit.artifacts.build import build_layers
from tarkit.artifacts.inputs import input_digest
from tarkit.artifacts.roots import default_root, make_root, open_root
from tarkit.errors import (
    LockedError,
    NotFoundError,
    PathNotFoundError,
    RefusedError,
    UnsupportedError,
    VerificationError,
)
from tarkit.ext4 import Ext4Options
from tarkit.image.digest import Digest
from tarkit.image.platform import Platform
from tarkit.progress import Progress
from tarkit.rootfs.layers import ImageLayers
from tarkit.rootfs.overlay.overlay import Overlay
from tarkit.streams.atomic import Output, write_file
from tarkit.streams.directory import Directory
from tarkit.streams.locking import locked_name
from tarkit.streams.os_errors import os_errors
from tarkit.streams.staging import staging_directory
from tarkit.transports.location import AnySource, opened

_LOCKS = ".locks"


class ArtifactStore:
    """The artifacts in the directory *root*, shared by any number of processes.

    ``root/ID/`` holds an artifact: ``image.ext4`` and ``artifact.json``. It appears by rename when
    it is complete. ``root/.locks/ID`` is locked while the artifact is built, until the process
    ends. If a build is killed, the next build removes its remains.

    >>> from pathlib import Path
    >>> store = tarkit.ArtifactStore.open(Path("store"))
    >>> artifact = store.build_ext4("fixtures/hello.tar")
    >>> artifact.path.exists()
    True
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path | None = None) -> Self:
        """Open the store in *root*, by default :func:`~tarkit.artifacts.roots.default_root`."""
        return cls(default_root() if root is None else make_root(root))

    def build_ext4(
        self,
        source: AnySource,
        options: Ext4Options | None = None,
        *,
        artifact_id: str | None = None,
        platform: Platform | None = None,
        overlay: Overlay | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> Artifact:
        """Build an artifact as :func:`~tarkit.artifacts.build.build_ext4` does, or reuse it.

        An existing artifact is reused if it has the same inputs and its image matches its digest.
        The id is the digest of the inputs unless *artifact_id* is given. An artifact with that id
        and other inputs is replaced. Waits while another process is building the same id.

        Raises :class:`UnsafePathError` if the id is invalid, and the errors of the build.
        """
        options = options or Ext4Options()
        if artifact_id is not None:
            check_id(artifact_id)
        with opened(source) as image:
            layers = ImageLayers.of(image, platform, on_progress)
            inputs = input_digest(layers, options, overlay)
            artifact_id = artifact_id or inputs.hex
            with open_root(self.root) as root, _locked(root, artifact_id, timeout=math.inf):
                # Look under the lock, so that waiting processes reuse the artifact just built.
                found = self._reusable(artifact_id, inputs)
                return found or self._build(root, artifact_id, layers, options, overlay)

    def get(self, artifact_id: str) -> Artifact:
        """Verify and return the artifact with this id, and update its time of last use.

        Raises :class:`PathNotFoundError` if it does not exist, :class:`VerificationError` if it was
        changed, and :class:`UnsafePathError` if the id is invalid.
        """
        return self._used(self._verified(artifact_id))

    def directory(self, artifact_id: str) -> Path:
        """Return the directory for the artifact with this id, which need not exist.

        Raises :class:`UnsafePathError` if the id is invalid.
        """
        return self.root / check_id(artifact_id)

    def artifacts(self) -> list[Artifact]:
        """Return all artifacts, most recently used first, without verifying them."""
        return [artifact for artifact in map(_read, self._directories()) if artifact is not None]

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact; processes that have it open can still read it.

        Raises :class:`PathNotFoundError` if it does not exist, and :class:`LockedError` if it is
        built.
        """
        directory = self.directory(artifact_id)
        if not directory.is_dir():
            raise PathNotFoundError("no such artifact", where=str(directory))
        with (
            open_root(self.root) as root,
            _locked(root, artifact_id, timeout=0),
            staging_directory(root) as staging,
            os_errors(directory),
        ):
            # One rename removes it as a whole; leaving the staging directory then deletes it.
            root.move(artifact_id, staging, "removed")

    def gc(
        self,
        *,
        keep: int | None = None,
        older_than: float | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """Remove artifacts and return their ids.

        Keeps the *keep* most recently used artifacts. Removes artifacts not used for *older_than*
        seconds, and the least recently used until the others take at most *limit* bytes on disk.
        Always removes damaged artifacts. Never removes artifacts being built, or other files.
        """
        now, total, removed = time.time(), 0, []
        self._sweep()
        for place, directory in enumerate(self._directories()):
            damaged = _read(directory) is None
            total += 0 if damaged else _allocated(directory)
            if (
                damaged
                or (keep is not None and place >= keep)
                or (older_than is not None and now - _last_use(directory) > older_than)
                or (limit is not None and total > limit)
            ):
                # Skip artifacts in use, and those that another process has just removed.
                with suppress(LockedError, NotFoundError):
                    self.remove(directory.name)
                    removed.append(directory.name)
        return removed

    def _sweep(self) -> None:
        """Remove staging directories and locks left by killed builders."""
        # Opening a staging directory removes abandoned ones; releasing a lock removes its file.
        with open_root(self.root) as root, staging_directory(root), os_errors(self.root):
            with root.ensure(_LOCKS) as locks:
                names = locks.names()
            # Another process may be building; its lock stays, so do not wait for it.
            for name in names:
                with suppress(RefusedError), _locked(root, name, timeout=0):
                    pass

    def _reusable(self, artifact_id: str, inputs: Digest) -> Artifact | None:
        try:
            artifact = self._verified(artifact_id)
        except (NotFoundError, VerificationError, UnsupportedError):
            return None
        return self._used(artifact) if artifact.inputs == inputs else None

    def _verified(self, artifact_id: str) -> Artifact:
        artifact = Artifact.read(self.directory(artifact_id))
        artifact.verify()
        return artifact

    def _used(self, artifact: Artifact) -> Artifact:
        """Set the time of last use of *artifact*, if the store is writable, and return it."""
        with (
            suppress(OSError, RefusedError),
            open_root(self.root) as root,
            root.open_directory(artifact.id) as directory,
        ):
            directory.touch(RECORD)
        return artifact

    def _build(
        self,
        root: Directory,
        artifact_id: str,
        layers: ImageLayers,
        options: Ext4Options,
        overlay: Overlay | None,
    ) -> Artifact:
        path = self.directory(artifact_id)
        with staging_directory(root) as staging, os_errors(path), staging.make("new") as new:
            output = Output(new, IMAGE, path / IMAGE)
            artifact = Artifact.of(path, build_layers(layers, output, options, overlay))
            write_file(new, RECORD, artifact.record())
            # Two renames, since a rename cannot replace a directory that is not empty.
            if root.lookup(artifact_id) is not None:
                root.move(artifact_id, staging, "old")
            staging.publish("new", root, artifact_id, expected=new.status())
        return artifact

    def _directories(self) -> list[Path]:
        with os_errors(self.root):
            found = [path for path in self.root.iterdir() if _is_artifact(path)]
        return sorted(found, key=lambda path: (-_last_use(path), path.name))


@contextmanager
def _locked(root: Directory, artifact_id: str, *, timeout: float) -> Iterator[None]:
    with os_errors(root.path / _LOCKS):
        locks = root.ensure(_LOCKS)
    with locks, locked_name(locks, artifact_id, timeout):
        yield


def _is_artifact(path: Path) -> bool:
    """Return True if *path* is an artifact, possibly damaged, rather than an unrelated file."""
    return is_id(path.name) and any((path / name).is_file() for name in (IMAGE, RECORD))


def _read(directory: Path) -> Artifact | None:
    try:
        return Artifact.read(directory)
    except (NotFoundError, VerificationError, RefusedError):
        return None


def _last_use(directory: Path) -> float:
    # Use the record's modification time, because access times are often disabled.
    try:
        return (directory / RECORD).stat().st_mtime
    except OSError:
        return 0.0


def _allocated(directory: Path) -> int:
    """Return the disk space of the image in *directory* in bytes, not counting holes."""
    try:
        status = (directory / IMAGE).stat()
    except OSError:
        return 0
    return getattr(status, "st_blocks", status.st_size // 512) * 512
