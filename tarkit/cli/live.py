"""Lines on a terminal that are redrawn in place."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

from tarkit.cli.messages import note

if TYPE_CHECKING:
    from collections.abc import Callable


class LiveLines:
    """Draws lines on standard error, each time over the last ones, and erases them at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(stderr=True)
        # events arrive ten times a second, so no thread needs to redraw
        self._live = Live(console=console, transient=True, auto_refresh=False)
        self._text: Callable[[str], Text] = Text
        self._frozen = False

    def __enter__(self) -> Self:
        global _shown
        with suppress(OSError):  # a closed terminal must not stop the work
            self._live.start()
        _shown = self
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        global _shown
        _shown = None
        with suppress(OSError):
            self._live.stop()

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._live.console.width

    def draw(self, lines: list[str]) -> None:
        """Draw *lines* instead of the last ones."""
        if not self._frozen:
            with suppress(OSError):
                self._live.update(self._text("\n".join(lines)), refresh=True)

    def freeze(self) -> None:
        """Leave the lines on the terminal and draw no more."""
        self._frozen = True
        self._live.transient = False
        with suppress(OSError):
            self._live.stop()


_shown: LiveLines | None = None  # at most one command draws


def announce_stop() -> None:
    """Say at once that the command is stopping, below the lines that are drawn."""
    if _shown is not None:
        _shown.freeze()
        note("stopping")
