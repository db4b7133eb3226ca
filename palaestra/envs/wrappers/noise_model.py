"""Models of reward noise: what happens to the return of an episode, given chance.

`NoiseModel` is the one place where the kinds of noise are written down. `RewardNoise` applies it inside an environment, the
table `[noise]` of a recipe to the episodes that are trained on, and the benchmarks to whole batches.

Papers:
    VRPO (arXiv:2508.03058): the noise models of its robustness study, in our form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from palaestra.errors import ConfigError, unknown_name

NoiseMode = Literal["flip", "label", "gaussian", "judge"]


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """A kind of noise and its strength.

    With s the return of an episode and s' what is paid instead:

    * "flip": s' = 1 - s with probability `rate`, independently for each episode.
    * "label": the same, but the caller draws once per task: wrong labels.
    * "gaussian": s' = s + N(0, rate^2).
    * "judge": s' is 1 or 0: a solved episode gets 1 with probability 1 - `miss_rate`, another one with probability
      `false_rate`; plus `length_bias` for every 10 units of length.

    Attributes:
        mode: Kind of noise.
        rate: Strength in [0, 1]; for "gaussian" a standard deviation >= 0 in units of the return.
        miss_rate: "judge": share of solved episodes called wrong; `rate` if None.
        false_rate: "judge": share of unsolved episodes called right; `rate` if None.
        length_bias: "judge": added per 10 words or tokens of the agent, whatever the caller counts.
    """

    mode: NoiseMode = "flip"
    rate: float = 0.1
    miss_rate: float | None = None
    false_rate: float | None = None
    length_bias: float = 0.0

    def __post_init__(self) -> None:
        """Check mode and rates."""
        if self.mode not in get_args(NoiseMode):
            raise unknown_name("noise mode", self.mode, get_args(NoiseMode))
        top = float("inf") if self.mode == "gaussian" else 1.0
        rates = (("rate", self.rate, top), ("miss_rate", self.miss_rate, 1.0), ("false_rate", self.false_rate, 1.0))
        for name, value, most in rates:
            if value is not None and not (isinstance(value, (int, float)) and 0 <= value <= most):
                raise ConfigError(f"{name} is {value!r}; expected a number from 0 to {most:g}.")

    @property
    def false_negative(self) -> float:
        """Probability that a success is paid as a failure."""
        return self.rate if self.mode != "judge" or self.miss_rate is None else self.miss_rate

    @property
    def false_positive(self) -> float:
        """Probability that a failure is paid as a success."""
        return self.rate if self.mode != "judge" or self.false_rate is None else self.false_rate

    def noise(self, rng: np.random.Generator, return_: Any, *, success: Any = False, length: Any = 0.0) -> Any:
        """Return the noise on returns, s' - s.

        Args:
            rng: Chance; as many numbers are drawn as there are returns.
            return_: s: a number, or an array of any shape.
            success: Whether each episode was solved; only "judge" asks.
            length: Length of what the agent wrote; only "judge" with a length bias asks.

        Returns:
            A number or an array like `return_`; NaN where the return is NaN.
        """
        shape = np.shape(return_)
        if self.mode == "gaussian":
            return rng.normal(0.0, self.rate, shape) + 0.0 * np.asarray(return_)
        drawn = rng.random(shape)
        if self.mode == "judge":
            verdict = drawn < np.where(success, 1.0 - self.false_negative, self.false_positive)
            return verdict + self.length_bias * np.asarray(length) / 10 - return_
        return np.where(drawn < self.rate, 1.0 - 2.0 * np.asarray(return_), 0.0 * np.asarray(return_))


__all__ = ["NoiseMode", "NoiseModel"]
