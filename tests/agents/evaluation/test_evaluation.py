from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from palaestra.agents.evaluation.evaluation import (
    SAME_ERRORS,
    EnvSpec,
    Evaluation,
    evaluate,
    evaluate_async,
    plan_evaluation,
    task_seed,
)
from palaestra.agents.evaluation.summary import summarize
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.report import write_report
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.records import Planned
from palaestra.agents.store.store import RunStore
from palaestra.errors import BudgetError, ConfigError, ContextWindowError, ModelError, StoreError, UnknownNameError, UsageError
from palaestra.types import Message, Trajectory
from tests.agents.countdown import ENV_ID, Steady, Wavering


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with RunStore(tmp_path) as opened:
        yield opened


def untimed(evaluation: Evaluation) -> Any:
    data = evaluation.to_json()["summary"]
    for name in ("model_s", "env_s"):
        data["usage"].pop(name)
    return json.dumps(data, sort_keys=True)


def test_the_expert_solves_everything(store: RunStore) -> None:
    seen: list[tuple[int, int]] = []
    done = evaluate(ENV_ID, ExpertAgent(), n=20, store=store, progress=lambda *figures: seen.append(figures))
    assert (done.status, done.num_planned) == ("finished", 20)
    assert (done.summary.success.mean, done.summary.success.high) == (1.0, 1.0)
    assert set(done.summary.by_type) == {"from-1", "from-2", "from-3"}
    assert seen == [(i, 20) for i in range(21)]
    assert store.status(done.run_id) == "finished"
    assert len(store.episodes(done.run_id)) == 20
    assert json.loads(json.dumps(done.to_json()))["run_id"] == done.run_id


def test_nothing_is_stored_without_a_store() -> None:
    done = evaluate(ENV_ID, Wavering(), n=10, samples=3)
    assert (done.run_id, done.summary.total.num_episodes, done.summary.samples) == ("", 30, 3)
    with pytest.raises(UsageError, match="there is no store"):
        evaluate(ENV_ID, Wavering(), n=1, run_id="r")


def test_a_resumed_run_plays_what_is_missing_and_nothing_else(store: RunStore) -> None:
    whole = evaluate(ENV_ID, Wavering(), n=30, samples=2, store=store)

    class Interrupted(Wavering):
        played: list[str] = []  # noqa: RUF012 (shared by forks on purpose)

        def reset(self, info: Any, *, env: Any = None, session: str = "") -> None:
            super().reset(info, env=env, session=session)
            self.played.append(session)
            if len(self.played) == 25:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(ENV_ID, Interrupted(), n=30, samples=2, store=store, run_id="r", concurrency=4)
    kept = store.finished("r")
    assert (store.status("r"), store.run("r").note) == ("interrupted", f"{len(kept)} of 60 planned")
    page = write_report(store.run_folder("r") / "report.html", ["r"], store=store).read_text(encoding="utf-8")
    assert f"Run r interrupted: {len(kept)} of 60 planned; its numbers are those so far, and biased" in page
    assert 0 < len(kept) < 25
    Interrupted.played.clear()
    Interrupted.played.extend([""] * 100)
    seen: list[tuple[int, int]] = []
    again = evaluate(
        ENV_ID, Interrupted(), n=30, samples=2, store=store, run_id="r", progress=lambda *figures: seen.append(figures)
    )
    assert seen[0] == (len(kept), 60)
    assert not kept & set(Interrupted.played)
    assert len(Interrupted.played) - 100 == 60 - len(kept)
    assert untimed(again) == untimed(whole)
    finished = evaluate(ENV_ID, Interrupted(), n=30, samples=2, store=store, run_id="r")
    assert len(Interrupted.played) - 100 == 60 - len(kept)
    assert untimed(finished) == untimed(whole)


def test_other_settings_than_the_stored_ones_are_named(store: RunStore) -> None:
    evaluate(ENV_ID, Steady(), n=3, store=store, run_id="r", extra_config={"model": "a"})
    with pytest.raises(ConfigError, match=r"model was 'a', now 'b'; n was 3, now 4\. Use the same"):
        evaluate(ENV_ID, Steady(), n=4, store=store, run_id="r", extra_config={"model": "b"})
    with pytest.raises(ConfigError, match="agent was 'steady', now 'wavering'"):
        evaluate(ENV_ID, Wavering(), n=3, store=store, run_id="r", extra_config={"model": "a"})
    with pytest.raises(ConfigError, match="envs was"):
        evaluate(ENV_ID, Steady(), n=3, env_kwargs={"fault": "x"}, store=store, run_id="r", extra_config={"model": "a"})


