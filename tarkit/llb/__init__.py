"""Definitions of builds: BuildKit's graphs (LLB), with the bytes that its own client makes.

A build begins with a source such as :func:`image` or :func:`local`. Methods of :class:`State` add
steps, and :meth:`State.marshal` returns the :class:`Definition`::

    from tarkit import llb

    base = llb.image("alpine:3.20").run("apk add curl").root()
    result = base.file(llb.copy(llb.local("context"), "/app", "/app"))
    definition = result.marshal(platform="linux/amd64")

This package does no I/O. A client solves definitions.
"""

from tarkit.llb.actions import FileActions as FileActions
from tarkit.llb.actions import Owner as Owner
from tarkit.llb.actions import copy as copy
from tarkit.llb.actions import mkdir as mkdir
from tarkit.llb.actions import mkfile as mkfile
from tarkit.llb.actions import rm as rm
from tarkit.llb.actions import symlink as symlink
from tarkit.llb.constraints import ConstraintOptions as ConstraintOptions
from tarkit.llb.definition import Definition as Definition
from tarkit.llb.graph import Graph as Graph
from tarkit.llb.messages import CDIDevice as CDIDevice
from tarkit.llb.messages import LinuxResources as LinuxResources
from tarkit.llb.messages import NetMode as NetMode
from tarkit.llb.messages import ProgressGroup as ProgressGroup
from tarkit.llb.messages import ProxyEnv as ProxyEnv
from tarkit.llb.messages import SecurityMode as SecurityMode
from tarkit.llb.mounts import SSH as SSH
from tarkit.llb.mounts import Mount as Mount
from tarkit.llb.mounts import Secret as Secret
from tarkit.llb.mounts import bind as bind
from tarkit.llb.mounts import cache as cache
from tarkit.llb.mounts import secret as secret
from tarkit.llb.mounts import ssh as ssh
from tarkit.llb.mounts import tmpfs as tmpfs
from tarkit.llb.sourcemaps import SourceLocation as SourceLocation
from tarkit.llb.sourcemaps import SourceMap as SourceMap
from tarkit.llb.sourcemaps import lines as lines
from tarkit.llb.start import docker_archive as docker_archive
from tarkit.llb.start import git as git
from tarkit.llb.start import http as http
from tarkit.llb.start import image as image
from tarkit.llb.start import image_blob as image_blob
from tarkit.llb.start import local as local
from tarkit.llb.start import location as location
from tarkit.llb.start import oci_layout as oci_layout
from tarkit.llb.start import oci_layout_blob as oci_layout_blob
from tarkit.llb.start import scratch as scratch
from tarkit.llb.state import ExecState as ExecState
from tarkit.llb.state import State as State
from tarkit.llb.state import diff as diff
from tarkit.llb.state import merge as merge
from tarkit.llb.vertices import ResolvedImage as ResolvedImage
