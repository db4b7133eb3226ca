import dataclasses
import json
import pickle

import pytest

from palaestra.envs.agentgym.textcraft.books import builtin_book
from palaestra.envs.agentgym.textcraft.recipes import RecipeBook, book_from_json
from tests.envs.agentgym.textcraft.books import small_book


def test_depth_is_the_least_number_of_levels() -> None:
    book = small_book()
    depth = {book.name(id_): level for id_, level in book.depth.items()}
    assert depth == {
        "oak log": 0,
        "pine log": 0,
        "twig": 0,
        "pebble": 0,
        "oak plank": 1,
        "pine plank": 1,
        "plank": 1,
        "stick": 1,  # from a twig, although it is 2 from planks
        "pick": 2,
        "crate": 3,
    }


def test_goals_stand_in_the_order_of_depth_and_id() -> None:
    assert small_book().goals == ("toy:oak_plank", "toy:pine_plank", "toy:stick", "toy:pick", "toy:crate")


def test_names_and_ids_turn_into_each_other() -> None:
    book = small_book()
    assert book.id_of("oak plank") == book.id_of("oak_plank") == "toy:oak_plank"
    assert book.name("toy:oak_plank") == "oak plank"
    assert book.id_of("no such thing") == "toy:no_such_thing"


def test_gettable_is_what_exists_and_neither_is_crafted_nor_a_tag() -> None:
    book = small_book()
    assert [i for i in sorted(book.items | book.tags) if book.is_gettable(i)] == [
        "toy:oak_log",
        "toy:pebble",
        "toy:pine_log",
        "toy:twig",
    ]
    assert not book.is_gettable("toy:unheard_of")


def test_a_tag_is_satisfied_by_its_items_only() -> None:
    book = small_book()
    assert book.satisfies("toy:pine_plank", "toy:plank")
    assert not book.satisfies("toy:stick", "toy:plank")
    assert not book.satisfies("toy:pine_plank", "toy:oak_plank")


def test_needed_recipes_are_all_below_the_goal_and_no_other() -> None:
    book = small_book()
    lines = [book.line(recipe) for recipe in book.needed_recipes("toy:pick")]
    assert sorted(lines) == [
        "craft 1 pick using 2 stick, 3 pebble",
        "craft 1 stick using 1 twig",
        "craft 4 oak plank using 1 oak log",
        "craft 4 pine plank using 1 pine log",
        "craft 4 stick using 2 plank",
    ]
    assert book.needed_recipes("toy:twig") == ()


def test_looking_at_needed_recipes_changes_no_recipe() -> None:
    book, fresh = small_book(), small_book()
    for goal in book.goals:
        book.needed_recipes(goal)
    assert book == fresh
    assert [book.recipes_of(goal) for goal in book.goals] == [fresh.recipes_of(goal) for goal in fresh.goals]


def test_a_book_cannot_be_changed_and_travels() -> None:
    book = small_book()
    with pytest.raises(dataclasses.FrozenInstanceError):
        book.namespace = "other"  # type: ignore[misc]
    assert book_from_json(json.loads(json.dumps(book.to_json()))) == book
    copy: RecipeBook = pickle.loads(pickle.dumps(book))
    assert copy == book
    assert copy.goals == book.goals
    assert hash(copy) == hash(book)


def test_the_built_in_book_is_large_deep_and_has_tags() -> None:
    book = builtin_book()
    assert len(book.recipes) >= 150
    assert {book.depth[goal] for goal in book.goals} >= {1, 2, 3, 4, 5}
    assert len(book.tags) >= 5
    assert len(book.goals) == len({recipe.output for recipe in book.recipes})
    assert builtin_book() is book


def test_every_line_of_the_built_in_book_is_used_or_a_goal_of_its_own() -> None:
    book = builtin_book()
    for tag in book.tags:
        assert book.recipes_using(tag), f"nothing takes the tag {tag}"
    assert all(recipe.count >= 1 and recipe.ingredients for recipe in book.recipes)
