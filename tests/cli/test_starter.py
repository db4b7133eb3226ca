from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.agents.rollout.engine import RolloutEngine
from palaestra.algorithms import load_recipe, train
from palaestra.algorithms.run.feed import make_feed
from palaestra.algorithms.run.player import policy_agent
from palaestra.algorithms.run.start import build_policy
from palaestra.cli.starter import EPISODES, measure, toml_value
from palaestra.envs.registration import conditions

QUICK = [
    *("model.hidden_size=16", "model.num_layers=1", "model.num_heads=2", "model.corpus_episodes=8", "model.vocab_size=400"),
    *("evaluation.n=2", "evaluation.every=0", "sft.episodes=4", "grpo.steps=1", "grpo.tasks_per_step=2", "grpo.group_size=2"),
]

plain_values: Any = st.recursive(
    st.booleans() | st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(plain_values)
def test_values_are_written_as_toml_reads_them(value: Any) -> None:
    assert tomllib.loads(f"value = {toml_value(value)}")["value"] == value


def test_every_environment_gets_a_valid_recipe(palaestra_run, env_id: str, tmp_path: Path) -> None:
    if conditions(env_id).arguments or conditions(env_id).cost != "cheap":
        pytest.skip("needs arguments or an engine")
    ran = palaestra_run("init", "recipe", env_id, "--folder", tmp_path, "--json")
    assert ran.code == 0, ran.err
    recipe = load_recipe(Path(json.loads(ran.out)["file"]))
    assert [env.id for env in recipe.envs] == [env_id]
    assert recipe.phase_names == ["sft", "grpo"]  # every one of them has an expert


def test_the_recipe_trains(palaestra_run, tmp_path: Path) -> None:
    ran = palaestra_run("init", "recipe", "toys/Backwards-v0", "--set", "max_turns=2", "--folder", tmp_path)
    path = tmp_path / "backwards.toml"
    assert f"palaestra train {path}" in ran.out
    result = train(path, overrides=QUICK, store=tmp_path / "runs", run_id="first")
    assert {"expert", "cloned", "trained"} <= set(result.arms)
    assert result.arms["cloned"].summary.errors == {}
    assert load_recipe(path).envs[0].arguments == {"max_turns": 2}


def test_a_policy_whose_answers_are_all_cut_can_play_as_long_as_the_expert(palaestra_run, tmp_path: Path) -> None:
    palaestra_run("init", "recipe", "number_guess/NumberGuess-v0", "--folder", tmp_path)
    recipe = load_recipe(tmp_path / "numberguess.toml", QUICK[:5])
    engine = RolloutEngine(8)
    feed = make_feed(recipe.envs, seed=0)
    agent = policy_agent(build_policy(recipe, feed, engine), recipe)
    turns = measure("number_guess/NumberGuess-v0", {}).turns
    played = engine.collect(feed.plans("cut", 1, num_tasks=4, max_turns=turns), agent)
    assert {one.outcome.stop_reason for one in played} == {"max_rounds"}
    assert sum(step.finish_reason == "length" for one in played for step in one.steps) > 3 * turns


def test_sizes_follow_from_what_is_played() -> None:
    assert measure("toys/Backwards-v0", {}) == (True, 4, len("The word is abcd.") + 4, 1)
    assert EPISODES >= 20


def test_nothing_is_overwritten_and_an_unknown_id_is_refused(refused, tmp_path: Path) -> None:
    (tmp_path / "lamp.toml").write_text("kept", encoding="utf-8")
    refused("init", "recipe", "toys/Lamp-v0", "--folder", tmp_path, match="lamp.toml is there already")
    assert (tmp_path / "lamp.toml").read_text(encoding="utf-8") == "kept"
    refused("init", "recipe", "toys/Lmp-v0", "--folder", tmp_path, match="Did you mean 'toys/Lamp-v0'")
