"""Mount an overlay without root, in a user namespace that a child process keeps alive.

The mount exists in that namespace only. Other processes of the user reach it below
``/proc/PID/root``. It vanishes with the child process, which ends when its standard input does, and
so also if this process is killed.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# with "userxattr", "redirect_dir=off" is refused; "nofollow" makes no redirects either
_MOUNT = (
    "mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work,"
    "userxattr,redirect_dir=nofollow,metacopy=off,index=off root && echo mounted && exec cat"
)


@contextmanager
def overlay_in_namespace(directory: Path, lower: Path) -> Iterator[Path | None]:
    """Mount an overlay of *lower* for the block; yield its path, or None if that is impossible.

    ``root``, ``upper`` and ``work`` must be empty directories in *directory*. A link there stands for
    *lower*, so that no path needs escaping.
    """
    program = shutil.which("unshare")
    if program is None:
        yield None
        return
    link = directory / "lower"
    link.symlink_to(lower.absolute())
    command = [program, "--user", "--map-root-user", "--mount", "--propagation", "private"]
    with subprocess.Popen(
        [*command, "sh", "-c", _MOUNT],
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            is_mounted = holder.stdout.readline() == b"mounted\n"
            root = (directory / "root").resolve()
            path = Path(f"/proc/{holder.pid}/root") / root.relative_to("/")
            yield path if is_mounted and path.is_dir() else None
        finally:
            holder.stdin.close()
            link.unlink()
