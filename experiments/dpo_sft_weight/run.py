"""DPO with and without the likelihood of the chosen plays in its loss: does the policy unlearn to play without it?

python -m experiments.dpo_sft_weight.run --work FOLDER --seeds 5 6 7 8 9
"""

from __future__ import annotations

import sys

from experiments.common.comparison import Arm, Experiment
from experiments.common.from_clones import main

_PLAYS = {"tasks_per_step": 16, "group_size": 8, "beta": 0.1, "epochs": 2}

EXPERIMENT = Experiment(
    name="dpo_sft_weight",
    recipe="textcraft_tiny_dpo.toml",
    tables={"horizon": {"rounds": [4], "interval": 1}},
    settings={},
    arms={
        "weight_0": Arm("dpo", {**_PLAYS, "sft_weight": 0.0}),
        "weight_0.2": Arm("dpo", {**_PLAYS, "sft_weight": 0.2}),
        "weight_1": Arm("dpo", {**_PLAYS, "sft_weight": 1.0}),
        "more_cloning": Arm("sft", {"episodes": 3000}, lr=6e-3, steps=375),
    },
    steps=20,
    tuning_steps=0,
    rates=(1e-3,),
    tasks_apart=100_000,
    pairs=(("weight_0.2", "weight_0"), ("weight_1", "weight_0.2"), ("weight_0.2", "more_cloning")),
    title="DPO with and without the likelihood of the chosen plays",
    about=(
        "For each seed one policy of about 0.1 M parameters is cloned from expert play (`recipes/textcraft_tiny_dpo.toml`) "
        "and trained on with DPO on its own plays: 20 rounds of 16 tasks, 8 plays each, at most 4 turns, rate 1e-3, beta .1. "
        "`sft_weight` scales the likelihood of the chosen plays in the loss (iterative RPO, arXiv:2404.19733); .2 is the "
        "default. `more_cloning` is the rival: one pass over 3,000 episodes of expert play on tasks that the clone has not "
        "seen. Success is on the same 400 test tasks, temperature 1, at most 8 turns.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
