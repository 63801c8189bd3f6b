"""Copy several images to one Writer: shared blobs once, and all images or, if asked, the good ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress

from tarkit.copying.engine import copy_image
from tarkit.copying.known import KnownLayers
from tarkit.copying.options import CopyOptions, CopyResult
from tarkit.errors import CancelledError, CannotModifyError, NoSpaceError, TarkitError
from tarkit.progress import Progress
from tarkit.protocols import Source, UndoingWriter, Writer
from tarkit.values import dataclass, replace

FATAL = (CancelledError, NoSpaceError)
"""Errors that end the whole operation: the next image would fail as well."""


@dataclass(frozen=True, slots=True)
class CopyJob:
    """An image to copy: its ``label`` in messages, its ``names`` at the destination, and the source.

    If there are ``exact`` options, they are tried first; those of the operation follow if they
    forbid a change that the destination needs.
    """

    label: str
    names: tuple[str, ...]
    open: Callable[[], AbstractContextManager[Source]]
    exact: CopyOptions | None = None


@dataclass(frozen=True, slots=True)
class CopiedImage:
    """An image that was copied.

    - ``source``: its location.
    - ``names``: its names at the destination.
    - ``result``: the result of the copy; None if the destination already had the image.

    >>> result = tarkit.copy_images(["fixtures/hello.tar"], "oci:mirror")
    >>> [image.names for image in result.images]
    [('hello:latest',)]
    """

    source: str
    names: tuple[str, ...]
    result: CopyResult | None


@dataclass(frozen=True, slots=True)
class FailedImage:
    """An image that was not copied: its location ``source``, and the ``error``.

    >>> options = tarkit.SyncOptions(keep_going=True)
    >>> result = tarkit.copy_images(["fixtures/hello.tar", "missing.tar"], "oci:mirror", options)
    >>> [str(image.error) for image in result.failed]
    ['missing.tar: no such file or directory']
    """

    source: str
    error: TarkitError


def copy_each(
    jobs: Iterable[CopyJob],
    writer: Writer,
    options: CopyOptions,
    *,
    known: KnownLayers,
    keep_going: bool,
) -> Iterator[CopiedImage | FailedImage]:
    """Copy the images of *jobs* to *writer*, in order, and yield the result of each.

    The copies share *known*.

    If *keep_going* is true, an image that fails leaves nothing in *writer* and is yielded as a
    :class:`FailedImage`. Otherwise its error is raised with the image's label.
    """
    total = _Total(options.on_progress)
    for job in jobs:
        try:
            with naming(job.label), _undoing(writer), job.open() as source:
                copied = _copy(source, job, writer, options, known, total)
        except FATAL:
            raise
        except TarkitError as error:
            if not keep_going:
                raise
            yield FailedImage(job.label, error)
        else:
            yield CopiedImage(job.label, job.names, copied)
        total.next_image()


def _copy(
    source: Source,
    job: CopyJob,
    writer: Writer,
    options: CopyOptions,
    known: KnownLayers,
    total: _Total,
) -> CopyResult:
    def attempt(options: CopyOptions) -> CopyResult:
        chosen = replace(options, on_progress=total.report)
        return copy_image(source, writer.destination(*job.names), chosen, known=known)

    if job.exact is not None:
        with suppress(CannotModifyError):
            return attempt(job.exact)
    return attempt(options)


@contextmanager
def naming(label: str) -> Iterator[None]:
    """Add *label*, the location of an image, to errors of the block that do not name it."""
    try:
        yield
    except TarkitError as error:
        where = error.where or ""
        if label not in where:
            container, _, detail = where.partition(": ")
            detail = detail if container in label else where  # the label has the path already
            error.where = f"{label}: {detail}" if detail else label
        raise


def _undoing(writer: Writer) -> AbstractContextManager[None]:
    return writer.undoing() if isinstance(writer, UndoingWriter) else nullcontext()


class _Total:
    """Reports the progress of several copies as that of one."""

    def __init__(self, on_progress: Callable[[Progress], None] | None) -> None:
        self._on_progress = on_progress
        self._begin = time.monotonic()
        self._blobs = self._bytes = 0
        self._latest: Progress | None = None

    @property
    def report(self) -> Callable[[Progress], None] | None:
        """A listener for the copy of the next image; None if nobody listens."""
        return self._report if self._on_progress else None

    def _report(self, progress: Progress) -> None:
        self._latest = progress
        if self._on_progress:
            self._on_progress(
                replace(
                    progress,
                    blobs_done=self._blobs + progress.blobs_done,
                    blobs=self._blobs + progress.blobs,
                    total_done=self._bytes + progress.total_done,
                    total=self._bytes + progress.total,
                    seconds=time.monotonic() - self._begin,
                )
            )

    def next_image(self) -> None:
        """Add the image whose copy has ended to the totals."""
        if self._latest:
            self._blobs += self._latest.blobs_done
            self._bytes += self._latest.total_done
            self._latest = None
