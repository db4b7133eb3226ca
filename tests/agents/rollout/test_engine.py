from __future__ import annotations

import asyncio
import gc
import json
import math
import time
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.agents.core import Agent
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.rollout.engine import EpisodePlan, RolloutEngine
from palaestra.agents.rollout.env_pool import EnvPool
from palaestra.errors import (
    BudgetError,
    ConfigError,
    ContextWindowError,
    MissingExtraError,
    ModelError,
    UnknownNameError,
    UsageError,
)
from palaestra.types import Message, Outcome, Trajectory
from tests.agents.countdown import ENV_ID, CountdownEnv, Steady, Wavering, make_countdown, plans
from tests.envs.miniature import CounterEnv, ForeignEnv, MeasuredEnv


def without_time(trajectory: Trajectory) -> dict[str, Any]:
    data = trajectory.to_json()
    data["usage"].pop("model_s")
    data["usage"].pop("env_s")
    return data


@pytest.fixture(autouse=True)
def _counters() -> Iterator[None]:
    CountdownEnv.made = CountdownEnv.closed = 0
    yield
    assert CountdownEnv.made == CountdownEnv.closed, "an environment was left open"


def test_an_episode_is_recorded_in_full() -> None:
    plan = EpisodePlan("e", ENV_ID, task_key="train/2", seed=5, sample=3, group_id="g")
    [played] = RolloutEngine(record_state_hash=True).collect([plan], Steady())
    assert (played.episode_id, played.group_id, played.sample, played.seed, played.agent) == ("e", "g", 3, 5, "steady")
    assert played.task == {"key": "train/2", "split": "train", "type": "from-3"}
    assert played.instructions == "Say down until nothing is left."
    assert [step.observation for step in played.steps] == ["3 left", "2 left", "1 left"]
    assert [step.reward for step in played.steps] == pytest.approx([1 / 3] * 3)
    assert played.final_observation == "0 left"
    assert played.steps[-1].terminated
    assert not any(step.truncated for step in played.steps)
    assert (played.outcome.success, played.outcome.stop_reason) == (True, "success")
    assert played.outcome.score == pytest.approx(1)
    assert played.max_turns == 6
    assert played.usage.calls == 3
    assert played.usage.env_s > 0
    assert len({step.state_hash for step in played.steps}) == 3
    assert [span.turn for span in played.segments[0].turns] == [0, 1, 2]
    assert Trajectory.from_json(played.to_json()) == played


def test_every_plan_is_played_once_and_returned_in_order() -> None:
    played = RolloutEngine(32).collect(plans(300), Wavering())
    assert [trajectory.episode_id for trajectory in played] == [f"episode-{i}" for i in range(300)]
    assert {trajectory.outcome.stop_reason for trajectory in played} == {"success", "max_rounds"}


def test_hundreds_play_at_once() -> None:
    agent = Steady(delay_s=0.02)
    started = time.perf_counter()
    RolloutEngine(256).collect(plans(512), agent)
    assert agent.shared["most"] == 256
    assert time.perf_counter() - started < 512 * 2 * 0.02 / 4  # one after the other: 20 s


def test_a_slow_episode_holds_up_nobody() -> None:
    class Uneven(Steady):
        async def aact(self, observation: str, info: Any) -> Message:
            await asyncio.sleep(0.3 if self.session == "episode-0" else 0)
            return Message("assistant", "down")

    async def order() -> list[str]:
        return [trajectory.episode_id async for trajectory in RolloutEngine(4).run(plans(200), Uneven())]

    found = asyncio.run(order())
    assert found[-1] == "episode-0"
    assert len(found) == 200


def test_a_batched_generator_sees_all_episodes_at_once() -> None:
    class Batched(Agent):
        """Waits until every episode in play has asked, like a local model that answers in batches."""

        name = "batched"
        batches: list[int] = []  # noqa: RUF012 (shared by forks on purpose)
        waiting: list[asyncio.Future[str]] = []  # noqa: RUF012

        async def aact(self, observation: str, info: Any) -> Message:
            loop = asyncio.get_running_loop()
            future: asyncio.Future[str] = loop.create_future()
            self.waiting.append(future)
            if len(self.waiting) == 1:
                loop.create_task(self.answer())  # noqa: RUF006 (ends with the turn)
            return Message("assistant", await future)

        async def answer(self) -> None:
            for _ in range(3):
                await asyncio.sleep(0)
            batch, self.waiting[:] = list(self.waiting), []
            self.batches.append(len(batch))
            for future in batch:
                future.set_result("down")

    played = RolloutEngine(200).collect((EpisodePlan(f"{i}", ENV_ID, task_key="train/2") for i in range(200)), Batched())
    assert all(trajectory.outcome.success for trajectory in played)
    assert max(Batched.batches) > 150


