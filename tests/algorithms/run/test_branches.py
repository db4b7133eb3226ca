"""Phases that continue an earlier policy, what each trained arm cost, and intervals over clusters of tasks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from palaestra.agents.report import write_report
from palaestra.agents.store.store import RunStore
from palaestra.algorithms.run import phase as phases
from palaestra.algorithms.run.arms import clusters_of
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.recipe import Recipe, parse_recipe
from palaestra.algorithms.run.recipe_configs import EnvConfig
from palaestra.algorithms.run.training import TrainingResult, train
from palaestra.errors import ConfigError
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_recipe

SFT = {"algorithm": "sft", "episodes": 12, "epochs": 1, "batch_size": 12, "lr": 3e-3, "warmup_updates": 2}
GRPO = {"algorithm": "grpo", "steps": 2, "tasks_per_step": 2, "group_size": 4, "lr": 1e-3, "warmup_updates": 2}


def branched(*, start_from: str | None = "sft", **tables: Any) -> Recipe:
    """A clone, more of it under another name, and GRPO from the first of them."""
    more = {**SFT, "name": "more", "start_from": "sft"}
    grpo = GRPO if start_from is None else {**GRPO, "start_from": start_from}
    evaluation = {"n": 2, "baselines": ["expert"]}
    listed = {"checkpoint": {"every": 1, "keep": 99}, "sft": None, "grpo": None, "phase": [SFT, more, grpo]}
    return toy_recipe(**{"evaluation": evaluation, **listed, **tables})


def weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(path).state_dict()
    return found


def first_and_last(result: TrainingResult, phase: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    kept = Checkpoints(result.folder / "checkpoints" / phase)
    steps = sorted(kept.folder.glob("step-*"))
    return weights(steps[0] / "policy"), weights(steps[-1] / "policy")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def seconds_of(result: TrainingResult, phase: str) -> list[float]:
    return [row["seconds_cpu"] for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == phase]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    return train(branched(), store=tmp_path_factory.mktemp("whole"), run_id="toy")


@pytest.mark.parametrize("start_from", ["sft", "more", "start", None])
def test_a_phase_begins_with_the_policy_it_names(start_from: str | None, whole: TrainingResult, tmp_path: Path) -> None:
    result = whole if start_from == "sft" else train(branched(start_from=start_from), store=tmp_path, run_id="toy")
    assert list(result.arms) == ["expert", "cloned", "cloned-more", "trained"]
    begun, _ = first_and_last(result, "grpo")  # GRPO keeps the policy it begins with as step 0
    named = first_and_last(result, start_from or "more")[1]
    assert same(begun, named)
    for other in {"start", "sft", "more"} - {start_from or "more"}:
        assert not same(begun, first_and_last(result, other)[1])


@pytest.mark.parametrize(("phase", "done"), [("sft", 1), ("more", 1), ("cloned-more", 1), ("grpo", 1)])
def test_a_branched_run_resumes_to_the_same_bits(whole: TrainingResult, tmp_path: Path, phase: str, done: int) -> None:
    class Killed(BaseException):
        pass

    def kill(event: ProgressEvent) -> None:
        if (event.phase, event.done) == (phase, done):
            raise Killed

    with pytest.raises(Killed):
        train(branched(), store=tmp_path, run_id="toy", progress=kill)
    resumed = train(branched(), store=tmp_path, run_id="toy")
    assert same(weights(resumed.policy_path), weights(whole.policy_path))
    assert set(resumed.train_cpu_s) == set(whole.train_cpu_s)
    assert seconds_of(resumed, "grpo") == sorted(seconds_of(resumed, "grpo"))


def test_an_arm_costs_the_phases_behind_its_policy_and_no_others(whole: TrainingResult) -> None:
    last = {phase: seconds_of(whole, phase)[-1] for phase in ("sft", "more", "grpo")}
    assert min(last.values()) > 0
    assert whole.train_cpu_s == pytest.approx(
        {"cloned": last["sft"], "cloned-more": last["sft"] + last["more"], "trained": last["sft"] + last["grpo"]}
    )
    assert whole.to_json()["train_cpu_s"] == whole.train_cpu_s
    with RunStore(whole.folder.parent) as store:
        assert store.config("toy")["train_cpu_s"] == whole.train_cpu_s
        page = write_report(whole.folder / "report.html", ["toy"], store=store).read_text("utf-8")
    assert page.count('data-label="Training, CPU s"') == 4
    assert page.count('data-label="Training, CPU s"><span class="quiet">none') == 1  # the expert


def test_evaluations_are_left_out_of_the_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(phases, "time", SimpleNamespace(process_time=lambda: clock.now))
    played = phases.Phase.collect
    log = phases.Phase.log

    def collect(self: Any, *arguments: Any, **named: Any) -> Any:
        clock.now += 1.0
        return played(self, *arguments, **named)

    def logged(self: Any, *arguments: Any, **named: Any) -> None:
        if self.evaluate is not None and clock.now < 1000:
            evaluate = self.evaluate

            def slow() -> Any:
                clock.now += 50.0
                return evaluate()

            self.evaluate = slow
        log(self, *arguments, **named)

    monkeypatch.setattr(phases.Phase, "collect", collect)
    monkeypatch.setattr(phases.Phase, "log", logged)
    recipe = toy_recipe(
        phases=["grpo"], sft=None, grpo={"steps": 3}, evaluation={"n": 2, "baselines": [], "every": 1, "curve_n": 1}
    )
    result = train(recipe, store=tmp_path, run_id="toy")
    assert clock.now > 150
    assert seconds_of(result, "grpo") == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(("phase", "start_from"), [(0, "sft"), (0, "more"), (1, "grpo"), (1, "more"), (2, "nobody"), (2, 3)])
def test_a_start_that_is_no_earlier_phase_is_refused(phase: int, start_from: object) -> None:
    listed = [dict(SFT), {**SFT, "name": "more"}, dict(GRPO)]
    listed[phase]["start_from"] = start_from
    with pytest.raises(ConfigError, match=r"start_from is .*; expected"):
        parse_recipe({"env": {"id": toy_env.ENV_ID}, "phase": listed})


def test_a_start_that_is_left_out_of_the_phases_is_refused() -> None:
    with pytest.raises(ConfigError, match="start_from is 'sft'; expected a phase that is run before it"):
        branched(phases=["more", "grpo"])


def test_both_forms_hold_a_start() -> None:
    env = {"id": toy_env.ENV_ID}
    short = parse_recipe({"env": env, "phases": ["sft", "grpo"], "grpo": {"start_from": "start"}})
    long = parse_recipe({"env": env, "phase": [{"algorithm": "sft"}, {"algorithm": "grpo", "start_from": "start"}]})
    assert short == long
    assert parse_recipe(json.loads(json.dumps(short.to_json()))) == short
    assert parse_recipe(json.loads(json.dumps(branched().to_json()))) == branched()
    assert "start_from" not in parse_recipe({"env": env, "phases": ["sft"]}).to_json()["sft"]


@pytest.mark.parametrize(("of_recipe", "more", "grpo"), [(1, None, 0), (0, None, 1), (2, 1, None)])
def test_a_phase_has_a_learning_curve_of_its_own_pace(
    of_recipe: int, more: int | None, grpo: int | None, tmp_path: Path
) -> None:
    own = [{} if every is None else {"evaluate_every": every} for every in (more, grpo)]
    listed = [SFT, {**SFT, "name": "more", "epochs": 2, **own[0]}, {**GRPO, **own[1]}]
    evaluation = {"n": 2, "baselines": [], "every": of_recipe, "curve_n": 2}
    recipe = toy_recipe(evaluation=evaluation, sft=None, grpo=None, phase=listed)
    assert parse_recipe(json.loads(json.dumps(recipe.to_json()))) == recipe
    result = train(recipe, store=tmp_path, run_id="toy")
    rows = read_metrics(result.folder / "metrics.jsonl")
    found = {
        name: [row["step"] for row in rows if row["phase"] == name and "test_success" in row] for name in ("more", "grpo")
    }
    steps = {name: max(row["step"] for row in rows if row["phase"] == name) for name in found}
    for name, every in (("more", more), ("grpo", grpo)):
        pace = of_recipe if every is None else every
        assert found[name] == [step for step in range(1, steps[name] + 1) if pace and step % pace == 0]


@pytest.mark.parametrize("every", [-1, 1.5, "often", True])
def test_a_pace_that_is_none_is_refused(every: object) -> None:
    with pytest.raises(ConfigError, match=r"evaluate_every is "):
        parse_recipe({"env": {"id": toy_env.ENV_ID}, "phases": ["sft"], "sft": {"evaluate_every": every}})


def test_the_best_point_of_a_curve_is_taken_where_a_phase_has_one() -> None:
    data = {"env": {"id": toy_env.ENV_ID}, "phases": ["sft"], "checkpoint": {"best": "test_success"}}
    with pytest.raises(ConfigError, match="the learning curve has no points"):
        parse_recipe(data)
    assert parse_recipe({**data, "sft": {"evaluate_every": 5}}).evaluates_every("sft") == 5


def test_weights_of_a_seats_own_begin_with_themselves() -> None:
    seats = {"train": ["asker"], "seat": "asker"}
    listed = [{"algorithm": "sft"}, {"algorithm": "grpo", "start_from": "sft", "seats": seats}]
    with pytest.raises(ConfigError, match=r"trains weights of its own \(\[seats\]\) and has start_from"):
        parse_recipe({"env": {"id": "palaestra/TwentyQuestions-v1"}, "phase": listed})


WORLD = {"recipes": "procedural", "depth": [1, 1], "name_words": 1, "num_names": 40, "distractors": 1}


def test_test_tasks_are_clusters_by_what_their_data_say() -> None:
    found = clusters_of(EnvConfig(id="palaestra/TextCraft-v0", cluster_by="goal", arguments=WORLD), 50)
    assert list(found) == [f"test/{i}" for i in range(50)]
    assert 2 <= len(set(found.values())) <= 6  # six of forty names may be test goals
    with pytest.raises(ConfigError, match=r"'test/0' .* has no such key.*Did you mean 'goal'"):
        clusters_of(EnvConfig(id="palaestra/TextCraft-v0", cluster_by="gaol", arguments=WORLD), 50)


def test_a_recipe_with_clusters_has_them_in_its_intervals_and_says_so(tmp_path: Path) -> None:
    env = {"id": "palaestra/TextCraft-v0", "cluster_by": "goal", **WORLD}
    data = {
        "env": env,
        "model": {"hidden_size": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 320, "corpus_episodes": 8},
        "agent": {"instructions": False, "max_tokens_per_turn": 4},
        "evaluation": {"n": 40, "baselines": ["random", "expert"], "max_turns": 9},
        "phases": ["sft"],
        "sft": {"episodes": 4, "epochs": 1},
    }
    assert parse_recipe(parse_recipe(data).to_json()).envs[0].cluster_by == "goal"
    clustered = train(data, store=tmp_path, run_id="one")
    alone = train({**data, "env": {k: v for k, v in env.items() if k != "cluster_by"}}, store=tmp_path, run_id="two")
    expert = clustered.arms["expert"].summary
    assert expert.clusters == len(set(clusters_of(parse_recipe(data).envs[0], 40).values()))
    assert expert.success.mean == alone.arms["expert"].summary.success.mean == 1.0
    assert expert.success.low < alone.arms["expert"].summary.success.low  # fewer clusters than tasks
    assert alone.arms["expert"].summary.clusters is None
    page = write_report(tmp_path / "report.html", ["one"], store=tmp_path).read_text("utf-8")
    assert "Tasks with the same goal are one cluster in every interval: 40 tasks" in page
    shown = f"{100 * expert.success.low:.1f}"
    assert shown in page
