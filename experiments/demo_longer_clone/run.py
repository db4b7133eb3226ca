"""The demo's question asked of a clone that was cloned twice as long: does GRPO add to that one?

python -m experiments.demo_longer_clone.run --work FOLDER --seeds 0 1 2 3 4 --untuned
"""

from __future__ import annotations

import sys

from experiments.common.comparison import Arm, Experiment
from experiments.common.from_clones import main

EXPERIMENT = Experiment(
    name="demo_longer_clone",
    recipe="demo.toml",
    tables={"sft": {"episodes": 15_500}},
    settings={"epochs": 2, "warmup_updates": 10, "beta2": 0.95},
    arms={
        "more_cloning": Arm("sft", {"episodes": 7500, "epochs": 2}, lr=9e-3, steps=938),
        "grpo": Arm(
            "grpo",
            {
                "tasks_per_step": 8,
                "group_size": 8,
                "decay": "linear",
                "kl": {"coefficient": 0.02},
                "sampling": {"drop_equal_groups": True, "max_refills": 1},
            },
            {"horizon": {"rounds": [4, 6], "interval": 25}},
        ),
    },
    steps=50,
    tuning_steps=0,
    rates=(2e-3,),
    tasks_apart=100_000,
    pairs=(("grpo", "more_cloning"),),
    title="The demo from a clone that was cloned longer",
    about=(
        "The demo's tasks, policy and test (`recipes/demo.toml`), with a clone of 15,500 episodes instead of 8,000, "
        "read twice in one run of cloning: about the episodes of the demo's arm that is cloned on. From it begin GRPO "
        "with the demo's settings, and more cloning: 938 updates on 7,500 episodes of tasks that the clone has not "
        "seen, with a new optimiser. Success on the same 400 test tasks, temperature 1, at most 8 turns. The test tasks "
        "ask for 19 goals, so that intervals of one run are wider than Wilson's, which take tasks for independent; "
        "those over seeds take each seed for one observation.",
    ),
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
