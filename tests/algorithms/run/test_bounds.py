"""No number of a recipe is without a bound: every integer of every table is tried with numbers that no machine holds."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from palaestra.algorithms.config import MOST_HELD, Config, check
from palaestra.algorithms.run.extension_registry import extension_names, get_extension
from palaestra.algorithms.run.recipe import load_recipe, parse_recipe
from palaestra.algorithms.run.recipe_configs import AgentConfig, CheckpointConfig, EnvConfig, EvaluationConfig, Recipe
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.errors import ConfigError
from palaestra.models.registry import ModelConfig, get_model_kind, model_kinds

DESK = {"id": "palaestra/Desk-v0"}
NEEDED: dict[str, dict[str, Any]] = {
    "env": DESK,
    "horizon": {"rounds": [4]},
    "sampler": {"url": "http://127.0.0.1:9/v1", "model": "m", "weights": "w"},
    "model checkpoint": {"path": "x"},
}
"""What tables cannot do without."""


def tables() -> dict[str, type[BaseModel]]:
    """Return every table that a recipe may hold, by name."""
    plain = {
        "": Recipe,
        "env": EnvConfig,
        "agent": AgentConfig,
        "evaluation": EvaluationConfig,
        "checkpoint": CheckpointConfig,
    }
    extensions = {name: get_extension(name).config_type for name in extension_names()}
    models = {f"model {name}": get_model_kind(name).config for name in model_kinds()}
    return {**plain, **extensions, **models, **{name: get_algorithm(name).config for name in algorithm_names()}}


def leaves(annotation: object) -> set[object]:
    """Return the plain types of an annotation."""
    parts = typing.get_args(annotation)
    return set().union(*map(leaves, parts)) if parts else {annotation}


def numbers(model: type[BaseModel], kind: type, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield the path and the field of every number of a table and of the groups in it."""
    for name, field in model.model_fields.items():
        found = leaves(field.annotation)
        if kind in found and bool not in found:
            yield (*path, name), field
        for inner in found:
            if isinstance(inner, type) and issubclass(inner, Config) and model is not Recipe:
                yield from numbers(type(field.default) if isinstance(field.default, inner) else inner, kind, (*path, name))


def given(path: tuple[str, ...], value: Any, field: Any) -> dict[str, Any]:
    """Return a table in which one setting has a value, in a list or a table where it takes several."""
    shape = typing.get_origin(field.annotation)
    value = [value] if shape is tuple else {"x": value} if shape is dict else value
    for name in reversed(path):
        value = {name: value}
    return dict(value)


TABLES = tables()
INTEGERS = [(name, path, field) for name, model in TABLES.items() for path, field in numbers(model, int)]
FLOATS = [(name, path, field) for name, model in TABLES.items() for path, field in numbers(model, float)]
IDS = [".".join(filter(None, (name, *path))) for name, path, _ in INTEGERS]


def refuse(name: str, path: tuple[str, ...], value: Any, field: Any) -> str:
    """Check a table with one odd value; return the error."""
    data = {**NEEDED.get(name, {}), **given(path, value, field)}
    with pytest.raises(ConfigError) as caught:
        check(TABLES[name], data, name) if name else parse_recipe({"env": DESK, **data})
    if not str(caught.value).endswith("is missing; the recipe has to give it."):
        return str(caught.value)
    with pytest.raises(ValidationError) as all_errors:  # a table that cannot do without other settings: look behind them
        TABLES[name].model_validate(data)
    found = [one for one in all_errors.value.errors() if one["loc"][: len(path)] == path]
    return " ".join(f"{'.'.join(map(str, one['loc']))} is {one['input']}" for one in found)


def test_every_table_is_tried() -> None:
    assert len(INTEGERS) > 150
    assert {"grpo.group_size", "grpo.sampling.max_refills", "rft.sft.batch_size", "horizon.rounds", "ppo.critic.epochs"} <= {
        *IDS
    }
    assert {"agent.workers", "evaluation.max_turns", "threads", "model tiny.corpus_episodes", "noise.seed"} <= {*IDS}


