"""What may be chosen about an image, and the little that is derived from it."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Literal, TypeAlias
from uuid import UUID

from tarkit.errors import UsageError
from tarkit.ext4.dirhash import Seed
from tarkit.ext4.format import BLOCK

SizePolicy: TypeAlias = int | Literal["auto", "min"]
Ext4Profile: TypeAlias = Literal["default", "ro", "compat"]

_MAX_LABEL = 16
_SMALLEST = 64 * BLOCK
_LARGEST = 64 * 2**40
_LAST_SECOND = 2**34 - 2**31 - 1


@dataclass(frozen=True, slots=True)
class Percent:
    """A share of the finished image, 0 to 90."""

    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ext4Options:
    """How an image is made; raises :class:`UsageError` for values no image can have.

    ``size`` is ``"auto"`` (what is used plus ``free``), ``"min"`` (only what is used) or a number
    of bytes, a multiple of 4096. ``free`` is a number of bytes or a :class:`Percent`. ``inodes``
    is how many there are to be at least; ``None`` is as many as the files need and some to
    spare. ``align`` rounds a chosen size up, in bytes: 2 MiB is what persistent-memory devices need.

    Ext4Profile ``default`` has the features of mkfs.ext4; ``ro`` leaves out the journal, the room that
    is kept to grow, and spare inodes; ``compat`` has no metadata checksums, for kernels
    before 4.4 and GRUB before 2.12.

    ``uuid`` defaults to one derived from ``seed`` (32 bytes), as the hash seed always is.
    ``timestamp``, in seconds, is the only time the file system itself carries; ``None`` is 0, or
    ``SOURCE_DATE_EPOCH`` where an image is built.
    A file that is not ``sparse`` has its blocks allocated on the machine that writes it.
    """

    size: SizePolicy = "auto"
    free: int | Percent = Percent(10)
    inodes: int | None = None
    align: int = 2 * 1024 * 1024
    profile: Ext4Profile = "default"
    label: str = ""
    uuid: UUID | None = None
    seed: bytes = bytes(32)
    timestamp: int | None = None
    sparse: bool = True

    def __post_init__(self) -> None:
        if isinstance(self.size, int):
            _check_size(self.size)
        elif self.size not in ("auto", "min"):
            raise UsageError(f"no size policy {self.size!r}", hint="use auto, min or bytes")
        if self.profile not in ("default", "ro", "compat"):
            raise UsageError(f"no profile {self.profile!r}", hint="use default, ro or compat")
        if isinstance(self.free, Percent) and not 0 <= self.free.value <= 90:
            raise UsageError(f"{self.free.value} percent free is not between 0 and 90")
        if isinstance(self.free, int) and not 0 <= self.free <= _LARGEST:
            raise UsageError(f"{self.free} bytes free is out of range")
        if self.align < BLOCK or self.align % BLOCK:
            raise UsageError(f"alignment {self.align} is not a multiple of {BLOCK} bytes")
        if self.inodes is not None and not 0 < self.inodes < 2**32:
            raise UsageError(f"{self.inodes} inodes is out of range")
        if len(self.label.encode(errors="replace")) > _MAX_LABEL or "\0" in self.label:
            raise UsageError(f"label {self.label!r} is longer than {_MAX_LABEL} bytes")
        if not self.label.isprintable():  # as what the shell brings that is not UTF-8
            raise UsageError(f"label {self.label!r} is no text")
        if len(self.seed) != 32:
            raise UsageError(f"the seed has {len(self.seed)} bytes, not 32")
        if not 0 <= self.time <= _LAST_SECOND:
            raise UsageError(f"timestamp {self.timestamp} is out of range")

    @property
    def time(self) -> int:
        """``timestamp``, or 0 where there is none."""
        return self.timestamp or 0

    @property
    def volume_uuid(self) -> UUID:
        """The UUID asked for, or the one that follows from the seed."""
        return self.uuid or UUID(bytes=self._derived(b"uuid"), version=5)

    @property
    def hash_seed(self) -> Seed:
        """The seed of the directory hash, which follows from ``seed`` alone."""
        a, b, c, d = struct.unpack("<4I", self._derived(b"directory hash"))
        return a, b, c, d

    def _derived(self, purpose: bytes) -> bytes:
        return hashlib.sha256(b"tarkit ext4 " + purpose + b"\0" + self.seed).digest()[:16]


def _check_size(size: int) -> None:
    if size % BLOCK:
        below, above = size // BLOCK * BLOCK, -(-size // BLOCK) * BLOCK
        raise UsageError(
            f"size {size} is not a multiple of {BLOCK} bytes",
            hint=f"use {below} or {above}" if below else f"use {above}",
        )
    if not _SMALLEST <= size <= _LARGEST:
        raise UsageError(f"size {size} is not between {_SMALLEST} and {_LARGEST} bytes")
