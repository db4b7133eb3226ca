"""The picture of the demo's experiment: GRPO by training step, a line per seed and their mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.demo.run import MEANT

Row = Mapping[str, Any]
Line = tuple[list[float], list[float]]
COLOURS = ("tab:blue", "tab:orange")


def draw(rows: Sequence[Row], path: Path) -> None:
    """Draw success by type in training and on test tasks, and what the alarms watch; needs matplotlib (extra `plots`)."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), layout="constrained")
    panels = figure.subplots(2, 3).flat
    phase = [row["phases"]["grpo"] for row in rows]
    kinds = sorted(name for name in phase[0]["train"] if name.startswith("success.type."))
    by_kind = {kind.rsplit(".", 1)[-1]: [trained(table, kind) for table in phase] for kind in kinds}
    _panel(next(panels), "success in training", by_kind, top=1.0)
    of_test = {"all": 2, **{kind.rsplit(".", 1)[-1]: 3 + place for place, kind in enumerate(kinds)}}
    tested = {kind: [tests(table, place) for table in phase] for kind, place in of_test.items()}
    _panel(next(panels), "success on 64 test tasks", {"all": tested.pop("all")}, top=1.0)
    _panel(next(panels), "the same by type", tested, top=1.0)
    for name, title in (
        ("entropy_sampled", "entropy, nats a token"),
        ("kl_reference", "divergence from the clone, nats a token"),
        ("invalid_actions", "turns refused"),
    ):
        _panel(next(panels), title, {"": [trained(table, name) for table in phase]})
    figure.suptitle(f"GRPO from the clone, {len(rows)} seeds (thin) and their mean")
    figure.savefig(path, dpi=90)


def trained(table: Mapping[str, Any], name: str) -> Line:
    """Return steps and values of a metric of training steps."""
    points = [(MEANT * (place + 1), value) for place, value in enumerate(table["train"][name]) if value is not None]
    return [float(step) for step, _ in points], [value for _, value in points]


def tests(table: Mapping[str, Any], place: int) -> Line:
    """Return steps and values of a column of the learning curve."""
    return [float(point[0]) for point in table["test"]], [point[place] for point in table["test"]]


def mean_line(lines: Sequence[Line]) -> Line:
    """Return the mean of lines at the steps that all of them have."""
    steps = sorted(set.intersection(*(set(steps) for steps, _ in lines)))
    values = [dict(zip(*line, strict=True)) for line in lines]
    return steps, [sum(value[step] for value in values) / len(values) for step in steps]


def _panel(axes: Any, title: str, lines: Mapping[str, Sequence[Line]], *, top: float | None = None) -> None:
    """Draw a line per seed and their mean, in a colour for each name."""
    for colour, (name, found) in zip(COLOURS, lines.items(), strict=False):
        for steps, values in found:
            axes.plot(steps, values, color=colour, linewidth=0.7, alpha=0.5)
        axes.plot(*mean_line(found), color=colour, linewidth=2.2, label=name or None)
    axes.set_title(title, fontsize=10)
    axes.set_ylim(0, top)
    axes.grid(alpha=0.3)
    if len(lines) > 1:
        axes.legend(fontsize=8)
