"""Writes the report of the noise experiment from its rows.

    python -m experiments.noise.report            # experiments/noise/*.jsonl -> experiments/noise/README.md

Differences are paired by seed (arms of a seed share map, base model, tasks and flips). Intervals are BCa bootstraps of the
mean difference, tests are one-sided signed ranks; over levels they are corrected after Holm. Seeds are the unit: the levels of
one seed share their randomness, so the pooled difference is averaged over levels within a seed first.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.common.rows import folder_of, read_rows
from experiments.noise.run import ARMS, CRITICS, SWEEP, ControlSize, FitSize
from palaestra.results.statistics import Estimate, bca_interval, holm, mean_interval, wilcoxon_greater

Row = Mapping[str, Any]
Measure = Callable[[Row], float]

MARGIN = 0.03  # of non-inferiority, area under the curve of success
FIT_MARGIN = 0.05  # R^2 that VRPO's critic may lose with little noise
POOLED = (0.2, 0.3, 0.4)
SEEDS_ASKED = 24
FIT_SEEDS_ASKED = 10


@dataclass(frozen=True)
class Comparison:
    """How much better one arm did than another on the same seeds.

    Attributes:
        estimate: Mean difference with its BCa interval.
        p_value: One-sided, of "not better".
    """

    estimate: Estimate
    p_value: float

    def __str__(self) -> str:
        """Difference with interval."""
        found = self.estimate
        if found.n == 0:
            return "-"
        if found.n == 1:
            return f"{found.mean:+.3f} (one seed)"
        return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"


def by_seed(rows: Sequence[Row], arm: str, rate: float, measure: Measure) -> dict[int, float]:
    """Return the measure of an arm at a level by seed."""
    return {row["seed"]: measure(row) for row in rows if row["arm"] == arm and row["rate"] == rate}


def differences(rows: Sequence[Row], arm: str, other: str, rate: float, measure: Measure) -> dict[int, float]:
    """Return arm minus other by seed, where both were run."""
    first, second = by_seed(rows, arm, rate, measure), by_seed(rows, other, rate, measure)
    return {seed: first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())}


def compare(values: Sequence[float]) -> Comparison:
    """Return the mean of paired differences with its interval and p-value."""
    return Comparison(bca_interval(values), wilcoxon_greater(values))


def pooled(rows: Sequence[Row], arm: str, other: str, rates: Sequence[float], measure: Measure) -> Comparison:
    """Compare two arms over several levels of equal weight; seeds that lack a level are left out."""
    found = [differences(rows, arm, other, rate, measure) for rate in rates]
    seeds = sorted(set.intersection(*(set(level) for level in found)))
    return compare([math.fsum(level[seed] for level in found) / len(found) for seed in seeds])


def auc(row: Row) -> float:
    """Area under the curve of clean success."""
    return float(row["auc"])


def last(row: Row) -> float:
    """Mean of the last three evaluations."""
    return float(row["last"])


def final_fit(row: Row) -> float:
    """R^2 after the last epoch."""
    return float(row["r2"][-1])


def best_epoch(rows: Sequence[Row], arm: str, rate: float) -> tuple[int, float]:
    """Return the epoch (from 1) at which the mean R^2 over seeds is highest, and that mean."""
    curves = [row["r2"] for row in rows if row["arm"] == arm and row["rate"] == rate]
    means = [sum(values) / len(values) for values in zip(*curves, strict=True)]
    best = max(range(len(means)), key=lambda epoch: means[epoch])
    return best + 1, means[best]


# -- verdicts --------------------------------------------------------------------------------------------------------


def fit_verdicts(rows: Sequence[Row], arm: str) -> list[str]:
    """State whether a critic keeps its value with little noise and is better with much."""
    lines = []
    for rate in sorted({row["rate"] for row in rows}):
        paired = differences(rows, arm, "plain", rate, final_fit)
        values, both = list(paired.values()), [row for row in rows if row["seed"] in paired]
        if not values:
            continue
        enough = len(values) >= FIT_SEEDS_ASKED
        if rate <= 0.2:
            gap = best_epoch(both, arm, rate)[1] - best_epoch(both, "plain", rate)[1]
            met = gap >= -FIT_MARGIN
            said = f"best-epoch R2 {gap:+.3f}, asked for at least -{FIT_MARGIN}"
        else:
            p_value = wilcoxon_greater(values)
            met = p_value < 0.01
            said = f"final R2 {math.fsum(values) / len(values):+.3f}, one-sided p = {p_value:.4f}, asked for p < .01"
        found = ("met" if met else "not met") if enough else f"no verdict: {len(values)} of {FIT_SEEDS_ASKED} seeds"
        lines.append(f"- {arm}, flips {rate:g}: {said}: **{found}**")
    return lines


def control_verdicts(rows: Sequence[Row], rates: Sequence[float]) -> list[str]:
    """State whether VRPO is no worse than PPO at every level, and better over the noisy ones."""
    found = {rate: compare(list(differences(rows, "vrpo", "ppo", rate, auc).values())) for rate in rates}
    together = pooled(rows, "vrpo", "ppo", POOLED, auc)
    fewest = min([comparison.estimate.n for comparison in found.values()] or [0])
    lows = [comparison.estimate.low for comparison in found.values()]
    no_worse = bool(lows) and all(low > -MARGIN for low in lows)
    better = together.estimate.mean > 0 and together.p_value < 0.05
    decided = fewest >= SEEDS_ASKED and together.estimate.n >= SEEDS_ASKED
    open_ = f"no verdict: {fewest} of {SEEDS_ASKED} seeds at the level with the fewest"
    worst = min(lows) if lows else math.nan
    return [
        f"- Non-inferiority (at every level the lower end of the interval above -{MARGIN}): lowest end {worst:+.3f}: "
        f"**{('met' if no_worse else 'not met') if decided else open_}**",
        f"- Superiority (pooled over {', '.join(f'{rate:g}' for rate in POOLED)}, p < .05): {together}, "
        f"p = {together.p_value:.3f}, {together.estimate.n} seeds: "
        f"**{('met' if better else 'not met') if decided else open_}**",
    ]


# -- tables ----------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """Return a Markdown table; numbers stand on the right."""
    rule = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(cells) + " |" for cells in (head, rule, *body)]


def mean_text(values: Sequence[float]) -> str:
    """Mean with standard deviation and number."""
    if not values:
        return "-"
    found = mean_interval([[value] for value in values])
    if len(values) == 1:
        return f"{found.mean:.3f} (1)"
    spread = math.sqrt(math.fsum((value - found.mean) ** 2 for value in values) / (len(values) - 1))
    return f"{found.mean:.3f} ± {spread:.3f} ({len(values)})"


def fit_section(rows: Sequence[Row]) -> list[str]:
    """Tables and verdicts of the value fit."""
    lines: list[str] = []
    for n in sorted({row["n"] for row in rows}, reverse=True):
        mine = [row for row in rows if row["n"] == n]
        rates = sorted({row["rate"] for row in mine})
        lines += [
            "",
            f"### {n} noisy episodes",
            "",
            "R² after the last epoch, mean ± standard deviation over seeds (number):",
            "",
        ]
        lines += table(
            ["critic", *(f"flips {rate:g}" for rate in rates)],
            [[arm, *(mean_text(list(by_seed(mine, arm, rate, final_fit).values())) for rate in rates)] for arm in CRITICS],
        )
        lines += ["", "Best epoch of the mean curve, and R² there:", ""]
        lines += table(
            ["critic", *(f"flips {rate:g}" for rate in rates)],
            [[arm, *(_best_text(mine, arm, rate) for rate in rates)] for arm in CRITICS],
        )
        lines += ["", "Paired difference from the plain critic after the last epoch, BCa 95 %, and p of signed ranks:", ""]
        body = []
        for arm in ("vib", "vrpo"):
            found = [compare(list(differences(mine, arm, "plain", rate, final_fit).values())) for rate in rates]
            body.append([arm, *(_with_p(one) for one in found)])
        lines += table(["critic", *(f"flips {rate:g}" for rate in rates)], body)
        lines += ["", *fit_verdicts(mine, "vrpo"), *fit_verdicts(mine, "vib")]
    return lines


def _with_p(found: Comparison) -> str:
    return f"{found}, p {found.p_value:.4f}" if found.estimate.n > 1 else str(found)


def _best_text(rows: Sequence[Row], arm: str, rate: float) -> str:
    if not by_seed(rows, arm, rate, final_fit):
        return "-"
    epoch, height = best_epoch(rows, arm, rate)
    return f"{height:.3f} (epoch {epoch})"


def control_section(rows: Sequence[Row]) -> list[str]:
    """Tables and verdicts of the control loop."""
    rates = sorted({row["rate"] for row in rows})
    lines: list[str] = []
    for title, measure in (("Area under the curve of clean success", auc), ("Mean of the last three evaluations", last)):
        lines += ["", f"{title}, mean ± standard deviation over seeds (number):", ""]
        lines += table(
            ["arm", *(f"flips {rate:g}" for rate in rates)],
            [[arm, *(mean_text(list(by_seed(rows, arm, rate, measure).values())) for rate in rates)] for arm in ARMS],
        )
    lines += [
        "",
        "Paired difference of the area from `ppo`, BCa 95 %; pooled over " + ", ".join(f"{r:g}" for r in POOLED) + ":",
        "",
    ]
    body = []
    for arm in ARMS:
        if arm != "ppo":
            cells = [str(compare(list(differences(rows, arm, "ppo", rate, auc).values()))) for rate in rates]
            body.append([arm, *cells, str(pooled(rows, arm, "ppo", POOLED, auc))])
    lines += table(["arm", *(f"flips {rate:g}" for rate in rates), "pooled"], body)
    raw = [compare(list(differences(rows, "vrpo", "ppo", rate, auc).values())).p_value for rate in rates]
    pairs = zip(rates, raw, holm(raw), strict=True)
    told = "; ".join(f"{rate:g}: p = {p:.3f}, Holm {adjusted:.3f}" for rate, p, adjusted in pairs)
    lines += ["", f"VRPO above PPO, one-sided signed ranks by level: {told}.", "", *control_verdicts(rows, rates)]
    costs = {arm: [row["cpu_s"] for row in rows if row["arm"] == arm] for arm in ARMS}
    means = ", ".join(f"{arm} {math.fsum(spent) / len(spent):.0f}" for arm, spent in costs.items() if spent)
    lines += ["", f"CPU-seconds per run (one thread, on cores that others were using too): {means}."]
    return lines


def sweep_section(rows: Sequence[Row]) -> list[str]:
    """Table of the sweep."""
    rates = sorted({row["rate"] for row in rows})
    body = [[arm, *(mean_text(list(by_seed(rows, arm, rate, auc).values())) for rate in rates)] for arm in SWEEP]
    return ["", *table(["setting", *(f"flips {rate:g}" for rate in rates)], body)]


INTRODUCTION = """
Is VRPO never worse than PPO, and better under reward noise? `python -m experiments.noise.report` writes this page
from the rows in `experiments/noise/*.jsonl`; every finished run is there.

