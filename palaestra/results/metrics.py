"""Named metrics: what an environment measures in an episode in addition to score and success.

An environment declares its metrics (`TextEnv.metrics`) and gives their values (`Turn.metrics`). Everything that shows or
averages them reads the declarations here: which way is better, in which unit, and what a column means.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Literal, get_args

from palaestra.errors import ConfigError
from palaestra.types import Step
from palaestra.types.trajectory import is_metric_name

Better = Literal["higher", "lower", ""]

SHARE = "share"
"""Unit of values from 0 to 1 that are shown as percent."""

RESERVED = frozenset(
    (
        "score",
        "success",
        "return_",
        "turns",
        "errors",
        "area",
        "stop_reason",
        "avg_at_k",
        "pass_at_k",
        "pass_hat_k",
        "truncated",
    )
)
"""Names of figures that every environment has."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure that an environment measures in an episode.

    Attributes:
        name: Key in `Turn.metrics` and `Outcome.metrics`: lower case, digits and underscores, at most 40 characters.
        better: Which way is better: "higher", "lower", or "" where neither is.
        unit: Shown after values ("s", "words", ...); `SHARE` ("share") for values from 0 to 1; empty for plain numbers.
        about: One line for readers of a report: what is measured.
        lead: Shown as a column next to success and score; the others have a table of their own.

    Raises:
        ConfigError: For a name that is not usable or a direction that does not exist.
    """

    name: str
    better: Better = ""
    unit: str = ""
    about: str = ""
    lead: bool = False

    def __post_init__(self) -> None:
        """Refuse names that could not be a key, a column and a file name part, or that mean something else already."""
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"The metric name {self.name!r} cannot be used; expected lower case letters, digits and underscores, "
                "at most 40, beginning with a letter."
            )
        if self.name in RESERVED:
            raise ConfigError(f"{self.name!r} is a figure that every environment has; choose another name for the metric.")
        if self.better not in get_args(Better):
            raise ConfigError(f"better of metric {self.name!r} is {self.better!r}; expected 'higher', 'lower' or ''.")

    @property
    def title(self) -> str:
        """Name of its column: "word_error_rate" is "Word error rate"."""
        words = self.name.replace("_", " ").strip()
        return words[:1].upper() + words[1:] or repr(self.name)

    @property
    def arrow(self) -> str:
        """An arrow up or down for the better direction; empty where there is none."""
        return {"higher": "↑", "lower": "↓", "": ""}[self.better]

    def shown(self, value: float) -> str:
        """Return a value as text with its unit; a dash if it is not finite."""
        return f"{self._bare(value)} {self._unit}".strip() if math.isfinite(value) else "-"

    def shown_range(self, low: float, high: float) -> str:
        """Return both ends of an interval with one unit; a dash if an end is not finite."""
        if not (math.isfinite(low) and math.isfinite(high)):
            return "-"
        return f"{self._bare(low)} - {self._bare(high)} {self._unit}".strip()

    @property
    def _unit(self) -> str:
        """The unit as it is written after a number."""
        return "%" if self.unit == SHARE else self.unit

    def _bare(self, value: float) -> str:
        """Return a value without its unit."""
        if self.unit != SHARE:
            return number(value)
        return f"{100 * value:.1f}" if abs(value) < 1e6 else number(100 * value)

    def to_json(self) -> dict[str, Any]:
        """Return a plain dict."""
        return {"name": self.name, "better": self.better, "unit": self.unit, "about": self.about, "lead": self.lead}


NOTHING_TO_DO = Metric("nothing_to_do", "", SHARE, about="part of the task for which nothing has to be done")
"""What an environment declares in whose tasks doing nothing may be right: 1 where all of the task is so. The audit counts such
tasks apart."""


def number(value: float) -> str:
    """Return a number with about four significant digits, without an exponent where it can be avoided."""
    if not math.isfinite(value):
        return "-"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value)}"
    return f"{value:.3f}" if 0.01 <= abs(value) < 100 else f"{value:,.1f}" if 100 <= abs(value) < 1e7 else f"{value:.2e}"


def in_order(declared: Iterable[Metric], measured: Iterable[str]) -> list[Metric]:
    """Return the metrics that were measured: as declared, leads first, then those that nobody declared by name.

    Args:
        declared: What the environments declare; of one name the first declaration counts.
        measured: Names that occur.
    """
    names = set(measured)
    known: dict[str, Metric] = {}
    for metric in declared:
        if metric.name in names:
            known.setdefault(metric.name, metric)
    unknown = [_Undeclared(name) for name in sorted(names - known.keys())]
    return sorted([*known.values(), *unknown], key=lambda metric: not metric.lead)


def declared_by(env: Any) -> tuple[Metric, ...]:
    """Return the metrics that an environment declares, its wrappers included."""
    return metrics_of(env.get_wrapper_attr("metrics") if env.has_wrapper_attr("metrics") else ())


def metrics_of(value: Any) -> tuple[Metric, ...]:
    """Return an attribute called `metrics` if it is a declaration; nothing if it means something else."""
    is_declaration = isinstance(value, (tuple, list)) and all(isinstance(item, Metric) for item in value)
    return tuple(value) if is_declaration else ()


def last_metrics(steps: Iterable[Step]) -> dict[str, float]:
    """Return the last value of each metric in the infos of steps; what has no name or is not a finite number is left out."""
    found: dict[str, float] = {}
    for step in steps:
        metrics = step.info.get("metrics")
        if isinstance(metrics, Mapping):
            found.update((name, float(value)) for name, value in metrics.items() if is_metric_name(name) and is_number(value))
    return found


def problems(declared: Iterable[Metric], values: Mapping[str, Any]) -> list[str]:
    """Say what is wrong with given values: undeclared names, values that are not finite numbers, shares outside of 0 to 1."""
    known = {metric.name: metric for metric in declared}
    found = []
    for name, value in values.items():
        if not is_metric_name(name):
            found.append(f"metric {name!r} has no name that can be shown")
        elif not is_number(value):
            found.append(f"metric {name!r} is {value!r}; expected a finite number")
        elif name not in known:
            found.append(f"metric {name!r} is given but not declared")
        elif known[name].unit == SHARE and not 0 <= value <= 1:
            found.append(f"metric {name!r} is {value!r}; its unit is {SHARE!r}, expected 0 to 1")
    return found


def plain_number(value: object) -> object:
    """Return numpy's scalars and arrays without dimensions as Python values, and everything else as it is."""
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def is_number(value: object) -> bool:
    """Whether a value is a finite real number; numpy's are (arrays without dimensions too), truth values are not."""
    value = plain_number(value)
    if isinstance(value, bool) or not isinstance(value, (float, int, Real)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer larger than any float
        return False


class _Undeclared(Metric):
    """Stands in where the environment that declares a metric is not installed; any name will do."""

    def __post_init__(self) -> None:
        """Take the name as it is."""


__all__ = [
    "NOTHING_TO_DO",
    "RESERVED",
    "SHARE",
    "Better",
    "Metric",
    "declared_by",
    "in_order",
    "is_number",
    "last_metrics",
    "metrics_of",
    "number",
    "plain_number",
    "problems",
]
