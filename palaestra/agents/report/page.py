"""The template environment of pages: everything is escaped, and figures are written in one way."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import math
import os
from pathlib import Path

import jinja2

from palaestra.errors import StoreError
from palaestra.results.metrics import number
from palaestra.results.statistics import Estimate
from palaestra.types.direction import with_direction_shown

_HERE = Path(__file__).parent


def page_environment(*folders: Path) -> jinja2.Environment:
    """Return the template environment of reports: everything is escaped.

    Args:
        folders: Further folders of templates, which may extend those of reports.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, _HERE]),
        autoescape=True,
        finalize=_straight,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=percent,
        percent_range=percent_range,
        points=points,
        points_range=points_range,
        figure=figure,
        seconds=duration,
        metric_range=lambda estimate, metric: metric.shown_range(estimate.low, estimate.high),
        place=_place,
        spoken=_spoken,
        ending=_ending,
        range=ends,
        words=_words,
        over_seeds=_over_seeds,
        probability=_probability,
    )
    return environment


def write_page(path: Path, text: str) -> Path:
    """Write a page in one move; its folder is made if need be.

    Raises:
        StoreError: If it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(text.encode("utf-8", "replace"))  # lone surrogates in names have no UTF-8 form
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise StoreError(f"The page {path} cannot be written ({error.strerror or error}); choose another place.") from error
    return path


def _straight(value: object) -> object:
    """Return what is put into the page, with overrides of the writing direction spelled out.

    They would show the rest of a line in another order. In the JSON of the transcripts the spelling stands for them, and the
    viewer isolates them.
    """
    return with_direction_shown(value) if isinstance(value, str) else value


def digest(script: str) -> str:
    """Return the digest that allows exactly this script in the page's content security policy."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def percent(share: float) -> str:
    """Return 0.4567 as "45.7 %", with a space that does not break."""
    return f"{100 * share:.1f}\u00a0%"


def percent_range(interval: Estimate) -> str:
    """Return both ends of a rate's interval."""
    return f"{100 * interval.low:.1f} – {percent(interval.high)}"


def points(above: Estimate) -> str:
    """Return a difference of rates in points."""
    return f"{100 * above.mean:+.1f}"


def points_range(above: Estimate) -> str:
    """Return both ends of the interval of a difference of rates."""
    return f"{100 * above.low:+.1f} to {100 * above.high:+.1f}"


def figure(value: float) -> str:
    """Return a number with four significant digits and no exponent where it can be avoided."""
    return number(value) if math.isfinite(value) else "none"


def ends(interval: Estimate) -> str:
    """Return both ends of an interval, or why there are none."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "one task"
    return f"{figure(interval.low)} – {figure(interval.high)}"


def _over_seeds(interval: Estimate) -> str:
    """Return both ends of an interval over runs, or why there are none."""
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return "one seed"
    return f"{figure(interval.low)} – {figure(interval.high)}"


def _probability(value: float) -> str:
    """Return a p-value with two significant digits."""
    return "none" if math.isnan(value) else "< .001" if value < 0.001 else f"{value:.2g}"


def short_count(count: int) -> str:
    """Return a large count in thousands or millions."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if count >= size:
            return f"{count / (1e3 if unit == 'k' else size):,.1f}\u00a0{unit}"
    return f"{count:,}"


def duration(seconds: float) -> str:
    """Return a duration in the unit that fits it."""
    if seconds < 1:
        return f"{1000 * seconds:.0f}\u00a0ms"
    if seconds < 120:
        return f"{seconds:.1f}\u00a0s"
    return f"{seconds / 60:.1f}\u00a0min" if seconds < 7200 else f"{seconds / 3600:.1f}\u00a0h"


def _place(value: float, low: float, high: float) -> str:
    """Return where a value lies between two ends, in percent."""
    return f"{100 * min(1.0, max(0.0, (value - low) / (high - low))):.2f}"


def _spoken(interval: Estimate | None) -> str:
    """Return an interval for screen readers."""
    if interval is None:
        return "not measured"
    return f"{100 * interval.mean:.1f} percent, 95 percent interval {100 * interval.low:.1f} to {100 * interval.high:.1f}"


def _ending(reason: str) -> str:
    """Return the colour class of a stop reason."""
    if reason.endswith("error"):
        return "error"
    return reason if reason in ("success", "failure", "max_rounds") else "other"


def _words(name: str) -> str:
    """Return a name with spaces."""
    return name.replace("_", " ")


__all__ = [
    "digest",
    "duration",
    "ends",
    "figure",
    "page_environment",
    "percent",
    "percent_range",
    "points",
    "points_range",
    "short_count",
    "write_page",
]
