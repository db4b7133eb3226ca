"""Extensions: the order of their hooks, their tables in a recipe, their state in checkpoints."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import pytest
from pydantic import Field

from palaestra.agents.core import Agent
from palaestra.agents.rollout.plans import EpisodePlan
from palaestra.algorithms.config import Config
from palaestra.algorithms.run import extension_registry as registry
from palaestra.algorithms.run.checkpoint import Checkpoints
from palaestra.algorithms.run.extension import Extension, ExtensionContext
from palaestra.algorithms.run.extension_registry import BUILTIN, extension_names, get_extension
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.phase import ProgressEvent
from palaestra.algorithms.run.recipe import parse_recipe
from palaestra.algorithms.run.training import train
from palaestra.errors import ConfigError, UsageError
from palaestra.types import Trajectory
from tests.algorithms import toy_env
from tests.algorithms.toy_recipe import toy_recipe

calls: list[tuple[str, str, str]] = []
"""Extension, hook and phase of every call."""


class BonusConfig(Config):
    """Pays more with every step."""

    amount: float = Field(default=0.5, ge=0)
    """Added to the reward of the last turn, times the number of the step."""
    moved: int = 0
    """May differ when a run resumes."""


class _Noted(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Notes that an environment was reset."""

    def reset(self, **kwargs: Any) -> Any:
        calls.append(("wrapper", "reset", ""))
        return self.env.reset(**kwargs)


