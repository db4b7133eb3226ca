from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.agents.store.records import Planned
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.run.known_metrics import known_metrics
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.training import TrainingResult, train
from palaestra.errors import ConfigError, TrainingStopped, UsageError
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_recipe

ARMS = ["random", "expert", "untrained", "cloned", "trained"]


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return found


def curve(folder: Path) -> list[dict[str, Any]]:
    """All metrics but the wall-clock ones."""
    timed = ("seconds", "tokens_per_second")
    return [{k: v for k, v in row.items() if not k.startswith(timed)} for row in read_metrics(folder / "metrics.jsonl")]


class Killed(BaseException):
    """Stands for a kill: nothing in the library catches it."""


def kill_at(phase: str, done: int) -> Any:
    def progress(event: ProgressEvent) -> None:
        if (event.phase, event.done) == (phase, done):
            raise Killed

    return progress


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A run that nobody disturbed."""
    return train(toy_recipe(), store=tmp_path_factory.mktemp("whole"), run_id="toy")


def test_a_run_evaluates_all_arms_on_the_same_test_episodes(whole: TrainingResult) -> None:
    assert list(whole.arms) == ARMS
    assert whole.arms["expert"].summary.success.mean == 1.0
    with RunStore(whole.folder.parent) as store:
        assert store.status("toy") == "finished"
        seen = []
        for arm in ARMS:
            episodes = store.episodes(f"toy-{arm}")
            assert {episode.split for episode in episodes} == {"test"}
            assert store.config(f"toy-{arm}")["training_run"] == "toy"
            seen.append(sorted((episode.task_key, episode.seed) for episode in episodes))
        assert all(found == seen[0] for found in seen)
        logged = store.metrics("toy")
    assert [row["step"] for row in logged if "grpo/return_mean" in row] == [1, 2, 3, 4]
    assert [(row["phase"], row["step"]) for row in curve(whole.folder)] == [
        *(("sft", step) for step in range(1, 5)),
        *(("grpo", step) for step in range(1, 5)),
    ]


def test_a_run_logs_what_its_recipe_is_known_to_log(whole: TrainingResult) -> None:
    recipe = toy_recipe()
    for name in recipe.phase_names:
        known = known_metrics(recipe, recipe.phase(name))
        rows = [row for row in read_metrics(whole.folder / "metrics.jsonl") if row["phase"] == name]
        assert known is not None
        assert {key for row in rows for key in row} - {"phase", "step"} <= known


def test_the_final_policy_is_a_model_folder_like_any_other(whole: TrainingResult) -> None:
    assert whole.policy_path.is_dir()
    assert weights(whole.policy_path)
    assert whole.to_json()["arms"]["cloned"]["summary"]["total"]["num_episodes"] == 6


@pytest.mark.parametrize(
    ("phase", "done"),
    [("expert", 3), ("sft", 1), ("sft", 4), ("cloned", 2), ("grpo", 1), ("grpo", 3), ("trained", 0)],
)
def test_killed_anywhere_and_resumed_a_run_ends_bit_identical(
    tmp_path: Path, whole: TrainingResult, phase: str, done: int
) -> None:
    with pytest.raises(Killed):
        train(toy_recipe(), store=tmp_path, run_id="toy", progress=kill_at(phase, done))
    with RunStore(tmp_path) as store:
        run = store.run("toy")
        assert run.status == "interrupted"
        finished = {"expert": 0, "sft": 0, "cloned": 1, "grpo": 1, "trained": 2}[phase]
        assert run.planned == Planned(finished, 2, "phases")
        assert run.note.startswith(f"{done} of 4 steps of {phase}, ") == (phase in ("sft", "grpo"))
    resumed = train(toy_recipe(), store=tmp_path, run_id="toy")
    expected, found = weights(whole.policy_path), weights(resumed.policy_path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert curve(resumed.folder) == curve(whole.folder)
    for arm in ARMS:
        assert resumed.arms[arm].summary.total == whole.arms[arm].summary.total


def test_a_truncated_checkpoint_costs_steps_but_no_run(
    tmp_path: Path, whole: TrainingResult, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Killed):
        train(toy_recipe(), store=tmp_path, run_id="toy", progress=kill_at("grpo", 3))
    newest = max((tmp_path / "toy" / "checkpoints" / "grpo").glob("step-*"))
    state = newest / "state.pt"
    state.write_bytes(state.read_bytes()[:1000])
    resumed = train(toy_recipe(), store=tmp_path, run_id="toy")
    assert f"{newest.name} is damaged" in caplog.text
    expected, found = weights(whole.policy_path), weights(resumed.policy_path)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_finished_run_is_not_run_again(whole: TrainingResult, tmp_path: Path) -> None:
    shutil.copytree(whole.folder.parent, tmp_path / "copy")
    phases = set()
    train(toy_recipe(), store=tmp_path / "copy", run_id="toy", progress=lambda event: phases.add((event.phase, event.done)))
    assert phases == {(arm, 6) for arm in ARMS}


def test_another_recipe_cannot_resume_a_run(whole: TrainingResult) -> None:
    with pytest.raises(ConfigError, match=r"started with another recipe \(different: grpo.lr, seed\)"):
        train(toy_recipe(seed=1, grpo={"lr": 0.5}), store=whole.folder.parent, run_id="toy")


def test_a_run_that_is_older_than_a_setting_goes_on(whole: TrainingResult, tmp_path: Path) -> None:
    shutil.copytree(whole.folder.parent, tmp_path / "copy")
    with RunStore(tmp_path / "copy") as store:
        config = store.config("toy")
        del config["recipe"]["grpo"]["kl"]["horizon"]
        store.set_config("toy", config)
        assert train(toy_recipe(), store=store, run_id="toy").policy_path.is_dir()
        with pytest.raises(ConfigError, match=r"different: grpo.kl.horizon"):
            train(toy_recipe(grpo={"kl": {"horizon": 500}}), store=store, run_id="toy")


def test_horizons_follow_the_schedule_and_evaluation_does_not(tmp_path: Path) -> None:
    recipe = toy_recipe(horizon={"rounds": [1, 3], "interval": 2}, evaluation={"n": 4, "baselines": []}, sft={"epochs": 1})
    result = train(recipe, store=tmp_path)
    rows = [row for row in curve(result.folder) if row["phase"] == "grpo"]
    assert [row["horizon"] for row in rows] == [1, 1, 3, 3]
    assert [row["turns_max"] for row in rows] == [1, 1, 3, 3]
    assert [row["truncated_rounds"] for row in rows] == [1.0] * 4
    assert result.arms["trained"].summary.total.mean_turns == 4.0


def test_training_ends_with_the_turns_it_may_play(tmp_path: Path, whole: TrainingResult) -> None:
    played = [int(row["total_env_steps"]) for row in curve(whole.folder) if row["phase"] == "grpo"]
    recipe = toy_recipe(grpo={"max_env_steps": played[1]}, evaluation={"n": 2, "baselines": []})
    result = train(recipe, store=tmp_path, run_id="short")
    assert [row["total_env_steps"] for row in curve(result.folder) if row["phase"] == "grpo"] == played[:2]
    phases = set()
    train(recipe, store=tmp_path, run_id="short", progress=lambda event: phases.add(event.phase))
    assert phases.isdisjoint({"sft", "grpo"})  # what is over stays over


def test_short_evaluations_give_the_learning_curve_points(tmp_path: Path) -> None:
    recipe = toy_recipe(phases=["sft"], evaluation={"n": 2, "baselines": [], "every": 2, "curve_n": 3})
    rows = curve(train(recipe, store=tmp_path).folder)
    assert [("test_success" in row) for row in rows] == [False, True, False, True]


def test_a_stored_run_can_be_cloned(tmp_path: Path, whole: TrainingResult) -> None:
    store = tmp_path / "store"
    shutil.copytree(whole.folder.parent, store)
    recipe = toy_recipe(
        phases=["sft"], sft={"source": "run:toy-expert"}, evaluation={"n": 2, "baselines": []}, allow=["test_tasks"]
    )
    rows = curve(train(recipe, store=store, run_id="clone").folder)
    assert rows[0]["episodes"] == 6
    with pytest.raises(UsageError, match="holds no successful episode"):
        train(
            toy_recipe(phases=["sft"], sft={"source": "run:toy-untrained"}, evaluation={"n": 2, "baselines": []}), store=store
        )


def test_a_model_folder_can_be_the_start(tmp_path: Path, whole: TrainingResult) -> None:
    recipe = toy_recipe(
        model={"path": str(whole.policy_path)},
        phases=["grpo"],
        evaluation={"n": 2, "baselines": []},
        grpo={"kl_coefficient": 0.1},
    )
    result = train(recipe, store=tmp_path)
    assert list(result.arms) == ["trained"]
    assert len(curve(result.folder)) == 4


@pytest.mark.parametrize(
    ("tables", "warns"),
    [
        ({"sft": {"lr": 1e-9}}, True),
        ({"sft": {"lr": 1e-9}, "phases": ["sft"], "grpo": None}, False),
        ({"sft": {"episodes": 48, "epochs": 12, "lr": 6e-3}}, False),
    ],
    ids=["nothing solved", "nothing follows", "some solved"],
)
def test_a_clone_that_solves_nothing_is_a_warning_before_training_from_reward(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tables: dict[str, Any], warns: bool
) -> None:
    env = {"id": toy_env.ENV_ID, "num_turns": 1}
    recipe = toy_recipe(**{"grpo": {"steps": 1}, "evaluation": {"baselines": []}, "env": env, **tables})
    result = train(recipe, store=tmp_path, run_id="toy")
    assert (result.arms["cloned"].summary.success.mean > 0) is (tables["sft"]["lr"] > 1e-3)
    told = "After the phase sft the policy solved none of 6 test episodes"
    assert (told in caplog.text) is warns
    assert ("Raise sft.episodes, sft.epochs or the size of [model]" in caplog.text) is warns


def test_a_run_that_a_watchdog_stops_is_failed_with_the_reason(tmp_path: Path) -> None:
    recipe = toy_recipe(phases=["grpo"], grpo={"drift_limit": 1e-12}, evaluation={"n": 2, "baselines": []})
    trained = toy_recipe(sft={"epochs": 20}, phases=["sft"], evaluation={"n": 2, "baselines": []})
    start = train(trained, store=tmp_path, run_id="start").policy_path
    recipe = toy_recipe(
        model={"path": str(start)},
        phases=["grpo"],
        grpo={"drift_limit": 1e-12, "tasks_per_step": 8},
        evaluation={"n": 2, "baselines": []},
    )
    with pytest.raises(TrainingStopped, match="log-probs differ"):
        train(recipe, store=tmp_path, run_id="toy")
    with RunStore(tmp_path) as store:
        summary = store.run("toy")
    assert summary.status == "failed"
    assert "log-probs differ" in summary.note


def test_environments_play_in_the_workers_of_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = set()
    act = toy_env.FeedbackKeysEnv._act

    def noted(self: Any, action: Any) -> Any:
        used.add(threading.current_thread())
        return act(self, action)

    monkeypatch.setattr(toy_env.FeedbackKeysEnv, "_act", noted)
    tables = {"phases": ["sft"], "sft": {"epochs": 1}, "evaluation": {"n": 3, "baselines": ["expert"]}}
    train(toy_recipe(agent={"workers": 2, "worker_kind": "thread", "step_timeout_s": 60}, **tables), store=tmp_path)
    assert used
    assert threading.current_thread() not in used


@pytest.mark.parametrize(
    ("tables", "match"),
    [
        ({"env": {"id": "palaestra/TextCarft-v0"}}, "TextCraft-v0"),
        ({"env": {"train_split": "trian"}}, "Unknown split 'trian'.*'train'"),
        ({"env": {"num_trns": 3}}, "num_trns"),
        ({"agent": {"step_timeout_s": 5.0}}, "runs in the event loop.*agent.workers = N in a recipe"),
        ({"agent": {"format": "texd"}}, "Unknown format 'texd'.*'text'"),
        ({"model": {"path": "/nowhere/at/all"}}, "No model could be loaded from '/nowhere/at/all'"),
    ],
)
def test_mistakes_in_a_recipe_are_one_clear_error(tmp_path: Path, tables: dict[str, Any], match: str) -> None:
    with pytest.raises(UsageError, match=match):
        train(toy_recipe(**{"evaluation": {"n": 2, "baselines": []}, **tables}), store=tmp_path)
