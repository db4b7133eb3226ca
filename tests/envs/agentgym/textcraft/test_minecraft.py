import json
from pathlib import Path
from typing import Any

import pytest

from palaestra.envs.agentgym.textcraft.books import load_book
from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.errors import ConfigError, MissingDataError


def item(name: str) -> dict[str, str]:
    return {"item": f"minecraft:{name}"}


def shapeless(output: str, *inputs: Any, count: int | None = None, **extra: Any) -> dict[str, Any]:
    result: dict[str, Any] = item(output)
    if count is not None:
        result["count"] = count
    return {"type": "minecraft:crafting_shapeless", "ingredients": list(inputs), "result": result, **extra}


def load(folder: Path, **files: Any) -> RecipeBook:
    for name, data in files.items():
        (folder / f"{name}.json").write_text(data if isinstance(data, str) else json.dumps(data))
    return load_book(folder)


def lines(book: RecipeBook) -> list[str]:
    return [book.line(recipe) for recipe in book.recipes]


def test_a_pattern_counts_the_occurrences_of_each_key(tmp_path: Path) -> None:
    shaped = {
        "type": "minecraft:crafting_shaped",
        "pattern": ["A A", " B "],
        "key": {"A": item("iron"), "B": item("stick")},
        "result": {"item": "minecraft:tongs", "count": 3},
    }
    assert lines(load(tmp_path, a=shaped)) == ["craft 3 tongs using 2 iron, 1 stick"]


def test_identical_ingredients_merge_and_of_alternatives_the_first_counts(tmp_path: Path) -> None:
    recipe = shapeless("soup", item("leek"), [item("salt"), item("pepper")], item("leek"))
    assert lines(load(tmp_path, a=recipe)) == ["craft 1 soup using 2 leek, 1 salt"]


def test_a_bare_text_is_a_result_of_one(tmp_path: Path) -> None:
    recipe = {**shapeless("soup", item("leek")), "result": "minecraft:soup"}
    assert lines(load(tmp_path, a=recipe)) == ["craft 1 soup using 1 leek"]


def test_recent_games_write_ingredients_as_texts_and_results_with_id(tmp_path: Path) -> None:
    recipe = {
        "type": "minecraft:crafting_shapeless",
        "ingredients": ["minecraft:flint", "#minecraft:planks"],
        "result": {"id": "minecraft:torch", "count": 2},
    }
    plank = shapeless("oak_planks", item("oak_log"), group="planks")
    assert lines(load(tmp_path, a=recipe, b=plank)) == [
        "craft 2 torch using 1 flint, 1 planks",
        "craft 1 oak planks using 1 oak log",
    ]


def test_recipes_for_other_stations_are_passed_over(tmp_path: Path) -> None:
    smelting = {"type": "minecraft:smelting", "ingredient": item("sand"), "result": "minecraft:glass"}
    book = load(tmp_path, a=smelting, b=shapeless("bottle", item("glass")))
    assert lines(book) == ["craft 1 bottle using 1 glass"]
    assert book.is_gettable("minecraft:glass")
    assert not book.is_gettable("minecraft:sand")


def test_a_recipe_from_a_single_block_is_dropped_but_its_items_exist(tmp_path: Path) -> None:
    book = load(
        tmp_path, a=shapeless("ingot", item("iron_block"), count=9), b=shapeless("pan", item("iron_block"), item("stick"))
    )
    assert lines(book) == ["craft 1 pan using 1 iron block, 1 stick"]
    assert book.is_gettable("minecraft:ingot")


def test_a_recipe_that_would_close_a_circle_is_skipped_in_load_order(tmp_path: Path) -> None:
    forth, back = shapeless("coin", item("bar"), count=9), shapeless("bar", *[item("coin")] * 9)
    book = load(tmp_path, a=forth, b=back)
    assert lines(book) == ["craft 9 coin using 1 bar"]
    (tmp_path / "a.json").rename(tmp_path / "c.json")
    assert lines(load_book(tmp_path)) == ["craft 1 bar using 9 coin"]


def test_a_group_is_a_tag_of_the_output_unless_it_is_its_name(tmp_path: Path) -> None:
    book = load(
        tmp_path,
        a=shapeless("oak_planks", item("oak_log"), group="planks"),
        b=shapeless("door", {"tag": "minecraft:planks"}, group="door"),
    )
    assert book.tags == {"minecraft:planks"}
    assert book.satisfies("minecraft:oak_planks", "minecraft:planks")
    assert book.depth["minecraft:door"] == 2
    assert not book.is_gettable("minecraft:planks")


def test_a_tag_without_a_craftable_item_becomes_an_item(tmp_path: Path) -> None:
    book = load(tmp_path, a=shapeless("fire", {"tag": "minecraft:logs"}))
    assert book.tags == frozenset()
    assert book.is_gettable("minecraft:logs")
    assert book.depth["minecraft:fire"] == 1


def test_items_of_other_namespaces_keep_theirs(tmp_path: Path) -> None:
    book = load(tmp_path, a=shapeless("soup", {"item": "mymod:wild_leek"}))
    assert lines(book) == ["craft 1 soup using 1 mymod:wild leek"]
    assert book.id_of("mymod:wild leek") == "mymod:wild_leek"
    assert book.is_gettable("mymod:wild_leek")


@pytest.mark.parametrize("below", ["recipes", "recipe", "data/minecraft/recipes", "data/minecraft/recipe"])
def test_a_data_folder_is_found_from_above(tmp_path: Path, below: str) -> None:
    (tmp_path / below).mkdir(parents=True)
    load(tmp_path / below, a=shapeless("soup", item("leek")))
    assert lines(load_book(tmp_path)) == ["craft 1 soup using 1 leek"]


def test_an_unchanged_folder_is_read_once_and_a_changed_one_again(tmp_path: Path) -> None:
    book = load(tmp_path, a=shapeless("soup", item("leek")))
    assert load_book(tmp_path) is book
    assert lines(load(tmp_path, a=shapeless("soup", item("leek"), item("salt")))) == ["craft 1 soup using 1 leek, 1 salt"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", r"a\.json is not valid JSON .* restore the file"),
        ("[]", r"a\.json: the file is \[\]; expected a JSON object"),
        ({"type": 3}, "type is 3; expected a text"),
        ({**shapeless("x"), "ingredients": []}, r"ingredients is \[\]; expected a list"),
        (shapeless("x", {"fluid": "water"}), r"ingredients\[0\] is \{'fluid': 'water'\}; expected \{'item': ID\}"),
        (shapeless("x", []), r"ingredients\[0\] is \[\]"),
        ({**shapeless("x", item("a")), "result": 5}, "result is 5; expected an item id"),
        (shapeless("x", item("a"), count=0), "result.count is 0; expected an integer from 1"),
        ({**shapeless("x", item("a")), "group": 1}, "group is 1; expected a text"),
        ({"type": "minecraft:crafting_shaped", "result": "x"}, "pattern is None; expected a list of texts"),
        ({"type": "minecraft:crafting_shaped", "pattern": ["A"], "result": "x"}, "key is None; expected an object"),
        (
            {"type": "minecraft:crafting_shaped", "pattern": ["A"], "key": {"B": item("b")}, "result": "x"},
            r"key\.B is 'B'; expected a character that occurs in the pattern \['A'\]",
        ),
    ],
)
def test_a_malformed_file_is_named_with_field_and_next_move(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, a=data)


def test_a_folder_without_crafting_recipes_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingDataError, match=r"No file in .* is a crafting recipe"):
        load(tmp_path, a={"type": "minecraft:smelting"})
