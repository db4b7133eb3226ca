"""Rollout and update of a policy: our GRPO step against TRL's `GRPOTrainer` step at equal work, on one thread.

Both sides begin with the same weights and play, step by step, the same tasks with the same seeds, prompts token for token
alike, as many turns at the same temperature (`trl_policy`), and get the same rewards; then both make one update with the
same loss (token mean, clip .2, advantages in units of the group's spread, no KL) and the same optimiser. TRL plays in its
tool loop (`environment_factory`); nothing is logged, saved or computed twice. Each round measures TRL's step, then ours; the
ratio is the median of the rounds. There is none if the turns, the sampled tokens or all tokens of the sides differ by more
than a twentieth. Tokens are those of the episodes: prompt (once), calls and results. Two policies are measured: a tiny one (2
layers of width 64) whose turns are all of one length, and one of ten million weights (7 layers of width 384) whose turns and
episodes are ragged. Neither side samples with vLLM.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.rows import Row
from benchmarks.trl_policy import CONTEXT, CRAFTING, LOOKING, TEMPERATURE, Case, clone, make_env, plans, player

TARGET = 2.0
LARGEST_DIFFERENCE = 0.05
LR = 1e-5


@dataclass(frozen=True, slots=True)
class Setting:
    """What a step is.

    Attributes:
        case: Environment and policy.
        shape: The turns in words.
        tasks: Groups.
        group: Episodes of a group.
        turns: Horizon of an episode.
        rounds: Steps of each side that are measured, after one that is not.
        different: Tasks that there are; the steps play them again and again.
    """

    case: Case
    shape: str
    tasks: int
    group: int
    turns: int
    rounds: int
    different: int

    @property
    def episodes(self) -> int:
        """Episodes of a step."""
        return self.tasks * self.group


@dataclass(frozen=True, slots=True)
class Measured:
    """One step of one side: turns, sampled tokens and all tokens of its episodes, and CPU seconds."""

    turns: int
    sampled: int
    tokens: int
    cpu_s: float


def run() -> list[Row]:
    """Measure short episodes of a tiny policy, and ragged ones of a larger one."""
    same = Setting(LOOKING, "5 turns of one length", tasks=4, group=8, turns=5, rounds=7, different=32)
    ragged = Setting(CRAFTING, "2 to 11 ragged turns", tasks=4, group=4, turns=11, rounds=3, different=4)
    return [compare(same), compare(ragged)]


def compare(setting: Setting) -> Row:
    """Measure both sides in turns."""
    import torch

    torch.set_num_threads(1)
    os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
    from palaestra.algorithms.trl import task_rows

    case = setting.case
    drawn = task_rows(case.env_id, case.world, num_tasks=setting.different, instructions="")
    rows = drawn.select([i % setting.different for i in range(setting.tasks * (setting.rounds + 1))])
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore", FutureWarning)
        path, weights = clone(case, Path(folder), list(drawn), turns=setting.turns)
        step = our_step(path, setting)
        pairs = [(ours, trl) for trl, ours in trl_steps(path, folder, rows, setting, then=step)]
    return _row(setting, weights, pairs[1:])


def our_step(path: str, setting: Setting) -> Callable[[int, Sequence[Any]], Measured]:
    """Return our step: play the tasks of some rows, estimate advantages, update."""
    from palaestra.agents.rollout.engine import RolloutEngine
    from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
    from palaestra.algorithms.learner.policy import Policy

    policy = Policy.from_path(path)
    agent = player(setting.case, policy, max_batch=setting.episodes)
    engine = RolloutEngine(setting.episodes)
    config = GRPOConfig(lr=LR, warmup_updates=0, epochs=1, aggregation="token_mean", group_size=setting.group)
    learner = GRPOLearner(policy, config, temperature=TEMPERATURE)

    def step(number: int, rows: Sequence[Any]) -> Measured:
        begin = time.process_time()
        planned = plans(setting.case, rows, name=f"step/{number}", group=setting.group, turns=setting.turns)
        played = engine.collect(planned, agent, make_env=make_env)
        learner.update([_scored(trajectory, index) for index, trajectory in enumerate(played)], number)
        cpu_s = time.process_time() - begin
        segments = [segment for trajectory in played for segment in trajectory.segments]
        return Measured(
            turns=sum(trajectory.num_turns for trajectory in played),
            sampled=sum(sum(segment.action) for segment in segments),
            tokens=sum(len(segment.ids) for segment in segments),
            cpu_s=cpu_s,
        )

    return step


def trl_steps(
    path: str, folder: str, rows: Any, setting: Setting, *, then: Callable[[int, Sequence[Any]], Measured]
) -> list[tuple[Measured, Measured]]:
    """Let TRL train, measure each step from its beginning to the update, and give `then` its tasks after it."""
    from transformers import PrinterCallback, TrainerCallback
    from trl import GRPOTrainer

    from palaestra.algorithms.trl import environment_class

    seen: dict[str, Any] = {}
    measured: list[tuple[Measured, Measured]] = []

    def reward(**columns: Any) -> list[float]:
        seen.update(columns)
        return [_reward(index) for index in range(len(columns["completions"]))]

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
        num_input_tokens = 0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            self.begin = time.process_time()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            cpu_s = time.process_time() - self.begin
            prompts = _prompt_tokens(trainer, seen["prompts"])
            counted = state.num_input_tokens_seen - self.num_input_tokens  # TRL counts prompts and what was sampled
            self.num_input_tokens = state.num_input_tokens_seen
            turns = sum(message["role"] == "assistant" for episode in seen["completions"] for message in episode)
            tokens = prompts + sum(map(len, seen["completion_ids"]))
            played = [{"task": seen["task"][i], "seed": seen["seed"][i]} for i in range(0, setting.episodes, setting.group)]
            ours = then(state.global_step, played)
            measured.append((Measured(turns, counted - prompts, tokens, cpu_s), ours))

    trainer = GRPOTrainer(
        path,
        reward_funcs=reward,
        args=_trl_config(folder, setting),
        train_dataset=rows,
        environment_factory=environment_class(setting.case.env_id, setting.case.world, answer=False),
        callbacks=[Clock()],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return measured


def _trl_config(folder: str, setting: Setting) -> Any:
    """Return TRL's settings: the same step, and nothing beside it."""
    from trl import GRPOConfig

    return GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        activation_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
        log_level="error",
        shuffle_dataset=False,
        max_steps=setting.rounds + 1,  # the first one warms up
        per_device_train_batch_size=setting.episodes,
        num_generations=setting.group,
        temperature=TEMPERATURE,
        learning_rate=LR,
        lr_scheduler_type="constant",
        beta=0.0,
        max_completion_length=min(setting.turns * 3 * setting.case.turn_tokens, CONTEXT),
        max_tool_calling_iterations=setting.turns - 1,  # TRL counts the calls it answers; the last turn's needs no answer
    )


