"""Settings that do nothing because of another one are refused by what config classes declare; every declaration is tried."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from pydantic import BaseModel

from palaestra.algorithms.config import Config, Need
from palaestra.algorithms.run.extension_registry import extension_names, get_extension
from palaestra.algorithms.run.idle_settings import idle_settings
from palaestra.algorithms.run.recipe import parse_recipe, read_recipe
from palaestra.algorithms.run.recipe_configs import CheckpointConfig, EvaluationConfig
from palaestra.algorithms.run.registry import algorithm_names, get_algorithm
from palaestra.algorithms.run.trackers import MetricsConfig
from palaestra.errors import ConfigError
from tests.algorithms.toy_recipe import toy_tables

TABLES: dict[str, type[BaseModel]] = {
    **{name: get_algorithm(name).config for name in algorithm_names()},
    **{name: get_extension(name).config_type for name in extension_names()},
    "checkpoint": CheckpointConfig,
    "evaluation": EvaluationConfig,
    "metrics": MetricsConfig,
}
VALUES: list[Any] = [0.5, 2, 0.05, 1.5, 700, True, False, 0, "X_Y", "expert", "run:other", "http://127.0.0.1:1/x", {"a": 1}]
SOURCE = {"model": {"path": "here"}, "server": {"url": "http://127.0.0.1:1/y"}, "judge": {"model": "random"}}


def needs() -> Iterator[tuple[str, type[Config], str, Need]]:
    """Every declared pair: name of the table, its class, the setting, what it needs."""
    for name, table in TABLES.items():
        if not issubclass(table, Config):
            continue
        for path, need in table.needs.items():
            yield name, table, path, need
        for field, info in table.model_fields.items():  # tables within tables
            if isinstance(info.default, Config):
                for path, need in info.default.needs.items():
                    yield f"{name}.{field}", type(info.default), path, need


def options(table: type[BaseModel], path: str) -> list[Any]:
    """Values to try for a setting: those of a list of words, and numbers and texts of all kinds."""
    name, _, rest = path.partition(".")
    field = table.model_fields[name]
    if rest:
        return options(type(field.default), rest)
    found, todo = [], [field.annotation]
    while todo:
        annotation = todo.pop()
        if typing.get_origin(annotation) is typing.Literal:
            found += list(typing.get_args(annotation))
        else:
            todo += typing.get_args(annotation)
    return found or VALUES


def default(table: type[BaseModel], path: str) -> Any:
    found: Any = None
    for index, name in enumerate(path.split(".")):
        found = table.model_fields[name].default if index == 0 else getattr(found, name)
    return found


def value(table: Any, path: str) -> Any:
    for name in path.split("."):
        table = getattr(table, name)
    return table


def written(table: type[Config], given: Mapping[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """The table with these settings, and its plain data; None where it does not take them."""
    data: dict[str, Any] = {}
    for path, one in given.items():
        *groups, name = path.split(".")
        place = data
        for group in groups:
            place = place.setdefault(group, {})
        place[name] = one
    if "kind" in table.model_fields and isinstance(data.get("kind"), str):
        data = {**SOURCE.get(data["kind"], {}), **data}
    if "kl.target" in given:
        data["kl"] = {"coefficient": 0.1, **data["kl"]}
    if "constant_length" in table.model_fields and data.get("aggregation") == "constant":
        data = {"constant_length": 9, **data}
    try:
        return table.model_validate(data), data
    except (ValueError, ConfigError):
        return None


@pytest.mark.parametrize(("table", "path", "need"), [pytest.param(*one[1:], id=f"{one[0]}.{one[2]}") for one in needs()])
def test_every_pair_of_settings_is_judged(table: type[Config], path: str, need: Need) -> None:
    others = [..., *options(table, need.setting)]
    told = off = silent = 0
    for one in options(table, path):
        for other in others:
            made = written(table, {path: one} if other is ... else {path: one, need.setting: other})
            if made is None or value(made[0], path) == default(table, path):
                continue
            problems = [p for p in idle_settings(*made, "table") if p.startswith(f"table.{path} is ")]
            actual = value(made[0], need.setting)
            is_off = other is not ... and (other in (False, 0) or other == "off")
            if need.is_met(actual) or is_off:
                assert problems == [], (one, other)
                silent += need.is_met(actual)
                off += not need.is_met(actual)
            else:
                (problem,) = problems
                assert f"does nothing where table.{need.setting} is " in problem
                assert problem.endswith(f"or take table.{path} out.")
                told += 1
        if silent and (told or off):
            return
    pytest.fail(f"expected values that make it idle ({told}, switched off {off}) and values that do not ({silent})")


def documented(table: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Each setting of a class with the sentence below it."""
    body = ast.parse(textwrap.dedent(inspect.getsource(table))).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, text in itertools.pairwise(body.body):
        is_text = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and is_text:
            yield node.target.id, str(text.value.value)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", TABLES)
