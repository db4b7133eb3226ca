"""Learning curves as SVG that follows the page's theme.

Matplotlib draws with stand-in colours that are then exchanged for CSS variables, so that one drawing serves light and
dark. Only numbers are drawn; names of runs and metrics stay in the HTML around the drawing, where they are escaped.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from palaestra.errors import MissingExtraError
from palaestra.types import Json

HORIZON_NAMES = ("horizon", "max_turns")
# What a reader wants to see first; everything else is folded away.
LEAD_METRICS = (
    "test_success", "success", "return_mean", "score_mean", "turns_mean", "horizon", "loss", "likely_tokens", "entropy",
    "kl", "kl_ref", "kl_old", "invalid_actions", "truncated_rounds", "within_group_std", "grad_norm", "tokens_per_second",
)  # fmt: skip

_COLOURS = {
    "#010204": "var(--ink)",
    "#010206": "var(--muted)",
    "#010208": "var(--line)",
    "#01020a": "var(--accent)",
    "#01020c": "var(--faint)",
}
_INK, _MUTED, _LINE, _ACCENT, _FAINT = _COLOURS
_WIDTH_IN, _HEIGHT_IN = 5.4, 2.5
_MEAN_SHARE = 0.08  # the running mean looks back over this share of the points


@dataclass(frozen=True, slots=True)
class LineStyle:
    """How the curve of one run is told from the others without relying on colour alone.

    Attributes:
        colour: CSS colour.
        dashes: SVG `stroke-dasharray`; "none" for a solid line.
    """

    colour: str
    dashes: str


LINE_STYLES = (
    LineStyle("var(--accent)", "none"),
    LineStyle("var(--ink)", "none"),
    LineStyle("var(--muted)", "7 4"),
    LineStyle("var(--accent)", "2 3"),
    LineStyle("var(--ink)", "2 3"),
    LineStyle("var(--muted)", "9 3 2 3"),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of one run.

    Attributes:
        run: Index of the run; chooses the line style.
        steps: Training steps, rising.
        values: One finite value per step.
        low: Lower end of a 95 % interval per step, where logged.
        high: Upper end.
    """

    run: int
    steps: tuple[float, ...]
    values: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()


def read_curves(logs: Sequence[Sequence[Mapping[str, Json]]]) -> dict[str, list[Curve]]:
    """Return the curves of every metric, in the order in which the metrics were first logged.

    Args:
        logs: Per run the records of `RunStore.metrics`, each with its `step`; values that are not finite numbers are left out.
    """
    points: dict[str, dict[int, list[tuple[int, float]]]] = {}
    for run, log in enumerate(logs):
        for record in sorted(log, key=lambda entry: entry["step"]):
            step = record["step"]
            for name, value in record.items():
                is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
                if name != "step" and is_number and math.isfinite(value):
                    points.setdefault(name, {}).setdefault(run, []).append((step, float(value)))
    curves: dict[str, list[Curve]] = {}
    for name, by_run in points.items():
        if name.endswith(("_low", "_high")) and name.rpartition("_")[0] in points:
            continue
        for run, series in by_run.items():
            steps, values = zip(*series, strict=True)
            low = dict(points.get(f"{name}_low", {}).get(run, ()))
            high = dict(points.get(f"{name}_high", {}).get(run, ()))
            band = all(step in low and step in high for step in steps)
            curves.setdefault(name, []).append(
                Curve(
                    run,
                    steps,
                    values,
                    tuple(low[s] for s in steps) if band else (),
                    tuple(high[s] for s in steps) if band else (),
                )
            )
    return curves


def metric_rank(name: str) -> tuple[int, int, str]:
    """Order metrics: what was reached first, the rest by name; cloning after what follows it, parts after their total.

    Of types of task, of which there may be many, only what was reached on test tasks comes before the rest.
    """
    phase, _, short = name.rpartition("/")
    is_type = ".type." in short
    short = short.partition(".")[0]  # success.Desk: of one environment
    leads = short in LEAD_METRICS and (short == LEAD_METRICS[0] or not is_type)
    lead = LEAD_METRICS.index(short) if leads else len(LEAD_METRICS)
    return (lead, 1 if phase == "sft" else 0, name)


