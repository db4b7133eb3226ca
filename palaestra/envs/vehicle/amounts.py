"""How much: the arguments value, unit and degree of a function that moves a quantity.

The `fixed` profile has one rule (`binding.check_amount`). The published functions differ; their rules stand in the row or its axis:
`alone` for a value without unit or a unit without value, `both` for a value together with a degree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from palaestra.envs.vehicle.results import Refusal


@dataclass(frozen=True, slots=True)
class Amount:
    """An amount as said: a value in a unit, a degree word, or nothing (all None: the default step).

    Attributes:
        value: Number in `unit`.
        unit: Name of the unit; None if the function takes none, or for the current unit.
        degree: "large", "little", "tiny" (steps) or "max", "high", "medium", "low", "min" (presets).
        void: `paper` only: the published function does nothing and reports success.
    """

    value: Any = None
    unit: Any = None
    degree: Any = None
    void: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether no amount was said."""
        return self.value is None and self.degree is None


@dataclass(frozen=True, slots=True)
class AmountRules:
    """The published rules of one function.

    Attributes:
        alone: A value without unit or a unit without value: "error", "ignore" (as if neither were given), "void" (nothing happens,
            success) or "current" (a value alone is in the current unit).
        both: A value together with a degree: "error", "value" or "degree" (which one wins).
    """

    alone: str = "error"
    both: str = "error"

    def read(self, bound: Mapping[str, Any]) -> Amount:
        """Return the amount that bound arguments say.

        Raises:
            Refusal: missing_argument or conflicting_arguments.
        """
        value, unit, degree = bound.get("value"), bound.get("unit"), bound.get("degree")
        if degree is not None and value is not None:
            if self.both == "error":
                raise Refusal("conflicting_arguments", "Give either value and unit, or a degree.", "degree")
            if self.both == "degree":
                return Amount(degree=degree)
            degree = None
        if "unit" in bound and (value is None) != (unit is None):
            if self.alone == "error":
                raise Refusal("missing_argument", "value and unit belong together.", "unit" if unit is None else "value")
            if self.alone == "void" and degree is None:
                return Amount(void=True)
            if self.alone != "current":
                value = unit = None
        return Amount(value, unit, None if value is not None else degree)
