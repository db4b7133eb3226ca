"""Environments that block run in workers without being told."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing.resource_tracker import ensure_running
from typing import Any

import gymnasium
import pytest

from palaestra.agents import EpisodePlan, ExpertAgent, RandomAgent, RolloutEngine
from palaestra.agents.rollout.env_pool import BLOCKING_WORKERS, EnvPool, find_place
from palaestra.envs.core.declared import declared
from palaestra.envs.core.engines import engine_pool
from palaestra.errors import ConfigError
from palaestra.types import plain
from tests.agents.countdown import ENV_ID, Steady
from tests.envs.lift import LIFT_ID, LiftEnv, make_lift, register_lifts
from tests.envs.miniature import COUNTER_ID, CounterEnv, register_miniatures
from tests.envs.processes import children, counts, is_running, needs_proc, nothing_new, wait_for

register_lifts()
register_miniatures()
WAITING_ID, BOUND_ID, PIER_ID = "tests/Waiting-v0", "tests/Bound-v0", "tests/Pier-v0"


class WaitingEnv(CounterEnv):
    """Notes in which threads it is used, and waits in every step until enough others do the same."""

    blocks = True
    threads: set[threading.Thread] = set()  # noqa: RUF012 (of all)
    barrier: threading.Barrier | None = None

    def note(self) -> None:
        self.threads.add(threading.current_thread())

    def expert(self) -> Iterator[str]:
        for action in super().expert():
            self.note()
            yield action

    def _begin(self, task):
        self.note()
        return super()._begin(task)

    def _act(self, action):
        self.note()
        if self.barrier is not None:
            self.barrier.wait(30.0)
        return super()._act(action)

    def close(self):
        self.note()


class BoundEnv(WaitingEnv):
    thread_bound = True


for env_id, kind in ((WAITING_ID, WaitingEnv), (BOUND_ID, BoundEnv)):
    if env_id not in gymnasium.registry:
        gymnasium.register(env_id, kind, order_enforce=False)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    WaitingEnv.threads, WaitingEnv.barrier = set(), None


def plans(n: int, env_id: str, **kwargs: Any) -> list[EpisodePlan]:
    return [EpisodePlan(f"{env_id}-{i}", env_id, kwargs, task_key=f"train/{i % 5}", seed=i) for i in range(n)]


def without_time(trajectories: list[Any]) -> list[Any]:
    return [{**trajectory.to_json(), "usage": None} for trajectory in trajectories]


@pytest.mark.parametrize(
    ("env_id", "workers", "kind", "place"),
    [
        (COUNTER_ID, None, None, None),
        (COUNTER_ID, 0, None, None),
        (COUNTER_ID, 4, None, "process"),
        (COUNTER_ID, 4, "thread", "thread"),
        (COUNTER_ID, None, "thread", None),
        (WAITING_ID, None, None, "thread"),
        (WAITING_ID, 0, None, None),
        (WAITING_ID, 4, None, "thread"),
        (WAITING_ID, None, "process", "process"),
        (BOUND_ID, None, None, "process"),
        (BOUND_ID, 4, "thread", "thread"),
        (LIFT_ID, None, None, "thread"),
        ("tests/NoSuchEnvironment-v0", None, None, None),
    ],
)
def test_where_an_environment_runs_follows_from_its_class_and_from_what_was_asked_for(env_id, workers, kind, place):
    assert find_place(env_id, workers, kind) == place


def test_what_a_class_says_about_waiting_is_found_without_making_it():
    assert (declared(COUNTER_ID).blocks, declared(WAITING_ID).blocks) == (False, True)
    assert (declared(WAITING_ID).thread_bound, declared(BOUND_ID).thread_bound) == (False, True)


def test_environments_that_block_wait_side_by_side_and_not_in_the_event_loop():
    WaitingEnv.barrier = threading.Barrier(BLOCKING_WORKERS)  # nobody gets on unless all of them are there
    same_task = [EpisodePlan(str(i), WAITING_ID, task_key="train/1", seed=3) for i in range(2 * BLOCKING_WORKERS)]
    played = RolloutEngine(64).collect(same_task, ExpertAgent())
    assert all(trajectory.outcome.success for trajectory in played)
    assert len(WaitingEnv.threads) == BLOCKING_WORKERS
    assert threading.current_thread() not in WaitingEnv.threads


def test_in_the_event_loop_they_run_if_that_is_asked_for():
    RolloutEngine(4, env_workers=0).collect(plans(3, WAITING_ID), ExpertAgent())
    assert WaitingEnv.threads == {threading.current_thread()}


def test_the_number_of_workers_can_be_chosen():
    WaitingEnv.barrier = threading.Barrier(3)
    same_task = [EpisodePlan(str(i), WAITING_ID, task_key="train/1", seed=3) for i in range(9)]
    RolloutEngine(64, env_workers=3).collect(same_task, ExpertAgent())
    assert len(WaitingEnv.threads) == 3


def test_a_run_may_mix_environments_that_block_with_others():
    mixed = [plan for pair in zip(plans(12, WAITING_ID), plans(12, COUNTER_ID), strict=True) for plan in pair]
    played = RolloutEngine(16).collect(mixed, ExpertAgent())
    assert without_time(played) == without_time(RolloutEngine(1, env_workers=0).collect(mixed, ExpertAgent()))


@pytest.mark.parametrize("options", [{}, {"env_workers": 2, "worker_kind": "process"}], ids=["default", "processes"])
def test_an_engine_plays_the_same_episodes_wherever_it_runs(options):
    for agent in (ExpertAgent(), RandomAgent(seed=3)):
        some = plans(6, LIFT_ID)
        there = RolloutEngine(8, record_state_hash=True, **options).collect(some, agent, make_env=make_lift)
        here = RolloutEngine(2, record_state_hash=True, env_workers=0).collect(some, agent, make_env=make_lift)
        assert without_time(there) == without_time(here)


@needs_proc
@pytest.mark.parametrize("kind", ["thread", "process"])
def test_an_engine_that_hangs_is_killed_with_its_step_and_leaves_nothing(kind):
    ensure_running()  # multiprocessing starts this process of its own once, and keeps it
    wait_for(lambda: not [thread for thread in threading.enumerate() if thread.name == "palaestra engines"])
    before = counts()
    engine = RolloutEngine(4, env_workers=2, worker_kind=kind, step_timeout_s=1.5)
    some = [
        EpisodePlan(str(i), LIFT_ID, {"words": {"up": "hang"} if i == 2 else {}}, task_key="train/1", seed=i) for i in range(4)
    ]
    played = engine.collect(some, ExpertAgent(), make_env=make_lift)
    assert [trajectory.outcome.error is None for trajectory in played] == [True, True, False, True]
    assert "did not answer step() within 1.5 s" in played[2].outcome.error.message
    del played
    wait_for(lambda: gc.collect() >= 0 and nothing_new(before))  # errors keep frames, and those keep pipes


def make_deaf_lift(plan: EpisodePlan) -> LiftEnv:
    """Make a lift that hangs in "up", and whose engine does not notice that its standard input ends; note its number."""

    class DeafLift(LiftEnv):
        def _send(self, engine, action):
            with open(plan.env_kwargs["file"], "w") as file:
                file.write(str(engine.pid))
            os.kill(engine.pid, signal.SIGSTOP)
            return super()._send(engine, action)

    return DeafLift()


@needs_proc
def test_a_worker_that_is_killed_takes_its_engine_along(tmp_path):
    ensure_running()
    before, file = children(), tmp_path / "pid"
    plan = EpisodePlan("deaf", LIFT_ID, {"file": str(file)}, task_key="train/1")
    engine = RolloutEngine(1, env_workers=1, worker_kind="process", step_timeout_s=1.5)
    [played] = engine.collect([plan], ExpertAgent(), make_env=make_deaf_lift)
    assert played.outcome.error is not None
    wait_for(lambda: not is_running(int(file.read_text())))
    assert children() == before


def test_a_time_limit_for_calls_in_the_event_loop_is_refused():
    engine = RolloutEngine(step_timeout_s=1.0)
    engine.check_env(WAITING_ID)
    message = r"step_timeout_s is 1.0, but countdown/Countdown-v0 runs in the event loop.*--workers N"
    with pytest.raises(ConfigError, match=message):
        engine.check_env(ENV_ID)
    with pytest.raises(ConfigError, match=message):
        engine.collect([EpisodePlan("e", ENV_ID, task_key="train/1")], Steady())


def test_more_workers_than_engines_raise_the_limit_of_engines(monkeypatch):
    from palaestra.envs.core import engines

    monkeypatch.setattr(engines, "_by_variable", {engines.VARIABLE: engines.EnginePool(2)})
    RolloutEngine(8, env_workers=5).collect(plans(2, LIFT_ID), ExpertAgent())
    assert engine_pool().limit == 5


async def test_idle_workers_count_and_environments_in_the_loop_do_not():
    pool = EnvPool(workers=None)
    slots = [await pool.take(plan) for plan in (*plans(3, COUNTER_ID), *plans(BLOCKING_WORKERS, WAITING_ID))]
    for slot in slots:
        await pool.give_back(slot, reusable=True)
    bound = EpisodePlan("b", WAITING_ID, {"max_turns": 3}, task_key="train/1")
    other = await pool.take(bound)
    workers = [slot for kept in pool._idle.values() for slot in kept if slot.is_worker]
    assert len(workers) == BLOCKING_WORKERS - 1
    assert len([slot for kept in pool._idle.values() for slot in kept]) == BLOCKING_WORKERS - 1 + 3
    await pool.give_back(other, reusable=True)
    await pool.close()
    assert plain(pool._num_idle) == 0