def _prompt_tokens(trainer: Any, prompts: Sequence[Any]) -> int:
    """Return the tokens of TRL's prompts."""
    lengths: dict[str, int] = {}
    for prompt in prompts:
        text = prompt[-1]["content"]
        if text not in lengths:
            ids = trainer.processing_class.apply_chat_template(
                prompt, tools=trainer.tools, add_generation_prompt=True, return_dict=False
            )
            lengths[text] = len(ids)
    return sum(lengths[prompt[-1]["content"]] for prompt in prompts)


def _reward(index: int) -> float:
    """Return the reward of an episode: every second one has one, because without a difference there is no update."""
    return float(index % 2)


def _scored(trajectory: Any, index: int) -> Any:
    """Give an episode the reward that it has on the other side."""
    from palaestra.types import Outcome

    reward = _reward(index)
    steps = (*trajectory.steps[:-1], dataclasses.replace(trajectory.steps[-1], reward=reward))
    return dataclasses.replace(trajectory, steps=steps, outcome=Outcome(score=reward, success=bool(reward)))


def _row(setting: Setting, weights: int, pairs: Sequence[tuple[Measured, Measured]]) -> Row:
    """Check that both sides did the same work, and compare what it took."""
    work = []
    for name in ("turns", "sampled", "tokens"):
        ours, trl = (sum(getattr(pair[side], name) for pair in pairs) for side in (0, 1))
        if abs(ours - trl) > LARGEST_DIFFERENCE * max(ours, trl):
            raise RuntimeError(
                f"Ours has {ours} {name} in {len(pairs)} steps and TRL {trl}; expected a difference of at most "
                f"{LARGEST_DIFFERENCE:.0%}, or the steps cannot be compared. Clone the policy longer (benchmarks.trl_policy)."
            )
        count = len(pairs) * setting.episodes
        work.append(f"{name} {ours / count:.1f} (TRL {trl / count:.1f})")
    ratios = sorted(trl.cpu_s / trl.tokens * ours.tokens / ours.cpu_s for ours, trl in pairs)
    middle = statistics.median(ratios)
    seconds = [statistics.median(pair[side].cpu_s for pair in pairs) for side in (0, 1)]
    print(
        f"an episode: {', '.join(work)}; a step: {seconds[0]:.2f} CPU s (TRL {seconds[1]:.2f}); "
        f"ratios: {' '.join(f'{ratio:.2f}' for ratio in ratios)}",
        file=sys.stderr,
    )
    # the peer's figure is ours over the median ratio, so that the table shows the ratio of the pairs
    rate = statistics.median(ours.tokens / ours.cpu_s for ours, _ in pairs)
    return Row(
        f"GRPO step, {setting.episodes} episodes of {setting.shape}, {weights / 1e6:.2g} M weights "
        f"(rounds {ratios[0]:.2f}x to {ratios[-1]:.2f}x)",
        rate,
        "tokens/CPU s",
        "TRL GRPOTrainer, environment_factory, no vLLM",
        rate / middle,
        f">= {TARGET:g}x",
        middle >= TARGET,
    )
