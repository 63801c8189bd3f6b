"""Direct I/O, which bypasses the page cache.

Data that is used once gains nothing from the cache, and managing its pages costs more than copying.
Linux can bypass the cache (``O_DIRECT``) if memory, offsets and sizes are multiples of the disk's
block size. :mod:`tarkit.streams.uncached` handles other requests, systems and filesystems.
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

from tarkit.streams.threads import start_thread
from tarkit.streams.uncached import Buffer, read_at, write_at

_ALIGNMENT = 64 << 10  # the largest page or block size, so no block is written in two ways
_ROOM = 2 << 20  # bytes per write; with 1 MiB, writing layers to an ext4 image took 5 % longer
_BUFFERS = 6


def new_buffer(size: int) -> mmap.mmap:
    """Return memory aligned to a page, as direct I/O requires."""
    if not hasattr(mmap, "MAP_PRIVATE"):
        return mmap.mmap(-1, size)
    buffer = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    # With huge pages, writing an ext4 image took 6 % less time.
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # the kernel may not support them
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer


class DirectReader:
    """Reads the file *descriptor*, which the caller owns, at any offset; close it after use."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._direct = _opened_again(descriptor, os.O_RDONLY)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read into *buffer*, part of a :func:`new_buffer`, from *offset*.

        Returns the number of bytes, which is less than the size of *buffer* only at the end of the
        file.
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
                if error.errno != errno.EINVAL:  # a value is not a multiple of the block size
                    raise
        if hasattr(os, "preadv"):
            count = os.preadv(self._descriptor, [buffer], offset)
        else:
            data = read_at(self._descriptor, len(buffer), offset)
            count = len(data)
            buffer[:count] = data
        # Drop the pages just read: a reader of a whole image would evict everything else.
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._descriptor, offset, count, os.POSIX_FADV_DONTNEED)
        return count

    def close(self) -> None:
        """Close the descriptor for direct I/O."""
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None


class DirectWriter:
    """Writes the file *descriptor*, which the caller owns, at any offset; close it after use.

    Only one thread may use it. Adjacent data is gathered, and another thread writes it in order.
    *errors* wraps every write. If a write fails, a later call raises its error.
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
        # The buffer holds the file from _base on; bytes _start to _end are not handed over yet.
        self._base = self._start = self._end = 0
        # Start the thread before opening a descriptor, which a failure would leave open.
        self._thread = start_thread(self._work, "write")
        self._direct = _opened_again(descriptor, os.O_WRONLY)

    def write(self, offset: int, data: Buffer) -> None:
        """Write *data* at *offset*; the caller may reuse its memory immediately."""
        if offset != self._end:
            self._hand_over()
            # The buffer begins at an aligned offset, so its inner part can be written directly.
            self._base = offset - offset % _ALIGNMENT
            self._start = self._end = offset
        size, at = len(data), offset - self._base
        if size < _ROOM - at:
            self._buffer[at : at + size] = data
            self._end += size
            # Larger data fills one buffer after another.
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
        """Wait until everything is written."""
        self._hand_over()
        done = threading.Event()
        # The thread sets the event after all parts queued before it.
        self._parts.put(done)
        done.wait()
        self._check()

    def close(self) -> None:
        """Stop the thread and discard everything not written yet."""
        self._closing = True
        self._parts.put(None)
        self._thread.join()
        if self._direct is not None:
            os.close(self._direct)
            self._direct = None

    def _hand_over(self) -> None:
        """Pass the buffer to the thread and take an empty one."""
        if self._start < self._end:
            self._parts.put(_Part(self._buffer, self._base, self._start, self._end))
            # Blocks until a buffer is free, which bounds memory.
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
            # Also after a failure, or the caller would wait forever for a free buffer.
            self._free.put(item.buffer)

    def _write_part(self, part: _Part) -> None:
        """Write the aligned middle of *part* directly, and the rest through the cache."""
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
        """Write *data* at *offset*; return the number of bytes; fewer if the disk fills up."""
        try:
            return os.pwrite(direct, data, offset)
        except OSError as error:
            if error.errno != errno.EINVAL:  # EINVAL: the disk's blocks are larger than _ALIGNMENT
                raise
            return 0


class _Part(NamedTuple):
    """The bytes *start* to *end* of a file, in a *buffer* that begins at offset *base*."""

    buffer: mmap.mmap
    base: int
    start: int
    end: int


def _opened_again(descriptor: int, access: int) -> int | None:
    """Open the file *descriptor* again for direct I/O; return None if that is not supported."""
    if not hasattr(os, "O_DIRECT"):
        return None
    # A descriptor duplicated with dup() would share its flags, so the file is opened anew.
    try:
        return os.open(f"/proc/self/fd/{descriptor}", access | os.O_DIRECT | os.O_CLOEXEC)
    except OSError:
        return None
