"""What a run may learn from: refused before anything is stored, allowed by a word that the report repeats."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.evaluation.evaluation import evaluate
from palaestra.agents.export.export import EXPORT_FORMATS, export_trajectories
from palaestra.agents.export.reading import BadRecordWarning
from palaestra.agents.reference import ExpertAgent
from palaestra.agents.report import write_report
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.run.admission import check_plays, check_start
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.algorithms.run.recipe_configs import Recipe
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, MissingDataError, UsageError
from palaestra.types import Outcome, Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_recipe


def recipe(source: str = "expert", **tables: Any) -> Recipe:
    evaluation = {"n": 2, "baselines": []}
    return toy_recipe(phases=["sft"], sft={"source": source, "epochs": 1}, evaluation=evaluation, **tables)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> RunStore:
    """Return a store with evaluations of the expert on both splits."""
    toy_env.register()
    found = RunStore(tmp_path_factory.mktemp("store"))
    for split in ("train", "test"):
        evaluate(toy_env.ENV_ID, ExpertAgent(), n=4, split=split, store=found, run_id=split)
    return found


@pytest.fixture(scope="module")
def played(store: RunStore) -> dict[str, list[Trajectory]]:
    return {split: list(store.trajectories(split)) for split in ("train", "test")}


def notices(store: RunStore, run_id: str) -> list[str]:
    return [one["notice"] for one in store.config(run_id)["training_data"]]


def test_a_run_on_test_tasks_is_refused_before_anything_is_stored(store: RunStore) -> None:
    before = [run.run_id for run in store.runs()]
    with pytest.raises(UsageError, match=r"run:test: 4 of 4 episodes are test tasks of test/FeedbackKeys-v0 \(test/0"):
        train(recipe("run:test"), store=store, run_id="clone")
    assert [run.run_id for run in store.runs()] == before
    train(recipe("run:train"), store=store, run_id="good")
    assert notices(store, "good") == [""]
    assert store.config("good")["training_data"][0] | {"notice": ""} == {
        "phase": "sft",
        "source": "run:train",
        "episodes": 4,
        "test_tasks": 0,
        "other_envs": 0,
        "unknown": 0,
        "unreadable": 0,
        "left_out": 0,
        "notice": "",
    }


def test_a_source_that_changed_since_the_run_was_stored_is_refused_by_its_phase(
    store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palaestra.algorithms.run.training.check_start", lambda recipe, store: [])
    with pytest.raises(UsageError, match="run:test: 4 of 4 episodes are test tasks"):
        train(recipe("run:test"), store=store, run_id="changed")


@pytest.mark.parametrize("phase", ["sft", "rft"])
def test_a_word_of_the_recipe_lets_test_tasks_in_and_the_report_says_so(phase: str, store: RunStore, tmp_path: Path) -> None:
    rft = {"rounds": 1, "tasks_per_round": 1, "samples": 1, "sft": {"source": "run:test", "epochs": 1}}
    made = recipe("run:test", allow=["test_tasks"])
    if phase == "rft":
        made = parse_recipe({**made.to_json(), "phases": ["rft"], "rft": rft})
    with pytest.raises(UsageError, match="test tasks"):
        check_start(made.model_copy(update={"allow": ()}), store)
    assert made.to_json()["allow"] == ["test_tasks"]
    assert parse_recipe(made.to_json()) == made
    train(made, store=store, run_id=f"told-{phase}")
    (notice,) = notices(store, f"told-{phase}")
    assert "4 of 4 episodes are test tasks" in notice
    text = write_report(tmp_path / "r.html", [f"told-{phase}"], store=store).read_text(encoding="utf-8")
    assert "4 of 4 episodes are test tasks of test/FeedbackKeys-v0" in text
    train(made, store=store, run_id=f"told-{phase}")
    assert len(notices(store, f"told-{phase}")) == 1


@pytest.mark.parametrize("form", [form for form in EXPORT_FORMATS if form != "eval"])
def test_files_of_every_form_carry_where_they_were_played(
    form: str, store: RunStore, played: dict[str, list[Trajectory]], tmp_path: Path
) -> None:
    if form == "dataset":
        pytest.importorskip("datasets")
    for split in ("train", "test"):
        export_trajectories(played[split], tmp_path / split, form)
    check_start(recipe(str(tmp_path / "train")), store)
    with pytest.raises(UsageError, match="4 of 4 episodes are test tasks"):
        check_start(recipe(str(tmp_path / "test")), store)
    other = [replace(one, env_id="else/Where-v0") for one in played["train"]]
    export_trajectories(other, tmp_path / "other", form)
    with pytest.raises(UsageError, match="played in else/Where-v0, which is not an environment of the recipe"):
        check_start(recipe(str(tmp_path / "other")), store)
    check_start(recipe(str(tmp_path / "other"), allow=["other_envs"]), store)


@pytest.mark.parametrize("num_bad", [1, 3])
def test_records_that_cannot_be_read_stand_in_the_run_and_in_its_report(
    num_bad: int, store: RunStore, played: dict[str, list[Trajectory]], tmp_path: Path
) -> None:
    failed = replace(played["train"][0], outcome=Outcome(score=0.0, success=False))
    path = export_trajectories([failed, *played["train"]], tmp_path / "some.jsonl", "jsonl", select="all").path
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([lines[0], *["{not json"] * num_bad, *lines[1:]]), encoding="utf-8")
    with pytest.warns(BadRecordWarning, match=r"some\.jsonl, line \d.*left out") as warned:
        train(recipe(str(path)), store=store, run_id=f"bad-{num_bad}")
    assert len(warned) == num_bad
    (data,) = store.config(f"bad-{num_bad}")["training_data"]
    assert (data["episodes"], data["unreadable"], data["left_out"]) == (4, num_bad, 1)
    assert f"{num_bad} record{'s' if num_bad > 1 else ''} cannot be read" in data["notice"]
    text = write_report(tmp_path / "r.html", [f"bad-{num_bad}"], store=store).read_text(encoding="utf-8")
    assert f"{num_bad} record{'s' if num_bad > 1 else ''} cannot be read" in text


def test_a_file_that_does_not_say_where_it_was_played_is_unknown_in_the_report(
    store: RunStore, played: dict[str, list[Trajectory]], tmp_path: Path
) -> None:
    bare = [replace(one, env_id="", task={}) for one in played["test"]]
    export_trajectories(bare, tmp_path / "bare.json", "agenttraj")
    train(recipe(str(tmp_path / "bare.json")), store=store, run_id="bare")
    (notice,) = notices(store, "bare")
    assert "where 4 of 4 episodes were played is unknown" in notice
    text = write_report(tmp_path / "r.html", ["bare"], store=store).read_text(encoding="utf-8")
    assert "were played is unknown" in text


def test_a_key_tells_the_split_where_a_file_does_not(
    store: RunStore, played: dict[str, list[Trajectory]], tmp_path: Path
) -> None:
    for split in ("train", "test"):
        unsaid = [replace(one, task={"key": one.task["key"]}) for one in played[split]]
        export_trajectories(unsaid, tmp_path / f"{split}.json", "sharegpt")
    check_start(recipe(str(tmp_path / "train.json")), store)
    with pytest.raises(UsageError, match="test tasks"):
        check_start(recipe(str(tmp_path / "test.json")), store)


def test_only_what_is_cloned_is_looked_at(store: RunStore, played: dict[str, list[Trajectory]], tmp_path: Path) -> None:
    export_trajectories([*played["train"], *played["test"]], tmp_path / "both.jsonl", "jsonl")
    few = toy_recipe(phases=["sft"], sft={"source": str(tmp_path / "both.jsonl"), "episodes": 4})
    check_start(few, store)
    more = toy_recipe(phases=["sft"], sft={"source": str(tmp_path / "both.jsonl"), "episodes": 5})
    with pytest.raises(UsageError, match="1 of 5 episodes are test tasks"):
        check_start(more, store)


def test_a_split_that_is_trained_and_evaluated_on_is_refused(store: RunStore) -> None:
    both = {"id": toy_env.ENV_ID, "train_split": "test"}
    with pytest.raises(ConfigError, match=r"env\.train_split is 'test', a split of test/FeedbackKeys-v0 on which"):
        train(recipe(env=both), store=store, run_id="both")
    allowed = recipe(env=both, allow=["test_tasks"])
    train(allowed, store=store, run_id="both")
    assert notices(store, "both")[0] == "Trained on the split 'test' of test/FeedbackKeys-v0, on which the recipe evaluates."
    envs = [{"id": toy_env.ENV_ID, "name": "a", "train_split": "test", "test_split": "train"}, {"id": toy_env.ENV_ID}]
    data = {**recipe().to_json(), "env": envs}
    with pytest.raises(ConfigError, match="train_split"):
        check_start(parse_recipe(data), store)


def test_plays_of_test_tasks_are_refused_whoever_planned_them(played: dict[str, list[Trajectory]]) -> None:
    check_plays(played["train"], recipe())
    with pytest.raises(UsageError, match="Episodes to train on: 4 of 4 episodes are test tasks"):
        check_plays(played["test"], recipe())
    check_plays(played["test"], recipe(allow=["test_tasks"]))
    check_plays([replace(one, env_id="b/Other-v0") for one in played["test"]], recipe())


def test_a_source_that_is_not_there_is_told_before_anything_is_stored(store: RunStore, tmp_path: Path) -> None:
    before = len(store.runs())
    with pytest.raises(MissingDataError, match="There is no file"):
        train(recipe(str(tmp_path / "absent.json")), store=store)
    with pytest.raises(UsageError, match="absent"):
        train(recipe("run:absent"), store=store)
    assert len(store.runs()) == before
