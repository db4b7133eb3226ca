"""What `real_environments` compares: environments, clones, arms and their settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Arm:
    """One way to train on from the clone.

    Attributes:
        algorithm: Its name.
        settings: Of its table, beside those of the experiment.
        tables: Other tables of the recipe, as far as they differ from those of the experiment.
    """

    algorithm: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Experiment:
    """What is compared.

    Attributes:
        name: Of the raw file and of the page.
        recipe: File whose environment, model and cloning are used.
        tables: Tables that replace or extend those of the recipe.
        settings: Of every arm's table.
        arms: By name.
        steps: Training steps of a reported run.
        tuning_steps: Training steps of a tuning run.
        rates: Grid of learning rates; the first is taken where nothing was tuned: the default for tiny models. With one
            rate there is nothing to tune.
        tuning_seed: Seed of the tuning runs.
        bar: Gain over the clone that is asked for.
        env_steps: Turns that each run plays, where arms are compared at equal turns; its curve of test success is kept.
        pairs: Arms that are compared seed by seed: which, with which.
        title: Of the page.
        about: Its first paragraphs.
        remarks: What it shows, and what not.
    """

    name: str
    recipe: str
    tables: Mapping[str, Mapping[str, Any]]
    settings: Mapping[str, Any]
    arms: Mapping[str, Arm]
    steps: int
    tuning_steps: int
    rates: tuple[float, ...]
    tuning_seed: int = 100
    bar: float | None = None
    env_steps: int | None = None
    pairs: tuple[tuple[str, str], ...] = ()
    title: str = ""
    about: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


GROUPS = {"tasks_per_step": 4, "group_size": 8}
SINGLES = {"tasks_per_step": 32, "group_size": 1}
CRITIC = {"lr": 2e-3, "epochs": 3, "warmup_updates": 10, "beta2": 0.95}

OUTCOME_ARMS = {
    "grpo": Arm("grpo", GROUPS),
    "reinforce_pp": Arm("reinforce_pp", SINGLES),
    "ppo": Arm("ppo", {**SINGLES, "critic": CRITIC}),
    "vrpo": Arm("vrpo", {**SINGLES, "critic": {**CRITIC, "beta": 1e-3}}),
}

SHAPED = {"env": {"shaping": 0.5}}
TURN_LEVEL = {"level": "turn", "gamma": 0.99, "lam_policy": 0.9, "critic": CRITIC}

TEXTCRAFT = Experiment(
    name="textcraft_algorithms",
    recipe="textcraft_tiny.toml",
    tables={"horizon": {"rounds": [4], "interval": 1}},
    settings={"epochs": 2, "warmup_updates": 10, "beta2": 0.95},
    arms=OUTCOME_ARMS,
    steps=120,
    tuning_steps=60,
    rates=(1e-3, 3e-3),
    bar=0.10,
    title="Four algorithms from the same clone on TextCraft",
    about=(
        "For each seed one policy of about 0.1 M parameters is cloned from expert play (`recipes/textcraft_tiny.toml`), and "
        "every algorithm trains on from that clone: equally many episodes per step, steps and passes. Success is on the "
        "same 400 test tasks of procedural recipe worlds (no test goal is ever a goal in training), temperature 1, at most 8 "
        "turns.",
    ),
    remarks=(
        "Runs of 40 steps with rates tuned over 12 steps came first. Then runs of 120 steps were made with the same rates; "
        "REINFORCE++ at 3e-3 fell to nothing on seed 2. Twelve steps seemed too few to tell rates apart for runs ten times as "
        "long, so all arms were tuned again, over 60 steps on the same seed. The same rates came out, REINFORCE++'s by a "
        "hair: one tuning seed does not show that a rate is safe. Every run that was made is shown.",
        "Whatever is gained is gained on tasks of depth 1; half of the test tasks have depth 2, which a policy of this size "
        "hardly finds.",
        "The interval of one run is about 10 points wide, so two algorithms that differ by less on one seed do not differ.",
        "Equal numbers of episodes are not equal work: PPO and VRPO train a critic beside the policy, and take more CPU "
        "seconds than the other two.",
        "Sizes were set for a machine that others used too. They were halved once, after four tuning runs on the tuning seed "
        "had shown how long they take (64 episodes of 6 turns per step; lines not kept), before any reported seed was run. "
        "So was the decision to go on without the rest of the grid.",
    ),
)

HORIZONS = Experiment(
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
        "turns, so longer episodes only cost turns. The same is to be asked of clones that solve some (`horizons_deep`).",
    ),
)

HORIZONS_DEEP = dataclasses.replace(
    HORIZONS,
    name="textcraft_horizons_deep",
    tables={**HORIZONS.tables, "sft": {"epochs": 4}},
    title="A growing horizon against fixed ones, on TextCraft, from better clones",
    about=(
        HORIZONS.about[0],
        "As in `textcraft_horizons.md`, but the clones have read the expert's play four times and not once: on the seed on "
        "which this was tried (100) such a clone solves 7 % of the tasks of depth 2, which take more than four turns, so that "
        "a longer horizon has something to give.",
    ),
    remarks=(),
)

DESK = Experiment(
    name="desk_algorithms",
    recipe="desk_tiny.toml",
    tables={"env": {"max_turns": 8}},
    settings={"epochs": 2, "warmup_updates": 10, "beta2": 0.95},
    arms={
        **OUTCOME_ARMS,
        "turn_ppo": Arm("ppo", {**SINGLES, **TURN_LEVEL}),
        "turn_ppo_shaped": Arm("ppo", {**SINGLES, **TURN_LEVEL}, SHAPED),
        "turn_rloo_shaped": Arm("turn_rloo", GROUPS, SHAPED),
    },
    steps=120,
    tuning_steps=20,
    rates=(3e-4, 1e-3),
    bar=0.10,
    pairs=(("turn_ppo_shaped", "turn_ppo"), ("turn_ppo_shaped", "ppo"), ("turn_rloo_shaped", "grpo")),
    title="Algorithms, and rewards per turn, on the desk",
    about=(
        "For each seed one policy is cloned from expert play (`recipes/desk_tiny.toml`) and trained on by every algorithm "
        "with the reward at the end alone, and by two of them with `shaping = 0.5` (`shaped`): half of every share of mended "
        "differences is paid in the turn that mends them and taken back at the end, so that returns, and what is best, are "
        "the same. `turn_ppo` values turns and not tokens; with it the reward can be told from the algorithm. Success is the "
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

EXPERIMENTS = {"textcraft": TEXTCRAFT, "horizons": HORIZONS, "horizons_deep": HORIZONS_DEEP, "desk": DESK}
