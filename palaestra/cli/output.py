"""What the commands print, and where: results on standard output, progress and errors on standard error."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from palaestra.cli.controls import printable
from palaestra.types import Json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

PIPED_WIDTH = 160
PLAIN_LINE_EVERY_S = 10.0


class Interrupted(Exception):
    """Ctrl-C during something that can be resumed.

    Args:
        resume: Command that resumes it.
    """

    def __init__(self, resume: str) -> None:
        """Keep the command."""
        super().__init__(f"interrupted; every finished episode is kept. Resume with: {resume}")


_JSON_CONTROLS = {code: f"\\u{code:04x}" for code in range(0x7F, 0xA0)}  # those that JSON lets stand in texts


def say(text: object = "", *, end: str = "\n", stderr: bool = False) -> None:
    """Print a line in which control characters are escaped.

    Args:
        text: What is printed.
        end: Written after it.
        stderr: Whether it goes to standard error, at once, instead of standard output.
    """
    print(printable(str(text)), end=end, file=sys.stderr if stderr else None, flush=stderr)


def print_json(value: Json) -> None:
    """Print plain data as strict JSON: None where a number is not finite; texts that cannot be encoded are escaped."""
    try:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str, allow_nan=False)
    except ValueError:
        value = _without_infinities(value)
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str, allow_nan=False)
    try:
        print(text.translate(_JSON_CONTROLS))
    except UnicodeEncodeError:
        print(json.dumps(value, indent=2, default=str))


def _without_infinities(value: Json) -> Json:
    """Return plain data with None in place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _without_infinities(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_infinities(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def console(*, stderr: bool = False) -> Console:
    """Return a console that neither wraps tables to 80 columns in a pipe nor obeys markup or controls in data."""
    from palaestra.cli.screen import Screen

    stream = sys.stderr if stderr else sys.stdout
    return Screen(stderr=stderr, markup=False, highlight=False, width=None if stream.isatty() else PIPED_WIDTH)


def table(title: str, *columns: str, numbers: tuple[str, ...] = (), whole: tuple[str, ...] = ()) -> Any:
    """Return an empty table; `numbers` names the columns aligned right, `whole` further ones that are never broken."""
    from rich import box
    from rich.table import Table

    built = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False)
    for column in columns:
        built.add_column(
            column, justify="right" if column in numbers else "left", overflow="fold", no_wrap=column in (*numbers, *whole)
        )
    return built


class ProgressLine:
    """One task's progress: a bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self, label: str, total: int | None, bar: Progress | None) -> None:
        """Begin at zero."""
        self.label, self.total = label, total
        self._bar = bar
        self._task: TaskID | None = None if bar is None else bar.add_task(label, total=total, note="")
        self._last = time.monotonic()

    def update(self, completed: int, total: int | None = None, note: str = "") -> None:
        """Show that `completed` of `total` are finished."""
        self.total = self.total if total is None else total
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=completed, total=self.total, note=note)
            return
        now = time.monotonic()
        if now - self._last >= PLAIN_LINE_EVERY_S:
            self._last = now
            of = "" if self.total is None else f"/{self.total}"
            say(f"{self.label}: {completed}{of} {note}".rstrip(), stderr=True)


class Progresses:
    """Opens progress lines that share one display."""

    def __init__(self, bar: Progress | None) -> None:
        """Keep the display; None for plain lines."""
        self._bar = bar

    def line(self, label: str, total: int | None = None) -> ProgressLine:
        """Begin a task."""
        return ProgressLine(label, total, self._bar)


@contextmanager
def progress() -> Iterator[Progresses]:
    """Show progress on standard error: bars on a terminal, else a plain line every ten seconds."""
    if not sys.stderr.isatty():
        yield Progresses(None)
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console(stderr=True)) as bar:
        yield Progresses(bar)


@contextmanager
def busy(label: str) -> Iterator[None]:
    """Show on a terminal that something of unknown length is going on."""
    if not sys.stderr.isatty():
        yield
        return
    with console(stderr=True).status(label):
        yield
