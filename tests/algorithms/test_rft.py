from __future__ import annotations

import dataclasses
import json
import shutil
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from palaestra.algorithms.data.reward_noise import NoiseConfig, with_noise
from palaestra.algorithms.rft import RFTConfig, Rounds, capped, distinct, merged, select
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.recipe import Recipe
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Message, Outcome, ToolCall, Trajectory
from tests.algorithms.build import simple
from tests.algorithms.toy_recipe import toy_recipe

SFT = {"episodes": 48, "epochs": 6, "batch_size": 12, "lr": 6e-3, "warmup_updates": 3}
RFT: dict[str, Any] = {"rounds": 2, "tasks_per_round": 8, "samples": 4, "min_keep": 2, "threshold": 0.5, "sft": SFT}


def play(name: str, actions: str, score: float, task: str = "a", *, error: bool = False) -> Trajectory:
    """An episode with one turn per letter."""
    built = simple(name, 0.0, group=task, error=error)
    steps = tuple(dataclasses.replace(built.steps[0], action=Message("assistant", letter)) for letter in actions)
    outcome = built.outcome if error else Outcome(score=score, success=score >= 1.0)
    return dataclasses.replace(built, steps=steps, outcome=outcome)


def names(episodes: Any) -> list[str]:
    return [episode.episode_id for episode in episodes]


def rft_recipe(**table: Any) -> Recipe:
    env = {"num_turns": 2}
    return toy_recipe(phases=["rft"], env=env, rft={**RFT, **table}, evaluation={"n": 2, "baselines": []})


def test_episodes_that_do_the_same_in_one_task_are_one() -> None:
    plays = [
        play("1", "xy", 1.0),
        play("2", "xy", 1.0),
        play("3", "yx", 1.0),
        play("4", "xy", 1.0, "b"),
        play("5", "xyx", 1.0),
    ]
    assert names(distinct(plays)) == ["1", "3", "4", "5"]


def test_calls_are_compared_by_name_and_arguments_and_not_by_id_or_thought() -> None:
    def calling(name: str, arguments: dict[str, Any], call_id: str, thought: str) -> Trajectory:
        built = play(name, "x", 1.0)
        action = Message("assistant", "", tool_calls=(ToolCall("look", arguments, call_id),), reasoning=thought)
        return dataclasses.replace(built, steps=(dataclasses.replace(built.steps[0], action=action),))

    plays = [calling("1", {"n": 1}, "c1", "hm"), calling("2", {"n": 1}, "c2", "so"), calling("3", {"n": 2}, "c1", "hm")]
    assert names(distinct(plays)) == ["1", "3"]


def test_the_shortest_of_the_best_are_kept_of_each_task() -> None:
    plays = [play("long", "xxx", 1.0), play("worse", "x", 0.5), play("short", "xy", 1.0), play("other", "xxxx", 0.1, "b")]
    assert names(capped(plays, 2)) == ["short", "long", "other"]
    assert names(capped(plays, 1)) == ["short", "other"]


def test_of_equal_deeds_the_best_score_is_kept() -> None:
    plays = [play("first", "x", 0.5), play("better", "x", 1.0), play("as good", "x", 1.0), play("worse", "x", 0.0)]
    assert names(distinct(plays)) == ["better"]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ab"), st.text("xy", min_size=1, max_size=3), st.sampled_from([0.0, 0.5, 1.0]))))
