"""The noise experiment: is VRPO never worse than PPO, and better under reward noise?

    python -m experiments.noise.run fit --seeds 0-9              # critics fitted to noisy scores
    python -m experiments.noise.run control --seeds 0-23         # the whole loop, all arms
    python -m experiments.noise.run sweep --seeds 1000-1003      # settings, on seeds that no report uses

One JSON line per finished run goes to `experiments/noise/PART.jsonl`; what is there is not run again, so a run that was
stopped goes on where it was. `experiments.noise.report` makes the report of it.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments.common.rows import append_row, folder_of, read_rows
from experiments.common.threads import one_thread

one_thread()  # before torch is loaded

LEVELS = (0.0, 0.1, 0.2, 0.3, 0.4)

# -- what is run -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """An arm of the control experiment.

    Attributes:
        algorithm: "ppo", "vrpo" or "grpo".
        critic: Settings of the critic that differ from the defaults.
        debias: Train on debiased scores.
        exact: The exact value stands in for the critic.
        patience: Patience of pre-training; None makes all passes.
    """

    algorithm: str = "ppo"
    critic: Mapping[str, Any] = field(default_factory=dict)
    debias: bool = False
    exact: bool = False
    patience: int | None = None


ARMS: dict[str, Arm] = {
    "ppo": Arm(),
    "vrpo": Arm("vrpo"),
    "vib_only": Arm("vrpo", {"entropy_weight": 0.0, "perplexity_weight": 0.0}),
    "aux_only": Arm("vrpo", {"bottleneck": False}),
    "ppo_decay": Arm(critic={"weight_decay": 0.1}),
    "ppo_early": Arm(patience=2),
    "grpo": Arm("grpo"),
    "ppo_debiased": Arm(debias=True),
    "ppo_exact": Arm(exact=True),
}

SWEEP: dict[str, Arm] = {
    "vrpo": ARMS["vrpo"],
    **{f"vrpo beta={beta:g}": Arm("vrpo", {"beta": beta}) for beta in (0.0, 1e-4, 1e-3, 3e-2)},
    **{f"vrpo lambda_p={weight:g}": Arm("vrpo", {"perplexity_weight": weight}) for weight in (0.0, 1e-2)},
    "ppo": ARMS["ppo"],
    **{f"ppo lr={lr:g}": Arm(critic={"lr": lr}) for lr in (3e-4, 3e-3)},
    **{f"ppo epochs={epochs}": Arm(critic={"epochs": epochs}) for epochs in (2, 8)},
    **{f"ppo decay={decay:g}": Arm(critic={"weight_decay": decay}) for decay in (0.01, 0.1)},
}


@dataclass(frozen=True)
class ControlSize:
    """Size of a control run."""

    steps: int = 100
    episodes: int = 64
    pretrain_episodes: int = 640  # a fifth is held out: 512 are trained on
    pretrain_epochs: int = 20
    evaluate_every: int = 8
    evaluation_episodes: int = 256
    base_updates: int = 1500


@dataclass(frozen=True)
class FitSize:
    """Size of a fit."""

    episodes: int = 2048
    epochs: int = 12
    batch_size: int = 64
    test_episodes: int = 1024
    base_updates: int = 1500


CRITICS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("ppo", {}),
    "vib": ("vrpo", {"beta": 3e-3, "entropy_weight": 0.0, "perplexity_weight": 0.0}),
    "vrpo": ("vrpo", {"beta": 3e-3}),
}

# -- one run ---------------------------------------------------------------------------------------------------------


def fit_run(critic: str, rate: float, seed: int, size: FitSize) -> dict[str, Any]:
    """Fit a critic to noisy scores of random play; returns the row with R^2 against the exact noisy value per epoch."""
    import torch

    from experiments.feedback_keys.world import random_play
    from experiments.noise import world as nw

    torch.set_num_threads(1)
    policy, world = nw.fresh_policy(seed, size.base_updates), nw.world_of(seed)
    started = time.process_time()
    name = f"fit/{size.episodes}"
    clean = random_play(world, size.episodes, nw.generator(seed, name))
    batch = nw.flipped(clean, rate, seed=seed, name=name).batch()
    batch = batch.with_tensors(return_=batch.spread(batch.return_), decision=batch.action_mask.float())
    tests = random_play(world, size.test_episodes, nw.generator(seed, "fit/test"))
    truth, fresh = nw.noisy_value(nw.random_values(world, tests), rate), tests.batch()
    kind, options = CRITICS[critic]
    options = {"lr": 5e-4, "warmup_updates": 20, "grad_clip": 1.0, **options}
    model = nw.build_critic(policy, world, kind, options, seed=seed)
    minibatches = max(1, size.episodes // size.batch_size)
    batch = model.annotated(batch)
    curve = []
    for epoch in range(1, size.epochs + 1):
        model.fit(batch, epoch, epochs=1, minibatches=minibatches)
        found = model.values(fresh)[fresh.action_mask].view_as(truth)
        curve.append(round(float(1 - (found - truth).square().sum() / (truth - truth.mean()).square().sum()), 5))
    row = {
        "part": "fit",
        "arm": critic,
        "rate": rate,
        "seed": seed,
        "n": size.episodes,
        "base": nw.digest(policy),
        "r2": curve,
    }
    return {**row, "cpu_s": round(time.process_time() - started, 2)}


def control_run(name: str, arm: Arm, rate: float, seed: int, size: ControlSize) -> dict[str, Any]:
    """Train a policy under flipped scores; returns the row with the curve of clean success."""
    import torch

    from experiments.feedback_keys.world import success
    from experiments.noise import world as nw

    torch.set_num_threads(1)
    policy, world = nw.fresh_policy(seed, size.base_updates), nw.world_of(seed)
    started, base = time.process_time(), nw.digest(policy)
    learner = _learner(arm, policy, world, rate, seed, size)
    row: dict[str, Any] = {"arm": name, "rate": rate, "seed": seed, "base": base}
    if arm.algorithm != "grpo" and not arm.exact:
        clean = nw.play_training(world, policy, size.pretrain_episodes, seed=seed, name="pretrain")
        noisy = nw.flipped(clean, rate, seed=seed, name="pretrain", debias=arm.debias)
        found = learner.pretrain(noisy.batch(version=policy.version))
        row |= {"pretrain_kept": int(found["pretrain_kept"])}
        row |= {"pretrain_explained": round(found["pretrain_explained_variance"], 4)}
    group_size = 8 if arm.algorithm == "grpo" else 1
    groups = torch.arange(size.episodes) // group_size

    def evaluate(step: int) -> float:
        fresh = nw.stable_seed(seed, f"evaluation/{step}")
        return round(success(world, policy, num_episodes=size.evaluation_episodes, seed=fresh), 5)

    curve = [evaluate(0)]
    for step in range(1, size.steps + 1):
        clean = nw.play_training(world, policy, size.episodes, seed=seed, name=f"step/{step}", group_size=group_size)
        noisy = nw.flipped(clean, rate, seed=seed, name=f"step/{step}", debias=arm.debias)
        learner.learn(noisy.batch(groups, version=policy.version), step)
        if step % size.evaluate_every == 0:
            curve.append(evaluate(step))
    row |= {"auc": round(area(curve), 5), "last": round(sum(curve[-3:]) / len(curve[-3:]), 5), "curve": curve}
    return {**row, "cpu_s": round(time.process_time() - started, 2)}


def area(curve: Sequence[float]) -> float:
    """Mean height of a curve at equal distances (trapezoids), from its first point to its last."""
    return (sum(curve) - (curve[0] + curve[-1]) / 2) / (len(curve) - 1)


def _learner(arm: Arm, policy: Any, world: Any, rate: float, seed: int, size: ControlSize) -> Any:
    """Return the learner of an arm; the policy becomes a trimmed one."""
    from experiments.noise import world as nw
    from palaestra.algorithms import grpo, ppo
    from palaestra.algorithms.vrpo import VRPOCriticConfig

    common = {"steps": size.steps, "lr": 1e-3, "entropy_coefficient": 0.02}
    if arm.algorithm == "grpo":
        config = grpo.GRPOConfig(**common, tasks_per_step=size.episodes // 8, group_size=8, epochs=2)
        return grpo.GRPOLearner(nw.trimmed(policy, world), config, seed=seed)
    options = {"lr": 1e-3, "epochs": 4, **arm.critic}
    if arm.exact:
        critic: Any = nw.ExactCritic(world, policy, rate)
    else:
        critic = nw.build_critic(policy, world, arm.algorithm, options, seed=seed)
    table = VRPOCriticConfig(**options) if arm.algorithm == "vrpo" else ppo.CriticConfig(**options)
    config = ppo.PPOConfig(
        **common,
        tasks_per_step=size.episodes,
        epochs=3,
        gamma=1.0,
        lam_policy=0.95,
        lam_value=1.0,
        pretrain_episodes=size.pretrain_episodes,
        pretrain_epochs=size.pretrain_epochs,
        pretrain_minibatches=max(1, size.pretrain_episodes * 4 // 5 // size.episodes),
        pretrain_patience=arm.patience,
        critic=table,
    )
    return ppo.PPOLearner(nw.trimmed(policy, world), config, critic=critic, seed=seed)


# -- many runs -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Job:
    """A run to make, or made."""

    part: str
    arm: str
    rate: float
    seed: int
    episodes: int = 0  # fit only

    def run(self, size: ControlSize | FitSize | None = None) -> dict[str, Any]:
        """Make the run."""
        if self.part == "fit":
            return fit_run(self.arm, self.rate, self.seed, size or FitSize(episodes=self.episodes))
        arm = (ARMS if self.part == "control" else SWEEP)[self.arm]
        return {"part": self.part, **control_run(self.arm, arm, self.rate, self.seed, size or ControlSize())}

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Job:
        """Return the run that a row is of."""
        return cls(row["part"], row["arm"], row["rate"], row["seed"], row.get("n", 0))


def plan(part: str, seeds: Sequence[int], levels: Sequence[float], arms: Sequence[str], sizes: Sequence[int]) -> list[Job]:
    """List the runs, seed by seed, so that whatever is finished is balanced.

    Without noise nothing is debiased: `ppo_debiased` is `ppo` there, and is not run twice.
    """
    if part == "fit":
        return [Job(part, arm, rate, seed, n) for seed in seeds for n in sizes for rate in levels for arm in arms]
    jobs = [Job(part, arm, rate, seed) for seed in seeds for rate in levels for arm in arms]
    return [job for job in jobs if not (job.arm == "ppo_debiased" and job.rate == 0)]


def run_all(
    jobs: Sequence[Job], out: Path, *, workers: int = 1, seconds: float | None = None, size: Any = None
) -> Iterator[dict[str, Any]]:
    """Make the runs that `out` does not hold yet, append their rows, and yield them.

    Args:
        jobs: What to run.
        out: JSONL file.
        workers: Processes, one thread each.
        seconds: No run is begun later than this; None means no limit.
        size: Size of the runs, for tests.
    """
    begun = time.monotonic()
    done = {Job.of(row) for row in read_rows(out)}
    todo = [job for job in jobs if job not in done]

    def is_over() -> bool:
        return seconds is not None and time.monotonic() - begun > seconds

    def keep(row: dict[str, Any]) -> dict[str, Any]:
        append_row(out, row)
        return row

    if workers == 1:
        for job in todo:
            if is_over():
                return
            if job not in {Job.of(row) for row in read_rows(out)}:  # another process may write to the same file
                yield keep(job.run(size))
        return
    with ProcessPoolExecutor(workers) as pool:
        waiting = iter(todo)
        running = {pool.submit(job.run, size) for job in _take(waiting, workers)}
        while running:
            future = next(as_completed(running))
            running.remove(future)
            if not is_over():
                running |= {pool.submit(job.run, size) for job in _take(waiting, 1)}
            yield keep(future.result())


def _take(jobs: Iterator[Job], count: int) -> list[Job]:
    """Return the next jobs."""
    return [job for _, job in zip(range(count), jobs, strict=False)]


def numbers(text: str) -> list[int]:
    """Read "0-3,7" as [0, 1, 2, 3, 7]."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Run a part of the experiment."""
    parser = argparse.ArgumentParser(description="The noise experiment.")
    parser.add_argument("part", choices=("fit", "control", "sweep"))
    parser.add_argument("--seeds", type=numbers, required=True, help="e.g. 0-9 or 0,3,5")
    parser.add_argument("--levels", type=float, nargs="+", help="probabilities of a flip; all by default, .3 in the sweep")
    parser.add_argument("--arms", nargs="+", help="all by default")
    parser.add_argument("--episodes", type=int, nargs="+", default=[2048, 512], help="fit: training episodes")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--minutes", type=float, help="begin no run later than this")
    parser.add_argument("--out", type=Path, help="JSONL file; experiments/noise/PART.jsonl by default")
    options = parser.parse_args(arguments)
    known = {"fit": CRITICS, "control": ARMS, "sweep": SWEEP}[options.part]
    unknown = sorted(set(options.arms or ()) - set(known))
    if unknown:
        parser.error(f"unknown arms {unknown}; known are {sorted(known)}")
    levels = options.levels or ([0.3] if options.part == "sweep" else list(LEVELS))
    jobs = plan(options.part, options.seeds, levels, options.arms or list(known), options.episodes)
    out = options.out or folder_of("noise") / f"{options.part}.jsonl"
    seconds = None if options.minutes is None else 60 * options.minutes
    for row in run_all(jobs, out, workers=options.jobs, seconds=seconds):
        shown = f"auc {row['auc']:.3f} last {row['last']:.3f}" if "auc" in row else f"n {row['n']} R2 {row['r2'][-1]:.3f}"
        print(f"{row['part']} seed {row['seed']} rate {row['rate']:g} {row['arm']}: {shown}, {row['cpu_s']} CPU-s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