FeedbackKeys (K = 4 turns, 6 keys, 3 actions) and a transformer of 60 thousand weights that has read random play. The
score s of a training episode is paid as 1 - s with the probability at the head of the column, each episode for itself;
evaluation is clean. A seed decides map, base model, tasks, sampled actions and flips, the same in all arms and at all
levels.

State: value fit {num_fit} runs ({cpu_fit:.0f} CPU-s), control loop {num_control} runs ({cpu_control:.0f} CPU-s), sweep
{num_sweep} runs ({cpu_sweep:.0f} CPU-s).
"""

INCOMPLETE = """
**The control loop is incomplete.** All levels are there for PPO and VRPO with {pairs} seeds, for all arms with {done}.
Asked for are {asked}; of arms with fewer nothing is claimed. To go on:

    python -m experiments.noise.run control --seeds 0-23
    python -m experiments.noise.report
"""

ANSWER = """
## Answer

In control, from the tables of B (the value fit has verdicts of its own in A):

"""

FIT = """
## A. Value fit

Critics trained for {epochs} epochs (rate 5e-4, batches of {batch_size}, warm-up 20, clip 1, standardised targets) on
flipped scores of random play; R² against the exact value of the noisy score, V (1 - 2 rate) + rate, on {test_episodes}
fresh episodes. `plain`: PPO's critic. `vib`: the bottleneck alone, beta 3e-3. `vrpo`: with both auxiliary losses. Again:
`python -m experiments.noise.run fit --seeds 0-9`.

