"""Direct I/O: between the disk and our own memory, with no page cache on the way.

What is gone through once gains nothing from the cache, and every page there costs more than the copy
into it. Linux does without where memory, offsets and sizes are multiples of the disk's blocks
(``O_DIRECT``). What is not, and everything on other systems and on filesystems that do not know it,
goes the way of :mod:`tarkit.streams.uncached`.
"""

from __future__ import annotations

import errno
import mmap
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from queue import SimpleQueue
from typing import NamedTuple

from tarkit.streams.uncached import Buffer, read_at, write_at
from tarkit.streams.workers import start_thread

_ALIGNMENT = 64 << 10  # no page and no block of a filesystem is larger: none is written both ways
_ROOM = 2 << 20  # in pieces of 1 MiB, reading layers into an ext4 image took 5 % longer
_BUFFERS = 6


def new_buffer(size: int) -> mmap.mmap:
    """Memory that begins where a page does, as direct I/O wants it."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    buffer = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # an ext4 image took 6 % less time so than with nine thousand small pages
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # from a kernel that has none
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


class DirectReader:
    """Reads the file *descriptor*, which stays the caller's, at any offset; to be closed."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._direct = _opened_again(descriptor, os.O_RDONLY)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill *buffer*, part of a :func:`new_buffer`, from *offset* on.

        How much was there, less at the end only.
        """
        done = 0
        while done < len(buffer):
            count = self._read_some(buffer[done:], offset + done)
            if not count:
                break
            done += count
        return done

    def _read_some(self, buffer: memoryview, offset: int) -> int:
        if self._direct is not None:
            try:
                return os.preadv(self._direct, [buffer], offset)
            except OSError as error:
                if error.errno != errno.EINVAL:  # something is no multiple of a block
                    raise
        if hasattr(os, "preadv"):
            count = os.preadv(self._descriptor, [buffer], offset)
        else:
            data = read_at(self._descriptor, len(buffer), offset)
            count = len(data)
            buffer[:count] = data
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, offset, count, os.POSIX_FADV_DONTNEED)
        return count

    def close(self) -> None:
        """Close what was opened here."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None


class DirectWriter:
    """Writes the file *descriptor*, which stays the caller's, at any offset; to be closed.

    For one caller. What follows one another is gathered, and a thread writes it, in the order in
    which it came. *errors* is entered for every write; what fails is raised by a later call.
    """

    def __init__(
        self, descriptor: int, errors: Callable[[], AbstractContextManager[None]] = nullcontext
    ) -> None:
        self._descriptor = descriptor
        self._errors = errors
        self._failure: BaseException | None = None
        self._closing = False
        self._parts: SimpleQueue[_Part | threading.Event | None] = SimpleQueue()
        self._free: SimpleQueue[mmap.mmap] = SimpleQueue()
        for _ in range(_BUFFERS):
            self._free.put(new_buffer(_ROOM))
        self._buffer = self._free.get()
        self._base = self._start = self._end = 0
        self._thread = start_thread(self._work, "write")
        self._direct = _opened_again(descriptor, os.O_WRONLY)

    def write(self, offset: int, data: Buffer) -> None:
        """Write *data* at *offset*; its memory may be used for something else at once."""
        if offset != self._end:
            self._hand_over()
            self._base = offset - offset % _ALIGNMENT
            self._start = self._end = offset
        size, at = len(data), offset - self._base
        if size < _ROOM - at:
            self._buffer[at : at + size] = data
            self._end += size
            return
        view = memoryview(data)
        while size:
            count = min(size, _ROOM - at)
            self._buffer[at : at + count] = view[:count]
            self._end += count
            view, size, at = view[count:], size - count, at + count
            if at == _ROOM:
                self._hand_over()
                self._base, at = self._end, 0

    def flush(self) -> None:
        """Return when all of it is written."""
        self._hand_over()
        done = threading.Event()
        self._parts.put(done)
        done.wait()
        self._check()

    def close(self) -> None:
        """Stop, whatever is still to be written."""
        self._closing = True
        self._parts.put(None)
        self._thread.join()
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def _hand_over(self) -> None:
        """Give the thread what was gathered, and take an empty buffer."""
        if self._start < self._end:
            self._parts.put(_Part(self._buffer, self._base, self._start, self._end))
            self._start = self._end
            self._buffer = self._free.get()
            self._check()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _work(self) -> None:
        while (item := self._parts.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            if self._failure is None and not self._closing:
                try:
                    with self._errors():
                        self._write_part(item)
                except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
                    self._failure = error
            self._free.put(item.buffer)

    def _write_part(self, part: _Part) -> None:
        start, end = part.start, part.end
        data = memoryview(part.buffer)[start - part.base : end - part.base]
        low, high = start + -start % _ALIGNMENT, end - end % _ALIGNMENT
        if self._direct is None or low >= high:
            write_at(self._descriptor, [data], start)
            return
        write_at(self._descriptor, [data[: low - start]], start)
        done = low + self._write_direct(self._direct, data[low - start : high - start], low)
        write_at(self._descriptor, [data[done - start :]], done)

    def _write_direct(self, direct: int, data: memoryview, offset: int) -> int:
        """How much of *data* is written at *offset* now: less than all where the disk is nearly full."""
        try:
            return os.pwrite(direct, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:  # blocks are larger than any that is known
                raise
            return 0


class _Part(NamedTuple):
    """The bytes of a file from *start* to before *end*, in *buffer*, whose own first byte is *base*'s."""

    buffer: mmap.mmap
    base: int
    start: int
    end: int


def _opened_again(descriptor: int, access: int) -> int | None:
    """The file *descriptor* once more, for direct I/O; ``None`` where that is not known."""
    if not hasattr(os, "O_DIRECT"):
        return None
    try:
        return os.open(f"/proc/self/fd/{descriptor}", access | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None
