"""One file under two names, or a copy if the filesystem has no hard links."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def replace_by_link(source: Path, public: Path) -> None:
    """Make *public* the same file as *source*; copy it if the filesystem has no hard links."""
    if public.exists() and public.samefile(source):
        return
    temporary = public.with_name(f".tarkit-{os.urandom(8).hex()}")
    try:
        with suppress(FileNotFoundError):
            _link_or_copy(source, temporary)
        temporary.replace(public)
    finally:
        temporary.unlink(missing_ok=True)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        import shutil

        shutil.copyfile(source, target)
