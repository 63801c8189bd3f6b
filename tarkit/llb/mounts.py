"""Mounts of processes: trees, caches, memory, secrets and SSH agents."""

from __future__ import annotations

from tarkit.errors import UsageError
from tarkit.llb.messages import CacheSharing, MountContentCache
from tarkit.llb.tree import Tree
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Mount:
    """A tree, cache or memory at ``dest``; made by :func:`bind`, :func:`cache` and :func:`tmpfs`.

    A ``source`` without an output is empty. ``cache_id`` makes it a cache and ``tmpfs_size``, in
    bytes or 0 for no limit, memory.
    """

    dest: str
    source: Tree
    selector: str = ""
    readonly: bool = False
    no_output: bool = False
    cache_id: str = ""
    sharing: CacheSharing = CacheSharing.SHARED
    tmpfs_size: int | None = None
    content_cache: MountContentCache = MountContentCache.DEFAULT

    @property
    def is_tmpfs(self) -> bool:
        """True if this is memory."""
        return self.tmpfs_size is not None

    @property
    def has_output(self) -> bool:
        """True if the process can change the mount, and the result is kept."""
        return not (self.readonly or self.no_output or self.cache_id or self.is_tmpfs)


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret as a file at ``dest``, in the variable ``env``, or both; made by :func:`secret`."""

    id: str
    dest: str | None
    env: str | None
    uid: int
    gid: int
    mode: int
    optional: bool


@dataclass(frozen=True, slots=True)
class SSH:
    """The socket of an SSH agent; made by :func:`ssh`."""

    id: str
    dest: str
    uid: int
    gid: int
    mode: int
    optional: bool


def bind(
    dest: str,
    source: Tree | None = None,
    *,
    selector: str = "",
    readonly: bool = False,
    no_output: bool = False,
    content_cache: bool | None = None,
) -> Mount:
    """Mount *source* at *dest*, or an empty directory.

    *selector* is the path in the source, the root by default. *no_output* drops the changes that
    the process makes. *content_cache* makes the content of the source, rather than its origin,
    decide about cached results; by default the daemon chooses.
    """
    content = {
        None: MountContentCache.DEFAULT,
        True: MountContentCache.ON,
        False: MountContentCache.OFF,
    }
    return Mount(
        dest,
        source or Tree(),
        selector=selector,
        readonly=readonly,
        no_output=no_output,
        content_cache=content[content_cache],
    )


def cache(
    dest: str,
    id: str = "",
    *,
    sharing: str = "shared",
    source: Tree | None = None,
    selector: str = "",
    readonly: bool = False,
) -> Mount:
    """Mount a directory at *dest* that lasts from build to build; *id* is *dest* by default.

    *sharing* is "shared", "private" (each process of several at once has its own) or "locked" (one
    process at a time). *source* is the first content. Raises UsageError if *sharing* is unknown.
    """
    try:
        mode = CacheSharing[sharing.upper()]
    except KeyError:
        raise UsageError(f"{sharing!r} is not shared, private or locked") from None
    return Mount(dest, source or Tree(), selector, readonly, cache_id=id or dest, sharing=mode)


def tmpfs(dest: str, *, size: int = 0) -> Mount:
    """Mount memory of *size* bytes at *dest*; 0 is no limit."""
    return Mount(dest, Tree(), tmpfs_size=size)


def secret(
    dest: str | None = None,
    *,
    id: str = "",
    env: str | None = None,
    uid: int = 0,
    gid: int = 0,
    mode: int = 0o400,
    optional: bool = False,
) -> Secret:
    """Give a process the secret *id* in the file *dest*, in the variable *env*, or in both.

    The default of *id* is *dest*, or else *env*. Raises UsageError if both are missing.
    """
    if dest is None and env is None:
        raise UsageError("a secret needs a file or a variable")
    return Secret(id or dest or env or "", dest, env, uid, gid, mode, optional)


def ssh(
    id: str = "",
    dest: str = "",
    *,
    uid: int = 0,
    gid: int = 0,
    mode: int = 0o600,
    optional: bool = False,
) -> SSH:
    """Give a process the SSH agent *id*; the default of *dest* is below ``/run/buildkit``."""
    return SSH(id, dest, uid, gid, mode, optional)
