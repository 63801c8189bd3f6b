"""The store: images by what went into them, built once however many ask for them."""

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
    """Artifacts below the directory *root*, for any number of processes.

    An artifact appears by rename once it is whole. While it is built a lock is held that goes with
    the process; what a killed one left is removed by whoever builds next.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def open(cls, root: Path | None = None) -> Self:
        """The store in *root*, by default where :func:`~tarkit.artifacts.roots.default_root` says."""
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
        """The artifact that :func:`~tarkit.artifacts.build.build_ext4` would make, built or reused.

        It is reused where the same went in and its image still has its digest. The id is that of
        what went in unless *artifact_id* gives another, whose artifact is replaced if it is of
        something else. Where another process builds it, this one waits. Raises
        :class:`UnsafePathError` for a bad id, and what building may bring.
        """
        options = options or Ext4Options()
        if artifact_id is not None:
            check_id(artifact_id)
        with opened(source) as image:
            layers = ImageLayers.of(image, platform, on_progress)
            inputs = input_digest(layers, options, overlay)
            artifact_id = artifact_id or inputs.hex
            with open_root(self.root) as root, _locked(root, artifact_id, patience=math.inf):
                found = self._reusable(artifact_id, inputs)
                return found or self._build(root, artifact_id, layers, options, overlay)

    def get(self, artifact_id: str) -> Artifact:
        """The artifact of that id, verified; it counts as used now.

        Raises :class:`PathNotFoundError` where there is none, :class:`VerificationError` where it
        is not what was built, and :class:`UnsafePathError` for a bad id.
        """
        return self._used(self._verified(artifact_id))

    def directory(self, artifact_id: str) -> Path:
        """Where the artifact of that id is, or would be; raises :class:`UnsafePathError`."""
        return self.root / check_id(artifact_id)

    def artifacts(self) -> list[Artifact]:
        """All artifacts, the one used last first; not verified."""
        return [artifact for artifact in map(_read, self._directories()) if artifact is not None]

    def remove(self, artifact_id: str) -> None:
        """Remove an artifact, whoever has it open keeps it.

        Raises :class:`PathNotFoundError`, and :class:`LockedError` while it is being built.
        """
        directory = self.directory(artifact_id)
        if not directory.is_dir():
            raise PathNotFoundError("no such artifact", where=str(directory))
        with (
            open_root(self.root) as root,
            _locked(root, artifact_id, patience=0),
            staging_directory(root) as staging,
            os_errors(directory),
        ):
            root.move(artifact_id, staging, "removed")

    def gc(
        self,
        *,
        keep: int | None = None,
        older_than: float | None = None,
        limit: int | None = None,
    ) -> list[str]:
        """Remove artifacts; the ids of those that went.

        All but the *keep* that were used last, all not used for *older_than* seconds, and those used
        longest ago until the rest takes no more than *limit* bytes on the disk. What is damaged goes
        too; what is being built stays, and whatever is no artifact.
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
                with suppress(LockedError, NotFoundError):
                    self.remove(directory.name)
                    removed.append(directory.name)
        return removed

    def _sweep(self) -> None:
        """Remove what killed builders left: what they staged goes when another stages, as locks do."""
        with open_root(self.root) as root, staging_directory(root), os_errors(self.root):
            with root.ensure(_LOCKS) as locks:
                names = locks.names()
            for name in names:
                with suppress(RefusedError), _locked(root, name, patience=0):
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
        """Have *artifact* count as used now, if the store may be written to, and return it."""
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
            if root.lookup(artifact_id) is not None:
                root.move(artifact_id, staging, "old")
            staging.publish("new", root, artifact_id, expected=new.status())
        return artifact

    def _directories(self) -> list[Path]:
        with os_errors(self.root):
            found = [path for path in self.root.iterdir() if _is_artifact(path)]
        return sorted(found, key=lambda path: (-_last_use(path), path.name))


@contextmanager
def _locked(root: Directory, artifact_id: str, *, patience: float) -> Iterator[None]:
    with os_errors(root.path / _LOCKS):
        locks = root.ensure(_LOCKS)
    with locks, locked_name(locks, artifact_id, patience):
        yield


def _is_artifact(path: Path) -> bool:
    """Whether *path* is an artifact, be it damaged: nothing else in the store is any of its business."""
    return is_id(path.name) and any((path / name).is_file() for name in (IMAGE, RECORD))


def _read(directory: Path) -> Artifact | None:
    try:
        return Artifact.read(directory)
    except (NotFoundError, VerificationError, RefusedError):
        return None


def _last_use(directory: Path) -> float:
    try:
        return (directory / RECORD).stat().st_mtime
    except OSError:
        return 0.0


def _allocated(directory: Path) -> int:
    """The bytes of disk that *directory* takes: holes take none."""
    try:
        status = (directory / IMAGE).stat()
    except OSError:
        return 0
    return getattr(status, "st_blocks", status.st_size // 512) * 512
