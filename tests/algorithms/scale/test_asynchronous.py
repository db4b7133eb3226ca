from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch

from palaestra.agents.backends.vllm import VLLMBackend
from palaestra.agents.core import Agent, Sampling
from palaestra.agents.llm import LLMAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.grpo import GRPOConfig, GRPOLearner
from palaestra.algorithms.math.batch import collate
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.feed import TaskFeed
from palaestra.algorithms.run.metrics import MetricsLog
from palaestra.algorithms.run.on_policy import train_on_policy
from palaestra.algorithms.run.phase import Phase
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.training import TrainingResult, train
from palaestra.algorithms.scale.asynchronous import AsyncCollector, AsynchronousConfig, staleness_metrics
from palaestra.errors import ConfigError
from palaestra.types import Message, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.build import episode, segment
from tests.algorithms.toy_recipe import toy_policy, toy_recipe


class SlowAgent(Agent):
    """Answers after as many rounds of the event loop as the episode's sample says."""

    name = "slow"

    def __init__(self, rounds: Mapping[str, int]) -> None:
        self.rounds = rounds
        self.begun: list[str] = []

    def reset(self, info: Mapping[str, Any], *, env: gymnasium.Env[Any, Any] | None = None, session: str = "") -> None:
        self._session = session
        self.begun.append(session)

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        for _ in range(self.rounds.get(self._session, 0)):
            await asyncio.sleep(0)
        return Message("assistant", "push")


def plans(number: int) -> list[EpisodePlan] | None:
    if number >= 12:
        return None
    group = f"{number:02d}"
    where = {"env_id": toy_env.ENV_ID, "task_key": f"train/{number}", "seed": number, "group_id": group}
    lengths = (1 + number % 4, 1 + (number + 1) % 4)
    return [EpisodePlan(f"{group}/{i}", sample=i, max_turns=length, **where) for i, length in enumerate(lengths)]


@pytest.fixture
def slow() -> Iterator[AsyncCollector]:
    toy_env.register()
    agent = SlowAgent({"01/0": 2000, "04/1": 200})
    collector = AsyncCollector(RolloutEngine(8), agent, plans, batch_groups=2, max_staleness=2)
    yield collector
    collector.close()


def test_stragglers_hold_nobody_up_and_nothing_is_lost_or_doubled(slow: AsyncCollector) -> None:
    batches: list[list[Trajectory]] = []
    while batch := slow.collect():
        assert slow.num_open <= (slow.max_staleness + 1) * 4
        batches.append(batch)
    played = Counter(t.episode_id for batch in batches for t in batch)
    assert played == Counter(plan.episode_id for number in range(12) for plan in plans(number) or ())
    assert [len(batch) for batch in batches] == [4] * 6
    assert {t.group_id for t in batches[0]} == {"00", "02"}  # the slow group comes later, the others in order
    late = next(i for i, batch in enumerate(batches) if any(t.group_id == "01" for t in batch))
    assert late > 0
    others = [t.group_id for batch in batches for t in batch if t.group_id not in ("01", "04")]
    assert others == sorted(others)
    agent = slow.agent
    assert isinstance(agent, SlowAgent)
    assert agent.begun == sorted(agent.begun)  # oldest first


def test_no_more_is_begun_than_staleness_allows() -> None:
    toy_env.register()
    agent = SlowAgent({})
    collector = AsyncCollector(RolloutEngine(64), agent, plans, batch_groups=2, max_staleness=1)
    collector.collect()
    assert len(agent.begun) == 8  # two batches of two groups of two
    collector.collect()
    assert len(agent.begun) == 12
    collector.close()


def test_a_new_collector_plays_what_was_open(slow: AsyncCollector) -> None:
    first = slow.collect()
    state = json.loads(json.dumps(slow.state()))
    again = AsyncCollector(RolloutEngine(8), SlowAgent({}), plans, batch_groups=2, max_staleness=2)
    again.load(state)
    rest: list[Trajectory] = []
    while batch := again.collect():
        rest += batch
    again.close()
    assert sorted(t.episode_id for t in first + rest) == sorted(p.episode_id for n in range(12) for p in plans(n) or ())


def test_an_update_may_land_inside_an_episode() -> None:
    policy = toy_policy()
    recipe = toy_recipe(agent={"concurrency": 3})
    agent = policy_agent(policy, recipe)
    collector = AsyncCollector(RolloutEngine(3), agent, plans, batch_groups=1, max_staleness=3)
    played: list[Trajectory] = []
    while batch := collector.collect():
        played += batch
        policy.version += 1
    collector.close()
    versions = [[v for s in t.segments for v, a in zip(s.version, s.action, strict=True) if a] for t in played]
    assert any(min(v) != max(v) for v in versions)
    assert all(v == sorted(v) for v in versions)
    assert len(played) == 24


