"""The examples of the page about training, as far as they run without a server or a package of one's own."""

from __future__ import annotations

import dataclasses
import inspect
import re
import shlex
import sys
import tomllib
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import palaestra
import palaestra.algorithms
from palaestra.algorithms import load_recipe, parse_recipe
from palaestra.algorithms.run import extension_registry, registry
from palaestra.algorithms.run.arms import phase_arms
from palaestra.algorithms.run.metrics import read_metrics
from palaestra.algorithms.run.packaged import packaged_recipes
from palaestra.algorithms.run.training import train
from palaestra.models import registry as model_registry
from tests.algorithms.toy_recipe import toy_recipe

PAGE = (Path(__file__).parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
QUICK = [
    *("model.hidden_size=32", "model.num_layers=1", "model.num_heads=2", "model.corpus_episodes=12", "evaluation.n=2"),
    *("evaluation.every=0", "sft.episodes=12", "grpo.steps=1", "grpo.tasks_per_step=2", "grpo.group_size=2"),
]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def example(word: str) -> dict[str, Any]:
    """What the Python block with a word defines."""
    (block,) = (block for block in blocks("python") if word in block)
    names: dict[str, Any] = {}
    exec(compile(block, "docs/training.md", "exec"), names)
    return names


def test_a_run_from_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    real = palaestra.train

    def quick(recipe: str, overrides: list[str], **options: Any) -> Any:
        return real(recipe, overrides=[*overrides, *QUICK], **options)

    monkeypatch.setattr(palaestra, "train", quick)
    result = example("palaestra.train(")["result"]
    assert list(result.arms) == ["random", "expert", "untrained", "cloned", "trained"]
    assert (tmp_path / "runs" / "first").is_dir()


def table_under(heading: str) -> str:
    """Return the first table under a heading."""
    return PAGE.split(f"\n{heading}\n", 1)[1].split("\n|", 1)[1].split("\n\n", 1)[0]


def test_the_page_lists_every_recipe_that_is_included() -> None:
    table = table_under("### Recipes that are included")
    rows = {row.split("`")[1]: row for row in table.splitlines()[2:]}
    for name in packaged_recipes():
        start, _, variant = name.rpartition("_tiny_")
        family = f"{start}_tiny_NAME"
        assert name in rows or f"`{variant}`" in rows.get(family, ""), f"{name} is not listed"
    single = {name for name in rows if not name.endswith("_NAME")}
    assert single <= packaged_recipes().keys()


def test_the_page_lists_every_extension_that_is_included() -> None:
    table = table_under("### Extensions")
    assert set(re.findall(r"^\| `\[(\w+)\]`", table, re.MULTILINE)) == set(extension_registry.BUILTIN)


def test_arms_are_called_as_the_page_says() -> None:
    listed = parse_recipe(next(tomllib.loads(block) for block in blocks("toml") if block.count("[[phase]]") == 3))
    assert phase_arms(listed) == {"sft": "cloned", "short": "trained", "long": "trained-long"}
    told = PAGE.split("The arms of reports, ", 1)[1].split("\n\n", 1)[0]
    assert all(f"`{arm}`" in told for arm in phase_arms(listed).values())


def test_every_recipe_of_the_page_is_valid() -> None:
    tables = [tomllib.loads(block) for block in blocks("toml")]
    recipes = [parse_recipe(table) for table in tables if "env" in table]
    assert [recipe.phase_names for recipe in recipes] == [["sft", "short", "long"], ["sft", "grpo"], ["sft", "grpo"]]
    assert [[env.name for env in recipe.envs] for recipe in recipes] == [
        ["TextCraft"],
        ["TextCraft"],
        ["TextCraft", "Desk", "hard"],
    ]
    for recipe in recipes:
        for env in recipe.envs:
            gymnasium.make(env.id, **env.arguments).close()
    # the others are single tables, or metadata of a package
    rest = [table for table in tables if "env" not in table and "project" not in table]
    for table in rest:
        parse_recipe({"env": {"id": "palaestra/TextCraft-v0"}, **table})


def test_every_override_of_the_page_reaches_something() -> None:
    lines = [shlex.split(line) for block in blocks("console") for line in block.splitlines() if "--set" in line]
    shown = [words for words in lines if words[:2] == ["palaestra", "train"] and "$seed" not in str(words)]
    assert len(shown) >= 3
    for words in shown:
        overrides = [words[index + 1] for index, word in enumerate(words) if word == "--set"]
        assert load_recipe(words[2], overrides) != load_recipe(words[2])
        for override in overrides:
            assert load_recipe(words[2], [override]) != load_recipe(words[2]), override


def test_the_extension_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = example("class Limit(Extension)")
    monkeypatch.setitem(extension_registry.BUILTIN, "limit", "limit_of_the_page:Limit")
    real = extension_registry.get_extension
    monkeypatch.setattr(extension_registry, "get_extension", lambda name: names["Limit"] if name == "limit" else real(name))
    for module in ("recipe", "training", "active_extensions"):
        monkeypatch.setattr(
            f"palaestra.algorithms.run.{module}.get_extension", lambda name: names["Limit"] if name == "limit" else real(name)
        )
    recipe = toy_recipe(
        limit={"most": 0.25},
        sft={"episodes": 64, "epochs": 6, "batch_size": 16, "lr": 6e-3},
        grpo={"steps": 2},
        evaluation={"n": 1, "baselines": []},
    )
    rows = [row for row in read_metrics(train(recipe, store=tmp_path).folder / "metrics.jsonl") if row["phase"] == "grpo"]
    assert all(row["return_mean"] <= 0.25 for row in rows)
    assert any(row["score_mean"] > 0.25 for row in rows)


def test_the_kind_of_model_of_the_page_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind = example("ModelKind(")["KIND"]
    real = model_registry.get_model_kind

    def found(name: str) -> Any:
        return kind if name == "small_gpt2" else real(name)

    for module in ("recipe", "start", "training"):
        monkeypatch.setattr(f"palaestra.algorithms.run.{module}.get_model_kind", found)
    data: Mapping[str, Any] = {
        **toy_recipe(model=None, evaluation={"n": 1, "baselines": []}, sft={"epochs": 1}, grpo={"steps": 1}).to_json(),
        "model": {"kind": "small_gpt2", "width": 16},
    }
    result = train(data, store=tmp_path)
    assert (result.policy_path / "config.json").read_text().count('"gpt2"') == 1


def test_the_signatures_on_the_page_are_those_of_the_exported_names() -> None:
    table = PAGE.split("exported by `palaestra.algorithms`", 1)[1].split("\n\n", 2)[1]
    shown = re.findall(r"`(\w+)\(([^`]*)\)`", "\n".join(line.split("|")[1] for line in table.splitlines()))
    assert len(shown) == 14
    for name, parameters in shown:
        assert name in palaestra.algorithms.__all__
        found = inspect.signature(getattr(palaestra.algorithms, name)).parameters.values()
        named = [f"{one.name}{'' if one.default is one.empty else '='}" for one in found]
        assert parameters.split(", ") == named, name
    fields = {field.name for field in dataclasses.fields(palaestra.algorithms.Batch)}
    row = next(line for line in table.splitlines() if "collate" in line)
    assert set(re.findall(r"`([a-z_]+)`", row)) <= fields


def test_the_algorithm_on_the_page_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = example("class MyLearner")
    monkeypatch.setitem(sys.modules, "page_of_algorithms", types.SimpleNamespace(ALGORITHM=names["ALGORITHM"]))
    monkeypatch.setitem(registry._BUILTIN, "mine", "page_of_algorithms:ALGORITHM")
    recipe = {
        "env": {
            "id": "palaestra/TextCraft-v0",
            "distractors": 0,
            "tasks": ["workshop:ash_plank#0", "workshop:peg#0"],
        },
        "model": {
            "hidden_size": 12,
            "num_layers": 1,
            "num_heads": 2,
            "vocab_size": 310,
            "max_positions": 384,
            "corpus_episodes": 8,
        },
        "agent": {"instructions": False, "max_tokens_per_turn": 8},
        "evaluation": {"n": 2, "max_turns": 2, "baselines": []},
        "phase": [
            {"algorithm": "sft", "episodes": 20},
            {"algorithm": "mine", "steps": 2, "tasks_per_step": 2, "group_size": 2},
        ],
    }
    result = palaestra.train(recipe, store=tmp_path, run_id="mine")
    assert list(result.arms) == ["cloned", "trained"]
    assert [row["step"] for row in read_metrics(result.folder / "metrics.jsonl") if row["phase"] == "mine"] == [1, 2]
