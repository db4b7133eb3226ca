"""The two forms of a recipe say the same; lists of environments and phases; overrides by name and number."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.algorithms.run.arms import arms_of, phase_arms, runs_of
from palaestra.algorithms.run.recipe import load_recipe, parse_recipe
from palaestra.errors import ConfigError, UsageError

SETTINGS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "sft": {"episodes": st.integers(1, 50), "lr": st.sampled_from([1e-3, 3e-3]), "slip_rate": st.sampled_from([0.0, 0.1])},
    "grpo": {
        "steps": st.integers(1, 9),
        "group_size": st.integers(2, 5),
        "correction": st.sampled_from(["token", "sequence"]),
    },
    "rloo": {"steps": st.integers(1, 9), "tasks_per_step": st.integers(1, 5), "correction": st.just("token")},
    "rft": {"rounds": st.integers(1, 3), "sft": st.fixed_dictionaries({"episodes": st.integers(1, 9)})},
}
EXTENSIONS: dict[str, st.SearchStrategy[Any]] = {
    "noise": st.fixed_dictionaries({"kind": st.sampled_from(["flip", "label"]), "rate": st.sampled_from([0.1, 0.3])}),
    "horizon": st.fixed_dictionaries({"rounds": st.lists(st.integers(1, 9), min_size=1, max_size=3)}),
    "asynchronous": st.just({"max_staleness": 1}),
}
ARGUMENTS = {"recipes": st.just("procedural"), "depth": st.sampled_from([[1, 1], [1, 2]]), "name": st.just("of the argument")}
PLAIN = {
    "seed": st.integers(0, 9),
    "description": st.text(max_size=9),
    "agent": st.fixed_dictionaries({"format": st.sampled_from(["text", "react"])}),
    "checkpoint": st.fixed_dictionaries({"every": st.integers(1, 5)}),
}


@st.composite
def both_forms(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same recipe in the short and in the long form."""
    common: dict[str, Any] = draw(st.fixed_dictionaries({}, optional={**PLAIN, **EXTENSIONS}))
    arguments = draw(st.fixed_dictionaries({}, optional=ARGUMENTS))
    env: dict[str, Any] = {
        "id": "palaestra/TextCraft-v0",
        **draw(st.fixed_dictionaries({}, optional={"train_split": st.just("test")})),
    }
    names = draw(st.permutations(list(SETTINGS)).flatmap(lambda all_: st.integers(1, 4).map(lambda n: all_[:n])))
    switches = {name: st.one_of(table, st.just(False)) for name, table in EXTENSIONS.items()}
    own_loop = {**switches, "asynchronous": st.just(False)}
    options = {name: {**SETTINGS[name], **(switches if name in ("grpo", "rloo") else own_loop)} for name in names}
    tables = {name: draw(st.fixed_dictionaries({}, optional=options[name])) for name in names}
    for name in ("grpo", "rloo"):  # what [asynchronous] asks for
        if name in tables:
            tables[name].setdefault("correction", "token")
    among = {key: value for key, value in arguments.items() if key != "name"}
    inside = {"arguments": {"name": arguments["name"]}} if "name" in arguments else {}
    short = {**common, "env": {**env, **among, **inside}, "phases": list(names), **tables}
    long = {
        **common,
        "env": [{**env, "arguments": arguments}],
        "phase": [{"algorithm": name, **tables[name]} for name in names],
    }
    return short, long


@given(both_forms())
def test_both_forms_are_one_recipe(forms: tuple[dict[str, Any], dict[str, Any]]) -> None:
    short, long = (parse_recipe(form) for form in forms)
    assert short == long
    assert short.to_json() == long.to_json()
    stored = json.loads(json.dumps(short.to_json()))
    assert parse_recipe(stored) == short
    assert parse_recipe(stored).to_json() == stored
    assert "phase" not in stored
    assert isinstance(stored["env"], dict)


