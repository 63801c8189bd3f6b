"""The cache map of a process: its arguments, surroundings and mounts."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.llb.messages import (
    CacheOpt,
    CacheSharing,
    ExecOp,
    HostIP,
    Mount,
    MountContentCache,
    MountType,
)
from tarkit.llb.paths import clean
from tarkit.rootfs.content_query import ContentQuery
from tarkit.solver.keys.cache_map import CacheMap, InputRule, hashed
from tarkit.solver.keys.digests import joined_digest
from tarkit.solver.keys.gojson import go_object
from tarkit.solver.keys.paths import outermost

_WITHOUT_FILES = {MountType.SECRET, MountType.SSH, MountType.TMPFS}


def exec_map(op: ExecOp, inputs: int, platform: Platform) -> CacheMap:
    """Return the cache map of a process with a number of *inputs* on a normalized *platform*.

    Raises UsageError if a mount insists on a content key although its files may change.
    """
    document = {"Type": "buildkit.exec.v0", "Exec": go_object(_relevant(op))}
    document |= {"OS": platform.os, "Arch": platform.architecture}
    further = {
        "Variant": platform.variant,
        "OSVersion": platform.os_version,
        "OSFeatures": list(platform.os_features),
    }
    document |= {name: value for name, value in further.items() if value}
    return hashed(document, [_rule(_mounts_of(op, number)) for number in range(inputs)])


def _relevant(op: ExecOp) -> ExecOp:
    """Return the operation without whatever must not change its key."""
    meta = op.meta
    if meta is not None:
        hosts = [HostIP(host=each.host) for each in meta.extra_hosts]
        meta = meta.replaced(proxy_env=None, extra_hosts=hosts)
    mounts = [_relevant_mount(mount) for mount in op.mounts]
    return op.replaced(meta=meta, mounts=[] if _is_plain_root(mounts) else mounts)


def _relevant_mount(mount: Mount) -> Mount:
    """Return a mount without its selector, and without the identity of a cache unless it is default."""
    cache = mount.cache
    if cache is not None:
        shared = cache.sharing == CacheSharing.SHARED
        if not (shared and mount.dest in (cache.id, cache.id.partition("/")[2])):
            cache = CacheOpt()
    return mount.replaced(selector="", cache=cache)


def _is_plain_root(mounts: Sequence[Mount]) -> bool:
    """Return whether the only mount is a writable root, as in all simple processes."""
    if len(mounts) != 1:
        return False
    mount = mounts[0]
    special = mount.readonly or mount.result_id or mount.mount_type != MountType.BIND
    options = (mount.cache, mount.ssh, mount.secret)
    return mount.dest == "/" and not special and all(option is None for option in options)


def _mounts_of(op: ExecOp, number: int) -> list[Mount]:
    """Return the mounts that show files of an input."""
    shown = (mount for mount in op.mounts if mount.mount_type not in _WITHOUT_FILES)
    return [mount for mount in shown if mount.input == number]


def _rule(mounts: Sequence[Mount]) -> InputRule:
    """Return the rule for an input with these *mounts*, of which the last decides."""
    if not mounts:
        return InputRule()
    selected = [clean(f"/{mount.selector}") for mount in mounts]
    has_content = [_has_content_key(*each) for each in zip(mounts, selected, strict=True)][-1]
    paths = outermost(selected)
    queries: tuple[ContentQuery, ...] = (ContentQuery(""),)  # the whole tree
    if paths != ["/"]:
        queries = tuple(ContentQuery(path, follow=True) for path in paths)
    return InputRule(joined_digest(selected), queries if has_content else None)


def _has_content_key(mount: Mount, selected: str) -> bool:
    """Return whether the content of a mount is its key; raise UsageError if it cannot be, but must."""
    is_possible = mount.output == -1 or mount.readonly or selected == "/"
    if mount.content_cache == MountContentCache.OFF:
        return False
    if mount.content_cache == MountContentCache.ON:
        if not is_possible:
            raise UsageError(
                f"the content of the mount {mount.dest!r} cannot be its cache key",
                hint="make it read-only, or mount the whole input",
            )
        return True
    return is_possible and mount.dest != "/"
