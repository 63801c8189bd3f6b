"""Checks that find the problems of a build before it starts."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tarkit.errors import NoSpaceError, PathNotFoundError, RefusedError
from tarkit.ext4 import Ext4Options
from tarkit.image.platform import Platform
from tarkit.rootfs.layers import ImageLayers
from tarkit.streams.atomic import output_path
from tarkit.streams.os_errors import os_errors
from tarkit.transports.location import AnySource, opened
from tarkit.values import dataclass


@dataclass(frozen=True, slots=True)
class Preflight:
    """The stored size of the layers and the free space at the output, in bytes."""

    compressed_size: int
    free_space: int

    @property
    def is_tight(self) -> bool:
        """True if the build will probably not fit; it may, if upper layers hide lower files."""
        return self.free_space < self.compressed_size

    def require(self, needed: int, where: object) -> None:
        """Raise :class:`NoSpaceError` if fewer than *needed* bytes are free."""
        if self.free_space < needed:
            raise NoSpaceError(
                f"at least {needed} bytes are needed, but only {self.free_space} are free",
                where=str(where),
            )


def check_build(
    source: AnySource,
    output: Path,
    options: Ext4Options | None = None,
    *,
    platform: Platform | None = None,
) -> Preflight:
    """Check for problems that would make :func:`~tarkit.artifacts.build.build_ext4` fail late.

    Reads only the manifest and the config, and raises the errors of reading them. Raises
    :class:`ImageNotFoundError` if there is no image for *platform*, :class:`PathNotFoundError` if
    the directory of *output* does not exist, and :class:`RefusedError` if the directory is not
    writable or *output* is not a regular file. Raises :class:`NoSpaceError` if the disk has no room
    for the top layer as stored, or for the size to allocate.

    The parameters are those of ``build_ext4``. Returns the :class:`Preflight`.

    >>> from pathlib import Path
    >>> tarkit.check_build("fixtures/hello.tar", Path("hello.ext4")).is_tight
    False
    """
    with opened(source) as image:
        layers = ImageLayers.of(image, platform)
        target = output_path(output)
        preflight = check_layers(layers, target, options or Ext4Options())
        preflight.require(layers.layers[-1].descriptor.size if layers.layers else 0, target.parent)
        return preflight


def check_layers(layers: ImageLayers, output: Path, options: Ext4Options) -> Preflight:
    """Check open *layers* as :func:`check_build` does; *output* must not contain symbolic links.

    Only the build can determine the space for all layers, because some files hide others.
    """
    directory = output.parent
    if not directory.is_dir():
        raise PathNotFoundError("no such directory", where=str(directory))
    if not os.access(directory, os.W_OK | os.X_OK):
        raise RefusedError("the directory is not writable", where=str(directory))
    with os_errors(directory):
        free = shutil.disk_usage(directory).free
    # By digest: a layer used twice is stored once.
    blobs = {layer.descriptor.digest: layer.descriptor.size for layer in layers.layers}
    preflight = Preflight(sum(blobs.values()), free)
    if isinstance(options.size, int) and not options.sparse:
        preflight.require(options.size, directory)
    return preflight
