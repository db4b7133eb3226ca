import itertools
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.textcraft.text_book import parse_book
from palaestra.envs.agentgym.textcraft.world import TextCraftWorld
from tests.envs.agentgym.textcraft.books import small_book

BOOK = small_book()


def world(goal: str = "toy:crate", **inventory: int) -> TextCraftWorld:
    return TextCraftWorld(BOOK, goal, ["craft 1 stick using 1 twig"], {f"toy:{k}": v for k, v in inventory.items()})


def test_the_first_observation_lists_commands_and_the_goal() -> None:
    assert world().observation() == "Crafting commands:\ncraft 1 stick using 1 twig\n\nGoal: craft crate."


def test_get_gives_what_needs_no_crafting() -> None:
    w = world()
    assert w.act("get 3 oak log").text == "Got 3 oak log"
    assert w.act("get 2 oak_log").text == "Got 2 oak_log"
    assert w.inventory == {"toy:oak_log": 5}


def test_get_refuses_crafted_items_tags_and_unknown_ones() -> None:
    w = world()
    for name in ("stick", "plank", "no such thing", ""):
        assert w.act(f"get 1 {name}") == (f"Could not find {name}", True, False)
    assert w.inventory == {}


def test_impossible_counts_are_not_executed() -> None:
    w = world()
    for count in ("0", "-1", "1.5", "one", "10000000", "9" * 5000):
        command = f"get {count} twig"
        assert w.act(command).is_error
        assert w.act(command).text.startswith("Could not execute get")
    assert w.inventory == {}


def test_what_is_repeated_to_the_agent_has_a_bound() -> None:
    assert len(world().act("x" * 90_000).text) < 1_100
    assert len(world().act("get 1 " + "x" * 90_000).text) < 1_100
    assert len(world().act("craft 1 " + "x" * 90_000 + " using 1 twig").text) < 1_100


def test_inventory_lists_in_the_order_of_arrival() -> None:
    w = world()
    assert w.act("inventory").text == "Inventory: You are not carrying anything."
    for command in ("get 2 twig", "get 1 oak log", "get 1 twig"):
        w.act(command)
    assert w.act("inventory please").text == "Inventory: [twig] (3) [oak log] (1) "
    w.act("craft 1 stick using 1 twig")
    assert w.act("inventory").text == "Inventory: [twig] (2) [oak log] (1) [stick] (1) "


def test_craft_takes_the_ingredients_and_gives_the_count_of_the_recipe() -> None:
    w = world(oak_log=1)
    assert w.act("craft 99 oak plank using 1 oak log").text == "Crafted 4 toy:oak_plank"
    assert w.inventory == {"toy:oak_plank": 4}
    assert w.act("craft stick using 2 oak plank").text == "Crafted 4 toy:stick"
    assert w.inventory == {"toy:oak_plank": 2, "toy:stick": 4}


def test_any_one_item_of_a_tag_will_do_but_not_a_mixture_or_the_tag() -> None:
    w = world(oak_plank=2, pine_plank=2)
    assert w.act("craft 4 stick using 1 oak plank, 1 pine plank").is_error
    assert w.act("craft 4 stick using 2 plank").text == "Could not find enough items to craft toy:stick"
    assert w.act("craft 4 stick using 2 pine plank").text == "Crafted 4 toy:stick"


def test_errors_come_in_the_order_of_the_engine() -> None:
    w = world(twig=1)
    assert w.act("craft 1 stick using twig").text == "Wrong item format: twig"
    assert w.act("craft 1 nothing using 1 twig, dirt").text == "Wrong item format: dirt"
    assert w.act("craft 1 nothing using 2 twig").text == "Could not find enough items to craft toy:nothing"
    assert w.act("craft 2 nothing using 1 twig").text == (
        "Could not find a valid recipe for ItemTagWithCount(item_tag=ItemTag(tag=None, item_id='toy:nothing'), count=2)"
    )
    assert w.act("craft 1 stick").text == "Could not execute craft 1 stick"
    assert w.inventory == {"toy:twig": 1}


def test_counts_must_be_exact_and_nothing_may_be_left_over() -> None:
    w = world(twig=5, pebble=5, stick=5)
    for inputs in ("2 twig", "1 twig, 1 pebble", "1 stick, 3 pebble", "2 stick, 3 pebble, 1 twig", "0 twig"):
        for output in ("stick", "pick"):
            assert w.act(f"craft 1 {output} using {inputs}").is_error, inputs
    assert w.act("craft 1 pick using 3 pebble, 2 stick").text == "Crafted 1 toy:pick"


