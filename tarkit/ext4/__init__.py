"""Write ext4 images in one pass, without root, a kernel or mkfs."""

from __future__ import annotations

from tarkit.ext4.contents import data_size
from tarkit.ext4.finish import Ext4Result
from tarkit.ext4.node import Ext4Node, Extent, FileExtents, Region
from tarkit.ext4.options import Ext4Options, Ext4Profile, Percent, SizePolicy
from tarkit.ext4.writer import Ext4Writer
from tarkit.ext4.xattr import can_hold

__all__ = [
    "Ext4Node",
    "Ext4Options",
    "Ext4Profile",
    "Ext4Result",
    "Ext4Writer",
    "Extent",
    "FileExtents",
    "Percent",
    "Region",
    "SizePolicy",
    "can_hold",
    "data_size",
]