MIXED = """
seed = 1

[[env]]
id = "palaestra/TextCraft-v0"
weight = 3
[env.arguments]
recipes = "procedural"

[[env]]
id = "palaestra/TextCraft-v0"
name = "deep"
format = "react"
[env.arguments]
recipes = "procedural"
depth = [3, 3]

[[env]]
id = "palaestra/Desk-v0"

[[phase]]
algorithm = "sft"

[[phase]]
algorithm = "grpo"
name = "easy"
steps = 3
horizon = {rounds = [4]}

[[phase]]
algorithm = "grpo"
name = "hard"
steps = 5

[horizon]
rounds = [8]
"""


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    file = tmp_path / "mixed.toml"
    file.write_text(MIXED)
    return file


def test_a_recipe_lists_environments_and_phases(mixed: Path) -> None:
    recipe = load_recipe(mixed)
    assert [(env.name, env.weight, env.format) for env in recipe.envs] == [
        ("TextCraft", 3.0, None),
        ("deep", 1.0, "react"),
        ("Desk", 1.0, None),
    ]
    assert recipe.envs[1].arguments == {"recipes": "procedural", "depth": [3, 3]}
    assert [(phase.name, phase.algorithm) for phase in recipe.phases] == [("sft", "sft"), ("easy", "grpo"), ("hard", "grpo")]
    assert [phase.settings.model_dump().get("steps") for phase in recipe.phases] == [None, 3, 5]
    assert [phase.active["horizon"].rounds for phase in recipe.phases] == [(8,), (4,), (8,)]  # type: ignore[attr-defined]
    assert phase_arms(recipe) == {"sft": "cloned", "easy": "trained", "hard": "trained-hard"}
    assert list(runs_of(recipe, "cloned")) == ["cloned-TextCraft", "cloned-deep", "cloned-Desk"]
    assert arms_of(recipe) == ["random", "expert", "untrained", "cloned", "trained", "trained-hard"]
    stored = json.loads(json.dumps(recipe.to_json()))
    assert parse_recipe(stored) == recipe
    assert [table["name"] for table in stored["phase"]] == ["sft", "easy", "hard"]


@pytest.mark.parametrize(
    ("override", "place", "value"),
    [
        ("env.0.weight=2", ("env", 0, "weight"), 2),
        ("env.deep.weight=2", ("env", 1, "weight"), 2),
        ("env.Desk.arguments.difficulty=easy", ("env", 2, "arguments"), {"difficulty": "easy"}),
        ("phase.easy.steps=7", ("phase", 1, "steps"), 7),
        ("phase.2.steps=7", ("phase", 2, "steps"), 7),
        ("hard.steps=7", ("phase", 2, "steps"), 7),
        ("sft.lr=1e-4", ("phase", 0, "lr"), 1e-4),
        ("easy.horizon.rounds=[1, 2]", ("phase", 1, "horizon", "rounds"), [1, 2]),
        ("hard.noise.rate=0.5", ("phase", 2, "noise"), {"rate": 0.5}),
        ("hard.horizon=false", ("phase", 2, "horizon"), False),
        ("horizon.rounds=[3]", ("horizon", "rounds"), [3]),
        ("seed=4", ("seed",), 4),
    ],
)
def test_an_override_reaches_what_it_names(mixed: Path, override: str, place: tuple[Any, ...], value: Any) -> None:
    data = tomllib.loads(MIXED)
    table = data
    for part in place[:-1]:
        table = table[part]
    table[place[-1]] = value
    assert load_recipe(mixed, [override]) == parse_recipe({"name": "mixed", **data})


SHORT = """
phases = ["sft", "grpo"]
[env]
id = "palaestra/TextCraft-v0"
[grpo]
steps = 3
"""


@pytest.mark.parametrize(
    ("override", "same"),
    [
        ("phase.grpo.steps=7", "grpo.steps=7"),
        ("phase.1.steps=7", "grpo.steps=7"),
        ("phase.sft.lr=1e-4", "sft.lr=1e-4"),
        ("phase.grpo.noise.rate=0.5", "grpo.noise.rate=0.5"),
        ("env.0.recipes=procedural", "env.recipes=procedural"),
        ("env.TextCraft.recipes=procedural", "env.recipes=procedural"),
        ("env.arguments.recipes=procedural", "env.recipes=procedural"),
        ("env.0.arguments.recipes=procedural", "env.recipes=procedural"),
    ],
)
def test_the_keys_of_the_long_form_reach_the_short_one(tmp_path: Path, override: str, same: str) -> None:
    file = tmp_path / "short.toml"
    file.write_text(SHORT)
    assert load_recipe(file, [override]) == load_recipe(file, [same]) != load_recipe(file)


