from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from palaestra.agents.evaluation.arms import (
    ArmSummary,
    PlayedRun,
    StoredEpisodes,
    arms_of,
    env_results,
    metrics_of_arms,
    metrics_table,
    unshared_tasks,
)
from palaestra.agents.evaluation.evaluation import EnvSpec, evaluate
from palaestra.agents.evaluation.planning import plan_evaluation
from palaestra.agents.reference import ExpertAgent, RandomAgent
from palaestra.agents.report import render_report
from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.agents.store.records import EpisodeSummary
from palaestra.agents.store.store import RunStore
from palaestra.results import Arm, EnvResults
from tests.agents.report.page import parse
from tests.envs.miniature import COUNTER_ID, MEASURED_ID, MeasuredEnv, register_miniatures

register_miniatures()

CONFIG = {
    "envs": [{"env_id": MEASURED_ID, "env_kwargs": {}}],
    "split": "test",
    "n": 4,
    "samples": 1,
    "seed": 0,
    "max_turns": None,
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunStore]:
    with RunStore(tmp_path_factory.mktemp("runs")) as opened:
        evaluate(MEASURED_ID, ExpertAgent(), n=4, samples=2, store=opened, run_id="expert")
        evaluate(MEASURED_ID, RandomAgent(), n=4, samples=2, store=opened, run_id="random")
        yield opened


def rows(store: RunStore, *run_ids: str) -> list[ArmSummary]:
    return arms_of([PlayedRun(run_id, store.config(run_id), store.episodes(run_id)) for run_id in run_ids], store.get)


def test_each_set_of_arguments_of_an_environment_is_an_arm(tmp_path: Path) -> None:
    specs = [EnvSpec(COUNTER_ID), EnvSpec(COUNTER_ID, {"max_turns": 1}), EnvSpec(MEASURED_ID)]
    with RunStore(tmp_path) as opened:
        evaluate(specs, ExpertAgent(), n=3, store=opened, run_id="r")
        found = rows(opened, "r")
    assert [(row.name, dict(row.arm.env_kwargs), len(row.episodes)) for row in found] == [
        ("expert · tests/Counter-v0 · max_turns=None", {}, 3),
        ("expert · tests/Counter-v0 · max_turns=1", {"max_turns": 1}, 3),
        ("expert · tests/Measured-v0", {}, 3),
    ]


def test_episodes_are_read_when_they_are_gone_through_and_again(store: RunStore) -> None:
    reads: list[str] = []

    def load(run_id: str, episode_id: str) -> Any:
        reads.append(episode_id)
        return store.get(run_id, episode_id)

    ids = [episode.episode_id for episode in store.episodes("expert")]
    episodes = StoredEpisodes(load, "expert", ids)
    assert (len(episodes), reads) == (8, [])
    assert [played.episode_id for played in episodes] == [played.episode_id for played in episodes] == ids
    assert reads == ids * 2


def test_metrics_stand_in_the_order_of_their_declaration_with_intervals_over_tasks(store: RunStore) -> None:
    found = rows(store, "expert", "random")
    metrics = metrics_of_arms(found)
    assert [metric.name for metric in metrics] == ["directness", "distance", "lowest"]
    table = metrics_table(found, metrics)
    assert table.columns == ("Metric", "Arm", "Mean", "95 % interval", "Episodes")
    assert ("Directness ↑", "expert", "100.0 %", "47.3 - 100.0 %", "8") in table.rows  # four equal tasks say little
    assert "Directness: Share of the moves that led towards the goal." in table.note
    [lowest] = [row for row in table.rows if row[:2] == ("Lowest", "expert")]
    assert lowest[2].endswith(" steps")
    assert metrics_table(found[:1], metrics).columns == ("Metric", "Mean", "95 % interval", "Episodes")


def test_results_of_their_own_are_made_from_the_arms_of_the_environment(store: RunStore) -> None:
    arms = [row.arm for row in rows(store, "expert", "random")]
    [table] = env_results([*arms, Arm("r", "a", COUNTER_ID)])[MEASURED_ID].tables
    assert [row[0] for row in table.rows] == ["expert", "random"]
    assert env_results([Arm("r", "a", "not/Installed-v0"), Arm("r", "a", COUNTER_ID)]) == {}


def fails_with_arms(arms: Any) -> EnvResults:
    if arms:
        raise KeyError("turn_success")
    return EnvResults(blocks=blocks_of_nothing)


def blocks_of_nothing(trajectory: Any) -> Any:
    raise RuntimeError("odd episode")


def returns_a_list(arms: Any) -> Any:
    return []


def gives_no_tables(arms: Any) -> Any:
    return EnvResults(tables=("x",))  # type: ignore[arg-type]


def gives_nan(arms: Any) -> Any:
    return EnvResults(data={"x": float("nan")})