def test_the_plan_follows_from_the_settings_alone() -> None:
    config = {
        "envs": [{"env_id": ENV_ID, "env_kwargs": {}}],
        "split": "test",
        "n": 3,
        "samples": 2,
        "seed": 7,
        "max_turns": 4,
    }
    plans = plan_evaluation(config)
    assert plans == plan_evaluation(json.loads(json.dumps(config)))
    assert [plan.episode_id for plan in plans[:3]] == [f"{ENV_ID}/test/0#0", f"{ENV_ID}/test/0#1", f"{ENV_ID}/test/1#0"]
    assert plans[0].seed == plans[1].seed != plans[2].seed
    assert plans[0].group_id == plans[1].group_id != plans[2].group_id
    assert {plan.max_turns for plan in plans} == {4}
    assert [plan.seed for plan in plan_evaluation({**config, "n": 2})] == [plan.seed for plan in plans[:4]]


def test_task_seeds_are_stable_and_all_different() -> None:
    assert [task_seed(0, i) for i in range(3)] == [1484405855, 1982462498, 1570558271]
    assert len({task_seed(seed, i) for seed in range(20) for i in range(100)}) == 2000


def test_a_split_that_is_shorter_than_n_is_played_whole() -> None:
    assert evaluate(ENV_ID, Steady(), n=1000, env_kwargs={"test_size": 5}).num_planned == 5
    assert evaluate(ENV_ID, Steady(), n=None, env_kwargs={"test_size": 6}).num_planned == 6
    assert evaluate(ENV_ID, Steady(), n=50, split="train").num_planned == 50


def test_several_environments_and_several_arguments_of_one() -> None:
    done = evaluate([ENV_ID, EnvSpec(ENV_ID, {"max_turns": 1})], Steady(), n=6)
    assert done.num_planned == 12
    assert done.summary.total.num_tasks == 12
    assert done.summary.total.truncated == pytest.approx(4 / 12)


def test_an_environment_without_tasks_is_seeded() -> None:
    class Coin(gymnasium.Env[str, str]):
        def __init__(self) -> None:
            from palaestra.spaces import TextSpace

            self.observation_space = self.action_space = TextSpace()

        def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
            super().reset(seed=seed)
            self.side = ("down", "up")[int(self.np_random.integers(2))]
            return "down or up?", {}

        def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
            assert isinstance(action, str)
            return self.side, float(action == self.side), True, False, {"engine": object()}

    done = evaluate("any/Coin-v0", Steady(), n=64, make_env=lambda plan: Coin())
    assert done.summary.total.num_tasks == 64
    assert 0.2 < done.summary.success.mean < 0.8
    assert set(done.summary.stop_reasons) == {"success", "failure"}
    with pytest.raises(UsageError, match="no task set to play whole"):
        evaluate("any/Coin-v0", Steady(), n=None, make_env=lambda plan: Coin())


class Flaky(Steady):
    """Its server is down in every fifth episode while `down` is true."""

    name = "flaky"
    down = True

    async def aact(self, observation: str, info: Any) -> Message:
        if self.down and int(self.session.rpartition("/")[2].partition("#")[0]) % 5 == 0:
            raise ModelError("503", status=503)
        return await super().aact(observation, info)


def test_errors_are_counted_and_left_out_of_every_rate(store: RunStore) -> None:
    agent = Flaky()
    done = evaluate(ENV_ID, agent, n=20, store=store, run_id="r")
    total = done.summary.total
    assert (total.num_episodes, total.num_errors, total.success.n, total.success.mean) == (20, 4, 16, 1.0)
    assert done.summary.errors == {"model": 4}
    assert done.summary.error_types == {"model: ModelError": 4}
    assert sum(done.summary.stop_reasons.values()) == 16
    assert evaluate(ENV_ID, agent, n=20, store=store, run_id="r").summary.errors == {"model": 4}


def test_errors_are_replaced_when_they_are_retried(store: RunStore) -> None:
    agent = Flaky()
    evaluate(ENV_ID, agent, n=20, store=store, run_id="r")
    agent.down = False
    again = evaluate(ENV_ID, agent, n=20, store=store, run_id="r", retry_errors=True)
    assert (again.summary.errors, again.summary.total.num_episodes) == ({}, 20)
    assert len(list(store.trajectories("r"))) == 20


