"""Options of an image, and the identifiers that are derived from them."""

from __future__ import annotations

import hashlib
import struct
from typing import Literal, TypeAlias
from uuid import UUID

from tarkit.errors import UsageError
from tarkit.ext4.dirhash import Seed
from tarkit.ext4.format import BLOCK
from tarkit.values import dataclass

SizePolicy: TypeAlias = int | Literal["auto", "min"]
Ext4Profile: TypeAlias = Literal["default", "ro", "compat"]

_MAX_LABEL = 16  # bytes of s_volume_name
_SMALLEST = 64 * BLOCK
_LARGEST = 64 * 2**40
_LAST_SECOND = 2**34 - 2**31 - 1  # the last time that an inode can store


@dataclass(frozen=True, slots=True)
class Percent:
    """A percentage of the finished image, 0 to 90.

    >>> tarkit.Ext4Options(free=tarkit.Percent(10)).free
    Percent(value=10)
    """

    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ext4Options:
    """Options of an image; raises :class:`UsageError` if a value is invalid.

    ``size`` is ``"auto"`` (used space plus ``free``), ``"min"`` (used space only) or a number of
    bytes, a multiple of 4096. ``free`` is a number of bytes or a :class:`Percent`. ``inodes`` is
    the minimum number of inodes; None adds some spare inodes to those in use. ``align`` rounds an
    automatic size up, in bytes; persistent-memory devices need 2 MiB.

    Profile ``default`` has the features of mkfs.ext4. ``ro`` has no journal, no blocks reserved for
    growth and no spare inodes. ``compat`` has no metadata checksums, for kernels before 4.4 and
    GRUB before 2.12.

    ``uuid`` defaults to one derived from ``seed`` (32 bytes), like the seed of directory hashes.
    ``timestamp``, in seconds since 1970, is the time of the file system itself; None stands for 0,
    or for ``SOURCE_DATE_EPOCH`` if the image is built from a container image. If not ``sparse``,
    all blocks of the file are allocated on disk.

    >>> tarkit.Ext4Options(size=64 << 20, profile="ro").size
    67108864
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
            raise UsageError(f"invalid size {self.size!r}", hint="use auto, min or bytes")
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
        if (
            not self.label.isprintable()
        ):  # or not UTF-8: Python decodes such arguments to surrogates
            raise UsageError(f"label {self.label!r} has unprintable characters")
        if len(self.seed) != 32:
            raise UsageError(f"the seed has {len(self.seed)} bytes instead of 32")
        if not 0 <= self.time <= _LAST_SECOND:
            raise UsageError(f"timestamp {self.timestamp} is out of range")

    @property
    def time(self) -> int:
        """The ``timestamp``, or 0 if it is None."""
        return self.timestamp or 0

    @property
    def volume_uuid(self) -> UUID:
        """The ``uuid``, or one derived from the seed if it is None."""
        return self.uuid or UUID(bytes=self._derived(b"uuid"), version=5)

    @property
    def hash_seed(self) -> Seed:
        """The seed of directory hashes (``s_hash_seed``), derived from ``seed`` alone."""
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
