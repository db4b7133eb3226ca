from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest
from pydantic import BaseModel

from palaestra.algorithms.run import registry as table
from palaestra.algorithms.run.recipe import load_recipe, parse_recipe
from palaestra.errors import ConfigError, UsageError

RECIPE = """
seed = 3
phases = ["sft", "grpo"]

[env]
id = "palaestra/TextCraft-v0"
recipes = "procedural"

[horizon]
rounds = [4, 6]
interval = 5

[sft]
episodes = 8

[grpo]
lr = 3e-4
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(RECIPE)
    return path


def test_a_recipe_is_read_with_its_defaults(file: Path) -> None:
    recipe = load_recipe(file)
    assert recipe.name == "small"
    assert recipe.envs[0].arguments == {"recipes": "procedural"}
    assert recipe.phase("grpo").settings.lr == 3e-4  # type: ignore[attr-defined]
    assert recipe.phase("grpo").settings.group_size == 8  # type: ignore[attr-defined]
    assert recipe.extensions["horizon"].at(6) == 6  # type: ignore[attr-defined]


def test_overrides_set_dotted_keys_with_toml_values(file: Path) -> None:
    recipe = load_recipe(
        file,
        [
            "env.recipes=../some/folder",
            "grpo.lr=1e-3",
            "horizon.rounds=[2, 3]",
            "model.hidden_size=64",
            "agent.instructions=false",
        ],
    )
    assert recipe.envs[0].arguments == {"recipes": "../some/folder"}
    assert recipe.phase("grpo").settings.lr == 1e-3  # type: ignore[attr-defined]
    assert recipe.extensions["horizon"].rounds == (2, 3)  # type: ignore[attr-defined]
    assert recipe.model.hidden_size == 64
    assert recipe.agent.instructions is False


def test_a_recipe_survives_json(file: Path) -> None:
    recipe = load_recipe(file)
    again = parse_recipe(recipe.to_json())
    assert again.to_json() == recipe.to_json()


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("grpo.learning_rte=1", r"Unknown key 'grpo.learning_rte'"),
        ("grpo.grop_size=4", r"Unknown key 'grpo.grop_size'\. Did you mean 'group_size'\?"),
        ("modle.path=x", r"Unknown key 'modle' in the recipe\. Did you mean 'model'\?"),
        ("agent.temprature=1", r"Unknown key 'agent.temprature'\. Did you mean 'temperature'\?"),
        ("grpo.group_size=1", r"grpo: group_size is 1; advantage 'grpo' compares 2 episodes or more"),
        ("grpo.lr=fast", r"grpo.lr is 'fast': input should be a valid number.*--set grpo.lr=VALUE"),
        ("seed=[1]", r"seed is \[1\]"),
        ("horizon.rounds=[]", r"horizon: rounds is empty"),
        ("horizon.interval=0", r"horizon.interval is 0"),
        ("phases=[]", r"phases is empty"),
        ("phases=['sft', 'sft']", r"at most once"),
        ("asynchronous.max_staleness=2", r"max_staleness is 2.*grpo.correction is 'off'. Set grpo.correction = 'token'"),
        ("grpo.kl_target=0.1", r"grpo: kl.target is 0.1 and kl.coefficient is 0"),
        ("agent.workers=-1", r"agent.workers is -1"),
        ("agent.worker_kind='ray'", r"agent.worker_kind is 'ray'"),
        ("agent.step_timeout_s=0", r"agent.step_timeout_s is 0"),
        ("grpo", r"--set 'grpo' is not an assignment; expected KEY=VALUE"),
        ("seed.deep=1", r"'seed' is a value, not a table"),
    ],
)
def test_mistakes_are_one_clear_error(file: Path, override: str, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        load_recipe(file, [override])


def test_what_asynchronous_steps_cannot_do_is_refused_where_it_is_written(file: Path) -> None:
    corrected = ["asynchronous.max_staleness=2", "grpo.correction=token"]
    assert "asynchronous" in load_recipe(file, corrected).extensions
    assert "asynchronous" in load_recipe(file, ["asynchronous.max_staleness=0"]).extensions
    with pytest.raises(ConfigError, match=r"grpo.sampling.max_refills is 2; asynchronous batches are not refilled"):
        load_recipe(file, [*corrected, "grpo.max_refills=2", "grpo.drop_equal_groups=true"])
    # a phase that is switched off contradicts nothing
    assert "asynchronous" in load_recipe(file, ["asynchronous.max_staleness=2", "phases=['sft']"]).extensions


def test_an_unknown_algorithm_names_the_nearest(file: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown algorithm 'grppo'\. Did you mean 'grpo'\?"):
        load_recipe(file, ["phases=['grppo']"])


def test_the_table_of_a_phase_that_is_switched_off_is_checked_all_the_same(file: Path) -> None:
    assert load_recipe(file, ["phases=['sft']"]).phase_names == ["sft"]
    with pytest.raises(ConfigError, match=r"Unknown key 'grpo.lrr'"):
        load_recipe(file, ["phases=['sft']", "grpo.lrr=1"])


def test_a_missing_environment_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="The key 'env' is missing"):
        parse_recipe({"phases": ["sft"]})


@pytest.mark.parametrize(
    ("text", "match"),
    [
        (None, "Unknown recipe .*Give a TOML file, or one of: .*textcraft_tiny"),
        ("seed = ", "is not valid TOML"),
        (b"\xff\xfe", "could not be read"),
    ],
)
def test_files_that_are_no_recipes(tmp_path: Path, text: str | bytes | None, match: str) -> None:
    path = tmp_path / "broken.toml"
    if isinstance(text, str):
        path.write_text(text)
    elif text is not None:
        path.write_bytes(text)
    with pytest.raises(UsageError, match=match):
        load_recipe(path)


@pytest.mark.parametrize("path", sorted(Path("recipes").glob("*.toml")), ids=lambda path: path.name)
def test_every_recipe_of_the_repository_is_valid(path: Path) -> None:
    assert load_recipe(path).phases


def test_every_algorithm_has_a_recipe_that_shows_it() -> None:
    shown = {phase.algorithm for path in Path("recipes").glob("*.toml") for phase in load_recipe(path).phases}
    assert set(table._BUILTIN) <= shown


@pytest.mark.parametrize("path", sorted(Path("recipes").glob("*tiny*.toml")), ids=lambda path: path.name)
def test_every_tiny_recipe_describes_itself_and_opens_its_environment(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.description
    assert path.read_text(encoding="utf-8").startswith("# ")
    for config in recipe.envs:
        env = gymnasium.make(config.id, **config.arguments)
        assert config.train_split in env.unwrapped.tasks.splits  # type: ignore[attr-defined]
        env.close()


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["grpo=5", "grpo.lr=1"], "'grpo' is 5, not a table"),
        (["seed=-1"], "seed is -1"),
        (["seed=9223372036854775808"], "seed is 9223372036854775808"),
        (["evaluation.seed=99999999999999999999999"], "evaluation.seed is 99999999999999999999999"),
        (["seed=true"], "seed is true; expected a number"),
        (["agent.temperature=true"], "temperature is true; expected a number"),
        (["grpo.lr=false"], "lr is false; expected a number"),
        (["seed=1\n[x]\ny=2"], "seed is"),
        (["phase.².lr=1"], "there is no phase '²'"),
        (["agent.format=nix"], "Unknown format 'nix'"),
    ],
)
def test_an_override_that_means_nothing_is_one_error(tmp_path: Path, overrides: list[str], match: str) -> None:
    file = tmp_path / "recipe.toml"
    file.write_text(RECIPE)
    with pytest.raises(ConfigError, match=match):
        load_recipe(file, overrides)


def _tables() -> list[type[BaseModel]]:
    """Return every table of a recipe: those of algorithms, extensions, kinds of models, and the recipe's own."""
    for name in table.algorithm_names():
        table.get_algorithm(name)
    found, rest = [], [BaseModel]
    while rest:
        rest += (below := rest.pop().__subclasses__())
        found += [one for one in below if one.__module__.startswith(("palaestra.algorithms", "palaestra.models"))]
    return found