def test_an_item_listed_twice_cannot_take_more_than_is_carried() -> None:
    w = world("toy:crate", pick=1, oak_plank=4)
    assert w.act("craft 1 crate using 1 pick, 4 oak plank, 1 oak plank").is_error
    w.inventory["toy:oak_plank"] = 5
    assert w.act("craft 1 crate using 1 oak plank, 1 pick, 4 oak plank") == ("Crafted 1 toy:crate", False, True)
    assert w.inventory == {"toy:crate": 1}


def test_the_goal_is_solved_by_crafting_or_getting_it() -> None:
    assert world("toy:twig").act("get 1 twig").is_solved
    assert not world("toy:pebble").act("get 1 twig").is_solved
    assert world("toy:stick", twig=1).act("craft 1 stick using 1 twig").is_solved


def test_recipes_that_are_not_listed_work_too() -> None:
    assert world(pine_log=1).act("craft 4 pine plank using 1 pine log").text == "Crafted 4 toy:pine_plank"


def test_worlds_copy_compare_and_travel() -> None:
    w = world(twig=2)
    copy = w.copy()
    assert copy == w
    assert TextCraftWorld.from_json(json.loads(json.dumps(w.to_json())), BOOK) == w
    copy.act("get 1 twig")
    assert copy != w
    assert w.inventory == {"toy:twig": 2}
    other = TextCraftWorld(parse_book("craft 1 crate using 1 twig", namespace="toy"), w.goal, w.commands, w.inventory)
    assert other != w


names = st.sampled_from(
    ["oak log", "oak plank", "pine plank", "plank", "stick", "twig", "pebble", "pick", "crate", "x", "", "é"]
)
counts = st.sampled_from(["0", "1", "2", "3", "4", "-1", "12345678", "9" * 30, "", "x"])
ingredients = st.lists(st.tuples(counts, names).map(" ".join), max_size=11).map(", ".join)
commands = st.one_of(
    st.text(max_size=40),
    st.tuples(counts, names).map(lambda p: f"get {p[0]} {p[1]}"),
    st.tuples(counts, names, ingredients).map(lambda p: f"craft {p[0]} {p[1]} using {p[2]}"),
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from(sorted(BOOK.items)), st.integers(1, 6)), st.lists(commands, max_size=6))
def test_a_failed_command_changes_nothing_and_counts_stay_positive(start: dict[str, int], actions: list[str]) -> None:
    w = TextCraftWorld(BOOK, "toy:crate", [], start)
    for action in actions:
        before = w.to_json()
        reply = w.act(action)
        assert reply.text
        if reply.is_error:
            assert w.to_json() == before
            assert not reply.is_solved
        assert all(count > 0 for count in w.inventory.values())
        assert set(w.inventory) <= BOOK.items


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(BOOK.recipes), st.randoms(use_true_random=False))
def test_every_recipe_works_with_its_ingredients_in_any_order(recipe, random) -> None:  # type: ignore[no-untyped-def]
    inputs = []
    inventory: dict[str, int] = {}
    for ingredient in recipe.ingredients:
        options = BOOK.members(ingredient.id) if ingredient.id in BOOK.tags else (ingredient.id,)
        item = random.choice(options)
        inputs.append(f"{ingredient.count} {BOOK.name(item)}")
        inventory[item] = inventory.get(item, 0) + ingredient.count
    random.shuffle(inputs)
    w = TextCraftWorld(BOOK, recipe.output, [], inventory)
    assert w.act(f"craft {BOOK.name(recipe.output)} using {', '.join(inputs)}").is_solved
    assert w.inventory == {recipe.output: recipe.count}


@settings(max_examples=60)
@given(st.data())
def test_exactly_the_commands_that_are_listed_work(data) -> None:
    w = world()
    for _ in range(data.draw(st.integers(0, 12))):
        w.act(data.draw(st.sampled_from(list(w.available_commands()))))
    listed = list(w.available_commands())
    assert len(set(listed)) == len(listed)
    for command in listed:
        assert not w.copy().act(command).is_error, command
    items = [BOOK.name(item) for item in sorted(BOOK.items)]
    for recipe in BOOK.recipes:
        for inputs in itertools.product(items, repeat=len(recipe.ingredients)):
            pairs = zip(recipe.ingredients, inputs, strict=True)
            command = f"craft {recipe.count} {BOOK.name(recipe.output)} using " + ", ".join(f"{i.count} {x}" for i, x in pairs)
            assert (command in listed) == (not w.copy().act(command).is_error), command
    for item in items:
        assert (f"get 1 {item}" in listed) == (not w.copy().act(f"get 1 {item}").is_error)
