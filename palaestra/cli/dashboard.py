"""What `palaestra train` shows while it runs: phases, the step, key metrics as sparklines, alarms, the time that is left.

On a terminal one picture that is redrawn; elsewhere, or if asked for, a plain line now and then. Both read nothing but the
progress events of the training run.
"""

from __future__ import annotations

import math
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from palaestra.cli.output import say

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from palaestra.algorithms.run.phase import Progress, ProgressEvent
    from palaestra.algorithms.run.recipe import Recipe

BARS = "▁▂▃▄▅▆▇█"
PLAIN_BARS = "_.-=+*#@"
SPARK_WIDTH = 40
MOST_METRICS = 12
MOST_ALARMS = 4
RATE_EVENTS = 20  # the last steps whose pace tells what is left

KEY_METRICS = (
    "test_success", "success", "return_mean", "clean_return_mean", "loss", "likely_tokens", "explained_variance", "value_loss",
    "entropy", "within_group_std", "groups_equal", "kl_reference", "kl_old", "drift_mean", "grad_norm", "turns_mean",
    "horizon", "tokens_per_second", "kept", "pairs",
)  # fmt: skip
LINE_METRICS = ("test_success", "success", "loss", "grad_norm", "horizon")


@dataclass
class Part:
    """One phase or one evaluation of a training run.

    Attributes:
        name: Of the phase or arm.
        done: Steps or episodes done.
        total: In all; None before it began.
        values: Metrics by name, one per step seen here.
        alarms: By name: times rung, first and last step.
        times: When the last steps ended, and which they were.
    """

    name: str
    done: int = 0
    total: int | None = None
    values: dict[str, list[float]] = field(default_factory=dict)
    alarms: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    times: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_EVENTS + 1))

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to do."""
        return self.total is not None and self.done >= self.total

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the pace of the last steps; None if no pace is known."""
        if self.total is None or len(self.times) < 2:
            return None
        (before, first), (now, last) = self.times[0], self.times[-1]
        return (self.total - self.done) * (now - before) / (last - first) if last > first else None

    def take(self, event: ProgressEvent, now: float) -> list[str]:
        """Take in an event; return the alarms that ring for the first time."""
        self.done, self.total = event.done, event.total
        self.times.append((now, event.done))
        new = []
        for name, value in event.metrics.items():
            if name.startswith("alarm_"):
                if value:
                    count, first, _ = self.alarms.get(name, (0, event.done, 0))
                    self.alarms[name] = (count + 1, first, event.done)
                    new += [name] if count == 0 else []
            elif math.isfinite(value):
                self.values.setdefault(name, []).append(float(value))
        return new


