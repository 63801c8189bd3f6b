"""Hints for locations that name the wrong transport, or none."""

from __future__ import annotations

import os
from pathlib import Path

from tarkit.errors import LimitExceededError, RefusedError, TarkitError, UsageError
from tarkit.image.reference import Reference
from tarkit.transports.sniff import is_layout, kinds_of, open_archive

_KINDS = {
    "docker-archive": "a docker archive",
    "oci-archive": "an OCI archive",
    "oci": "an OCI layout",
    "dir": "a dir: image",
}


def advise(error: TarkitError, transport: str, path: str, name: str | None) -> None:
    """Give *error*, raised by opening *path* as *transport*, a hint if another form would work."""
    if error.hint and not isinstance(error, RefusedError):
        return
    # An error inside the archive is no sign of a wrong transport, and reading a large archive
    # again, while the error keeps its members alive, would double the memory.
    about_path = Path(error.where or "").absolute() == Path(path).absolute()
    if not about_path or isinstance(error, LimitExceededError):
        return
    whole = f"{path}:{name}"
    if name is not None and not Path(path).exists() and Path(whole).exists():
        plain = whole if os.sep in whole else f".{os.sep}{whole}"
        error.hint = f"a colon ends the path; without transport, write {plain}"
        return
    found = transports_of(path)
    if found and transport not in found:
        error.hint = f"it is {_KINDS[found[0]]}: write {found[0]}:{path}"


def transports_of(path: str) -> tuple[str, ...]:
    """Return the transports that can open the file or directory at *path*; none if it is no image."""
    try:
        if Path(path).is_dir():
            return ("oci",) if is_layout(Path(path)) else ("dir",)
        if not Path(path).is_file():
            return ()
        with open_archive(Path(path)) as archive:
            kinds = kinds_of(archive)
    except TarkitError:
        return ()
    found = {"docker-archive": kinds.docker, "oci-archive": kinds.layout}
    return tuple(transport for transport, holds in found.items() if holds)


def refuse_bare_reference(text: str) -> None:
    """Raise :class:`UsageError` if *text*, no existing file, is an image name with tag or digest."""
    if os.path.lexists(text):
        return
    try:
        reference = Reference.parse(text)
    except UsageError:
        return
    if reference.tag or reference.digest:
        raise UsageError(
            f"no transport given: {text!r}", hint=f"for a registry write docker://{text}"
        )
