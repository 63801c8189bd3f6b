"""The values that a state carries for the processes it runs, besides its files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.llb import messages
from tarkit.llb.messages import NetMode, SecurityMode
from tarkit.llb.paths import directory
from tarkit.llb.platforms import normalized
from tarkit.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class Environment:
    """Arguments, variables and surroundings of a process; ``dirs`` are the steps to its directory.

    The directory is found when the state is marshalled, because the rules depend on the platform.
    """

    args: tuple[str, ...] = ()
    dirs: tuple[str, ...] = ("/",)
    env: tuple[tuple[str, str], ...] = ()
    user: str = ""
    hostname: str = ""
    extra_hosts: tuple[messages.HostIP, ...] = ()
    ulimits: tuple[messages.Ulimit, ...] = ()
    cgroup_parent: str = ""
    network: NetMode = NetMode.UNSET
    security: SecurityMode = SecurityMode.SANDBOX
    platform: Platform | None = None
    valid_exit_codes: tuple[int, ...] | None = None

    def directory(self, system: str = "linux") -> str:
        """Return the working directory on the operating system *system*."""
        if len(self.dirs) == 1 and self.dirs[0].startswith("/"):
            return self.dirs[0]
        return directory(self.dirs, system)

    def in_dir(self, path: str) -> Self:
        """Return these values with another directory; a relative *path* extends the present one."""
        return replace(self, dirs=(path,) if path.startswith("/") else (*self.dirs, path))

    def with_env(self, variables: Mapping[str, str]) -> Self:
        """Return these values with *variables*; a variable that is set again moves to the end."""
        env = dict(self.env)
        for name, value in variables.items():
            env.pop(name, None)
            env[name] = value
        return replace(self, env=tuple(env.items()))

    def with_host(self, name: str, address: str) -> Self:
        """Return these values with a line of ``/etc/hosts``; raise UsageError if it is malformed."""
        host = messages.HostIP(host=name, ip=_canonical_address(address))
        return replace(self, extra_hosts=(*self.extra_hosts, host))

    def on(self, platform: Platform | None) -> Self:
        """Return these values with *platform* normalized, unless it is None."""
        return self if platform is None else replace(self, platform=normalized(platform))

    def changed(self, **changes: Any) -> Self:
        """Return these values with *changes*."""
        return replace(self, **changes)


def _canonical_address(text: str) -> str:
    from ipaddress import ip_address

    try:
        address = ip_address(text)
    except ValueError:
        raise UsageError(f"{text[:100]!r} is not an IP address") from None
    mapped = getattr(address, "ipv4_mapped", None)  # Go prints these as IPv4
    return str(mapped or address)
