"""Lines on a terminal that are redrawn in place."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from tarkit.cli.messages import before_stopping
from tarkit.streams.closeable import Closeable

if TYPE_CHECKING:
    from collections.abc import Callable


class LiveLines(Closeable):
    """Draws lines on standard error, each time over the last ones, and erases them at the end."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        console = Console(stderr=True)
        # Events arrive ten times a second, so the lines need no thread to redraw them.
        self._live = Live(console=console, transient=True, auto_refresh=False)
        self._text: Callable[[str], Text] = Text
        self._frozen = False
        self._start()

    def _start(self) -> None:
        with suppress(OSError):  # a closed terminal must not stop the work
            self._live.start()
        before_stopping(self.freeze)

    def close(self) -> None:
        """Erase the lines, unless they are frozen."""
        before_stopping(None)
        with suppress(OSError):
            self._live.stop()

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return self._live.console.width

    @property
    def height(self) -> int:
        """Lines of the terminal."""
        return self._live.console.height

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