def test_phases_chooses_what_is_run(mixed: Path) -> None:
    assert load_recipe(mixed, ["phases=['hard', 'sft']"]).phase_names == ["hard", "sft"]
    with pytest.raises(ConfigError, match=r"Unknown key 'phase.easy.lrr'"):
        load_recipe(mixed, ["phases=['hard']", "easy.lrr=1"])  # what is switched off is checked all the same


@pytest.mark.parametrize(
    ("override", "match"),
    [
        (
            "env.weight=2",
            r"no environment 'weight' in the recipe.*Names are TextCraft, deep, Desk; numbers are counted from 0",
        ),
        ("env.3.weight=2", r"no environment '3'"),
        ("env.Dek.weight=2", r"no environment 'Dek'.* Did you mean 'Desk'"),
        ("env.0=2", r"names a whole table; expected a key of it, e.g. env.0.KEY=VALUE"),
        ("phase.esay.steps=2", r"no phase 'esay'.*Did you mean 'easy'"),
        ("phase.9.steps=2", r"no phase '9'"),
        (
            "env.Desk.difficulty=easy",
            r"Unknown key 'env.2.difficulty'.* argument of the environment is env.2.arguments.difficulty",
        ),
        ("env.0.weight=0", r"env.0.weight is 0"),
        ("env.0.weight=inf", r"env.0.weight is inf"),
        ("env.2.name=deep", r"2 environments are called 'deep'; give each"),
        ("env.2.name=a.b", r"'a.b' cannot be a name; expected letters, digits"),
        ("env.2.name='7'", r"'7' cannot be a name"),
        ("easy.name=hard", r"Two phases are called 'hard'; give each \[\[phase\]\] a name"),
        ("easy.name=sft", r"phase.1.name is 'sft', which means something else"),
        ("easy.name=noise", r"phase.1.name is 'noise', which means something else"),
        ("easy.name=start", r"phase.1.name is 'start', which means something else"),
        ("easy.name=trained", r"A phase is called 'trained', as its policy is called in reports"),
        ("easy.name=a/b", r"'a/b' cannot be a name"),
        ("easy.algorithm=grppo", r"Unknown algorithm 'grppo'\. Did you mean 'grpo'"),
        ("easy.algorithm=3", r"phase.1.algorithm is 3; expected a text"),
        ("easy.stepps=3", r"Unknown key 'phase.easy.stepps'\. Did you mean 'steps'"),
        ("easy.lr=fast", r"phase.easy.lr is 'fast'.*--set phase.easy.lr=VALUE"),
        ("easy.noise.rat=1", r"Unknown key 'phase.easy.noise.rat'\. Did you mean 'rate'"),
        ("grpo.lr=1e-3", r"\[grpo\] is a table of the short form"),
        ("phases=['hrad']", r"phases names 'hrad', and there is no such \[\[phase\]\]\. Did you mean 'hard'"),
        ("phases=['hard', 'hard']", r"expected each phase at most once"),
        ("phase=3", r"phase is 3; expected a list of tables"),
        ("phase=[]", r"phase is \[\]; expected a list of tables"),
        ("phase=[{}]", r"The key 'phase.0.algorithm' is missing"),
        ("env=[]", r"env is an empty list"),
    ],
)
def test_mistakes_are_named(mixed: Path, override: str, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        load_recipe(mixed, [override])


def test_an_algorithm_comes_once_in_the_short_form(tmp_path: Path) -> None:
    file = tmp_path / "short.toml"
    file.write_text(SHORT)
    with pytest.raises(ConfigError, match=r"each algorithm at most once. To run one twice, list the phases as \[\[phase\]\]"):
        load_recipe(file, ["phases=['grpo', 'grpo']"])
    with pytest.raises(ConfigError, match=r"no phase 'rloo' in the recipe"):
        load_recipe(file, ["phase.rloo.lr=1e-3"])