def test_no_table_of_a_recipe_takes_a_number_that_is_not_finite() -> None:
    tables = _tables()
    assert len(tables) > 20
    for one in tables:
        assert one.model_config.get("allow_inf_nan") is False, one


@pytest.mark.parametrize("text", ["inf", "-inf", "nan"])
@pytest.mark.parametrize("key", ["grpo.lr", "sft.lr", "agent.temperature", "grpo.kl.coefficient", "grpo.clip.high"])
def test_numbers_that_are_not_finite_are_refused_with_their_key(file: Path, key: str, text: str) -> None:
    with pytest.raises(ConfigError, match=f"{key.replace('.', '[.]')} is {text}: input should be a finite number"):
        load_recipe(file, [f"{key}={text}"])


@pytest.mark.parametrize("name", ["hidden_size", "num_layers", "vocab_size", "max_positions", "corpus_episodes"])
def test_sizes_that_no_machine_holds_are_refused_before_anything_starts(file: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"model.{name} is 10000000000: input should be less than or equal to"):
        load_recipe(file, [f"model.{name}=10000000000"])


def test_heads_that_do_not_fit_the_width_are_refused_before_anything_is_played(file: Path) -> None:
    match = r"hidden_size=32 does not split into 3 heads of even width; choose a multiple of 6"
    with pytest.raises(ConfigError, match=match):
        load_recipe(file, ["model.hidden_size=32", "model.num_heads=3"])
