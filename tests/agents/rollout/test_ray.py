from __future__ import annotations

import asyncio
import dataclasses
import os
import pickle
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.backends.scripted import ScriptedBackend
from palaestra.agents.core import Agent
from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.llm import LLMAgent
from palaestra.agents.reference import RandomAgent
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.agents.store.store import RunStore
from palaestra.errors import MissingExtraError, UsageError
from palaestra.types import Message, Trajectory, Usage
from tests.algorithms import toy_env

ray = pytest.importorskip("ray")

from palaestra.agents.rollout.ray import AgentSpec, RayRolloutEngine  # noqa: E402


class Deadly(Agent):
    """Pushes; one episode ends its whole process, as long as a file is there (or always)."""

    name = "deadly"

    def __init__(self, trap: Path, victim: str, *, once: bool = True) -> None:
        self.trap, self.victim, self.once = trap, victim, once

    def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
        self.session = session

    async def aact(self, observation: str, info: Any) -> Message:
        await asyncio.sleep(0.002)
        if self.session == self.victim and self.trap.exists() and info.get("turn", 1):
            if self.once:
                self.trap.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return Message("assistant", "push")


def plans(n: int) -> list[EpisodePlan]:
    return [EpisodePlan(f"e{i:02d}", toy_env.ENV_ID, task_key=f"train/{i}", seed=i) for i in range(n)]


def plain(trajectory: Trajectory) -> Trajectory:
    return dataclasses.replace(trajectory, usage=Usage())


def pusher() -> Agent:
    return LLMAgent(ScriptedBackend(["push", "pull", "turn", "push"] * 400), format="text", name="script")


@pytest.fixture(scope="module")
def engine() -> Iterator[RayRolloutEngine]:
    toy_env.register()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    with RayRolloutEngine(2, 6, setup=toy_env.register) as running:
        yield running


def test_results_are_those_of_the_engine_in_this_process(engine: RayRolloutEngine) -> None:
    agent = RandomAgent(seed=3)
    expected = RolloutEngine(4).collect(plans(30), agent)
    found = engine.collect(plans(30), agent)
    assert [plain(t) for t in found] == [plain(t) for t in expected]
    assert len({t.steps[0].action.content for t in found}) > 1


def test_a_lost_worker_costs_only_time(engine: RayRolloutEngine, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    expected = RolloutEngine(4).collect(plans(40), Deadly(trap, "e17"))  # without the trap nobody dies
    trap.touch()
    before = engine.lost
    seen: list[str] = []
    found = engine.collect(plans(40), Deadly(trap, "e17"), on_finish=lambda t: seen.append(t.episode_id))
    assert not trap.exists()
    assert engine.lost == before + 1
    assert Counter(seen) == Counter(plan.episode_id for plan in plans(40))
    assert [plain(t) for t in found] == [plain(t) for t in expected]


def test_an_episode_that_kills_every_worker_is_recorded_and_the_others_are_played(
    engine: RayRolloutEngine, tmp_path: Path
) -> None:
    trap = tmp_path / "trap"
    trap.touch()
    engine.max_losses = 1
    found = engine.collect(plans(12), Deadly(trap, "e11", once=False))
    engine.max_losses = 3
    assert [t.episode_id for t in found] == [plan.episode_id for plan in plans(12)]
    (failed,) = [t for t in found if t.outcome.error is not None and t.episode_id == "e11"]
    assert failed.outcome.error is not None
    assert failed.outcome.error.type == "WorkerLost"
    assert sum(t.outcome.error is None for t in found) >= 12 - engine.per_worker


def test_the_run_store_of_the_driver_gets_every_episode(engine: RayRolloutEngine, tmp_path: Path) -> None:
    with RunStore(tmp_path) as store:
        found = evaluate(toy_env.ENV_ID, AgentSpec(pusher), n=10, store=store, run_id="far", engine=engine)
        kept = list(store.trajectories("far"))
    assert found.num_planned == 10
    assert sorted(Counter(t.episode_id for t in kept).values()) == [1] * 10
    assert {t.agent for t in kept} == {"script"}
    assert {t.outcome.error for t in kept} == {None}


@pytest.mark.slow  # every worker loads torch
def test_a_local_model_is_built_in_the_workers(engine: RayRolloutEngine, tmp_path: Path) -> None:
    from tests.algorithms.toy_recipe import toy_policy

    path = toy_policy().save(tmp_path / "model")
    spec = AgentSpec(f"hf:{path}", format="text", instructions_as="none", max_tokens=4, seed=5)
    assert pickle.loads(pickle.dumps(spec)).spec == spec.spec
    found = engine.collect(plans(6), spec)
    expected = RolloutEngine(6).collect(plans(6), spec)
    assert [t.segments[0].ids for t in found] == [t.segments[0].ids for t in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.segments[0].log_prob == pytest.approx(other.segments[0].log_prob, abs=1e-5)


def test_mistakes_of_the_caller_are_raised(engine: RayRolloutEngine) -> None:
    with pytest.raises(UsageError, match="Nowhere"):
        engine.collect([EpisodePlan("x", "test/Nowhere-v0")], RandomAgent())

    class Rooted(RandomAgent):
        def __init__(self) -> None:
            super().__init__()
            self.frame = sys._getframe()

    with pytest.raises(UsageError, match="AgentSpec"):
        engine.collect(plans(1), Rooted())


def test_a_consumer_may_stop_early(engine: RayRolloutEngine) -> None:
    async def first() -> str:
        run = engine.run(plans(40), RandomAgent(seed=1))
        async for trajectory in run:
            await run.aclose()
            return trajectory.episode_id
        return ""

    assert asyncio.run(first())
    assert len(engine.collect(plans(5), RandomAgent(seed=1))) == 5


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"palaestra\[scale\]"):
        RayRolloutEngine(1)
