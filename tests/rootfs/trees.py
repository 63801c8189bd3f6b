"""Convert directories, tars and trees to comparable facts."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

from tarkit.rootfs.filesystem import FileSystem
from tarkit.tar.member import MemberType

Facts = dict[str, dict[str, Any]]

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "dir",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFCHR: "char",
    stat.S_IFBLK: "block",
}
TYPES = {
    MemberType.FILE: "file",
    MemberType.DIRECTORY: "dir",
    MemberType.SYMLINK: "link",
    MemberType.FIFO: "fifo",
    MemberType.CHAR: "char",
    MemberType.BLOCK: "block",
}
TAR_TYPES = {
    tarfile.REGTYPE: "file",
    tarfile.GNUTYPE_SPARSE: "file",
    tarfile.DIRTYPE: "dir",
    tarfile.SYMTYPE: "link",
    tarfile.FIFOTYPE: "fifo",
    tarfile.CHRTYPE: "char",
    tarfile.BLKTYPE: "block",
}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def facts_of_directory(top: Path) -> Facts:
    """Return the facts of everything below *top*, by path, as reported by the kernel."""
    facts: Facts = {}
    pending = [os.fsencode(top)]
    while pending:
        path = pending.pop()
        status = os.lstat(path)
        kind = KINDS[stat.S_IFMT(status.st_mode)]
        fact: dict[str, Any] = {
            "type": kind,
            "mode": stat.S_IMODE(status.st_mode),
            "uid": status.st_uid,
            "gid": status.st_gid,
            "mtime_ns": status.st_mtime_ns,
            "xattrs": {
                name: os.getxattr(path, name, follow_symlinks=False).hex()
                for name in os.listxattr(path, follow_symlinks=False)
            },
        }
        if kind == "dir":
            with os.scandir(path) as entries:
                pending += [each.path for each in entries]
        if kind == "file":
            data = Path(os.fsdecode(path)).read_bytes()
            fact |= {"size": len(data), "sha256": sha256(data), "nlink": status.st_nlink}
        if kind == "link":
            fact["target"] = str(Path(os.fsdecode(path)).readlink())
        if kind in ("char", "block"):
            fact["rdev"] = [os.major(status.st_rdev), os.minor(status.st_rdev)]
        name = os.fsdecode(path.removeprefix(os.fsencode(top)))
        facts[name or "/"] = fact
    return facts


def facts_of_image(files: FileSystem) -> Facts:
    """Return the facts of an image, by path, as reported by the library."""
    facts: Facts = {}
    for entry in files.walk():
        kind = TYPES[entry.type]
        fact: dict[str, Any] = {
            "type": kind,
            "mode": entry.mode,
            "uid": entry.uid,
            "gid": entry.gid,
            "mtime_ns": entry.mtime_ns,
            "xattrs": {name.decode(): value.hex() for name, value in entry.xattrs.items()},
        }
        if kind == "file":
            data = files.open(entry.path).read()
            fact |= {"size": entry.size, "sha256": sha256(data), "nlink": entry.links}
        if kind == "link":
            fact["target"] = entry.target
        if kind in ("char", "block"):
            fact["rdev"] = [entry.major, entry.minor]
        facts[entry.path] = fact
    return facts


def facts_of_tar(path: Path) -> Facts:
    """Return the facts of a tar, by path, as read by the standard library; paths must be unique."""
    facts: Facts = {}
    links: dict[str, str] = {}
    with tarfile.open(path, errors="surrogateescape") as archive:
        for member in archive:
            name = "/" if member.name == "." else "/" + member.name
            assert name not in facts, f"{name} is there twice"
            if member.islnk():
                links[name] = "/" + member.linkname
                facts[name] = facts[links[name]]  # so the target came first
                continue
            kind = TAR_TYPES[member.type]
            headers = member.pax_headers
            seconds = headers.get("mtime", str(int(member.mtime)))
            whole, _, fraction = seconds.partition(".")
            nanoseconds = int(fraction.ljust(9, "0") or 0) * (-1 if whole[:1] == "-" else 1)
            fact: dict[str, Any] = {
                "type": kind,
                "mode": member.mode & 0o7777,
                "uid": member.uid,
                "gid": member.gid,
                "mtime_ns": int(whole) * 10**9 + nanoseconds,
                "xattrs": {
                    key.removeprefix("SCHILY.xattr."): value.encode(
                        "utf-8", "surrogateescape"
                    ).hex()
                    for key, value in headers.items()
                    if key.startswith("SCHILY.xattr.")
                },
            }
            if kind == "file":
                content = archive.extractfile(member)
                data = content.read() if content else b""
                fact |= {"size": len(data), "sha256": sha256(data)}
            if kind == "link":
                fact["target"] = member.linkname
            if kind in ("char", "block"):
                fact["rdev"] = [member.devmajor, member.devminor]
            facts[name] = fact
    counts = Counter(links.get(name, name) for name in facts)
    return {
        name: fact | ({"nlink": counts[links.get(name, name)]} if fact["type"] == "file" else {})
        for name, fact in facts.items()
    }