def test_keeping_the_episodes_of_a_round_again_changes_nothing(found: list[tuple[str, str, float]]) -> None:
    plays = [play(str(index), actions, score, task) for index, (task, actions, score) in enumerate(found)]
    old, new = plays[: len(plays) // 2], plays[len(plays) // 2 :]
    kept = merged(old, new, 2)
    assert merged(kept, new, 2) == kept
    assert merged(kept, kept, 2) == kept
    for task in "ab":
        assert sum(t.task["key"] == task for t in kept) <= 2


def test_successes_are_kept_and_failures_and_errors_are_not() -> None:
    plays = [play("won", "x", 1.0), play("again", "x", 1.0), play("lost", "y", 0.9), play("broken", "z", 1.0, error=True)]
    found = select(plays, RFTConfig(min_keep=1))
    assert (names(found.episodes), found.num_successes, found.num_different, found.is_top_decile) == (["won"], 2, 1, False)


def test_a_threshold_of_a_type_of_task_comes_before_the_general_one() -> None:
    plays = [play(f"{kind}{score}", "x", score, f"{kind}{score}") for kind in "ab" for score in (0.3, 0.6, 1.0)]
    plays = [dataclasses.replace(t, task={**t.task, "type": t.episode_id[0]}) for t in plays]
    found = select(plays, RFTConfig(min_keep=1, threshold=0.5, thresholds={"b": 0.2}))
    assert names(found.episodes) == ["a0.6", "a1.0", "b0.3", "b0.6", "b1.0"]


def test_with_too_few_successes_the_highest_tenth_is_kept() -> None:
    plays = [play(str(score), "x", score / 100, f"task{score}") for score in range(30)]
    found = select(plays, RFTConfig(min_keep=1))
    assert found.is_top_decile
    assert (names(found.episodes), found.num_successes) == (["29", "28", "27"], 0)
    won = select([*plays, play("won", "y", 1.0, "task1")], RFTConfig(min_keep=2))
    assert names(won.episodes) == ["won", "29", "28", "27"]
    assert not select([*plays, play("won", "y", 1.0, "task1")], RFTConfig(min_keep=1)).is_top_decile


def test_nothing_is_kept_of_episodes_that_all_failed_alike() -> None:
    found = select([play(str(i), "x", 0.0, str(i)) for i in range(20)], RFTConfig(min_keep=1))
    assert (found.episodes, found.is_top_decile) == ((), True)


def test_scores_that_are_none_are_not_kept() -> None:
    assert select([play("nan", "x", float("nan"))], RFTConfig(min_keep=0, threshold=0.0)).episodes == ()


def test_where_rewards_lie_the_lie_decides_what_is_kept() -> None:
    plays = [play("won", "x", 1.0), play("lost", "y", 0.0, "b")]
    plays = [
        dataclasses.replace(t, steps=(dataclasses.replace(t.steps[0], reward=float(t.outcome.score or 0)),)) for t in plays
    ]
    assert names(select(plays, RFTConfig(min_keep=1)).episodes) == ["won"]
    lies = with_noise(plays, NoiseConfig(rate=1.0), seed=0)
    for config in (RFTConfig(min_keep=1), RFTConfig(min_keep=1, threshold=0.5), RFTConfig(min_keep=1, thresholds={"": 0.5})):
        assert names(select(lies, config).episodes) == ["lost"]
    calm = with_noise(plays, NoiseConfig(rate=0.0), seed=0)
    assert names(select(calm, RFTConfig(min_keep=1)).episodes) == ["won"]


# -- whole phases -----------------------------------------------------------------------------------------------------


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return found


def curve(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in read_metrics(folder / "metrics.jsonl")]


class Killed(BaseException):
    """Nothing in the library catches it."""


def killing_at(step: int) -> Any:
    def progress(event: ProgressEvent) -> None:
        if (event.phase, event.done) == ("rft", step):
            raise Killed

    return progress


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return train(rft_recipe(), store=tmp_path_factory.mktemp("rft"), run_id="run")


def test_every_round_plays_and_then_imitates_experts_and_what_was_kept(whole: Any) -> None:
    rows = curve(whole.folder)
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["round"] for row in rows if "successes" in row] == [1, 2]
    first = [row for row in rows if row["round"] == 0]
    assert first
    assert all(row["episodes"] == SFT["episodes"] and row["episodes_kept"] == 0 for row in first)
    for number in (1, 2):
        played, *updates = [row for row in rows if row["round"] == number]
        assert played["kept_new"] > 0
        assert all(row["episodes"] == SFT["episodes"] + played["kept"] for row in updates)
    assert whole.arms["trained"].summary.total.num_episodes == 2


