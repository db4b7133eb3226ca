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
        "seen. Success is on the same 400 test tasks, temperature 1, at most 8 turns. Nothing was chosen on any seed: the "
        "settings are the recipe's and the defaults.",
    ),
    remarks=(
        "Without the likelihood the policy unlearns to play, with each of the five seeds: .2 % are left of the clones' "
        "21.3 %, and with four of them nothing. The loss asks for a difference of likelihoods alone, so that both may fall "
        "(arXiv:2404.19733). With the default weight of .2 it stays what it was, +2.9 points [-2.3, 8.1], and a "
        "weight of 1 is no better on average (-.2 [-10.6, 10.3]): it gains more with four seeds and loses 18.5 points with "
        "the fifth.",
        "DPO on the policy's own plays is not what this compute should be spent on here: 375 updates of cloning gain 24.9 "
        "points [13.9, 35.8] in about 27 CPU seconds, DPO with the default weight 21.9 fewer [13.8, 30.1] in about 108.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
