"""The capabilities of a daemon, and facts about its workers."""

from __future__ import annotations

from collections.abc import Sequence

from tarkit.gateway.buildkit.messages.bridge import APICap, PongResponse
from tarkit.gateway.buildkit.messages.control import WorkerRecord
from tarkit.gateway.capabilities import GATEWAY, LLB, Capability, CapSet
from tarkit.gateway.options import WorkerInfo
from tarkit.llb.platforms import from_message

_FIRST_GATEWAY = ("solve.base", "solve.inlinereturn", "resolveimage", "readfile")
_FIRST_LLB = [
    "source.image",
    "source.local",
    "source.local.unique",
    "source.local.sessionid",
    "source.local.includepatterns",
    "source.local.followpaths",
    "source.local.excludepatterns",
    "source.local.sharedkeyhint",
    "source.git",
    "source.git.keepgitdir",
    "source.git.fullurl",
    "source.http",
    "source.http.checksum",
    "source.http.perm",
    "soruce.http.uidgid",
    "source.buildop.llbfilename",
    "exec.meta.base",
    "exec.meta.proxyenv",
    "exec.mount.bind",
    "exec.mount.cache",
    "exec.mount.cache.sharing",
    "exec.mount.selector",
    "exec.mount.tmpfs",
    "exec.mount.secret",
    "constraints",
    "platform",
    "meta.ignorecache",
    "meta.description",
    "meta.exportcache",
]
"""What daemons had that do not tell their capabilities yet."""


def llb_caps(pong: PongResponse) -> CapSet:
    """Return the features that definitions may use."""
    return CapSet(_capabilities(pong.llb_caps, _FIRST_LLB), LLB)


def gateway_caps(pong: PongResponse) -> CapSet:
    """Return the features of clients."""
    return CapSet(_capabilities(pong.frontend_caps, _FIRST_GATEWAY), GATEWAY)


def _capabilities(offered: Sequence[APICap], first: Sequence[str]) -> list[Capability]:
    if not offered:
        return [Capability(name) for name in first]
    return [
        Capability(each.id, each.enabled, each.disabled_reason_msg, each.disabled_alternative)
        for each in offered
    ]


def worker_info(record: WorkerRecord) -> WorkerInfo:
    """Return the facts about a worker."""
    platforms = tuple(from_message(each) for each in record.platforms)
    return WorkerInfo(record.id, dict(record.labels), platforms)