The best epoch is chosen with the exact value in hand, which nobody has: it shows what perfect early stopping would give.
"""

CONTROL = """
## B. Control loop

Critics pre-trained on {trained} noisy episodes x {pretrain_epochs} epochs in batches of {episodes} (all epochs;
`ppo_early` stops by a further {held}, as noisy), then {steps} iterations x {episodes} episodes; 3 policy and 4 critic
epochs, rates 1e-3, lambda .95, gamma 1, entropy .02. Clean success on {evaluation_episodes} episodes, before and after
every {evaluate_every} iterations.

`vrpo`: beta 1e-2, lambda_H .003, lambda_P .001. `vib_only`, `aux_only`: its halves. `ppo_decay`: weight decay .1 in the
critic. `grpo`: groups of 8, 2 epochs, no critic. `ppo_exact`: the exact value in place of a critic. `ppo_debiased`:
debiased scores; not run at 0, where it is `ppo`. Debiasing a flip is an affine change of the score, and standardised
targets with whitened advantages undo affine changes: but for rounding, which training amplifies, this arm is `ppo`, and
shows how far rounding alone leads.
"""

SWEPT = """
## Sweep

Seven settings of each side, on seeds that the tables above never use; no arm above was changed after it. Again: `python
-m experiments.noise.run sweep --seeds 1000-1003`.
"""

REMARKS = """
## What it shows, and what not

