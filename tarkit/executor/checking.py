"""The ability of this machine to run processes, and the reasons if it has none."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tarkit.errors import TarkitError
from tarkit.executor.container import Bind, Container, Network, Process
from tarkit.executor.executor import Executor
from tarkit.executor.namespaces import missing_namespaces
from tarkit.executor.network import missing_network
from tarkit.executor.runtime import find_programs, require_program
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class ExecutorCheck:
    """The result of :func:`check_executor`.

    - ``runtime``: the path of the OCI runtime, or an empty text.
    - ``rootless``: true if containers run in a user namespace, in which root is the only user.
    - ``problems``: the reasons why no process can run; none if processes run.
    - ``warnings``: what is missing for some processes, such as those that need a network.

    >>> check = tarkit.ExecutorCheck("/usr/bin/runc", rootless=True)
    >>> check.problems
    ()
    """

    runtime: str
    rootless: bool
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_executor() -> ExecutorCheck:
    """Return what this machine can run, by running a container; it raises no errors.

    >>> check = tarkit.check_executor()
    >>> isinstance(check.problems, tuple)
    True
    """
    programs = find_programs()
    problems = []
    try:
        require_program(programs)
    except TarkitError as error:
        problems.append(str(error))
    if not Path("/proc/self/ns").is_dir():
        problems.append("processes need Linux")
    elif (reason := missing_namespaces()) or (programs and (reason := _failure())):
        problems.append(reason)
    network = missing_network()
    return ExecutorCheck(
        programs[0] if programs else "",
        os.geteuid() != 0,
        tuple(problems),
        (network,) if network else (),
    )


def _failure() -> str:
    """Run ``true`` of this machine in a container; return the reason if that fails."""
    errors = bytearray()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory, "root")
        root.mkdir()
        mounts = [Bind(path, str(path), readonly=True) for path in _PROGRAMS if path.is_dir()]
        container = Container(root, mounts=mounts, network=Network.NONE)
        try:
            with Executor().open(container) as running:
                code = running.run(Process(["true"]), lambda _, data: errors.extend(data))
        except TarkitError as error:
            return str(error)
    lines = errors.decode("utf-8", "replace").strip().splitlines()
    return f"{lines[-1] if lines else 'true fails'} (exit code {code})" if code else ""


_PROGRAMS = [Path(each) for each in ("/usr", "/bin", "/lib", "/lib64", "/nix", "/gnu")]