def test_a_spent_budget_stops_the_run_and_it_goes_on_later(store: RunStore) -> None:
    class Spending(Steady):
        budget = [12]  # noqa: RUF012 (shared by forks on purpose)

        async def aact(self, observation: str, info: Any) -> Message:
            if self.budget[0] <= 0:
                raise BudgetError("The budget is spent.")
            self.budget[0] -= 1
            return Message("assistant", "down")

    part = evaluate(ENV_ID, Spending(), n=20, store=store, run_id="r", concurrency=3)
    assert part.status == store.status("r") == "stopped"
    assert 0 < part.summary.total.num_episodes < 20
    assert part.summary.total.num_errors == 0
    assert f"({part.summary.total.num_episodes} of 20 planned)" in part.note == store.run("r").note
    assert store.run("r").planned == Planned(part.summary.total.num_episodes, 20)
    assert store.run("r").to_json()["planned"] == {"done": part.summary.total.num_episodes, "planned": 20, "unit": "episodes"}
    Spending.budget[0] = 1000
    whole = evaluate(ENV_ID, Spending(), n=20, store=store, run_id="r")
    assert (whole.status, whole.summary.total.num_episodes, store.run("r").note) == ("finished", 20, "")
    assert (store.run("r").planned, store.run("r").caveat) == (Planned(20, 20), "")


def test_a_run_that_is_being_played_is_refused(store: RunStore) -> None:
    evaluate(ENV_ID, Steady(), n=2, store=store, run_id="r")
    with store.lock("r"), pytest.raises(StoreError, match="is being played"):
        evaluate(ENV_ID, Steady(), n=2, store=store, run_id="r")


def test_a_full_store_fails_the_run_and_it_goes_on_later(store: RunStore) -> None:
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {pages + 6}")
    with pytest.raises(StoreError, match="is full"):
        evaluate(ENV_ID, Wavering(), n=40, samples=5, store=store, run_id="r")
    store._connection.execute("PRAGMA max_page_count = 100000")
    kept = store.finished("r")
    assert 0 < len(kept) < 200
    done = evaluate(ENV_ID, Wavering(), n=40, samples=5, store=store, run_id="r")
    assert untimed(done) == untimed(evaluate(ENV_ID, Wavering(), n=40, samples=5))


def test_workers_evaluate_too(store: RunStore) -> None:
    engine = RolloutEngine(4, env_workers=2, worker_kind="thread")
    done = evaluate(ENV_ID, Wavering(), n=9, store=store, engine=engine)
    assert untimed(done) == untimed(evaluate(ENV_ID, Wavering(), n=9))


