"""Capabilities: the features of an engine by name, checked before they are used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Self

from tarkit.errors import UnsupportedError
from tarkit.values import dataclass

_WORDS = """
    source.image source.image.resolvemode source.image.layerlimit source.image.checksum
    source.imageblob source.local source.local.unique source.local.sessionid
    source.local.includepatterns source.local.followpaths source.local.excludepatterns
    source.local.sharedkeyhint source.local.differ source.local.metadatatransfer source.git
    source.git.keepgitdir source.git.fullurl source.git.httpauth source.git.knownsshhosts
    source.git.mountsshsock source.git.subdir source.git.checksum source.git.skipsubmodules
    source.git.mtime source.http source.http.auth source.http.checksum source.http.header
    source.http.perm soruce.http.uidgid source.ocilayout source.buildop.llbfilename exec.meta.base
    exec.meta.cdi exec.meta.cgroup.parent exec.meta.linux.resources exec.meta.network
    exec.meta.proxyenv exec.meta.security exec.meta.setsdefaultpath exec.meta.ulimit
    exec.meta.removemountstubs.recursive exec.mount.bind exec.mount.bind.readwrite-nooutput
    exec.mount.cache exec.mount.cache.content exec.mount.cache.sharing exec.mount.selector
    exec.mount.tmpfs exec.mount.tmpfs.size exec.mount.secret exec.mount.ssh exec.cgroupsv2
    exec.secretenv exec.validexitcode file.base file.rm.wildcard file.copy.includeexcludepatterns
    file.rm.nofollowsymlink file.copy.alwaysreplaceexistingdestpaths file.copy.modestring
    file.symlink.create constraints platform meta.ignorecache meta.description meta.exportcache
    remotecache.gha remotecache.s3 remotecache.azblob mergeop diffop passthroughop
"""
LLB = frozenset(_WORDS.split())
"""The known features of definitions, in BuildKit's own spelling."""

GATEWAY = frozenset(
    [
        "solve.base",
        "solve.inlinereturn",
        "resolveimage",
        "resolveimage.resolvemode",
        "readfile",
        "return",
        "returnmap",
        "readdir",
        "statfile",
        "importcaches",
        "proto.refarray",
        "reference.output",
        "frontend.inputs",
        "gateway.solve.metadata",
        "gateway.exec",
        "gateway.exec.extrahosts",
        "gateway.exec.secretenv",
        "gateway.exec.signals",
        "gateway.exec.filesystem",
        "frontend.caps",
        "gateway.solve.evaluate",
        "gateway.evaluate",
        "gateway.warnings",
        "reference.attestations",
        "source.metaresolver",
        "source.metaresolver.image.attestations",
        "source.metaresolver.http.checksumrequest",
    ]
)
"""The known features of clients."""


@dataclass(frozen=True, slots=True)
class Capability:
    """One capability. If it is not ``enabled``, ``reason`` tells why, and ``alternative`` is another one."""

    id: str
    enabled: bool = True
    reason: str = ""
    alternative: str = ""


class CapSet:
    """The capabilities that an engine offers, of the *known* ones; ``in`` tells if it has one."""

    def __init__(self, offered: Iterable[Capability] = (), known: Iterable[str] = LLB) -> None:
        self._offered: Mapping[str, Capability] = {each.id: each for each in offered}
        self._known = frozenset(known)

    @classmethod
    def of(cls, names: Iterable[str], known: Iterable[str] | None = None) -> Self:
        """Return the set of *names*, all enabled; *known* are the same by default."""
        offered = [Capability(name) for name in names]
        return cls(offered, [each.id for each in offered] if known is None else known)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._offered and self._offered[name].enabled

    def __iter__(self) -> Iterator[str]:
        """Yield the names of the enabled capabilities, sorted."""
        return iter(sorted(name for name in self._offered if name in self))

    def check(self, name: str) -> None:
        """Raise :class:`~tarkit.errors.UnsupportedError`, which tells why, unless *name* is offered."""
        if name in self:
            return
        if name not in self._known:
            raise UnsupportedError(f"unknown capability {name[:80]!r}", hint="update tarkit")
        found = self._offered.get(name)
        if found is None:
            raise UnsupportedError(
                f"the engine does not support the capability {name!r}", hint="update the engine"
            )
        alternative = f"use {found.alternative}" if found.alternative else None
        reason = f": {found.reason}" if found.reason else ""
        raise UnsupportedError(f"the engine has {name!r} disabled{reason}", hint=alternative)

    def require(self, names: Iterable[str]) -> None:
        """Check all *names*; see :meth:`check`."""
        for name in sorted(names):
            self.check(name)
