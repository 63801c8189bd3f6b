"""The client of build functions, the same for every engine that solves their definitions.

::

    import tarkit
    from tarkit import gateway, llb

    def build(client: gateway.Client) -> gateway.Result:
        state = llb.scratch().file(llb.mkfile("/greeting", "hello"))
        return client.solve(state)

    with tarkit.build_client("local") as builder:
        builder.build(build, output="type=tar,dest=hello.tar")

Engines implement :class:`Client`, :class:`Reference` and :class:`Builder`; build functions see no
difference between them.
"""

from tarkit.gateway.building import Builder as Builder
from tarkit.gateway.building import BuildFunc as BuildFunc
from tarkit.gateway.building import BuildOptions as BuildOptions
from tarkit.gateway.building import BuildResponse as BuildResponse
from tarkit.gateway.capabilities import CapSet as CapSet
from tarkit.gateway.client import Client as Client
from tarkit.gateway.containers import Container as Container
from tarkit.gateway.containers import ContainerProcess as ContainerProcess
from tarkit.gateway.containers import Mount as Mount
from tarkit.gateway.containers import NewContainerRequest as NewContainerRequest
from tarkit.gateway.containers import StartRequest as StartRequest
from tarkit.gateway.containers import WinSize as WinSize
from tarkit.gateway.options import BuildOpts as BuildOpts
from tarkit.gateway.options import WorkerInfo as WorkerInfo
from tarkit.gateway.reference import Reference as Reference
from tarkit.gateway.requests import CacheOptionsEntry as CacheOptionsEntry
from tarkit.gateway.requests import FileRange as FileRange
from tarkit.gateway.requests import ImageConfig as ImageConfig
from tarkit.gateway.requests import ReadDirRequest as ReadDirRequest
from tarkit.gateway.requests import ReadRequest as ReadRequest
from tarkit.gateway.requests import ResolveImageConfigOpt as ResolveImageConfigOpt
from tarkit.gateway.requests import SolveRequest as SolveRequest
from tarkit.gateway.requests import SourceMeta as SourceMeta
from tarkit.gateway.requests import StatRequest as StatRequest
from tarkit.gateway.requests import WarnOpts as WarnOpts
from tarkit.gateway.result import Result as Result
from tarkit.gateway.stat import Stat as Stat
