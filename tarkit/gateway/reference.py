"""References to root filesystems that a client has solved."""

from __future__ import annotations

from abc import ABC, abstractmethod

from tarkit.gateway.requests import ReadDirRequest, ReadRequest, StatRequest
from tarkit.gateway.stat import Stat
from tarkit.llb.state import State


class Reference(ABC):
    """A root filesystem that a build may still have to make; its first use waits for that.

    Paths are absolute or relative to the root, and no link or ``..`` leads out of it. A request can
    be given as its only required field. Every method but :meth:`to_state` raises
    :class:`~tarkit.errors.BuildError` if a step fails, and :class:`~tarkit.errors.PathNotFoundError`
    for a missing path.
    """

    @abstractmethod
    def to_state(self) -> State:
        """Return the state of the definition, for further steps."""

    @abstractmethod
    def evaluate(self) -> None:
        """Wait until the files exist."""

    @abstractmethod
    def read_file(self, request: ReadRequest | str) -> bytes:
        """Return the content of a regular file, or a part of it: at most 16 MiB.

        Raises UnsupportedError for other kinds of files, and LimitExceededError.
        """

    @abstractmethod
    def stat_file(self, request: StatRequest | str) -> Stat:
        """Return the facts about a file; links are followed."""

    @abstractmethod
    def read_dir(self, request: ReadDirRequest | str) -> list[Stat]:
        """Return the entries of a directory, sorted by name; links are not followed.

        A link to a directory has no entries. Raises RefusedError if it is no directory, and
        MalformedError for an invalid pattern.
        """