def test_environments_are_reused_but_never_shared() -> None:
    agent = Steady(delay_s=0)
    RolloutEngine(8).collect(plans(100), agent)
    assert CountdownEnv.made <= 8

    class Watchful(Steady):
        def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
            super().reset(info, env=env, session=session)
            self.world = env.unwrapped
            assert not self.world.busy
            self.world.busy = True

        async def aact(self, observation: str, info: Any) -> Message:
            if observation.startswith("1"):
                self.world.busy = False
            return await super().aact(observation, info)

    played = RolloutEngine(8).collect(plans(60), Watchful(delay_s=0))
    assert not any(trajectory.outcome.error for trajectory in played)


def test_arguments_get_environments_of_their_own() -> None:
    several = [EpisodePlan(f"{i}", ENV_ID, {"max_turns": 1 + i % 2}, task_key="train/2") for i in range(20)]
    played = RolloutEngine(1).collect(several, Steady())
    assert [trajectory.num_turns for trajectory in played] == [1, 2] * 10
    assert CountdownEnv.made == 2


async def test_idle_environments_are_bounded_and_the_longest_unused_goes_first() -> None:
    pool = EnvPool(max_idle=2)
    several = [EpisodePlan("e", ENV_ID, {"max_turns": turns}) for turns in (1, 2, 3)]
    for plan in (*several, several[1], several[2]):
        await pool.give_back(await pool.take(plan), reusable=True)
    assert (CountdownEnv.made, CountdownEnv.closed) == (3, 1)
    await pool.give_back(await pool.take(several[0]), reusable=True)
    assert (CountdownEnv.made, CountdownEnv.closed) == (4, 2)
    await pool.give_back(await pool.take(several[2]), reusable=False)
    assert (CountdownEnv.made, CountdownEnv.closed) == (4, 3)
    await pool.close()


def test_the_horizon_truncates_and_is_stored() -> None:
    played = RolloutEngine().collect(plans(6, max_turns=2), Steady())
    assert [trajectory.num_turns for trajectory in played] == [1, 2, 2, 1, 2, 2]
    assert [trajectory.outcome.stop_reason for trajectory in played] == ["success", "success", "max_rounds"] * 2
    assert {trajectory.max_turns for trajectory in played} == {2}
    cut = played[2]
    assert cut.steps[-1].truncated
    assert not cut.steps[-1].terminated
    assert (cut.outcome.success, cut.outcome.score) == (False, pytest.approx(2 / 3))