def test_what_is_described_as_part_of_another_setting_is_declared_so(name: str) -> None:
    table = TABLES[name]
    tables: dict[str, type[BaseModel]] = {"": table}
    tables |= {f"{f}.": type(i.default) for f, i in table.model_fields.items() if isinstance(i.default, Config)}
    known = dict(table.needs) if issubclass(table, Config) else {}
    for prefix, inner in tables.items():
        own = {f"{prefix}{path}" for path in inner.needs} if issubclass(inner, Config) else set()
        for base in (one for one in inner.__mro__ if issubclass(one, Config) and one is not Config):
            for field, text in documented(base):
                if re.match(r"With (a )?`?[a-z_]+`?( on| off)?: |(model|server|judge)(, (model|server|judge))*: ", text):
                    has_own_check = name == "noise" or field == "patience"  # refused in any recipe, stored ones too
                    assert f"{prefix}{field}" in known.keys() | own or has_own_check, (name, field)


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["grpo.kl.place=reward", "grpo.kl.estimator=k2"], r'grpo.kl.estimator is "k2", and does nothing .*place is "reward"'),
        (["rloo.kl.estimator=k2", "phases=['rloo']"], r'rloo.kl.estimator is "k2"'),
        (["grpo.sampling.max_refills=3"], r"Set grpo.sampling.drop_equal_groups = true, or take .*max_refills out"),
        (["grpo.max_refills=3"], r"grpo.sampling.max_refills is 3"),  # the name it had before
        (["checkpoint.best_mode=min"], r"checkpoint.best is left out. Give checkpoint.best a value"),
        (["average.begin=5"], r"average.begin is 5, and the phase grpo has 4 steps at most"),
        (["average.begin=3", "average.decay=1.0", "sft.max_updates=2"], r"the phase sft has 2 steps at most"),
        (["rft.sft.regression_cap=5", "phases=['rft']"], r"rft.sft.regression_cap is 5.0"),
        (["vrpo.critic.absolute=2", "phases=['vrpo']"], r'where vrpo.critic.threshold is "quantile"'),
        (["dpo.batch_size=16", "dpo.microbatch_pairs=5", "phases=['dpo']"], r"batch_size is 16 and microbatch_pairs 5"),
        (["reward.kind=server", "reward.url=http://127.0.0.1:1/x", "reward.weight=0"], r"every reward is 0"),
        (["evaluation.curve_n=5"], r"evaluation.curve_n is 5, and does nothing where evaluation.every is 0"),
        (["metrics.wandb_project=mine"], r"metrics.wandb_project"),
    ],
)
def test_a_recipe_with_a_setting_to_no_effect_is_one_error(overrides: list[str], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        read_recipe(toy_tables(), overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["grpo.sampling.max_refills=3", "grpo.sampling.drop_equal_groups=false"],  # switched off in so many words
        ["ppo.pretrain_patience=3", "ppo.pretrain_episodes=0", "phases=['ppo']"],
        ["dapo.sampling.drop_equal_groups=false", "phases=['dapo']"],  # the table's own default stays
        ["grpo.entropy.final=0", "grpo.entropy.over=10", "grpo.entropy_coefficient=0.1"],  # a schedule that ends at 0
        ["evaluation.curve_n=5", "grpo.evaluate_every=2"],
        ["average.begin=4", "sft.average=false"],
        ["checkpoint.best=return_mean", "checkpoint.best_mode=min"],
    ],
    ids=str,
)
def test_what_means_something_or_is_switched_off_is_taken(overrides: list[str]) -> None:
    read_recipe(toy_tables(), overrides)


def test_a_phase_of_a_list_is_judged_by_its_own_table() -> None:
    phases = [{"algorithm": "sft"}, {"algorithm": "grpo", "name": "late", "sampling": {"max_refills": 2}}]
    data = {**toy_tables(sft=None, grpo=None), "phase": phases}
    with pytest.raises(ConfigError, match=r"phase.late.sampling.max_refills is 2"):
        read_recipe(data)


def test_a_stored_run_of_before_is_still_read() -> None:
    data = toy_tables(grpo={"sampling": {"max_refills": 2}})
    assert parse_recipe(parse_recipe(data).to_json()).phase("grpo").settings.sampling.max_refills == 2  # type: ignore[attr-defined]