class Dashboard:
    """The state of a training run as its events tell it, and the picture of it.

    Args:
        title: Name of the run.
        parts: Names of baselines, phases and arms, in the order in which they come.
        clock: Seconds; of the machine by default.
        bars: Signs of the sparklines, lowest first.
    """

    def __init__(
        self, title: str, parts: Sequence[str], *, clock: Callable[[], float] = time.monotonic, bars: str = BARS
    ) -> None:
        """Begin with nothing done."""
        self.title = title
        self.parts = {name: Part(name) for name in parts}
        self.current: Part | None = None
        self.bars = bars
        self._clock = clock
        self._started = clock()

    def __call__(self, event: ProgressEvent) -> None:
        """Take in an event."""
        part = self.parts.setdefault(event.phase, Part(event.phase))
        part.take(event, self._clock())
        self.current = part

    def __rich__(self) -> RenderableType:
        """Return the picture."""
        from rich.console import Group
        from rich.text import Text

        lines: list[RenderableType] = [
            Text.assemble((self.title, "bold"), f"   {duration(self._clock() - self._started)}", no_wrap=True),
            self._phases(),
        ]
        if self.current is not None:
            lines.append(self._bar(self.current))
        shown = next((part for part in reversed(self.parts.values()) if part.values), None)
        if shown is not None:
            lines += [Text(""), self._metrics(shown)]
        alarms = [self._alarm(part, name) for part in self.parts.values() for name in part.alarms]
        if alarms:
            lines += [Text(""), *alarms[-MOST_ALARMS:]]
        return Group(*lines)

    def _phases(self) -> RenderableType:
        """Return one word per part: what is over, what runs, what is to come."""
        from rich.text import Text

        text = Text()
        for part in self.parts.values():
            runs = part is self.current and not part.is_over
            sign = "done" if part.is_over else "now" if runs else "next"
            style = {"done": "green", "now": "bold cyan", "next": "dim"}[sign]
            mark = {"done": "+", "now": ">", "next": "."}[sign]
            text.append(f"{mark} {part.name}   ", style=style)
        return text

    def _bar(self, part: Part) -> RenderableType:
        """Return the bar of the part that runs, with what is left of it."""
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        grid = Table.grid(padding=(0, 2), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(ratio=1)
        grid.add_column(no_wrap=True, justify="right")
        left = part.seconds_left
        ends = "" if part.is_over else "--" if left is None else f"{duration(left)} left"
        done = Text(f"{part.name} {part.done}/{part.total}")
        grid.add_row(done, ProgressBar(total=part.total or 1, completed=part.done), Text(ends))
        return grid

    def _metrics(self, part: Part) -> RenderableType:
        """Return the key metrics of a phase with their last value and their course."""
        from rich.table import Table

        grid = Table.grid(padding=(0, 2))
        for justify in ("left", "right", "left", "right"):
            grid.add_column(justify=justify, no_wrap=True)
        shown = [
            name
            for key in KEY_METRICS
            for name in part.values
            if name.partition(".")[0] == key and (key != "horizon" or any(part.values[name]))
        ]
        for name in shown[:MOST_METRICS]:
            values = part.values[name]
            ends = f"{number(min(values))} .. {number(max(values))}"
            grid.add_row(name.replace("_", " "), number(values[-1]), sparkline(values, SPARK_WIDTH, self.bars), ends)
        return grid

    def _alarm(self, part: Part, name: str) -> RenderableType:
        """Return one alarm in words."""
        from rich.text import Text

        from palaestra.algorithms.run.alarms import ALARM_TEXTS

        count, first, last = part.alarms[name]
        when = f"step {first}" if count == 1 else f"{count} steps, {first} to {last}"
        return Text(f"! {part.name}, {when}: {ALARM_TEXTS.get(name, name)}", style="yellow")


class PlainLines:
    """Progress as lines of text: one every few seconds, and one for every alarm that rings for the first time.

    Args:
        every_s: Seconds between lines of one part; its first and last events always give one.
        clock: Seconds.
    """

    def __init__(self, every_s: float = 10.0, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing done."""
        self._every_s = every_s
        self._clock = clock
        self._parts: dict[str, Part] = {}
        self._told: dict[str, float] = {}

    def __call__(self, event: ProgressEvent) -> None:
        """Take in an event, and perhaps tell of it."""
        now = self._clock()
        part = self._parts.setdefault(event.phase, Part(event.phase))
        for alarm in part.take(event, now):
            say(f"{event.phase}: {alarm} at step {event.done}", stderr=True)
        if event.phase in self._told and not part.is_over and now - self._told[event.phase] < self._every_s:
            return
        self._told[event.phase] = now
        shown = "  ".join(f"{name} {number(event.metrics[name])}" for name in LINE_METRICS if name in event.metrics)
        left = part.seconds_left
        ends = "" if part.is_over or left is None else f"{duration(left)} left"
        words = (f"{event.phase}: {event.done}/{event.total}", shown, ends)
        say("  ".join(word for word in words if word), stderr=True)


@contextmanager
def watching(recipe: Recipe, run_id: str, *, plain: bool = False) -> Iterator[Progress]:
    """Show a training run on standard error; gives what `train` calls with its events.

    Args:
        recipe: What is trained.
        run_id: Title of the picture.
        plain: Lines instead of a picture, also on a terminal.
    """
    if plain or not sys.stderr.isatty():
        yield PlainLines()
        return
    from rich.live import Live

    from palaestra.cli.output import console

    screen: Console = console(stderr=True)
    unicode = (screen.encoding or "").lower().startswith("utf")
    board = Dashboard(run_id, parts_of(recipe), bars=BARS if unicode else PLAIN_BARS)
    with Live(board, console=screen, refresh_per_second=4):
        yield board


def parts_of(recipe: Recipe) -> list[str]:
    """Return the names of baselines, phases and arms in the order in which a run of the recipe comes to them."""
    from palaestra.algorithms.run.arms import phase_arms, runs_of

    order = [name for name in ("random", "expert", "untrained") if name in recipe.evaluation.baselines]
    parts = [run for arm in order for run in runs_of(recipe, arm)]
    for phase, arm in phase_arms(recipe).items():
        parts += [phase, *runs_of(recipe, arm)]
    return parts


def sparkline(values: Sequence[float], width: int, bars: str = BARS) -> str:
    """Return the course of a metric as one sign per step, or per mean of several steps if there are more than `width`.

    Args:
        values: Finite numbers, oldest first.
        width: Most signs.
        bars: Signs, lowest first; a metric that never changes takes the lowest.
    """
    count = min(width, len(values))
    cuts = [round(i * len(values) / count) for i in range(count + 1)] if count else [0]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(cuts)]
    low, high = min(means, default=0.0), max(means, default=0.0)
    span = high - low
    return "".join(bars[min(len(bars) - 1, int((v - low) / span * len(bars)))] if span > 0 else bars[0] for v in means)


def number(value: Any) -> str:
    """Return a number in at most three significant digits, large ones whole."""
    if value is None or not math.isfinite(value):
        return "none"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Return a duration as 12 s, 3:25 or 2:03:25."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, seconds_left = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02d}:{seconds_left:02d}"
    return f"{minutes}:{seconds_left:02d}" if minutes else f"{seconds_left} s"