def test_no_rollout_exceeds_the_horizon_of_its_own_plan_while_it_grows() -> None:
    horizon = {"now": 1}

    def growing() -> Iterator[EpisodePlan]:
        for i in range(40):
            horizon["now"] = 1 + i // 10
            yield EpisodePlan(f"{i}", ENV_ID, {"max_turns": None}, task_key="train/2", max_turns=horizon["now"])

    played = RolloutEngine(7).collect(growing(), Wavering(delay_s=0.001))
    assert [trajectory.max_turns for trajectory in played] == [1 + i // 10 for i in range(40)]
    assert all(trajectory.num_turns <= (trajectory.max_turns or 0) for trajectory in played)


@pytest.mark.parametrize(
    ("fault", "boundary", "type_name", "num_steps"),
    [
        ("reset", "environment", "RuntimeError", 0),
        ("step", "environment", "RuntimeError", 0),
        ("step-tool", "tool", "ToolError", 0),
        ("step-scoring", "scoring", "ScoringError", 0),
    ],
)
def test_a_fault_of_the_world_is_an_error_never_a_score(fault: str, boundary: str, type_name: str, num_steps: int) -> None:
    played = RolloutEngine(4).collect(
        (EpisodePlan(f"{i}", ENV_ID, {"fault": fault}, task_key=f"train/{i}") for i in range(10)), Steady()
    )
    errors = [trajectory for trajectory in played if trajectory.outcome.error]
    assert [trajectory.episode_id for trajectory in errors] == ["7"]
    [broken] = errors
    assert broken.outcome.error is not None
    assert (broken.outcome.error.boundary, broken.outcome.error.type) == (boundary, type_name)
    assert (broken.outcome.score, broken.outcome.success, broken.outcome.stop_reason) == (None, None, "env_error")
    assert "Traceback" in broken.outcome.error.detail
    assert broken.num_turns == num_steps
    assert sum(bool(trajectory.outcome.success) for trajectory in played) == 9


class Failing(Steady):
    """Fails in the second turn of every third episode."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def aact(self, observation: str, info: Any) -> Message:
        if self.calls == 1 and int(self.session.rpartition("-")[2]) % 3 == 2:
            raise self.error
        return await super().aact(observation, info)


@pytest.mark.parametrize("error", [ModelError("429 for ever"), ZeroDivisionError("agent bug"), TimeoutError()])
def test_a_fault_of_the_agent_keeps_the_steps_before_it(error: Exception) -> None:
    played = RolloutEngine(4).collect(plans(9), Failing(error))
    for i, trajectory in enumerate(played):
        if i % 3 == 2:
            assert trajectory.outcome.error is not None
            assert (trajectory.outcome.error.boundary, trajectory.outcome.error.type) == ("model", type(error).__name__)
            assert trajectory.outcome.error.message
            assert trajectory.outcome.score is None
            assert trajectory.num_turns == 1
            assert trajectory.usage.calls == 1
            assert trajectory.final_observation == "2 left"
        else:
            assert trajectory.outcome.success
    assert CountdownEnv.made <= 4  # the world was not to blame, and goes on


def test_a_dialogue_that_outgrows_the_context_is_truncated_play_and_no_error() -> None:
    played = RolloutEngine(4).collect(plans(9), Failing(ContextWindowError("40 tokens; the context holds 32")))
    for i, trajectory in enumerate(played):
        assert trajectory.outcome.error is None
        if i % 3 == 2:
            assert (trajectory.outcome.stop_reason, trajectory.outcome.success) == ("max_tokens", False)
            assert trajectory.outcome.score == trajectory.return_
            assert [(step.terminated, step.truncated) for step in trajectory.steps] == [(False, True)]


def test_an_opening_that_does_not_fit_the_context_is_a_model_error() -> None:
    class Narrow(Steady):
        async def aact(self, observation: str, info: Any) -> Message:
            raise ContextWindowError("40 tokens; the context holds 32")

    [played] = RolloutEngine().collect(plans(1), Narrow())
    assert played.outcome.error is not None
    assert (played.outcome.error.boundary, played.outcome.error.type) == ("model", "ContextWindowError")


@pytest.mark.parametrize("answer", [None, 3, Message("user", "down")])
def test_an_agent_that_answers_nonsense_is_a_mistake_in_its_code(answer: Any) -> None:
    class Odd(Steady):
        async def aact(self, observation: str, info: Any) -> Message:
            return answer

    with pytest.raises(UsageError, match="expected an assistant Message or a str"):
        RolloutEngine().collect(plans(1), Odd())


def test_a_record_that_fails_is_a_model_error_and_keeps_the_steps() -> None:
    class Forgetful(Steady):
        def record(self) -> Any:
            raise KeyError("usage")

    [played] = RolloutEngine().collect(plans(1), Forgetful())
    assert played.outcome.error is not None
    assert (played.outcome.error.boundary, played.num_turns) == ("model", 1)


@pytest.mark.parametrize("workers", [{}, {"env_workers": 1}], ids=["in the loop", "in a process"])
def test_the_outcome_keeps_the_last_value_of_each_metric(workers: dict[str, Any]) -> None:
    [played] = RolloutEngine(**workers).collect(
        [EpisodePlan("e", "any", task_key="train/0", seed=1)], ExpertAgent(), make_env=make_measured
    )
    assert played.outcome.metrics == {"distance": 0.0, "lowest": played.steps[0].info["metrics"]["lowest"], "directness": 1.0}
    assert Trajectory.from_json(played.to_json()) == played


def test_a_cut_episode_has_the_metrics_so_far() -> None:
    plan = EpisodePlan("e", "any", task_key="train/3", seed=1, max_turns=2)
    [played] = RolloutEngine().collect([plan], ExpertAgent(), make_env=make_measured)
    assert played.outcome.stop_reason == "max_rounds"
    assert played.outcome.metrics == played.steps[-1].info["metrics"]
    assert "directness" not in played.outcome.metrics


@pytest.mark.parametrize("value", [math.nan, math.inf, "much", None, True])
def test_a_metric_that_is_no_number_is_an_environment_error(value: Any) -> None:
    class Broken(MeasuredEnv):
        def _act(self, action: Any) -> Any:
            turn = super()._act(action)
            turn.metrics = {"distance": value}
            return turn

    [played] = RolloutEngine().collect([EpisodePlan("e", "any", seed=1)], ExpertAgent(), make_env=lambda plan: Broken())
    assert played.outcome.error is not None
    assert (played.outcome.error.boundary, played.outcome.score) == ("environment", None)
    assert "metric 'distance'" in played.outcome.error.message


def test_what_an_undeclared_environment_calls_metrics_is_its_own_business() -> None:
    class Foreign(CounterEnv):
        def _act(self, action: Any) -> Any:
            turn = super()._act(action)
            turn.info = {"metrics": ["not", "ours"]}
            return turn

    [played] = RolloutEngine().collect([EpisodePlan("e", "any", seed=1)], ExpertAgent(), make_env=lambda plan: Foreign())
    assert played.outcome.success
    assert played.outcome.metrics == {}


def make_measured(plan: EpisodePlan) -> MeasuredEnv:
    return MeasuredEnv()


def test_a_reward_that_is_no_number_is_an_environment_error() -> None:
    class Broken(CountdownEnv):
        def _act(self, action: Any) -> Any:
            turn = super()._act(action)
            turn.reward = float("nan")
            return turn

    [played] = RolloutEngine().collect(plans(1), Steady(), make_env=lambda plan: Broken())
    CountdownEnv.made, CountdownEnv.closed = CountdownEnv.made + Broken.made, CountdownEnv.closed + Broken.closed
    assert played.outcome.error is not None
    assert "reward of step 0 is nan" in played.outcome.error.message


def test_a_spent_budget_stops_the_run_and_says_so() -> None:
    class Spending(Steady):
        async def aact(self, observation: str, info: Any) -> Message:
            if self.shared["closed"] >= 10:
                raise BudgetError("The budget of 10 calls is spent; raise it.")
            self.shared["closed"] += 1
            return Message("assistant", "down")

    kept: list[Trajectory] = []
    with pytest.raises(BudgetError, match="10 calls"):
        RolloutEngine(4).collect(plans(1000), Spending(), on_finish=kept.append)
    assert 1 <= len(kept) <= 10
    assert all(trajectory.outcome.success for trajectory in kept)


@pytest.mark.parametrize("error", [UsageError("wrong format"), MissingExtraError("x", "llm")])
def test_a_mistake_of_the_caller_stops_the_run(error: UsageError) -> None:
    class Refusing(Steady):
        def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
            raise error

    with pytest.raises(type(error)):
        RolloutEngine(4).collect(plans(100), Refusing())


def test_an_unknown_environment_or_task_stops_the_run() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'countdown/Countdown-v0'"):
        RolloutEngine().collect([EpisodePlan("e", "countdown/Countdwon-v0")], Steady())
    with pytest.raises(UnknownNameError, match="Unknown task 'train/x'"):
        RolloutEngine().collect([EpisodePlan("e", ENV_ID, task_key="train/x")], Steady())


def test_stopping_early_gives_up_what_is_in_play_and_closes_everything() -> None:
    async def main() -> int:
        seen = 0
        episodes = RolloutEngine(16).run(plans(100_000), Steady(delay_s=0.001))
        async for _ in episodes:
            seen += 1
            if seen == 20:
                break
        await episodes.aclose()
        return len(asyncio.all_tasks())

    assert asyncio.run(main()) == 1


def test_an_interruption_keeps_what_was_finished() -> None:
    kept: list[Trajectory] = []

    def keep(trajectory: Trajectory) -> None:
        kept.append(trajectory)
        if len(kept) == 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RolloutEngine(8).collect(plans(100), Steady(delay_s=0.001), on_finish=keep)
    assert len(kept) == 12


def test_plans_that_fail_to_come_stop_the_run() -> None:
    def broken() -> Iterator[EpisodePlan]:
        yield from plans(3)
        raise UsageError("no more tasks")

    with pytest.raises(UsageError, match="no more tasks"):
        RolloutEngine(2).collect(broken(), Steady())


def test_memory_does_not_grow_with_the_number_of_episodes() -> None:
    pulled = 0

    def counting() -> Iterator[EpisodePlan]:
        nonlocal pulled
        for plan in plans(10**9):
            pulled += 1
            yield plan

    async def main() -> int:
        most = seen = 0
        episodes = RolloutEngine(8).run(counting(), Steady())
        async for _ in episodes:
            seen += 1
            most = max(most, pulled - seen)
            if seen == 500:
                tracemalloc.start()
                before = tracemalloc.take_snapshot().statistics("filename")
            if seen == 1500:
                gc.collect()  # garbage that has not been collected yet is no growth
                after = sum(s.size for s in tracemalloc.take_snapshot().statistics("filename"))
                tracemalloc.stop()
                assert after - sum(s.size for s in before) < 300_000
                break
        await episodes.aclose()
        return most

    assert asyncio.run(main()) <= 8 * 2 + 1


def test_an_episode_that_takes_too_long_is_an_error_of_whom_it_waited_for() -> None:
    class Stuck(Steady):
        async def aact(self, observation: str, info: Any) -> Message:
            if self.session == "episode-1":
                await asyncio.sleep(60)
            return Message("assistant", "down")

    played = RolloutEngine(episode_timeout_s=0.6).collect(plans(4), Stuck())
    assert [trajectory.outcome.error is None for trajectory in played] == [True, False, True, True]
    error = played[1].outcome.error
    assert error is not None
    assert (error.boundary, error.type) == ("model", "ModelError")
    assert "0.6 s" in error.message


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_workers_play_the_same_episodes(kind: Any) -> None:
    engine = RolloutEngine(6, env_workers=2, worker_kind=kind, record_state_hash=True)
    inline = RolloutEngine(6, record_state_hash=True)
    for agent in (Wavering(), ExpertAgent(), RandomAgent(seed=1)):
        there = engine.collect(plans(6), agent, make_env=make_countdown)
        here = inline.collect(plans(6), agent, make_env=make_countdown)
        assert [without_time(trajectory) for trajectory in there] == [without_time(trajectory) for trajectory in here]


@pytest.mark.parametrize("kind", ["thread", "process"])
def test_a_world_that_hangs_is_cut_off_and_replaced(kind: Any) -> None:
    engine = RolloutEngine(4, env_workers=2, worker_kind=kind, step_timeout_s=1.0)
    some = [EpisodePlan(f"{i}", ENV_ID, {"fault": "step-hang"}, task_key=f"train/{i}") for i in (5, 6, 7, 8)]
    started = time.perf_counter()
    played = engine.collect(some, Steady(), make_env=make_countdown)
    assert time.perf_counter() - started < 25
    for plan, trajectory in zip(some, played, strict=True):
        if plan.episode_id != "7":
            assert trajectory.outcome.success
            continue
        error = trajectory.outcome.error
        assert error is not None
        assert error.boundary == "environment"
        assert "did not answer step() within" in error.message
    CountdownEnv.made = CountdownEnv.closed  # the hanging one could not be closed


def test_the_death_of_a_worker_costs_one_episode() -> None:
    engine = RolloutEngine(4, env_workers=1)
    some = (EpisodePlan(f"{i}", ENV_ID, {"fault": "step-exit"}, task_key=f"train/{i}") for i in (5, 6, 7, 8, 9))
    played = engine.collect(some, Steady(), make_env=make_countdown)
    error = played[2].outcome.error
    assert error is not None
    assert error.boundary == "environment"
    assert "exit code 13" in error.message
    assert all(trajectory.outcome.success for trajectory in played if trajectory.episode_id != "7")


def test_a_fault_in_a_worker_keeps_its_boundary_and_traceback() -> None:
    engine = RolloutEngine(env_workers=1)
    plan = EpisodePlan("7", ENV_ID, {"fault": "step-tool"}, task_key="train/7")
    [played] = engine.collect([plan], Steady(), make_env=make_countdown)
    error = played.outcome.error
    assert error is not None
    assert (error.boundary, error.type, error.message) == ("tool", "ToolError", "the weather service is down")
    assert "_fail" in error.detail


def test_a_make_env_that_cannot_travel_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be sent to a worker process"):
        RolloutEngine(env_workers=1).collect(plans(1), Steady(), make_env=lambda plan: CountdownEnv())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency is 0"),
        ({"env_workers": -1}, "env_workers is -1"),
        ({"worker_kind": "ray"}, "worker_kind is 'ray'"),
        ({"episode_timeout_s": 0}, "episode_timeout_s is 0"),
        ({"step_timeout_s": 1.0, "env_workers": 0}, "step_timeout_s needs env_workers"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        RolloutEngine(**options)


def test_a_horizon_without_turns_is_refused() -> None:
    with pytest.raises(UsageError, match="max_turns of episode 'e' is 0"):
        EpisodePlan("e", ENV_ID, max_turns=0)


async def test_inside_a_running_loop_the_asynchronous_form_is_asked_for() -> None:
    with pytest.raises(UsageError, match=r"use its asynchronous form run\(\)"):
        RolloutEngine().collect(plans(1), Steady())


def test_the_agent_is_closed_only_when_asked_for() -> None:
    agent = Steady()
    RolloutEngine().collect(plans(2), agent)
    assert agent.shared["closed"] == 0
    RolloutEngine().collect(plans(2), agent, close_agent=True)
    assert agent.shared["closed"] == 1


@settings(max_examples=15, deadline=None)
@given(concurrency=st.integers(1, 40), n=st.integers(0, 60), delay=st.sampled_from([0.0, 0.002]))
def test_results_do_not_depend_on_how_many_play_at_once(concurrency: int, n: int, delay: float) -> None:
    played = RolloutEngine(concurrency).collect(plans(n), Wavering(delay_s=delay))
    alone = RolloutEngine(1).collect(plans(n), Wavering())
    assert [without_time(trajectory) for trajectory in played] == [without_time(trajectory) for trajectory in alone]


@pytest.mark.parametrize("name", ["", "\x1b[31m", "x" * 101, 3])
def test_a_metric_without_a_name_to_show_is_an_environment_error(name: Any) -> None:
    class Broken(MeasuredEnv):
        def _act(self, action: Any) -> Any:
            turn = super()._act(action)
            turn.metrics = {name: 1.0}
            return turn

    [played] = RolloutEngine().collect([EpisodePlan("e", "any", seed=1)], ExpertAgent(), make_env=lambda plan: Broken())
    assert played.outcome.error is not None
    assert played.outcome.error.boundary == "environment"
    assert "expected printable text of 1 to 100 characters" in played.outcome.error.message


def test_rewards_that_add_up_to_no_number_are_an_environment_error() -> None:
    class Generous(CountdownEnv):
        def _act(self, action: Any) -> Any:
            turn = super()._act(action)
            turn.reward, turn.terminated = 1e308, False
            return turn

    [played] = RolloutEngine().collect(
        [EpisodePlan("e", "any", seed=1, max_turns=4)], ExpertAgent(), make_env=lambda plan: Generous()
    )
    assert played.outcome.error is not None
    assert played.outcome.error.boundary == "environment"
    assert "expected a finite sum" in played.outcome.error.message
    json.dumps(played.to_json(), allow_nan=False)


@pytest.mark.parametrize("figure", [np.float32(0.5), np.float64(0.5), np.array(0.5), 0.5])
def test_numbers_of_numpy_in_the_info_of_foreign_environments_are_numbers(figure: Any) -> None:
    class Foreign(ForeignEnv):
        def step(self, action: str) -> Any:
            return "end", figure, np.bool_(True), np.bool_(False), {"success": np.bool_(True), "score": figure}

    def make(plan: EpisodePlan) -> Any:
        return Foreign()

    [episode] = RolloutEngine(1).collect([EpisodePlan("e", "x/Foreign-v0", seed=0)], Steady(), make_env=make)
    assert episode.outcome == Outcome(0.5, True, "success")
    assert json.loads(json.dumps(episode.to_json())) == episode.to_json()
