"""Settings in groups: given in part, under older names, and as stored runs hold them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from palaestra.algorithms.config import Config, check
from palaestra.algorithms.grpo import GRPOConfig
from palaestra.algorithms.learner.policy_update import PolicyConfig
from palaestra.algorithms.math.estimators import (
    AdvantageConfig,
    GiGPOAdvantage,
    ReBNAdvantage,
    estimator,
    estimator_names,
    get_estimator,
)
from palaestra.algorithms.run.recipe import load_recipe
from palaestra.algorithms.run.registry import get_algorithm
from palaestra.errors import ConfigError

OLD: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "old_tables" / "defaults.json").read_text())
CHANGED: dict[str, dict[str, Any]] = {
    "rloo": {"aggregation": "sequence_mean"},
    "turn_rloo": {"aggregation": "token_mean"},
}
"""Defaults that were others then."""
REINFORCING = [name for name in OLD if issubclass(get_algorithm(name).config, PolicyConfig)]


class Inner(Config):
    low: float = 0.2
    high: float = Field(default=0.3, gt=0)


class Middle(Config):
    inner: Inner = Inner(low=0.1)
    size: int = 1


class Outer(Config):
    middle: Middle = Middle(inner=Inner(low=0.01, high=0.02), size=2)


@pytest.mark.parametrize("name", OLD)
def test_tables_of_stored_runs_are_those_of_today(name: str) -> None:
    kind = get_algorithm(name).config
    found = check(kind, OLD[name], name)
    assert found.model_copy(update={key: getattr(kind(), key) for key in CHANGED.get(name, {})}) == kind()
    assert {key: getattr(found, key) for key in CHANGED.get(name, {})} == CHANGED.get(name, {})  # what they ran with
    assert check(kind, kind().model_dump(mode="json", exclude_none=True), name) == kind()


@pytest.mark.parametrize(
    ("name", "old", "group", "value"),
    [
        (name, old, group, value)
        for name in REINFORCING
        for old, group, value in [
            ("clip_low", "clip.low", 0.11),
            ("clip_high", "clip.high", 0.12),
            ("dual_clip", "clip.dual", 3.5),
            ("cispo_cap", "clip.cispo", 4.0),
            ("kl_coefficient", "kl.coefficient", 0.7),
            ("kl_place", "kl.place", "reward"),
            ("kl_horizon", "kl.horizon", 12345),
            ("correction", "correction.level", "sequence"),
            ("correction_cap", "correction.cap", 7.0),
            ("max_staleness", "correction.max_staleness", 3),
            ("drift_limit", "correction.drift_limit", 0.5),
            ("drop_equal_groups", "sampling.drop_equal_groups", True),
            ("max_refills", "sampling.max_refills", 9),
            ("uncertain_share", "sampling.uncertain_share", 0.5),
            ("overlong_limit", "overlong.limit", 500),
            ("overlong_buffer", "overlong.buffer", 50),
        ]
        if old in OLD[name] or old in ("dual_clip", "kl_target", "overlong_limit")
        if issubclass(get_algorithm(name).config, GRPOConfig)
        or old not in ("uncertain_share", "overlong_limit", "overlong_buffer")
    ],
)
def test_an_older_name_says_the_same_as_the_group(name: str, old: str, group: str, value: Any) -> None:
    kind = get_algorithm(name).config
    table, _, key = group.partition(".")
    found = check(kind, {old: value}, name)
    assert found == check(kind, {table: {key: value}}, name)
    assert getattr(getattr(found, table), key) == value
    assert old not in found.model_dump() or old == table
    rest = {key: value for key, value in found.model_dump().items() if key != table}
    assert rest == {key: value for key, value in kind().model_dump().items() if key != table}


def test_a_setting_under_both_names_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"kl_coefficient is an older name of kl.coefficient, and both are given"):
        check(GRPOConfig, {"kl_coefficient": 0.1, "kl": {"coefficient": 0.2}}, "grpo")


def test_a_short_form_and_an_older_name_make_one_group() -> None:
    found = check(GRPOConfig, {"correction_cap": 5.0, "correction": "token"}, "grpo").correction
    assert (found.level, found.cap, found.max_staleness) == ("token", 5.0, 8)


@given(
    inner=st.fixed_dictionaries({}, optional={"low": st.floats(0, 1), "high": st.floats(0.1, 1)}),
    outer=st.fixed_dictionaries({}, optional={"size": st.integers(0, 9)}),
)
def test_a_group_that_is_given_in_part_keeps_the_rest_of_its_owner(inner: dict[str, float], outer: dict[str, int]) -> None:
    found = check(Outer, {"middle": {**outer, "inner": inner}}, "")
    assert found.middle.inner == Inner(**{"low": 0.01, "high": 0.02, **inner})
    assert found.middle.size == outer.get("size", 2)


def test_groups_of_the_papers_keep_their_defaults() -> None:
    gspo: Any = check(get_algorithm("gspo").config, {"clip": {"low": 0.02}}, "gspo")
    assert (gspo.clip.low, gspo.clip.high) == (0.02, 4e-4)
    gigpo: Any = check(get_algorithm("gigpo").config, {"advantage": {"step_weight": 0.5}}, "gigpo")
    assert gigpo.advantage == GiGPOAdvantage(gamma=0.95, step_weight=0.5)
    dapo: Any = check(get_algorithm("dapo").config, {"sampling": {"max_refills": 0}}, "dapo")
    assert dapo.sampling.drop_equal_groups


@pytest.mark.parametrize(
    ("data", "match"),
    [
        ({"clip": {"lwo": 0.1}}, r"Unknown key 'grpo.clip.lwo'. Did you mean 'low'\?"),
        ({"clip": {"low": 2}}, r"grpo.clip.low is 2: .*--set grpo.clip.low=VALUE"),
        ({"clip": 3}, r"grpo.clip is 3"),
        ({"clip_low": 2}, r"grpo.clip.low is 2"),
        ({"clip": "x", "clip_low": 0.1}, r"grpo.clip is 'x'"),
        ({"advantage": "rlooo"}, r"Unknown estimator 'rlooo'. Did you mean 'rloo'\?"),
        ({"advantage": {"estimator": "gigpo", "gama": 1}}, r"Unknown key 'grpo.advantage.gama'. Did you mean 'gamma'\?"),
        ({"advantage": "rebn", "gamma": 2}, r"grpo.advantage.gamma is 2"),
        ({"gamma": 0.5}, r"Unknown key 'grpo.advantage.gamma'"),
        ({"advantage": "rebn", "step_weight": 0.5}, r"Unknown key 'grpo.advantage.step_weight'"),
    ],
)
def test_what_is_wrong_in_a_group_is_named(data: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        check(GRPOConfig, data, "grpo")


def test_an_estimator_of_another_name_has_its_own_defaults() -> None:
    found: Any = check(get_algorithm("gigpo").config, {"advantage": "rebn"}, "gigpo")
    assert found.advantage == ReBNAdvantage()
    kept: Any = check(get_algorithm("rebn").config, {"advantage": {"estimator": "rebn"}}, "rebn")
    assert kept.advantage == ReBNAdvantage(gamma=0.9)


@pytest.mark.parametrize("name", [name for name in REINFORCING if "advantage" in OLD[name]])
@pytest.mark.parametrize("other", ["grpo", "rloo", "reinforce_pp", "rebn", "turn_rloo", "gigpo"])
def test_a_stored_table_with_another_estimator_is_read(name: str, other: str) -> None:
    stored = {**OLD[name], "advantage": other, "group_size": 4}
    found: Any = check(get_algorithm(name).config, stored, name)
    assert found.advantage.estimator == other
    known = found.advantage.model_dump()
    assert known == {key: stored[key] for key in known if key != "estimator"} | {"estimator": other}


def test_every_estimator_has_settings_with_a_text_and_a_source() -> None:
    for name in estimator_names():
        found = get_estimator(name)
        assert found.config().estimator == name  # type: ignore[call-arg]
        assert "Source:" in (found.advantages.__doc__ or "")


def test_an_estimator_that_names_none_or_a_taken_name_is_refused() -> None:
    class Nameless(AdvantageConfig):
        pass

    class Taken(AdvantageConfig):
        estimator: str = "grpo"

    for config in (Nameless, Taken):
        with pytest.raises(ConfigError, match="expected a default that names no other estimator"):
            estimator(config)


RECIPE = """
phases = ["grpo"]

