"""An image as an fsspec filesystem, so that pandas, Dask and others read from it.

fsspec finds this module by the entry point of its protocol ``tarkit``; tarkit itself does not need
fsspec.
"""

from __future__ import annotations

import errno
import io
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, cast

from fsspec.spec import AbstractFileSystem

from tarkit.errors import PathNotFoundError, UnsupportedError, UsageError
from tarkit.library.opened import open_image
from tarkit.rootfs.filesystem import Entry
from tarkit.rootfs.image_files import ImageFiles
from tarkit.tar.member import MemberType
from tarkit.transports.location import AnyLocation

_TYPES = {MemberType.FILE: "file", MemberType.DIRECTORY: "directory", MemberType.SYMLINK: "link"}
_LOCAL = (None, "file", "local")


class TarkitFileSystem(AbstractFileSystem):
    """The files of one image, read-only; its protocol is ``tarkit``.

    Parameters:

    - *location*: the image, as for :func:`~tarkit.library.opened.open_image`. In a chained URL such
      as ``tarkit://etc/motd::app.tar`` it is the second part, the path of an archive or layout.
    - *platform*: the platform to select from an index, as text.
    - *follow_links*: follow links that lead out of a layout or directory.

    Instances can be pickled. The image is opened, and its layers are merged, on first use. Methods
    raise :class:`FileNotFoundError` and other subclasses of :class:`OSError` as fsspec expects, and
    the errors of :func:`~tarkit.library.opened.open_image`.

    >>> import fsspec
    >>> image = fsspec.filesystem("tarkit", location="fixtures/hello.tar")
    >>> image.glob("etc/*"), image.cat_file("etc/motd")
    (['etc/motd'], b'Welcome.\\n')
    """

    protocol = "tarkit"
    root_marker = ""

    def __init__(
        self,
        location: AnyLocation | None = None,
        *,
        fo: str | None = None,
        target_protocol: str | None = None,
        target_options: dict[str, Any] | None = None,
        platform: str | None = None,
        follow_links: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if target_protocol not in _LOCAL:
            raise UsageError(
                f"cannot read an image through the protocol {target_protocol!r}",
                hint="download it first, or pass location='docker://…'",
            )
        if location is None and fo is None:
            raise UsageError("no image given", hint="pass location='app.tar'")
        self._location = fo if location is None else location
        self._platform = platform
        self._follow_links = follow_links
        self._lock = threading.Lock()
        self._files: ImageFiles | None = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped = super()._strip_protocol(path)
        return stripped.lstrip("/") if isinstance(stripped, str) else stripped

    @property
    def files(self) -> ImageFiles:
        """The files of the image."""
        with self._lock:
            if self._files is None:
                assert self._location is not None
                image = open_image(
                    self._location, platform=self._platform, follow_links=self._follow_links
                )
                weakref.finalize(self, image.close)
                self._files = image.files
            return self._files

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """Return the metadata of *path*; of a link, that of its target and ``islink``."""
        path = self._strip_protocol(path)
        with _os_errors(path):
            return self._info(path, self.files.stat(path, follow=False), follow=True)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Return the entries of the directory *path*, or the entry of the file *path*.

        Links in a directory have the type ``link``, as on a local disk, so that walks end.
        """
        path = self._strip_protocol(path)
        with _os_errors(path):
            if self.files.is_dir(path):
                prefix = f"{path}/" if path else ""
                found = [
                    self._info(prefix + entry.path.rpartition("/")[2], entry, follow=False)
                    for entry in self.files.iterdir(path)
                ]
            else:
                found = [self.info(path)]
        return found if detail else [entry["name"] for entry in found]

    def modified(self, path: str) -> datetime:
        """Return the time of *path*."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def _info(self, name: str, entry: Entry, *, follow: bool) -> dict[str, Any]:
        kind, target = _TYPES.get(entry.type, "other"), None
        if entry.type is MemberType.SYMLINK:
            target = entry.target
            if (self.files / name).exists():  # false for a loop of links
                entry = self.files.stat(name)
                kind = _TYPES.get(entry.type, "other") if follow else kind
        info = {
            "name": name,
            "size": entry.size,
            "type": kind,
            "mode": entry.mode,
            "uid": entry.uid,
            "gid": entry.gid,
            "mtime": entry.mtime_ns / 1e9,
            "nlink": entry.links,
            "islink": target is not None,
        }
        return info if target is None else info | {"destination": target}

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> IO[bytes]:
        if mode != "rb":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)
        with _os_errors(path):
            return io.BufferedReader(cast(io.RawIOBase, self.files.open(path)))


@contextmanager
def _os_errors(path: str) -> Iterator[None]:
    """Convert errors about *path* to those of the operating system."""
    try:
        yield
    except PathNotFoundError as error:
        raise FileNotFoundError(errno.ENOENT, error.message, path) from error
    except UnsupportedError as error:
        raise OSError(errno.EINVAL, error.message, path) from error
