"""What the processes of the tests of distributed training do: `-m tests.algorithms.rank_work FOLDER` under a launcher."""

from __future__ import annotations

import functools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch

from palaestra.algorithms.learner.critic import Critic, make_value_model
from palaestra.algorithms.learner.policy import Policy
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.ppo import PPOConfig, PPOLearner
from palaestra.algorithms.run.checkpoint import Checkpoint, Checkpoints
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.training import train
from palaestra.algorithms.scale import ranks as distributed
from palaestra.algorithms.scale.heartbeat import Heartbeat, LostRankError
from palaestra.algorithms.scale.ranks import ProcessRanks, join_ranks
from palaestra.algorithms.sft import SFTConfig, SFTLearner
from palaestra.types import Trajectory
from tests.algorithms.toy_recipe import toy_recipe

TRAINING: dict[str, Any] = {
    "phases": ["sft", "ppo"],
    "sft": {"episodes": 8, "epochs": 1, "batch_size": 5},
    "ppo": {"steps": 2, "tasks_per_step": 5, "epochs": 1, "warmup_updates": 2, "critic": {"epochs": 1}},
    "evaluation": {"n": 2, "baselines": []},
}
SHORT: dict[str, Any] = {
    "phases": ["sft", "grpo"],
    "sft": {"episodes": 4, "epochs": 1},
    "grpo": {"steps": 1, "tasks_per_step": 2, "group_size": 2},
    "evaluation": {"n": 2, "baselines": []},
    "model": {"num_layers": 1},
}


def updated(folder: Path, played: list[Trajectory]) -> dict[str, Any]:
    """Two updates of PPO and one of cloning from the same start; what they give, whole."""
    policy = Policy.from_path(folder)
    limits = {"warmup_updates": 0, "max_tokens_per_microbatch": 128}
    shape = {"epochs": 2, "minibatches": 2, "kl_coefficient": 0.1, "entropy_coefficient": 0.01, "correction": "token"}
    config = PPOConfig.model_validate({**shape, **limits, "critic": {"epochs": 2, **limits}})
    critic = Critic(make_value_model(policy, config.critic, seed=0), config.critic)
    learner = PPOLearner(policy, config, critic=critic, reference=policy.frozen_copy)
    batch = collate(played)
    metrics = learner.learn(batch, 1)
    metrics |= {f"second_{name}": value for name, value in learner.learn(batch, 2).items()}
    state = learner.state()
    learner.load(state)  # and what was put together can be taken apart again
    SFTLearner(policy, SFTConfig(warmup_updates=0, max_tokens_per_microbatch=128), total=1).learn(batch, 1)
    return {
        "policy": dict(policy.model.state_dict()),
        "critic": state["critic"]["weights"],
        "adam": learner.state()["optimiser"]["adam"]["state"],
        "metrics": metrics,
    }


def trained(store: Path) -> dict[str, Any]:
    """A short run from start to end; the weights it saved."""
    result = train(toy_recipe(**TRAINING), store=store, run_id="toy")
    return dict(Policy.from_path(result.policy_path).model.state_dict())


def main(folder: Path) -> None:
    """Update and train with the other processes; the first one writes what came out."""
    torch.set_num_threads(1)
    played = torch.load(folder / "played.pt", weights_only=False)
    with join_ranks() as team:
        found = updated(folder / "policy", played)
        found["trained"] = trained(folder / team.sharing)
        found["team"] = (team.size, team.sharing, torch.distributed.get_backend())
        if team.is_main:
            torch.save(found, folder / f"{team.sharing}.pt")


def train_with_fault(rank: int, port: int, fault: str, folder: Path) -> None:
    """Train with another process; rank 1 is late everywhere, or is lost on the way. What each met with is written down."""
    os.environ.update(
        MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2", RANK=str(rank), LOCAL_RANK=str(rank),
        LOCAL_WORLD_SIZE="2", ACCELERATE_USE_CPU="true",
    )  # fmt: skip
    distributed.Heartbeat = functools.partial(Heartbeat, beat_s=0.2, patience_s=3.0)  # type: ignore[misc, assignment]
    if rank == 1:
        _prepare(fault)
    try:
        result = train(toy_recipe(**SHORT), store=folder, run_id="toy")
        (folder / f"{rank}.txt").write_text(f"finished {result.policy_path.parent.name}")
    except (LostRankError, OSError) as error:
        (folder / f"{rank}.txt").write_text(f"{type(error).__name__}: {error}")
        raise SystemExit(1) from None


def _prepare(fault: str) -> None:
    """Let this process be late, die or fail where the name says."""
    if fault == "late":
        latest = Checkpoints.latest

        def slow(self: Checkpoints) -> Checkpoint | None:
            time.sleep(1.0)
            return latest(self)

        Checkpoints.latest = slow  # type: ignore[method-assign]
    elif fault == "dies while it plays":
        Phase.collect = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment, return-value]
    elif fault == "dies in an exchange":
        ProcessRanks.sum_gradients = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign, assignment]
    elif fault == "fails":

        def broken(*_: object) -> None:
            raise OSError(28, "No space left on device")

        Phase.collect = broken  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