async def test_the_asynchronous_form_runs_inside_a_loop(tmp_path: Path) -> None:
    done = await evaluate_async(ENV_ID, Steady(), n=4, store=tmp_path)
    assert done.summary.success.mean == 1
    with RunStore(tmp_path, read_only=True) as store:
        assert store.status(done.run_id) == "finished"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n": 0}, ConfigError, "n is 0; expected a whole number of at least 1"),
        ({"samples": 0}, ConfigError, "samples is 0"),
        ({"max_turns": -1}, ConfigError, "max_turns is -1"),
        ({"split": "tets"}, UnknownNameError, "Did you mean 'test'"),
        ({"n": None, "split": "train"}, UsageError, r"has no end; say how many tasks to play with n= \(-n N\)"),
        ({"env_kwargs": {"test_size": 0}}, UsageError, "holds no tasks"),
        ({"env_kwargs": {"colour": "red"}}, ConfigError, "refuses its arguments"),
        ({"concurrency": 0}, ConfigError, "concurrency is 0"),
    ],
)
def test_arguments_that_cannot_work_are_refused_before_anything_is_played(
    store: RunStore, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        evaluate(ENV_ID, Steady(), store=store, **options)
    assert store.runs() == []


def test_an_unknown_environment_is_told_with_the_nearest(store: RunStore) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'countdown/Countdown-v0'"):
        evaluate("countdown/Countdwn-v0", Steady(), store=store)
    with pytest.raises(UsageError, match="no environment to evaluate in"):
        evaluate([], Steady(), store=store)


def test_the_agent_is_closed_inside_its_loop_when_asked_for() -> None:
    agent = Steady()
    evaluate(ENV_ID, agent, n=1, close_agent=True)
    assert agent.shared["closed"] == 1


def test_the_order_of_completion_changes_nothing() -> None:
    config_free = [evaluate(ENV_ID, Wavering(delay_s=delay), n=20, samples=2) for delay in (0.0, 0.004, 0.008)]
    assert len({untimed(evaluation) for evaluation in config_free}) == 1


def test_trajectories_in_any_order_give_the_same_summary() -> None:
    played: list[Trajectory] = RolloutEngine().collect(
        plan_evaluation(
            {
                "envs": [{"env_id": ENV_ID, "env_kwargs": {"fault": "step"}}],
                "split": "test",
                "n": 30,
                "samples": 2,
                "seed": 0,
                "max_turns": 3,
            }
        ),
        Wavering(),
    )
    first = summarize(played).to_json()
    rng = random.Random(0)
    for _ in range(5):
        rng.shuffle(played)
        assert summarize(played).to_json() == first


class Refused(Steady):
    """Fails in every episode, or in those of some tasks."""

    def __init__(self, fails: Callable[[str], Exception | None]) -> None:
        super().__init__()
        self.fails = fails
        self.task = ""

    def reset(self, info: Mapping[str, Any], **options: Any) -> None:
        self.task = info["task"]["key"]

    async def aact(self, observation: str, info: Mapping[str, Any]) -> Message:
        if error := self.fails(self.task):
            raise error
        return Message("assistant", "down")


def test_equal_errors_from_the_start_end_the_run_and_are_played_again(store: RunStore) -> None:
    wrong = Refused(lambda task: ModelError("there is no model 'tiny'", status=404))
    done = evaluate(ENV_ID, wrong, n=40, store=store, run_id="wrong", concurrency=4)
    numbered = Refused(lambda task: ModelError(f"there is no model 'tiny' (request {task[-1]}f of {task})", status=404))
    assert evaluate(ENV_ID, numbered, n=40).status == "stopped"
    assert (done.status, done.summary.total.num_errors) == ("stopped", SAME_ERRORS)
    assert "10 episodes ended in the same error and none was scored: there is no model 'tiny'" in done.note
    assert store.status("wrong") == "stopped"
    assert done.summary.error_messages == {"model: ModelError": "there is no model 'tiny'"}
    assert done.summary.to_json()["error_messages"] == done.summary.error_messages
    again = evaluate(ENV_ID, Steady(), n=40, store=store, run_id="wrong", retry_errors=True)
    assert (again.status, again.summary.total.num_episodes, again.summary.errors) == ("finished", 40, {})


@pytest.mark.parametrize(
    "fails",
    {
        "one is scored": lambda task: None if task == "test/3" else ModelError("busy"),
        "two causes": lambda task: KeyError("x") if task == "test/3" else ModelError("busy"),
        "two messages": lambda task: ModelError("busy" if task == "test/3" else "broken"),
        "too long": lambda task: ContextWindowError("40 tokens; the context holds 32"),
        "all are few": lambda task: ModelError("busy") if int(task.partition("/")[2]) < SAME_ERRORS - 1 else None,
    }.items(),
    ids=lambda fails: fails[0],
)
def test_other_errors_end_no_run(fails: tuple[str, Callable[[str], Exception | None]]) -> None:
    done = evaluate(ENV_ID, Refused(fails[1]), n=40, concurrency=1)
    assert (done.status, done.summary.total.num_episodes) == ("finished", 40)
    assert set(done.summary.error_messages) == set(done.summary.error_types)


def test_a_run_that_fails_to_its_end_is_finished() -> None:
    done = evaluate(ENV_ID, Refused(lambda task: ModelError("busy")), n=SAME_ERRORS)
    assert (done.status, done.summary.total.num_errors) == ("finished", SAME_ERRORS)


def test_a_negative_seed_is_one_error():
    with pytest.raises(ConfigError, match="seed is -1; expected a whole number of at least 0"):
        evaluate("palaestra/TextCraft-v0", RandomAgent(), n=1, seed=-1)


def test_a_run_that_failed_before_its_first_episode_gives_its_name_away(tmp_path: Path) -> None:
    class Refuses(RandomAgent):
        name = "refuses"

        def reset(self, info: Any, **options: Any) -> None:
            raise UsageError("Not with me.")

    with RunStore(tmp_path) as store:
        with pytest.raises(UsageError, match="Not with me"):
            evaluate(ENV_ID, Refuses(), n=2, store=store, run_id="one")
        assert (store.status("one"), store.episodes("one")) == ("failed", [])
        assert evaluate(ENV_ID, RandomAgent(), n=2, store=store, run_id="one").status == "finished"
        store.set_status("one", "failed")  # it holds episodes now, and those are kept
        with pytest.raises(ConfigError, match="created with other settings: agent was 'random', now 'expert'"):
            evaluate(ENV_ID, ExpertAgent(), n=2, store=store, run_id="one")
        assert len(store.episodes("one")) == 2
