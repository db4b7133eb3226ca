from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.envs.agentgym.textcraft.books import builtin_book
from palaestra.envs.agentgym.textcraft.planner import Planner
from palaestra.envs.agentgym.textcraft.recipes import Ingredient, Recipe, RecipeBook
from palaestra.envs.agentgym.textcraft.world import TextCraftWorld
from tests.envs.agentgym.textcraft.books import small_book

BUILTIN = builtin_book()
PLANNER = Planner(BUILTIN)


def test_a_plan_fetches_once_and_crafts_bottom_up() -> None:
    assert Planner(small_book()).plan("toy:pick") == [
        "get 2 twig",
        "craft 1 stick using 1 twig",
        "craft 1 stick using 1 twig",
        "get 3 pebble",
        "craft 1 pick using 2 stick, 3 pebble",
    ]


def test_what_is_carried_is_used_a_suitable_kind_of_a_tag_included() -> None:
    planner = Planner(small_book())
    assert planner.plan("toy:pick", {"toy:stick": 1, "toy:pebble": 9}) == [
        "get 1 twig",
        "craft 1 stick using 1 twig",
        "craft 1 pick using 2 stick, 3 pebble",
    ]
    carried = {"toy:pick": 1, "toy:pine_plank": 4, "toy:oak_plank": 1}
    assert planner.plan("toy:crate", carried) == ["craft 1 crate using 1 pick, 4 pine plank, 1 oak plank"]


def test_a_goal_that_is_carried_has_to_be_obtained_once_more() -> None:
    assert Planner(small_book()).plan("toy:stick", {"toy:stick": 3}) == ["get 1 twig", "craft 1 stick using 1 twig"]


def test_a_gettable_goal_is_got_and_an_unknown_one_has_no_plan() -> None:
    planner = Planner(small_book())
    assert planner.plan("toy:twig") == ["get 1 twig"]
    assert planner.plan("toy:unheard_of") is None
    assert not planner.can_reach("toy:plank")


def test_items_that_only_come_from_each_other_have_no_plan() -> None:
    def recipe(output: str, *inputs: str) -> Recipe:
        return Recipe(output, 1, tuple(Ingredient(i, 1) for i in inputs))

    recipes = (recipe("egg", "hen"), recipe("hen", "egg", "grain"), recipe("feather", "hen"), recipe("feather", "goose"))
    book = RecipeBook("", recipes, {}, frozenset(), frozenset({"egg", "hen", "grain", "feather", "goose"}))
    planner = Planner(book)
    assert planner.plan("hen") is None
    assert planner.plan("feather") == ["get 1 goose", "craft 1 feather using 1 goose"]
    assert "hen" not in book.depth
    assert book.goals == ("feather",)


def test_every_goal_of_the_built_in_book_is_planned_within_the_default_turn_limit() -> None:
    for goal in BUILTIN.goals:
        plan = PLANNER.plan(goal)
        assert plan is not None
        assert len(plan) <= 30, goal
        world = TextCraftWorld(BUILTIN, goal, [])
        replies = [world.act(command) for command in plan]
        assert not any(reply.is_error for reply in replies)
        assert [reply.is_solved for reply in replies] == [False] * (len(plan) - 1) + [True]


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_plan_works_from_any_inventory_and_replanning_arrives(data: st.DataObject) -> None:
    goal = data.draw(st.sampled_from(BUILTIN.goals))
    below = sorted({i.id for r in BUILTIN.needed_recipes(goal) for i in r.ingredients} - BUILTIN.tags)
    below += sorted(m for tag in BUILTIN.tags for m in BUILTIN.members(tag))
    inventory = data.draw(st.dictionaries(st.sampled_from(below), st.integers(1, 8), max_size=8))
    world = TextCraftWorld(BUILTIN, goal, [], inventory)
    plan = PLANNER.plan(goal, inventory)
    assert plan is not None
    copy = world.copy()
    assert [copy.act(command) for command in plan][-1].is_solved
    # for a few goals (3 of 234 from nothing) replanning spends a part on a generic ingredient and has to make it twice
    for _ in range(2 * len(plan)):
        reply = world.act((PLANNER.plan(goal, world.inventory) or ["no plan"])[0])
        assert not reply.is_error
        if reply.is_solved:
            return
    raise AssertionError("replanning took more than twice the commands of the first plan")
