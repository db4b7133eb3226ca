"""A growing horizon against fixed ones, on TextCraft, at equal turns.

python -m experiments.textcraft_horizons.run --work FOLDER
"""

from __future__ import annotations

import sys

from experiments.common.comparison import GROUPS, Arm, Experiment
from experiments.common.from_clones import main

EXPERIMENT = Experiment(
    name="textcraft_horizons",
    recipe="textcraft_tiny.toml",
    tables={"evaluation": {"curve_n": 100}},
    settings={**GROUPS, "epochs": 2, "warmup_updates": 10, "beta2": 0.95},
    arms={
        "fixed_4": Arm("grpo", {}, {"horizon": {"rounds": [4], "interval": 1}, "evaluation": {"every": 26}}),
        "fixed_8": Arm("grpo", {}, {"horizon": {"rounds": [8], "interval": 1}, "evaluation": {"every": 14}}),
        "growing": Arm("grpo", {}, {"horizon": {"rounds": [4, 6, 8], "interval": 30}, "evaluation": {"every": 18}}),
    },
    steps=400,
    tuning_steps=0,
    rates=(1e-3,),
    env_steps=16_000,
    pairs=(("growing", "fixed_8"), ("growing", "fixed_4")),
    title="A growing horizon against fixed ones, on TextCraft",
    about=(
        "For each seed one policy of about 0.1 M parameters is cloned from expert play (`recipes/textcraft_tiny.toml`) and "
        "trained on with GRPO: with at most 4 turns per episode, with at most 8, and with 4, then 6, then 8 (30 training "
        "steps per stage). Every run ends with the step in which its episodes have had 16,000 turns together; short episodes "
        "cost less, so arms with short horizons make more updates. All are evaluated with 8 turns on the same 400 test tasks.",
    ),
    remarks=(
        "A negative result for the growing horizon: it ends behind the short one, and no better than the long one.",
        "Hardly any run solves a task of depth 2, which the clones do not solve either. What is left to learn fits into four "
        "turns, so longer episodes only cost turns. The same is asked of clones that solve some in "
        "`textcraft_horizons_deep`.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
