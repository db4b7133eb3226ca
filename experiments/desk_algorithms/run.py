"""Algorithms, and rewards per turn, on the desk: does success rise on requests never trained on?

python -m experiments.desk_algorithms.run --work FOLDER
"""

from __future__ import annotations

import sys

from experiments.common.comparison import CRITIC, GROUPS, OUTCOME_ARMS, SINGLES, Arm, Experiment
from experiments.common.from_clones import main

SHAPED = {"env": {"shaping": 0.5}}
TURN_LEVEL = {"level": "turn", "gamma": 0.99, "lam_policy": 0.9, "critic": CRITIC}

EXPERIMENT = Experiment(
    name="desk_algorithms",
    recipe="desk_tiny.toml",
    tables={"env": {"max_turns": 8, "difficulty": "easy"}, "sft": {"batch_size": 8, "lr": 4e-3}},
    settings={"epochs": 2, "warmup_updates": 10, "beta2": 0.95},
    arms={
        **OUTCOME_ARMS,
        "turn_ppo": Arm("ppo", {**SINGLES, **TURN_LEVEL}),
        "turn_ppo_shaped": Arm("ppo", {**SINGLES, **TURN_LEVEL}, SHAPED),
        "turn_rloo_shaped": Arm("turn_rloo", {**GROUPS, "aggregation": "token_mean"}, SHAPED),
    },
    steps=120,
    tuning_steps=20,
    rates=(3e-4, 1e-3),
    bar=0.10,
    pairs=(("turn_ppo_shaped", "turn_ppo"), ("turn_ppo_shaped", "ppo"), ("turn_rloo_shaped", "grpo")),
    title="Algorithms, and rewards per turn, on the easy desk",
    about=(
        "For each seed one policy is cloned from expert play (`recipes/desk_tiny.toml`, on the easy desk) and trained on by "
        "every algorithm with the reward at the end alone, and by two of them with `shaping = 0.5` (`shaped`): half of every "
        "share of resolved differences is paid in the turn that resolves them and taken back at the end, so that returns, "
        "and what is best, are the same. "
        "`turn_ppo` values turns and not tokens; with it the reward can be told from the algorithm. Success is the "
        "outcome's, on 200 test requests, temperature 1, at most 8 turns.",
        "What to expect: without discount, a shaped reward changes an advantage against a leave-one-out baseline only by "
        "something that depends on the state before the turn, so `turn_rloo_shaped` has the same gradient on average and "
        "another variance; with traces below 1 and a critic that has still to learn, PPO is told of progress at once.",
    ),
    remarks=(
        "Three runs at 1e-3, the rate that suits policies of this size on TextCraft, came first: with it GRPO and PPO made "
        "the clone of seed 0 worse. So rates were tuned, from a lower one on, before anything else was run.",
        "Then three runs of 40 steps at the tuned rate, on seed 0: none gained 10 points, and the success on training tasks "
        "had hardly moved. So all runs were made three times longer, as on TextCraft; nothing else was changed.",
        "The ten points are not reached: five of seven arms gain them on seed 0, none on seeds 1 and 2, and every interval "
        "over seeds holds 0. Cloning three times with the same settings gives three policies that differ by more than any "
        "training moves them. That of seed 0 does four types of task half of the time, and these rise; that of seed 1 has two "
        "types in hand and hardly ever does two others, so there is little success to learn from; that of seed 2 does nearly "
        "everything that any of them can do. Copying an address into an answer (ask_email) none can, before or after.",
        "Rewards per turn: no difference that three seeds could show. `turn_ppo_shaped` has the highest mean, 2.8 points "
        "above `turn_ppo` [-7.1, 12.8] and 5.2 above `ppo` [-11.7, 22.0]; `turn_rloo_shaped` is no better than `grpo`, as "
        "expected. Whether dense rewards help here would take more seeds, and clones that are neither stuck nor done.",
        "On seed 0 GRPO's entropy rose tenfold and its messages grew (twice the tokens of other arms; an alarm said so); it "
        "stayed that way, and success rose all the same.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
