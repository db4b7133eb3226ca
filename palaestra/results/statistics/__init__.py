"""Statistics of evaluations: intervals, tests, corrections. One home for each formula, with its source.

Samples of one task are not independent of each other. Every interval therefore takes clusters (the samples of a task) and
is as wide as they demand; with one sample per task it is the textbook interval.
"""

from palaestra.results.statistics.corrected import above_floor, noise_corrected
from palaestra.results.statistics.distributions import student_t_cdf, student_t_quantile
from palaestra.results.statistics.estimates import CONFIDENCE, Estimate, mean_interval, share_interval
from palaestra.results.statistics.paired import (
    PairedDifference,
    holm,
    mcnemar,
    paired_difference,
    paired_rates,
    sign_flips,
)
from palaestra.results.statistics.rates import pass_at_k, pass_hat_k, rate_estimate, wilson_interval
from palaestra.results.statistics.resampling import bca_interval, bootstrap_interval, wilcoxon_greater
from palaestra.results.statistics.scaling import mean_of

__all__ = [
    "CONFIDENCE",
    "Estimate",
    "PairedDifference",
    "above_floor",
    "bca_interval",
    "bootstrap_interval",
    "holm",
    "mcnemar",
    "mean_interval",
    "mean_of",
    "noise_corrected",
    "paired_difference",
    "paired_rates",
    "pass_at_k",
    "pass_hat_k",
    "rate_estimate",
    "share_interval",
    "sign_flips",
    "student_t_cdf",
    "student_t_quantile",
    "wilcoxon_greater",
    "wilson_interval",
]
