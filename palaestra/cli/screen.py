"""The console that commands print to: what others wrote is shown, never obeyed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from palaestra.cli.controls import printable


class Screen(Console):
    """A console that escapes control characters in texts: before they are measured, and wherever they come from."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text to show."""
        return super().render_str(printable(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the parts of anything shown; those of rich itself that move the cursor are marked as such."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(printable(part.text), part.style)


__all__ = ["Screen"]
