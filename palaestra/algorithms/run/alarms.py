"""Watchdog and alarms of a training loop: the signs of a collapse, and what the logged metrics say.

`CollapseWatchdog` keeps a little state, saved with the checkpoint, so that a resumed run continues as if it had not been
killed. Alarms are a function of the metrics logged so far, which a resumed run reads back.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from statistics import fmean, median, pvariance

from palaestra.types import Json

SOLVED = 0.9  # with this success a policy without spread and entropy is done, not collapsed, and rises no further


class CollapseWatchdog:
    """Notices when a policy collapses: the spread within groups goes first, then the entropy.

    It fires when, over the last steps, the mean spread is below a quarter of its running maximum AND either the mean
    entropy is below a quarter of what it was at `baseline_step`, or the mean return is below a quarter of its own running
    maximum. The second sign is ours: a policy that a far too large step turned into noise has *more* entropy than before.

    Args:
        share: The quarter.
        baseline_step: Step whose entropy is the yardstick.
        window: Steps that are averaged, so that one unlucky batch raises no alarm.

    Source: specs of the project; the order of the signs as reported in Wang et al. 2025, RAGEN (arXiv:2504.20073).
    """

    def __init__(self, *, share: float = 0.25, baseline_step: int = 10, window: int = 3) -> None:
        """Start without a record."""
        self.share = share
        self.baseline_step = baseline_step
        self.max_spread = 0.0
        self.baseline_entropy: float | None = None
        self.max_return = 0.0
        self._return: deque[float] = deque(maxlen=window)
        self._spread: deque[float] = deque(maxlen=window)
        self._entropy: deque[float] = deque(maxlen=window)

    def observe(self, step: int, *, spread: float, entropy: float, return_: float | None = None) -> bool:
        """Take in one step and return whether the policy has collapsed.

        Args:
            step: Training step, from 1.
            spread: Mean standard deviation of returns within groups.
            entropy: Mean entropy per action token, nats.
            return_: Mean return; None leaves the second sign out.
        """
        self._spread.append(spread)
        self._entropy.append(entropy)
        mean_spread = sum(self._spread) / len(self._spread)
        self.max_spread = max(self.max_spread, mean_spread)
        has_fallen = False
        if return_ is not None:
            self._return.append(return_)
            mean_return = sum(self._return) / len(self._return)
            self.max_return = max(self.max_return, mean_return)
            has_fallen = mean_return < self.share * self.max_return
        if self.baseline_entropy is None:
            if step >= self.baseline_step:
                self.baseline_entropy = entropy
            return False
        mean_entropy = sum(self._entropy) / len(self._entropy)
        is_certain = mean_entropy < self.share * self.baseline_entropy
        return mean_spread < self.share * self.max_spread and (is_certain or has_fallen)

    def state(self) -> dict[str, Json]:
        """Return the record."""
        return {
            "max_spread": self.max_spread,
            "max_return": self.max_return,
            "return": list(self._return),
            "baseline_entropy": self.baseline_entropy,
            "spread": list(self._spread),
            "entropy": list(self._entropy),
        }

    def load(self, state: Mapping[str, Json]) -> None:
        """Continue from `state()`."""
        self.max_spread = float(state["max_spread"])
        self.max_return = float(state["max_return"])
        self._return.extend(state["return"])
        self.baseline_entropy = state["baseline_entropy"]
        self._spread.extend(state["spread"])
        self._entropy.extend(state["entropy"])


ALARM_TEXTS: Mapping[str, str] = {
    "alarm_grad_norm": "The gradient norm stays 10 times what it was; lower lr, or look at what the phase learns from.",
    "alarm_critic_grad_norm": "The critic's gradient norm stays 10 times what it was; lower its lr, or look at the returns.",
    "alarm_truncated": "Many more episodes are cut off by a limit; raise max_turns, max_tokens_per_turn or max_positions.",
    "alarm_drift": "The sampler's log-probs leave the trainer's; check weights and temperature of the sampler.",
    "alarm_stale": "Many tokens are too old to count; lower max_staleness or play more episodes at once.",
    "alarm_not_finite": "Losses, gradients, rewards or log-probs were not finite and were left out.",
    "alarm_errors": "More than a quarter of the episodes ended in an error; they are left out of every mean.",
    "alarm_no_signal": "Nothing could be learned in 5 steps in a row; choose easier tasks, larger groups or a better start.",
    "alarm_entropy": "The policy says ever more at random; lower lr or entropy_coefficient, or add kl.coefficient.",
    "alarm_invalid": "Ever more actions are refused; look at the transcripts, lower lr, or add kl.coefficient.",
    "alarm_groups_equal": "Most groups are all equal and teach nothing; drop_equal_groups with max_refills, or other tasks.",
    "alarm_plateau": "The return has not risen for 50 steps; stop, or change tasks, horizon or rate.",
    "alarm_collapse": "Policy or value model have collapsed; lower lr, or raise entropy_coefficient or kl.coefficient.",
}
"""What each alarm means and what to do."""


class Alarms:
    """Judges the logged metrics of each step of a phase; works for every algorithm that logs the usual names.

    | alarm | rings when |
    |---|---|
    | `alarm_grad_norm`, `alarm_critic_grad_norm` | the norm is above 10 times the median of 32 steps, twice in a row |
    | `alarm_truncated` | the share of episodes that a limit cut off, over 8 steps, rose by .3 over its lowest |
    | `alarm_drift` | sampler and trainer differ by more than .02 nats a token and 5 times the median, or by .2 |
    | `alarm_stale` | tokens or episodes were too old to count: more than a tenth of them |
    | `alarm_not_finite` | a loss or gradient was not finite, or rewards or log-probs were left out for it |
    | `alarm_errors` | more than a quarter of the episodes ended in an error |
    | `alarm_no_signal` | nothing could be learned in 5 steps in a row |
    | `alarm_entropy` | entropy over 8 steps is above 2.5 times its lowest, and .2 nats a token above it |
    | `alarm_invalid` | the share of refused actions over 16 steps rose by .1 over its lowest |
    | `alarm_groups_equal` | more than .8 of the groups were all equal over 8 steps, and success is below .9 |
    | `alarm_plateau` | the return over 25 steps is not higher than 50 steps before or earlier, and success is below .9 |
    | `alarm_collapse` | `CollapseWatchdog` saw a collapse, or a value model's latent says nothing any more |

    Only alarms whose metrics are logged are returned.
    """

    WINDOW = 32
    """Steps whose median is the yardstick of a norm."""
    WARMUP = 10
    """Steps before a median says anything."""

    def __init__(self) -> None:
        """Start without a record."""
        self._past: dict[str, deque[float]] = {}
        self._lowest_cut = math.inf
        self._silent = 0
        self._lowest: dict[str, float] = {}  # lowest mean over a window that a metric has had
        self._plateau = _Plateau()
        self._far: dict[str, int] = {}  # steps in a row in which a metric was far above its median
        self.rung: dict[str, int] = {}
        self.first: dict[str, int] = {}

    def observe(self, step: int, metrics: Mapping[str, float | None]) -> dict[str, float]:
        """Take in one step; return 1.0 or 0.0 by alarm.

        Args:
            step: Training step.
            metrics: As logged; None stands for a number that is not finite.
        """
        found: dict[str, float] = {}
        known = {
            name: float(value) if value is not None and math.isfinite(value) else math.nan for name, value in metrics.items()
        }
        for name, judge in self._judges().items():
            rings = judge(known)
            if rings is None:
                continue
            found[name] = float(rings)
            if rings:
                self.rung[name] = self.rung.get(name, 0) + 1
                self.first.setdefault(name, step)
        return found

    def _judges(self) -> dict[str, Callable[[Mapping[str, float]], bool | None]]:
        """Return the test of each alarm: True, False, or None where the metrics it needs are not logged."""
        return {
            "alarm_grad_norm": lambda m: self._far_above_median("grad_norm", m, times=10.0, in_a_row=2),
            "alarm_critic_grad_norm": lambda m: self._far_above_median("critic_grad_norm", m, times=10.0, in_a_row=2),
            "alarm_truncated": self._is_cut_more,
            "alarm_drift": self._drifts,
            "alarm_stale": _is_stale,
            "alarm_not_finite": _is_not_finite,
            "alarm_errors": _has_errors,
            "alarm_no_signal": self._is_silent,
            "alarm_entropy": self._grows_random,
            "alarm_invalid": self._is_refused_more,
            "alarm_groups_equal": self._has_equal_groups,
            "alarm_plateau": self._plateau.observe,
            "alarm_collapse": _has_collapsed,
        }

    def _far_above_median(
        self, name: str, metrics: Mapping[str, float], *, times: float, floor: float = 0.0, in_a_row: int = 1
    ) -> bool | None:
        """Whether a metric is many times what it has been, for some steps in a row."""
        value = metrics.get(name)
        if value is None:
            return None
        past = self._past.setdefault(name, deque(maxlen=self.WINDOW))
        is_far = len(past) >= self.WARMUP and value > max(floor, times * median(past))
        self._far[name] = self._far.get(name, 0) + 1 if is_far else 0
        if math.isfinite(value):
            past.append(value)
        return self._far[name] >= in_a_row

    def _is_cut_more(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether limits cut off many more episodes than they did."""
        if "truncated_rounds" not in metrics:
            return None
        past = self._past.setdefault("truncated", deque(maxlen=8))
        past.append(metrics["truncated_rounds"] + metrics.get("truncated_tokens", 0.0))
        if len(past) < 8:
            return False
        mean = sum(past) / len(past)
        self._lowest_cut = min(self._lowest_cut, mean)
        return mean > self._lowest_cut + 0.3

    def _drifts(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether the sampler's log-probs leave the trainer's."""
        grown = self._far_above_median("drift_mean", metrics, times=5.0, floor=0.02)
        return grown if grown is None else grown or metrics["drift_mean"] > 0.2

    def _is_silent(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether there was nothing to learn for a while."""
        if "no_signal" not in metrics:
            return None
        self._silent = self._silent + 1 if metrics["no_signal"] else 0
        return self._silent >= 5

    def _over_its_lowest(self, name: str, metrics: Mapping[str, float], window: int) -> tuple[float, float] | None:
        """Return the mean of a metric over some steps and its lowest one so far; 0 and 0 before the window is full."""
        if name not in metrics:
            return None
        mean = self._windowed(name, metrics[name], window)
        if mean is None:
            return 0.0, 0.0
        self._lowest[name] = min(self._lowest.get(name, math.inf), mean)
        return mean, self._lowest[name]

    def _windowed(self, name: str, value: float, window: int) -> float | None:
        """Return the mean over the last steps that measured something; None before there are enough of them."""
        past = self._past.setdefault(f"{name}/{window}", deque(maxlen=window))
        if math.isfinite(value):
            past.append(value)
        return fmean(past) if len(past) == window else None

    def _grows_random(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether the entropy of what was sampled has left its lowest level far behind."""
        found = self._over_its_lowest("entropy_sampled", metrics, 8)
        return found if found is None else found[0] > max(2.5 * found[1], found[1] + 0.2)

    def _is_refused_more(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether the environment refuses many more actions than it did."""
        found = self._over_its_lowest("invalid_actions", metrics, 16)
        return found if found is None else found[0] > found[1] + 0.1

    def _has_equal_groups(self, metrics: Mapping[str, float]) -> bool | None:
        """Whether most groups teach nothing, for another reason than that all is solved."""
        if "groups_equal" not in metrics:
            return None
        share = self._windowed("groups_equal", metrics["groups_equal"], 8)
        success = self._windowed("success", metrics.get("success", 0.0), 8)
        return share is not None and share > 0.8 and (success is None or success < SOLVED)


class _Plateau:
    """Whether the return has stopped rising: its mean over some steps is within its error of the best that is much older."""

    WINDOW = 25
    """Steps that are averaged."""
    AGE = 50
    """Steps ago at which the means ended that are compared with."""

    def __init__(self) -> None:
        """Start without a record."""
        self._return: deque[float] = deque(maxlen=self.WINDOW)
        self._success: deque[float] = deque(maxlen=self.WINDOW)
        self._means: deque[float] = deque(maxlen=self.AGE)  # of the windows that ended in the last steps
        self._best: float | None = None  # of those that ended before

    def observe(self, metrics: Mapping[str, float]) -> bool | None:
        """Take in a step; None where there is no return."""
        if "return_mean" not in metrics:
            return None
        if not math.isfinite(metrics["return_mean"]):
            return False
        self._return.append(metrics["return_mean"])
        self._success.append(metrics.get("success", 0.0))
        if len(self._return) < self.WINDOW:
            return False
        if len(self._means) == self.AGE:
            self._best = self._means[0] if self._best is None else max(self._best, self._means[0])
        mean = fmean(self._return)
        self._means.append(mean)
        if self._best is None or fmean(self._success) >= SOLVED:
            return False
        error = math.sqrt(2.0 * pvariance(self._return) / self.WINDOW)  # of the difference of two such means
        return mean <= self._best + error


def _is_stale(metrics: Mapping[str, float]) -> bool | None:
    """Whether many tokens or episodes were too old to count."""
    if "stale_tokens" not in metrics and "stale_episodes" not in metrics:
        return None
    share = metrics.get("stale_episodes", 0.0) / max(1.0, metrics.get("episodes", 1.0))
    return max(metrics.get("stale_tokens", 0.0), share) > 0.1


def _is_not_finite(metrics: Mapping[str, float]) -> bool | None:
    """Whether something was no number."""
    counts = ("skipped", "critic_skipped", "excluded_rewards", "missing_log_probs")
    numbers = ("loss", "grad_norm", "critic_loss", "critic_grad_norm")
    if not any(name in metrics for name in (*counts, *numbers)):
        return None
    return any(metrics.get(name, 0.0) > 0 for name in counts) or any(
        not math.isfinite(metrics.get(name, 0.0)) for name in numbers
    )


def _has_errors(metrics: Mapping[str, float]) -> bool | None:
    """Whether many episodes ended in an error."""
    if "errors" not in metrics:
        return None
    return metrics["errors"] > 0.25 * metrics.get("episodes", 0.0)


def _has_collapsed(metrics: Mapping[str, float]) -> bool | None:
    """Whether policy or value model are known to have collapsed."""
    if "collapsed" not in metrics and "latent_collapsed" not in metrics:
        return None
    return bool(metrics.get("collapsed") or metrics.get("latent_collapsed"))
