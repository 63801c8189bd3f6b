"""ext4 images written in one pass, without root, a kernel or mkfs."""

from __future__ import annotations

from tarkit.ext4.contents import data_size
from tarkit.ext4.finish import Ext4Result
from tarkit.ext4.node import Contents, Extent, Node, Region
from tarkit.ext4.options import Ext4Options, Percent, Profile, SizePolicy
from tarkit.ext4.writer import Ext4Writer
from tarkit.ext4.xattr import can_hold

__all__ = [
    "Contents",
    "Ext4Options",
    "Ext4Result",
    "Ext4Writer",
    "Extent",
    "Node",
    "Percent",
    "Profile",
    "Region",
    "SizePolicy",
    "can_hold",
    "data_size",
]
