"""``tarkit build --check``."""

from __future__ import annotations

from dataclasses import asdict

from tarkit.cli.common import print_json
from tarkit.errors import UnsupportedError


def print_check(*, json_output: bool) -> None:
    """Print what this machine can run; raise UnsupportedError if that is nothing."""
    from tarkit.executor.checking import check_executor

    found = check_executor()
    if json_output:
        print_json(asdict(found))
    else:
        print(f"runtime: {found.runtime or 'none'}")
        print(f"users:   {'one, in a user namespace' if found.rootless else 'all, as root'}")
        for warning in found.warnings:
            print(f"missing: {warning}")
        if not found.problems:
            print("processes: yes")
    if found.problems:
        raise UnsupportedError(f"this machine cannot run processes: {'; '.join(found.problems)}")