Said of 24 seeds of every arm, 10 of each critic and 4 of each setting of the sweep:

- VRPO's critic believes lies less: fitted to 2,048 noisy episodes it is better at .3 and .4 and no worse below, with every
  verdict met; with 512 episodes at .4 only.
- In control that does not become a better policy. Pooled over the noisy levels the two are alike within .02 of area. Without
  noise VRPO is a little ahead (.004), at .3 it is behind, by .034, and that interval lies below 0; at .4 it is ahead by less
  than chance can give. So "never worse" does not hold here.
- The sweep, four seeds at .3, had the settings used above as the best of seven on both sides, VRPO's ahead of PPO's (.765,
  .728). On 24 other seeds the order is the other way round: four seeds say little where a seed moves the area by .1.
- At .3 it is the auxiliary losses that cost: alone (`aux_only`) they are behind by as much as both together, the bottleneck
  alone is not. No half of VRPO is ahead of PPO anywhere. Weight decay in PPO's critic, which costs nothing, does no worse.
- There is little room for any critic here: with the exact value in its place (`ppo_exact`) PPO gains .04 at .4, nothing that
  24 seeds could show elsewhere, and nothing pooled. Whether a better critic pays where values are harder to learn (longer
  episodes, larger models, fewer episodes to learn from) this experiment cannot say.
- Groups without a critic (`grpo`) learn more slowly here at every level. `ppo_debiased` is `ppo` but for rounding, and its
  differences show how far rounding alone leads.
"""

READING = """
## Reading the intervals

BCa intervals of fewer than about ten pairs are too narrow, and signed ranks of n pairs cannot fall below 2^-n. Verdicts
need {control} seeds per level (value fit: {fit}) and are withheld below. The pooled difference averages the levels of a
seed first, because they share their randomness.
"""


def report(fit: Sequence[Row], control: Sequence[Row], sweep: Sequence[Row]) -> str:
    """Return the whole page."""
    size = ControlSize()
    parts = {"fit": fit, "control": control, "sweep": sweep}
    counts = {f"num_{name}": len(rows) for name, rows in parts.items()}
    costs = {f"cpu_{name}": math.fsum(row["cpu_s"] for row in rows) for name, rows in parts.items()}
    done, pairs = len(complete_seeds(control, tuple(ARMS))), len(complete_seeds(control, ("ppo", "vrpo")))
    held = size.pretrain_episodes // 5
    page = "# Reward noise: VRPO against PPO\n" + INTRODUCTION.format(**counts, **costs)
    if done < SEEDS_ASKED:
        page += INCOMPLETE.format(done=done, pairs=pairs, asked=SEEDS_ASKED)
    if control:
        page += ANSWER + _lines(control_verdicts(control, sorted({row["rate"] for row in control})))
    page += FIT.format(**asdict(FitSize())) + _lines(fit_section(fit) if fit else ["", "Not run yet."])
    page += CONTROL.format(**asdict(size), trained=size.pretrain_episodes - held, held=held)
    page += _lines(control_section(control) if control else ["", "Not run yet."])
    page += SWEPT + _lines(sweep_section(sweep) if sweep else ["", "Not run yet."])
    if pairs >= SEEDS_ASKED and fit and sweep:
        page += REMARKS
    return page + READING.format(control=SEEDS_ASKED, fit=FIT_SEEDS_ASKED)


def _lines(lines: Sequence[str]) -> str:
    return "".join(line + "\n" for line in lines)


def complete_seeds(rows: Sequence[Row], arms: Sequence[str]) -> list[int]:
    """Seeds with each of these arms at every level that was begun."""
    rates = {row["rate"] for row in rows}
    wanted = {(arm, rate) for arm in arms for rate in rates if not (arm == "ppo_debiased" and rate == 0)}
    seeds = sorted({row["seed"] for row in rows})
    return [s for s in seeds if wanted <= {(row["arm"], row["rate"]) for row in rows if row["seed"] == s}]


def main(arguments: list[str] | None = None) -> int:
    """Write the report."""
    parser = argparse.ArgumentParser(description="Report of the noise experiment.")
    parser.add_argument(
        "--rows", type=Path, default=folder_of("noise"), help="folder of fit.jsonl, control.jsonl, sweep.jsonl"
    )
    parser.add_argument("--out", type=Path, default=folder_of("noise") / "README.md")
    options = parser.parse_args(arguments)
    parts = [read_rows(options.rows / f"{part}.jsonl") for part in ("fit", "control", "sweep")]
    options.out.write_text(report(*parts), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