@pytest.mark.parametrize("step", [1, 25, 32])
def test_a_killed_round_goes_on_to_the_same_weights(step: int, whole: Any, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(rft_recipe(), store=tmp_path, run_id="run", progress=killing_at(step))
    result = train(rft_recipe(), store=tmp_path, run_id="run")
    assert curve(result.folder) == curve(whole.folder)
    expected = weights(whole.policy_path)
    assert all(torch.equal(value, expected[name]) for name, value in weights(result.policy_path).items())


def test_a_round_that_is_run_again_gives_the_same(whole: Any, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(whole.folder.parent, store)
    folder = store / "run"
    last = Checkpoints(folder / "checkpoints" / "rft").latest()
    assert last is not None
    kept = last.state()["kept"]
    shutil.rmtree(last.path)  # only the checkpoint before the end is left
    result = train(rft_recipe(), store=store, run_id="run")
    found = Checkpoints(result.folder / "checkpoints" / "rft").latest()
    assert found is not None
    assert found.state()["kept"] == kept
    assert curve(result.folder) == curve(whole.folder)


def test_imitation_begins_from_the_base_model_in_every_round(tmp_path: Path) -> None:
    # updates without any effect leave exactly the base model, whatever the rounds before have learned
    still = {**SFT, "lr": 1e-30, "epochs": 1}
    recipe = toy_recipe(phases=["sft", "rft"], rft={**RFT, "sft": still, "min_keep": 0}, evaluation={"n": 2, "baselines": []})
    result = train(recipe, store=tmp_path)
    start = Checkpoints(result.folder / "checkpoints" / "sft").latest()
    assert start is not None
    base = weights(start.policy_path)
    assert all(torch.equal(value, base[name]) for name, value in weights(result.policy_path).items())


def test_noise_reaches_what_a_round_keeps(tmp_path: Path) -> None:
    table = {**RFT, "rounds": 1, "min_keep": 0, "max_per_task": 4, "skip_refused": False, "experts": True}
    recipe = toy_recipe(
        phases=["rft"], env={"num_turns": 2}, rft=table, noise={"rate": 1.0}, evaluation={"n": 2, "baselines": []}
    )
    result = train(recipe, store=tmp_path)
    last = Checkpoints(result.folder / "checkpoints" / "rft").latest()
    assert last is not None
    kept = [Trajectory.from_json(json.loads(text)) for text in last.state()["kept"]]
    assert kept
    # every return s was paid as 1 - s, and .5 or more was wanted
    assert all(t.outcome.score is not None and t.outcome.score <= 0.5 <= t.return_ for t in kept)
    assert any(t.outcome.score == 0.0 for t in kept)


def test_a_round_with_nothing_to_imitate_is_an_error(tmp_path: Path) -> None:
    recipe = rft_recipe(experts=False, threshold=1.1, samples=1, tasks_per_round=2)
    with pytest.raises(UsageError, match=r"Round 1 kept no episode.*lower rft\.threshold"):
        train(recipe, store=tmp_path)


def test_keys_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"Did you mean 'samples'"):
        rft_recipe(sample=3)


def test_playing_and_imitating_raise_the_score(tmp_path: Path) -> None:
    recipe = toy_recipe(
        phases=["sft", "rft"],
        model={"hidden_size": 48, "vocab_size": 400, "corpus_episodes": 64},
        sft={"episodes": 256, "epochs": 4, "batch_size": 16, "lr": 3e-3, "warmup_updates": 5, "max_updates": 36},
        rft={
            "rounds": 2,
            "tasks_per_round": 64,
            "threshold": 0.5,
            "max_per_task": 1,
            "clone_first": False,
            "experts": False,
            "sft": {"epochs": 4, "batch_size": 16, "lr": 3e-3, "warmup_updates": 5, "decay": "constant"},
        },
        evaluation={"n": 150, "baselines": []},
        checkpoint={"every": 100},
    )
    result = train(recipe, store=tmp_path)
    cloned, trained = (result.arms[arm].summary.score for arm in ("cloned", "trained"))
    assert trained.low > cloned.high
    assert trained.mean > 0.6


@pytest.mark.parametrize(("kept_of", "expected"), [("all", ["old", "new"]), ("last", ["new"])])
def test_what_earlier_rounds_kept_is_imitated_again_if_asked_for(
    monkeypatch: pytest.MonkeyPatch, kept_of: str, expected: list[str]
) -> None:
    made = object.__new__(Rounds)
    made.config = RFTConfig.model_validate({"kept_of": kept_of, "min_keep": 1})
    made.round, made.step, made._total = 2, 5, 9
    made.kept = [play("old", "ab", 1.0)]
    played = [play("new", "ac", 1.0, task="b"), play("lost", "ad", 0.0, task="b")]
    made.phase = types.SimpleNamespace(  # type: ignore[assignment]
        plans=lambda *args, **options: [], player=lambda temperature: None, collect=lambda plans, agent: played,
        log=lambda *args, **options: None,
    )  # fmt: skip
    monkeypatch.setattr(Rounds, "_begin_from_base", lambda self: None)
    monkeypatch.setattr(Rounds, "_save", lambda self, *, finished: None)
    made.play()
    assert names(made.kept) == expected
