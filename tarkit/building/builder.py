"""``ImageBuilder`` makes images from directories, tars, files and settings."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tarkit.building.assembly import NewLayer, Step, assemble
from tarkit.building.layer import Change, LayerWriter, add_tar_members
from tarkit.building.settings import Settings
from tarkit.copying.options import CopyOptions, CopyResult
from tarkit.errors import UsageError
from tarkit.image.platform import Platform
from tarkit.library.saving import save_image
from tarkit.protocols import Source
from tarkit.rootfs.overlay.additions import AddFiles
from tarkit.rootfs.overlay.edits import WriteFile
from tarkit.streams.os_errors import os_errors
from tarkit.transports.location import AnyLocation, AnySource, opened

if TYPE_CHECKING:
    from tarkit.transports.docker_archive.format import DockerFormat
    from tarkit.transports.registry.options import RegistryOptions


class ImageBuilder:
    """Builds an image on top of *base*, or from scratch; each method returns the builder.

    Parameters:

    - *base*: an open source or the location of an image; None for an empty image.
    - *platform*: the platform to select from *base*, or that of the new image, also as text; by
      default that of this machine.

    The steps are carried out by :meth:`write`, which then reads the added files. The result depends
    only on their contents and on ``SOURCE_DATE_EPOCH``, the time of everything that has no time
    kept. New layers are written to temporary files in ``TMPDIR``, uncompressed, so memory does not
    depend on their size. Paths are resolved inside the image: a file added below ``/lib`` goes to
    ``/usr/lib`` if the base image has a link there. Raises :class:`~tarkit.errors.UsageError` for a
    malformed platform.

    >>> builder = tarkit.ImageBuilder(platform="linux/amd64")
    >>> builder.add_files({"/hello.txt": b"Hello!"}).configure(cmd=["/bin/cat", "/hello.txt"])
    <tarkit.ImageBuilder steps=2>
    >>> builder.write("docker-archive:built.tar:example.org/hello:1").copied
    2
    """

    def __init__(
        self, base: AnySource | None = None, *, platform: Platform | str | None = None
    ) -> None:
        self._base = base
        self._platform = _to_platform(platform)
        self._steps: list[Step] = []

    def __repr__(self) -> str:
        return f"<tarkit.ImageBuilder steps={len(self._steps)}>"

    def add_directory(
        self,
        source: str | os.PathLike[str],
        destination: str = "/",
        *,
        keep_owners: bool = False,
        keep_times: bool = False,
    ) -> Self:
        """Add a layer with the contents of the local directory *source*.

        Parameters:

        - *source*: the directory.
        - *destination*: the directory in the image; existing directories keep their metadata and
          entries.
        - *keep_owners*: keep the numbers of owners and groups, which become 0 otherwise.
        - *keep_times*: keep the times of files, up to ``SOURCE_DATE_EPOCH`` if it is set.

        Modes, symbolic links, hard links, ``user.`` attributes and file capabilities are kept; see
        :class:`~tarkit.rootfs.overlay.additions.AddFiles`. Returns the builder. Raises
        :class:`~tarkit.errors.PathNotFoundError`, and :class:`~tarkit.errors.UsageError` if *source*
        is not a directory. :meth:`write` raises :class:`~tarkit.errors.UnsupportedError` for a
        device or socket, and :class:`~tarkit.errors.RefusedError` if a file of the image is in the
        way.

        >>> import pathlib
        >>> pathlib.Path("site").mkdir()
        >>> tarkit.ImageBuilder("fixtures/hello.tar").add_directory("site", "/srv/www")
        <tarkit.ImageBuilder steps=1>
        """
        path = _existing(source)
        if not path.is_dir():
            raise UsageError(f"not a directory: {str(path)!r}", hint="use add_files or add_tar")
        change = AddFiles(path, destination, keep_owners=keep_owners)
        return self._add_layer(change.make, destination, keep_times=keep_times)

    def add_files(
        self,
        files: Mapping[str, bytes | os.PathLike[str]],
        *,
        mode: int = 0o644,
        keep_owners: bool = False,
        keep_times: bool = False,
    ) -> Self:
        """Add a layer with *files*.

        Parameters:

        - *files*: maps paths in the image to contents as bytes, or to the paths of local files.
        - *mode*: the permission bits of files given as bytes; local files keep theirs.
        - *keep_owners*, *keep_times*: as in :meth:`add_directory`, for local files.

        Returns the builder. Raises :class:`~tarkit.errors.PathNotFoundError`, and
        :class:`~tarkit.errors.UsageError` for a content that is text. :meth:`write` raises the
        errors that :meth:`add_directory` lists.

        >>> tarkit.ImageBuilder().add_files({"/bin/run": b"#!/bin/sh"}, mode=0o755)
        <tarkit.ImageBuilder steps=1>
        """
        changes: list[AddFiles | WriteFile] = []
        for destination, content in sorted(files.items()):
            if isinstance(content, str):
                raise UsageError(
                    f"the content of {destination!r} is text", hint="pass bytes, or a Path"
                )
            if isinstance(content, bytes):
                changes.append(WriteFile(destination, content, mode))
            else:
                path = _existing(content)
                changes.append(AddFiles(path, destination, keep_owners=keep_owners))

        def make(work: LayerWriter) -> None:
            for change in changes:
                change.make(work)

        return self._add_layer(make, *sorted(files), keep_times=keep_times)

    def add_tar(
        self,
        source: str | os.PathLike[str],
        destination: str = "/",
        *,
        keep_owners: bool = True,
        keep_times: bool = True,
    ) -> Self:
        """Add a layer with the members of the tar *source*, in any compression that tarkit reads.

        Parameters:

        - *source*: the path of the tar, such as a root filesystem or a layer; its whiteouts hide
          files of the image below.
        - *destination*: the directory in the image.
        - *keep_owners*: keep the numbers of owners and groups; if false, they become 0.
        - *keep_times*: keep the times, up to ``SOURCE_DATE_EPOCH`` if it is set.

        Returns the builder. Raises :class:`~tarkit.errors.PathNotFoundError`. :meth:`write` raises
        :class:`~tarkit.errors.VerificationError` if *source* is damaged or not a tar, and
        :class:`~tarkit.errors.UnsupportedError` for a hard link to a file that is not in it.

        >>> import tarfile
        >>> tarfile.open("root.tar.gz", "w:gz").close()
        >>> tarkit.ImageBuilder().add_tar("root.tar.gz")
        <tarkit.ImageBuilder steps=1>
        """
        path = _existing(source)
        change = partial(
            add_tar_members, path=path, destination=destination, keep_owners=keep_owners
        )
        return self._add_layer(change, destination, keep_times=keep_times)

    def configure(
        self,
        *,
        env: Mapping[str, str] | None = None,
        entrypoint: Sequence[str] | None = None,
        cmd: Sequence[str] | None = None,
        user: str | None = None,
        workdir: str | None = None,
        labels: Mapping[str, str] | None = None,
        ports: Iterable[str | int] | None = None,
        volumes: Iterable[str] | None = None,
        platform: Platform | str | None = None,
    ) -> Self:
        """Set fields of the config, and add one history entry for each; None leaves a field as it is.

        Parameters:

        - *env*, *labels*: variables and labels to add or replace.
        - *entrypoint*: the program with its first arguments. It removes the image's command, as in
          a Dockerfile.
        - *cmd*: the command, or the arguments of the entrypoint.
        - *user*: ``user``, ``uid``, ``user:group`` or ``uid:gid``.
        - *workdir*: the working directory.
        - *ports*: ports to add, such as ``8080`` or ``"53/udp"``.
        - *volumes*: directories to add.
        - *platform*: the platform that the image claims.

        Returns the builder. Raises :class:`~tarkit.errors.UsageError` for an invalid value.

        >>> tarkit.ImageBuilder("fixtures/hello.tar").configure(env={"LANG": "C"}, user="1000")
        <tarkit.ImageBuilder steps=1>
        """
        self._steps.append(
            Settings(
                env=env,
                entrypoint=entrypoint,
                cmd=cmd,
                user=user,
                workdir=workdir,
                labels=labels,
                ports=None if ports is None else list(ports),
                volumes=None if volumes is None else list(volumes),
                platform=_to_platform(platform),
            )
        )
        return self

    @contextmanager
    def build(self) -> Iterator[Source]:
        """Carry out the steps and yield the image as a source, valid until the block ends.

        Use it with functions that take a source, such as
        :func:`~tarkit.rootfs.output.directory.write_directory`. Raises the errors of reading the
        base image and those that the methods for the steps list.

        >>> with tarkit.ImageBuilder().add_files({"/a": b"1"}).build() as source:
        ...     tarkit.inspect_image(source).layers[0].descriptor.size
        2048
        """
        with ExitStack() as stack:
            base = None if self._base is None else stack.enter_context(opened(self._base))
            yield assemble(base, self._platform, self._steps, stack)

    def write(
        self,
        location: AnyLocation,
        options: CopyOptions | None = None,
        *,
        names: Sequence[str] = (),
        docker_format: DockerFormat | None = None,
        registry: RegistryOptions | None = None,
    ) -> CopyResult:
        """Carry out the steps and copy the image to *location*, next to the other images there.

        Parameters:

        - *location*: a transport, path and name, such as ``docker-archive:app.tar:app:1``.
        - *options*: the options of the copy, such as the compression.
        - *names*: further names.
        - *docker_format*: the format of a docker archive.
        - *registry*: connection options and credentials of the destination.

        Returns the :class:`~tarkit.copying.options.CopyResult`. Raises the errors of :meth:`build`,
        :func:`~tarkit.transports.location.open_writer` and
        :func:`~tarkit.copying.engine.copy_image`.

        >>> tarkit.ImageBuilder().add_files({"/a": b"1"}).write("oci:built:a").recompressed
        1
        """
        with self.build() as source:
            return save_image(
                source,
                location,
                options,
                names=names,
                docker_format=docker_format,
                registry=registry,
            ).copy

    def _add_layer(self, change: Change, *destinations: str, keep_times: bool) -> Self:
        # no local path: it would make the image depend on the machine
        instruction = f"ADD {' '.join(destinations)}"[:1000]
        self._steps.append(NewLayer(change, keep_times, instruction))
        return self


def _existing(path: str | os.PathLike[str]) -> Path:
    with os_errors(path):
        Path(path).stat()
    return Path(path)


def _to_platform(platform: Platform | str | None) -> Platform | None:
    return Platform.parse(platform) if isinstance(platform, str) else platform
