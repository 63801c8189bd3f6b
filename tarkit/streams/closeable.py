"""The base of context managers that only close."""

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
