"""p-values as pages show them."""

from __future__ import annotations

import math


def p_text(value: float) -> str:
    """Return a p-value with three decimals; one below is `< .001`, one that could not be had is empty."""
    if not math.isfinite(value):
        return ""
    return "< .001" if value < 0.001 else f"{value:.3f}"


__all__ = ["p_text"]