def gives_no_blocks(arms: Any) -> Any:
    return EnvResults(blocks=3)  # type: ignore[arg-type]


def exits(arms: Any) -> Any:
    raise SystemExit(9)


def gives_odd_blocks(arms: Any) -> Any:
    return EnvResults(blocks=lambda trajectory: {0: ["odd"]})  # type: ignore[dict-item]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("tests.agents.evaluation.test_arms:fails_with_arms", "KeyError: 'turn_success'"),
        ("tests.agents.evaluation.test_arms:returns_a_list", "returned a list; expected an EnvResults"),
        ("tests.agents.evaluation.test_arms:absent", "has no absent"),
        ("tests.agents.evaluation.test_arms:gives_no_tables", "A table of the results is 'x'"),
        ("tests.agents.evaluation.test_arms:gives_nan", "no strict JSON form"),
        ("tests.agents.evaluation.test_arms:gives_no_blocks", "blocks is 3; expected a function"),
        ("tests.agents.evaluation.test_arms:exits", "SystemExit: 9"),
    ],
)
def test_a_function_that_fails_is_told_and_hides_nothing(
    store: RunStore, monkeypatch: pytest.MonkeyPatch, function: str, message: str
) -> None:
    monkeypatch.setattr(MeasuredEnv, "results", function)
    found = env_results([row.arm for row in rows(store, "random")])[MEASURED_ID]
    assert message in found.tables[0].rows[0][1]
    assert message in found.to_json()["error"]
    page = parse(render_report(["random"], store=store))
    assert message in page.text
    assert "Success" in page.text
    blocks = [step.get("blocks") for step in page.data["episodes"][0]["steps"]]
    assert ("odd episode" in json.dumps(blocks[0])) == ("fails_with_arms" in function)


def test_what_is_no_block_is_told_in_its_place(store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MeasuredEnv, "results", "tests.agents.evaluation.test_arms:gives_odd_blocks")
    page = parse(render_report(["random"], store=store))
    [block] = page.data["episodes"][0]["steps"][0]["blocks"]
    assert "expected a StepBlock" in block["text"]


def test_arms_that_do_not_share_their_tasks_are_told_in_the_report(store: RunStore, tmp_path: Path) -> None:
    assert unshared_tasks(rows(store, "expert", "random")) == []
    with RunStore(tmp_path) as opened:
        for run_id, n in (("four", 4), ("five", 5)):
            evaluate(MEASURED_ID, ExpertAgent(), n=n, store=opened, run_id=run_id)
        evaluate(MEASURED_ID, ExpertAgent(), n=4, split="train", store=opened, run_id="train")
        evaluate(COUNTER_ID, ExpertAgent(), n=2, store=opened, run_id="another")
        assert unshared_tasks(rows(opened, "four", "another")) == []
        [told] = unshared_tasks(rows(opened, "four", "five", "another"))
        assert f"The arms of {MEASURED_ID} do not share their tasks: 4 are common to all (" in told
        assert "four 4" in told
        assert "five 5" in told
        [told] = unshared_tasks(rows(opened, "four", "train"))
        assert "0 are common to all" in told
        assert "do not share their tasks: 4 are common" in parse(render_report(["four", "five"], store=opened)).text
        assert "do not share" not in parse(render_report(["four"], store=opened)).text


def test_arms_without_tasks_share_seeds() -> None:
    def run(seed: int, n: int) -> PlayedRun:
        done = [replace(summary, task_key="", group_id="", seed=seed + i) for i, summary in enumerate(played[:n])]
        return PlayedRun(f"run-{seed}-{n}", {}, done)

    played = [EpisodeSummary.of(t) for t in RolloutEngine().collect(plan_evaluation(CONFIG), ExpertAgent())]
    assert unshared_tasks(arms_of([run(0, 4), run(0, 4)])) == []
    [told] = unshared_tasks(arms_of([run(0, 4), run(2, 4)]))
    assert "do not share their tasks or seeds: 2 are common to all" in told


def test_tasks_that_were_changed_under_the_same_keys_are_told(store: RunStore) -> None:
    config = store.config("random")
    [tasks] = config["tasks"]
    changed = {"expert": store.config("expert"), "random": {**config, "tasks": [{**tasks, "digest": "0"}]}}
    runs = [PlayedRun(run_id, record, store.episodes(run_id)) for run_id, record in changed.items()]
    [told] = unshared_tasks(arms_of(runs))
    assert told.startswith(f"The arms of {MEASURED_ID} were played on tasks of the same keys and other contents")
    earlier = {key: value for key, value in config.items() if key != "tasks"}
    assert unshared_tasks(arms_of([runs[0], PlayedRun("random", earlier, store.episodes("random"))])) == []
