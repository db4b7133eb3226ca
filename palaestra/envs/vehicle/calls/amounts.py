"""How much: the arguments value, unit and degree of a function that moves a quantity.

The `fixed` profile has one rule (`binding.check_amount`). The published functions differ; their rules stand in the row or its
axis: `alone` for a value without unit or a unit without value, `both` for a value together with a degree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from palaestra.envs.vehicle.car.call_result import Refusal


class Amount(NamedTuple):
    """An amount as said: a value in a unit, a degree word, or nothing (all None: the default step).

    Attributes:
        value: Number in `unit`.
        unit: Name of the unit; None if the function takes none, or for the current unit.
        degree: "large", "little", "tiny" (steps) or "max", "high", "medium", "low", "min" (presets).
        void: `published` only: the published function does nothing and reports success.
    """

    value: Any = None
    unit: Any = None
    degree: Any = None
    void: bool = False

    @property
    def is_nothing(self) -> bool:
        """Whether no amount was said."""
        return self.value is None and self.degree is None


NOTHING = Amount()
VOID = Amount(void=True)


@dataclass(frozen=True, slots=True)
class AmountRules:
    """The published rules of one function.

    Attributes:
        alone: A value without unit or a unit without value: "error", "ignore" (as if neither were given), "void" (nothing
            happens, success), "current" (a value alone is in the current unit, a unit alone is ignored), "no value" (a value
            alone is an error, a unit alone is ignored) or "void unit" (a value alone is an error, for a unit alone nothing
            happens).
        both: A value or unit together with a degree: "error", "value" (a value with its unit wins) or "degree" (it wins).
    """

    alone: str = "error"
    both: str = "error"

    def read(self, bound: Mapping[str, Any]) -> Amount:
        """Return the amount that bound arguments say.

        Raises:
            Refusal: missing_argument or conflicting_arguments.
        """
        value, unit, degree = bound.get("value"), bound.get("unit"), bound.get("degree")
        whole = value is not None and (unit is not None or "unit" not in bound)
        if degree is not None:
            if value is None and unit is None:
                return Amount(None, None, degree)
            if self.both == "error":
                raise Refusal(
                    "conflicting_arguments", f"A value came with degree {degree!r}; give one or the other.", "degree"
                )
            return Amount(value, unit) if whole and self.both == "value" else Amount(None, None, degree)
        if whole:
            return Amount(value, unit)
        if value is None and unit is None:
            return NOTHING
        return self._incomplete(value)

    def _incomplete(self, value: Any) -> Amount:
        """Return the amount said by a value without its unit, or by a unit without a value."""
        alone = self.alone
        if alone == "error" or (value is not None and alone in ("no value", "void unit")):
            missing = "value" if value is None else "unit"
            raise Refusal("missing_argument", f"value and unit belong together; {missing} is missing.", missing)
        if alone in ("void", "void unit"):
            return VOID
        return Amount(value) if alone == "current" else NOTHING