class Bonus(Extension):
    """Uses every hook."""

    name: ClassVar[str] = "bonus"
    config_type = BonusConfig
    movable = frozenset({"moved"})

    def __init__(self, config: BonusConfig, context: ExtensionContext) -> None:
        super().__init__(config, context)
        self.steps = 0
        self.note("init")

    def note(self, hook: str) -> None:
        calls.append((self.name, hook, self.context.phase))

    def start(self) -> None:
        self.note("start")

    def plans(self, plans: list[EpisodePlan], step: int) -> list[EpisodePlan]:
        self.note("plans")
        return [dataclasses.replace(plan, seed=step) for plan in plans]

    def ready(self, run: Any = None) -> None:
        self.note("ready")

    def agent(self, agent: Agent) -> Agent:
        self.note("agent")
        return agent

    def wrapper(self) -> Any:
        self.note("wrapper")
        return _Noted

    def played(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        self.note("played")
        return trajectories

    def observed(self, trajectories: list[Trajectory]) -> list[Trajectory]:
        self.note("observed")
        assert not self.context.evaluates
        found = []
        for trajectory in trajectories:
            last = trajectory.steps[-1]
            paid = dataclasses.replace(last, reward=last.reward + self.config.amount * (self.steps + 1))
            found.append(dataclasses.replace(trajectory, steps=(*trajectory.steps[:-1], paid)))
        return found

    def after_step(self, step: int, metrics: Mapping[str, float]) -> Mapping[str, float]:
        self.note("after_step")
        self.steps += 1
        return {f"{self.name}_steps": float(self.steps)}

    def state(self) -> dict[str, Any]:
        return {"steps": self.steps}

    def load(self, state: Mapping[str, Any]) -> None:
        self.steps = int(state["steps"])


class Another(Bonus):
    """The same under another name, which comes first in the alphabet and later in the order."""

    name: ClassVar[str] = "another"


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are extensions of an installed package, one of them ours in effect, so that the order is not the alphabet's."""
    calls.clear()
    monkeypatch.setattr(registry, "_plugins", lambda: {"another": f"{__name__}:Another"})
    monkeypatch.setitem(BUILTIN, "bonus", f"{__name__}:Bonus")


GRPO = {"steps": 3, "tasks_per_step": 2, "group_size": 4, "lr": 1e-3, "warmup_updates": 1}


def rows(folder: Path, phase: str) -> list[dict[str, Any]]:
    return [row for row in read_metrics(folder / "metrics.jsonl") if row["phase"] == phase]


def test_every_hook_is_called_in_its_order_for_every_extension(tmp_path: Path) -> None:
    evaluation = {"n": 2, "baselines": ["random", "untrained"], "every": 3, "curve_n": 2}
    recipe = toy_recipe(phases=["grpo"], grpo=GRPO, another={}, bonus={}, noise={"rate": 0.5}, evaluation=evaluation)
    assert list(recipe.extensions) == ["noise", "bonus", "another"]
    result = train(recipe, store=tmp_path, run_id="toy")

    def per_member(*hooks: str, phase: str) -> list[tuple[str, str, str]]:
        return [(name, hook, phase) for hook in hooks for name in ("bonus", "another")]

    step = per_member("plans", "ready", "wrapper", phase="grpo")
    came = per_member("played", "observed", "after_step", phase="grpo")
    resets = [("wrapper", "reset", "")] * 2 * 8  # two wrappers, eight episodes
    agent = per_member("agent", phase="grpo")
    expected = [
        *per_member("init", "start", phase=""),
        *per_member("agent", phase=""),  # random
        *per_member("ready", "agent", phase=""),  # untrained
        *per_member("init", phase="grpo"),
        *step, *agent, *resets, *came,
        *step, *resets, *came,
        *step, *resets, *came,
        *per_member("ready", "agent", "played", phase=""),  # the learning curve
        *per_member("ready", "agent", phase=""),  # trained
    ]  # fmt: skip
    assert calls == expected
    logged = rows(result.folder, "grpo")
    assert [(row["bonus_steps"], row["another_steps"]) for row in logged] == [(1, 1), (2, 2), (3, 3)]
    assert "test_success" in logged[-1]


def test_what_comes_before_the_first_step_is_no_step(tmp_path: Path) -> None:
    ppo = {"steps": 1, "tasks_per_step": 2, "pretrain_episodes": 3, "pretrain_epochs": 1, "warmup_updates": 1}
    evaluation = {"n": 1, "baselines": [], "every": 1, "curve_n": 1}
    found = train(toy_recipe(phases=["ppo"], ppo=ppo, bonus={}, evaluation=evaluation), store=tmp_path).folder
    before, first = rows(found, "ppo")
    assert (before["step"], first["step"]) == (0, 1)
    assert not {"bonus_steps", "test_success"} & before.keys()
    assert first["bonus_steps"] == 1.0
    assert "test_success" in first


def test_rewards_pass_through_the_extensions_one_after_the_other(tmp_path: Path) -> None:
    plain = rows(train(toy_recipe(phases=["grpo"], grpo=GRPO, bonus={"amount": 0}), store=tmp_path / "a").folder, "grpo")
    paid = rows(train(toy_recipe(phases=["grpo"], grpo=GRPO, bonus={}, another={}), store=tmp_path / "b").folder, "grpo")
    assert paid[0]["return_mean"] == pytest.approx(plain[0]["return_mean"] + 1.0)
    assert paid[0]["score_mean"] == plain[0]["score_mean"]


class Killed(BaseException):
    """Stands for a kill."""


@pytest.mark.parametrize("killed_after", [1, 2])
def test_the_state_comes_back_with_the_checkpoint(tmp_path: Path, killed_after: int) -> None:
    recipe = toy_recipe(phases=["grpo"], grpo=GRPO, bonus={}, evaluation={"n": 1, "baselines": []}, checkpoint={"every": 1})

    def progress(event: ProgressEvent) -> None:
        if (event.phase, event.done) == ("grpo", killed_after):
            raise Killed

    whole = train(recipe, store=tmp_path / "whole", run_id="toy")
    with pytest.raises(Killed):
        train(recipe, store=tmp_path / "killed", run_id="toy", progress=progress)
    resumed = train(recipe, store=tmp_path / "killed", run_id="toy")
    timed = ("seconds", "tokens_per_second")
    curves = [
        [{k: v for k, v in row.items() if not k.startswith(timed)} for row in rows(result.folder, "grpo")]
        for result in (whole, resumed)
    ]
    assert curves[0] == curves[1]
    assert [row["bonus_steps"] for row in curves[1]] == [1, 2, 3]
    found = Checkpoints(resumed.folder / "checkpoints" / "grpo").latest()
    assert found is not None
    assert found.state()["extensions"] == {"bonus": {"steps": 3}}


def test_a_table_of_one_phase_takes_the_place_of_the_recipes(tmp_path: Path) -> None:
    recipe = toy_recipe(
        phases=["grpo", "rloo", "dr_grpo"],
        bonus={"amount": 1.0},
        rloo={"bonus": {"amount": 2.0}},
        dr_grpo={"bonus": False, "noise": {"rate": 0.25}},
    )
    tables = {name: recipe.phase(name).active for name in recipe.phase_names}
    assert tables["grpo"] == {"bonus": BonusConfig(amount=1.0)}
    assert tables["rloo"] == {"bonus": BonusConfig(amount=2.0)}
    assert list(tables["dr_grpo"]) == ["noise"]
    assert parse_recipe(recipe.to_json()) == recipe
    assert recipe.to_json()["dr_grpo"]["bonus"] is False
    sizes = {"steps": 1, "tasks_per_step": 2, "group_size": 2, "warmup_updates": 1}
    evaluation = {"n": 1, "baselines": []}
    short = toy_recipe(
        phases=["grpo", "rloo", "dr_grpo"],
        bonus={"amount": 1.0},
        grpo=sizes,
        rloo={**sizes, "bonus": {"amount": 2.0}},
        dr_grpo={**sizes, "bonus": False},
        evaluation=evaluation,
    )
    found = train(short, store=tmp_path)
    paid = {}
    for name in short.phase_names:
        (row,) = rows(found.folder, name)
        paid[name] = (row["return_mean"] - row["score_mean"], "bonus_steps" in row)
    assert paid == {"grpo": (1.0, True), "rloo": (2.0, True), "dr_grpo": (0.0, False)}


def test_a_run_resumes_though_a_movable_key_has_changed(tmp_path: Path) -> None:
    def recipe(amount: float, moved: int) -> Any:
        tables = {"sft": {"epochs": 1}, "grpo": {"steps": 1, "bonus": {"amount": amount, "moved": moved}}}
        return toy_recipe(bonus={"moved": moved}, evaluation={"n": 1, "baselines": []}, **tables)

    train(recipe(0.5, 0), store=tmp_path, run_id="toy")
    train(recipe(0.5, 7), store=tmp_path, run_id="toy")
    with pytest.raises(ConfigError, match=r"different: grpo\.bonus\.amount\)"):
        train(recipe(0.25, 0), store=tmp_path, run_id="toy")


@pytest.mark.parametrize(
    ("tables", "match"),
    [
        ({"bonus": {"amunt": 1}}, r"Unknown key 'bonus.amunt'. Did you mean 'amount'"),
        ({"bonus": {"amount": -1}}, r"bonus.amount is -1"),
        ({"grpo": {"bonus": {"amunt": 1}}}, r"Unknown key 'grpo.bonus.amunt'"),
        ({"grpo": {"bonus": True}}, r"grpo.bonus is True"),
        ({"bonus": False}, r"bonus is False"),
        ({"bonnus": {}}, r"Unknown key 'bonnus' in the recipe. Did you mean 'bonus'"),
        (
            {"phases": ["rft"], "rft": {"asynchronous": {}}},
            r"rft has a table \[asynchronous\], and 'rft' collects episodes in a loop of its own",
        ),
    ],
)
def test_tables_are_checked(tables: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        toy_recipe(**tables)


def test_the_registry_names_its_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert extension_names() == [*BUILTIN, "another"]
    assert get_extension("another") is Another
    with pytest.raises(UsageError, match="Did you mean 'noise'"):
        get_extension("nois")
    monkeypatch.setattr(registry, "_plugins", lambda: {"odd": f"{__name__}:toy_env", "alias": f"{__name__}:Bonus"})
    with pytest.raises(ConfigError, match="expected a subclass of"):
        get_extension("odd")
    with pytest.raises(ConfigError, match="registered as 'alias' and calls itself 'bonus'"):
        get_extension("alias")


def test_a_table_that_means_nothing_to_a_phase_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    evaluation = {"n": 1, "baselines": []}
    recipe = toy_recipe(phases=["sft"], sft={"epochs": 1, "noise": {}}, horizon={"rounds": [2]}, evaluation=evaluation)
    train(recipe, store=tmp_path)
    assert "Phase sft plays no episodes with the policy; its table noise does nothing" in caplog.text
    assert "horizon" not in caplog.text  # the recipe's tables are for the phases that play


@pytest.mark.parametrize("name", list(BUILTIN))
def test_what_is_registered_is_there_and_explains_itself(name: str) -> None:
    found = get_extension(name)
    assert found.name == name
    assert found.__doc__
    assert found.config_type.__doc__
    assert toy_env.ENV_ID
