"""The bases of context managers: of those that only close, and of those that publish."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self


class Closeable(ABC):
    """A context manager whose block ends with :meth:`close`, even if it raises."""

    __slots__ = ()

    @abstractmethod
    def close(self) -> None:
        """Release everything that is open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class Publishing(ABC):
    """A context manager that publishes its output at the end of a block that succeeds."""

    __slots__ = ()

    @abstractmethod
    def _end(self, succeeded: bool) -> None:
        """End the output, and publish it only if the block *succeeded*."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end(kind is None)