@pytest.mark.parametrize(("name", "path", "field"), INTEGERS, ids=IDS)
def test_an_integer_that_no_machine_holds_is_refused_with_its_key(name: str, path: tuple[str, ...], field: Any) -> None:
    seeds = path[-1] == "seed"
    for value in (10**19, 2**63) if seeds else (10**12, 10**15, 2**63, 10**30):
        text = refuse(name, path, value, field)
        assert path[-1] in text
        assert str(value) in text
        assert len(text) < 300
    for odd in (-1, True, "x", 0.5, float("inf")):
        assert path[-1] in refuse(name, path, odd, field)


@pytest.mark.parametrize(("name", "path", "field"), FLOATS, ids=[".".join(filter(None, (n, *p))) for n, p, _ in FLOATS])
def test_a_number_is_finite_and_is_no_truth_value(name: str, path: tuple[str, ...], field: Any) -> None:
    for odd in (float("inf"), float("nan"), True, False, "x"):
        assert path[-1] in refuse(name, path, odd, field)


@pytest.mark.parametrize(
    "data",
    [
        {"phases": ["grpo"], "grpo": {"tasks_per_step": 10**4, "group_size": 10**4}},
        {"phases": ["dpo"], "dpo": {"tasks_per_step": 10**4, "group_size": 10**4}},
        {"phases": ["ppo"], "ppo": {"tasks_per_step": 10**7, "group_size": 2}},
        {"phases": ["rft"], "rft": {"tasks_per_round": 10**6, "samples": 100}},
        {"evaluation": {"n": 10**6, "samples": 100}},
    ],
)
def test_numbers_that_are_too_many_together_are_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"are too many episodes at once; expected a product of at most {MOST_HELD:,}"):
        parse_recipe({"env": DESK, **data})


def test_what_is_in_range_is_taken() -> None:
    ppo = {"steps": 10**9, "tasks_per_step": MOST_HELD}
    recipe = parse_recipe({"env": DESK, "phases": ["ppo"], "ppo": ppo})
    assert recipe.phase("ppo").settings.tasks_per_step == MOST_HELD  # type: ignore[attr-defined]


UNREADABLE = {
    "digits": "9" * 5000,
    "minus": "-" + "9" * 5000,
    "hexadecimal": "0x" + "f" * 5000,
    "list": "[" * 3000 + "]" * 3000,
    "table": "{a=" * 1500 + "1" + "}" * 1500,
}


@pytest.mark.parametrize("text", UNREADABLE.values(), ids=UNREADABLE)
@pytest.mark.parametrize("way", ["file", "override"])
def test_values_that_cannot_be_read_are_one_error(text: str, way: str, tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    line = f"steps = {text}\n" if way == "file" else ""
    file.write_text(f'phases = ["ppo"]\n[env]\nid = "palaestra/Desk-v0"\n[ppo]\n{line}')
    with pytest.raises(ConfigError) as caught:
        load_recipe(file, [] if way == "file" else [f"ppo.steps={text}"])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700


class Foreign(Config):
    """A table of somebody else's package, which states no bounds."""

    rows: int = 1
    own_seed: int = 0


class ForeignModel(ModelConfig):
    """A kind of model of somebody else's package."""

    width: int = 32
    seed: int = 0


@pytest.mark.parametrize(("table", "name", "seed"), [(Foreign, "rows", "own_seed"), (ForeignModel, "width", "seed")])
def test_an_integer_without_a_bound_has_one(table: type[BaseModel], name: str, seed: str) -> None:
    assert getattr(check(table, {name: 10**9, seed: 2**63 - 1}, "x"), name) == 10**9
    for key, value in ((name, 10**9 + 1), (seed, 2**63)):
        with pytest.raises(ConfigError, match=f"{key} is {value}|{key}: {key} is {value}"):
            check(table, {key: value}, "x")
    with pytest.raises(ConfigError, match=name):
        check(table, {name: True}, "x")
