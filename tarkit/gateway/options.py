"""Facts about a build and its engine, for build functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from tarkit.gateway.capabilities import CapSet
from tarkit.image.platform import Platform
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker of an engine; its first platform is the default of builds."""

    id: str
    labels: Mapping[str, str] = field(default_factory=dict)
    platforms: tuple[Platform, ...] = ()


@dataclass(frozen=True, slots=True)
class BuildOpts:
    """The options of a build, and facts about the engine.

    - ``opts``: options by name. Arguments have names such as ``build-arg:VERSION``.
    - ``session_id``: identifies the build's access to local directories.
    - ``workers``: the workers, at least one.
    - ``product``: the name of the engine.
    - ``llb_caps``: the features that definitions may use.
    - ``caps``: the features of the client.
    """

    opts: Mapping[str, str] = field(default_factory=dict)
    session_id: str = ""
    workers: tuple[WorkerInfo, ...] = ()
    product: str = ""
    llb_caps: CapSet = field(default_factory=CapSet)
    caps: CapSet = field(default_factory=CapSet)

    @property
    def build_args(self) -> dict[str, str]:
        """The arguments of the build by name."""
        prefix = "build-arg:"
        return {
            name.removeprefix(prefix): value
            for name, value in self.opts.items()
            if name.startswith(prefix)
        }