def horizon_changes(curves: Mapping[str, Sequence[Curve]]) -> list[tuple[str, float, int]]:
    """Return `(phase, step, new horizon)` wherever the turn limit that a phase of the first run logs changes."""
    changes: list[tuple[str, float, int]] = []
    for name in sorted(curves):
        phase, _, short = name.rpartition("/")
        if short in HORIZON_NAMES:
            pairs = list(zip(curves[name][0].steps, curves[name][0].values, strict=True))
            for before, now in pairwise(pairs):
                if now[1] != before[1]:
                    changes.append((phase, now[0], int(now[1])))
    return changes


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """Return the mean over the last `window` values at every position, fewer at the start."""
    means: list[float] = []
    total = 0.0
    for i, value in enumerate(values):
        total += value
        if i >= window:
            total -= values[i - window]
        means.append(total / min(i + 1, window))
    return means


def draw_curves(
    curves: Sequence[Curve],
    *,
    label: str,
    marks: Sequence[tuple[float, int]] = (),
    share: bool = False,
    stairs: bool = False,
) -> str:
    """Draw the curves of one metric.

    Args:
        curves: One per run.
        label: What screen readers say instead of the drawing.
        marks: `(step, horizon)` drawn as upright lines.
        share: The values lie in 0..1 and are shown as percentages on a fixed scale.
        stairs: The value holds until it changes; it is drawn as it is, without a mean.

    Returns:
        An `<svg>` element whose colours are CSS variables.

    Raises:
        MissingExtraError: Without matplotlib.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.ticker import FuncFormatter, MaxNLocator
    except ImportError:
        raise MissingExtraError("Drawing learning curves", "plots") from None

    style = {"svg.fonttype": "none", "svg.hashsalt": label, "text.parse_math": False, "axes.unicode_minus": False}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(_WIDTH_IN, _HEIGHT_IN), layout="constrained")
        axes = figure.add_subplot()
        axes.set_facecolor("none")
        for curve in curves:
            _draw_curve(axes, curve, stairs)
        for step, horizon in marks:
            axes.axvline(step, color=_FAINT, linewidth=0.9, zorder=1)
            axes.annotate(
                f"{horizon}",
                (step, 1),
                xycoords=("data", "axes fraction"),
                xytext=(3, -2),
                textcoords="offset points",
                va="top",
                fontsize=8,
                color=_MUTED,
            )
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(_FAINT)
        axes.grid(axis="y", color=_LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(axis="both", length=0, labelsize=8.5, labelcolor=_MUTED, pad=5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
        if share:
            axes.set_ylim(-0.02, 1.02)
            axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
        else:
            axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:.6g}"))
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _embeddable(buffer.getvalue(), label)


def _draw_curve(axes: object, curve: Curve, stairs: bool) -> None:
    """Draw one run: band and points where intervals were logged, else faint values under their running mean."""
    style = LINE_STYLES[curve.run % len(LINE_STYLES)]
    colour = next(stand_in for stand_in, css in _COLOURS.items() if css == style.colour)
    dashes = (0, tuple(float(x) / 2 for x in style.dashes.split())) if style.dashes != "none" else "-"
    window = max(1, round(len(curve.values) * _MEAN_SHARE))
    plot = axes.plot  # type: ignore[attr-defined]
    if stairs:
        plot(curve.steps, curve.values, color=colour, linewidth=1.8, linestyle=dashes, drawstyle="steps-post")
        return
    if curve.low:
        axes.fill_between(curve.steps, curve.low, curve.high, color=colour, alpha=0.14, linewidth=0)  # type: ignore[attr-defined]
        window = 1
    if window > 1:
        plot(curve.steps, curve.values, color=colour, linewidth=0.8, alpha=0.35, zorder=2)
    marker = "o" if len(curve.steps) < 20 else None
    means = running_mean(curve.values, window)
    plot(curve.steps, means, color=colour, linewidth=1.8, linestyle=dashes, marker=marker, markersize=3.5, zorder=3)


def _embeddable(svg: str, label: str) -> str:
    """Strip what only a file of its own needs and exchange the stand-in colours for CSS variables."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style type=\"text/css\">.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r' id="(?:figure|axes|patch|line2d|text|matplotlib|xtick|ytick|FillBetween)[^"]*"', "", svg)
    svg = re.sub(r' (?:width|height)="[^"]*pt"', "", svg, count=2)
    svg = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font: \1px var(--sans)", svg)
    for stand_in, css in _COLOURS.items():
        svg = svg.replace(stand_in, css)
    escaped = label.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escaped}"', 1)