def test_a_server_samples_while_the_policy_is_updated(tmp_path: Path) -> None:
    from tests.agents.backends.vllm_server import vllm_server

    policy = toy_policy()
    learner = GRPOLearner(policy, GRPOConfig.model_validate({"correction": "token", "warmup_updates": 0}))

    def update(trajectories: list[Trajectory], step: int) -> dict[str, float]:
        batch = collate(trajectories)
        batch.return_[:] = torch.arange(len(trajectories)) % 2  # an untrained policy earns nothing
        return learner.learn(batch, step)

    def few(number: int) -> list[EpisodePlan] | None:
        return plans(number) if number < 8 else None

    toy_env.register()
    with vllm_server(policy.save(tmp_path / "served")) as server:
        backend = VLLMBackend(server.base_url, policy.tokenizer, model="policy", max_tokens=4)
        agent = LLMAgent(backend, format="text", sampling=Sampling(max_tokens=4), instructions_as="none", cut="play")
        collector = AsyncCollector(RolloutEngine(6), agent, few, batch_groups=2, max_staleness=1)
        collector.until(backend.probe(policy.model))
        played: list[Trajectory] = []
        during = 0
        while batch := collector.collect():
            played += batch
            before = len(server.bodies)
            metrics = collector.until(asyncio.to_thread(update, batch, len(played)))
            during += len(server.bodies) - before
            assert metrics["no_signal"] == 0
            policy.save(server.path)
            collector.until(backend.refresh(server.path, version=policy.version))
        collector.until(backend.probe(policy.model))  # the server has the last weights
        collector.until(backend.aclose())
        collector.close()
    assert during > 0
    assert sorted(t.episode_id for t in played) == sorted(p.episode_id for n in range(8) for p in plans(n) or ())
    versions = {v for t in played for s in t.segments for v, a in zip(s.version, s.action, strict=True) if a}
    assert len(versions) > 1
    assert policy.version == 4


def test_old_tokens_are_counted_by_the_length_of_their_episode() -> None:
    short = episode("a", [segment([0, 1, 1], [(1, 3, 0)])], [1.0])
    long = episode("b", [segment([0, 1, 1], [(1, 3, 0)])], [0.0] * 5)
    found = staleness_metrics([short, long], version=3, max_staleness=2)
    assert (found["stale_episodes"], found["stale_episodes_to_4_turns"], found["stale_episodes_to_16_turns"]) == (2, 1, 1)
    assert (found["staleness_mean"], found["staleness_max"]) == (3, 3)
    assert staleness_metrics([short, long], version=2, max_staleness=2)["stale_episodes"] == 0


def run(folder: Path, **tables: Any) -> TrainingResult:
    settings = {"phases": ["grpo"], "evaluation": {"n": 2, "baselines": []}, "agent": {"concurrency": 5}}
    return train(toy_recipe(**{**settings, **tables}), store=folder, run_id="toy")


def curve(result: TrainingResult) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (result.folder / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if "second" not in k and "stale" not in k and k != "mixed_episodes"} for row in rows]


def final(result: TrainingResult) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    tensors: dict[str, torch.Tensor] = load_file(result.policy_path / "model.safetensors")
    return tensors


def test_without_staleness_it_is_the_synchronous_run_bit_for_bit(tmp_path: Path) -> None:
    together = run(tmp_path / "together")
    apart = run(tmp_path / "apart", asynchronous={"max_staleness": 0})
    assert curve(apart) == curve(together)
    expected = final(together)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in final(apart).items())


def test_a_stale_run_trains_on_every_episode_once_and_resumes(tmp_path: Path) -> None:
    tables = {
        "asynchronous": {"max_staleness": 2},
        "phases": ["sft", "grpo"],
        "sft": {"epochs": 20},
        "grpo": {"correction": "token", "tasks_per_step": 2, "steps": 4},
    }
    whole = run(tmp_path / "whole", **tables)
    lines = (whole.folder / "metrics.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if row["phase"] == "grpo"]
    assert [row["episodes"] for row in rows] == [8.0] * 4
    assert rows[0]["staleness_max"] == 0
    assert max(row["staleness_max"] for row in rows) in (1, 2)
    state = Checkpoints(whole.folder / "checkpoints" / "grpo").latest()
    assert state is not None
    assert state.state()["rollouts"] == [{"open": [], "next": 8}]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        (GRPOConfig(), r"grpo.correction = 'token'"),
        (GRPOConfig.model_validate({"correction": "token", "max_refills": 2, "drop_equal_groups": True}), "max_refills"),
    ],
)
def test_settings_that_no_recipe_was_read_for_are_refused_when_the_phase_starts(
    tmp_path: Path, settings: GRPOConfig, match: str
) -> None:
    recipe = toy_recipe(asynchronous={}, grpo={"correction": "token"})
    policy = toy_policy()
    phase = Phase(
        "grpo",
        recipe=recipe,
        policy=policy,
        feed=TaskFeed(toy_env.ENV_ID, {}, split="train", seed=0),
        engine=RolloutEngine(4),
        checkpoints=Checkpoints(tmp_path / "checkpoints"),
        metrics=MetricsLog(tmp_path),
    )
    with pytest.raises(ConfigError, match=match):
        train_on_policy(phase, settings, GRPOLearner(policy, settings))
    with pytest.raises(ConfigError, match=match):
        AsynchronousConfig().refuse("grpo", settings)