[env]
id = "palaestra/TextCraft-v0"

[grpo]
{table}
"""
TABLES = {
    "older names": 'kl_coefficient = 0.1\nclip_low = 0.1\ncorrection = "token"\ncorrection_cap = 4.0\nspread = "batch"',
    "groups": """
kl = {coefficient = 0.1}
clip = {low = 0.1}
correction = {level = "token", cap = 4.0}
advantage = {spread = "batch"}
""",
}
LISTED = """
[[env]]
id = "palaestra/TextCraft-v0"

[[phase]]
algorithm = "grpo"
name = "first"
{table}
"""


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("kl_coefficient", "0.3", ("kl", "coefficient")),
        ("kl.coefficient", "0.3", ("kl", "coefficient")),
        ("clip_high", "0.3", ("clip", "high")),
        ("correction", "sequence", ("correction", "level")),
        ("correction.level", "sequence", ("correction", "level")),
        ("correction.max_staleness", "1", ("correction", "max_staleness")),
        ("advantage.spread", "none", ("advantage", "spread")),
        ("sum_turn_rewards", "true", ("advantage", "sum_turn_rewards")),
    ],
)
@pytest.mark.parametrize(
    ("form", "prefix"), [(RECIPE, "grpo"), (LISTED, "first"), (LISTED, "phase.0"), (RECIPE, "phase.grpo")]
)
def test_an_override_holds_under_every_name_of_a_setting(
    tmp_path: Path, table: str, key: str, value: str, place: tuple[str, str], form: str, prefix: str
) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(form.format(table=table))
    before: Any = load_recipe(file).phases[0].settings
    after: Any = load_recipe(file, [f"{prefix}.{key}={value}"]).phases[0].settings
    assert str(getattr(getattr(after, place[0]), place[1])).lower() == value
    expected = before.model_dump()
    expected[place[0]][place[1]] = getattr(getattr(after, place[0]), place[1])
    assert after.model_dump() == expected  # and nothing else has changed


def test_an_override_of_the_estimator_brings_its_own_settings(tmp_path: Path) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE.format(table=""))
    found: Any = load_recipe(file, ["grpo.advantage=rebn", "grpo.gamma=0.8"]).phases[0].settings
    assert found.advantage == ReBNAdvantage(gamma=0.8)
