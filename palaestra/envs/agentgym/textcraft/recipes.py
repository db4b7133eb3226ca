"""Recipe books: what can be crafted from what, and how deep each item lies.

A `RecipeBook` is immutable and read from a text of lines (`text_book.py`, the format of the built-in
`data/workshop.txt`) or from the recipe files of a Minecraft data folder (`minecraft.py`); `books.py` finds it. Items
and tags are known by id (`workshop:oak_plank`) and shown by name (`oak plank`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from palaestra.envs.core.snapshots import digest
from palaestra.types import Json

MAX_COUNT = 1_000_000  # of one item in one line; more is a slip of the pen and would only bloat states
MAX_INGREDIENTS = 9  # the fields of the crafting table


@dataclass(frozen=True, slots=True)
class Ingredient:
    """What a recipe takes.

    Attributes:
        id: Id of an item, or of a tag that any one of its items satisfies.
        count: How many, at least 1.
    """

    id: str
    count: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """One way to craft an item.

    Attributes:
        output: Id of the item.
        count: How many come out, at least 1.
        ingredients: What goes in, in the order shown.
        tag: Tag under which the output was filed; empty if none.
    """

    output: str
    count: int
    ingredients: tuple[Ingredient, ...]
    tag: str = ""


@dataclass(frozen=True)
class RecipeBook:
    """All recipes of one world; get it from `builtin_book`, `load_book`, `parse_book` or `book_from_json`.

    Args:
        namespace: Prefix of ids that names are shown without; empty for ids without prefix.
        recipes: In load order.
        tag_of: Tag of each item that has one.
        tags: Ids of all tags.
        items: Ids of all items that exist, craftable or not.

    Attributes:
        depth: By id of an item or tag: 0 without a recipe, else the least number of crafting levels. Ids that can only
            be made from themselves are missing.
        goals: Craftable items in canonical order: by depth, then id.
    """

    namespace: str
    recipes: tuple[Recipe, ...]
    tag_of: Mapping[str, str]
    tags: frozenset[str]
    items: frozenset[str]
    depth: Mapping[str, int] = field(init=False, repr=False, compare=False)
    goals: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _by_output: dict[str, tuple[Recipe, ...]] = field(init=False, repr=False, compare=False)
    _by_tag: dict[str, tuple[Recipe, ...]] = field(init=False, repr=False, compare=False)
    _members: dict[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    _users: dict[str, tuple[Recipe, ...]] = field(init=False, repr=False, compare=False)
    _foreign: dict[str, str] = field(init=False, repr=False, compare=False)
    _needed: dict[str, tuple[Recipe, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out the indices, the depths and the goals."""
        by_output: dict[str, list[Recipe]] = {}
        by_tag: dict[str, list[Recipe]] = {}
        users: dict[str, list[Recipe]] = {}
        for recipe in self.recipes:
            by_output.setdefault(recipe.output, []).append(recipe)
            if recipe.tag:
                by_tag.setdefault(recipe.tag, []).append(recipe)
            for ingredient in recipe.ingredients:
                users.setdefault(ingredient.id, []).append(recipe)
        members: dict[str, list[str]] = {}
        for item, tag in self.tag_of.items():
            members.setdefault(tag, []).append(item)
        prefix = f"{self.namespace}:" if self.namespace else ""
        put = object.__setattr__  # the dataclass is frozen; these fields follow from the others
        put(self, "_by_output", {key: tuple(value) for key, value in by_output.items()})
        put(self, "_by_tag", {key: tuple(value) for key, value in by_tag.items()})
        put(self, "_members", {key: tuple(value) for key, value in members.items()})
        put(self, "_users", {key: tuple(value) for key, value in users.items()})
        put(self, "_foreign", {i: i for i in sorted(self.items | self.tags) if not i.startswith(prefix)} if prefix else {})
        put(self, "_needed", {})
        depth = _depths(self.recipes, self._by_output, self._by_tag, self.items | self.tags)
        put(self, "depth", depth)
        put(self, "goals", tuple(sorted((i for i in by_output if i in depth), key=lambda i: (depth[i], i))))

    def __hash__(self) -> int:
        """Hash cheaply: books are keys of caches and differ in size as a rule."""
        return hash((self.namespace, len(self.recipes), len(self.items)))

    # -- names ----------------------------------------------------------------------------------------------------

    @cached_property
    def digest(self) -> str:
        """Digest of all recipes: equal books, equal digests."""
        return digest(self.to_json())

    def name(self, id_: str) -> str:
        """Return the name under which an id is shown."""
        prefix = f"{self.namespace}:"
        return id_.removeprefix(prefix).replace("_", " ") if self.namespace else id_.replace("_", " ")

    def id_of(self, name: str) -> str:
        """Return the id that a name stands for, whether or not it exists."""
        key = name.replace(" ", "_")
        if key in self._foreign:
            return key
        return f"{self.namespace}:{key}" if self.namespace else key

    def line(self, recipe: Recipe) -> str:
        """Return a recipe as the command that crafts it: `craft 4 plank using 1 log`."""
        inputs = ", ".join(f"{i.count} {self.name(i.id)}" for i in recipe.ingredients)
        return f"craft {recipe.count} {self.name(recipe.output)} using {inputs}"

    # -- look-up --------------------------------------------------------------------------------------------------

    def recipes_of(self, id_: str) -> tuple[Recipe, ...]:
        """Return the recipes of an item, or of the items of a tag; empty for what cannot be crafted."""
        return self._by_output.get(id_) or self._by_tag.get(id_, ())

    def recipes_using(self, id_: str) -> tuple[Recipe, ...]:
        """Return the recipes that take this item or tag as an ingredient."""
        return self._users.get(id_, ())

    def members(self, tag: str) -> tuple[str, ...]:
        """Return the items of a tag."""
        return self._members.get(tag, ())

    def is_gettable(self, id_: str) -> bool:
        """Whether an item exists that is neither craftable nor a tag: it can be had for the asking."""
        return id_ in self.items and id_ not in self.tags and not self.recipes_of(id_)

    def satisfies(self, id_: str, ingredient: str) -> bool:
        """Whether an item may stand for an ingredient: it is that item, or belongs to that tag."""
        return id_ == ingredient or (ingredient in self.tags and self.tag_of.get(id_) == ingredient)

    def needed_recipes(self, goal: str) -> tuple[Recipe, ...]:
        """Return every recipe reachable downward from a goal, each once, in the order found."""
        if goal not in self._needed:
            found: dict[Recipe, None] = {}
            waiting, seen = [goal], {goal}
            while waiting:
                for recipe in self.recipes_of(waiting.pop()):
                    found[recipe] = None
                    for ingredient in recipe.ingredients:
                        if ingredient.id not in seen:
                            seen.add(ingredient.id)
                            waiting.append(ingredient.id)
            self._needed[goal] = tuple(found)
        return self._needed[goal]

    # -- JSON -----------------------------------------------------------------------------------------------------

    def to_json(self) -> dict[str, Json]:
        """Return the book as plain data; `book_from_json` rebuilds it."""
        return {
            "namespace": self.namespace,
            "recipes": [[r.output, r.count, [[i.id, i.count] for i in r.ingredients], r.tag] for r in self.recipes],
            "tag_of": dict(sorted(self.tag_of.items())),
            "tags": sorted(self.tags),
            "items": sorted(self.items),
        }


def book_from_json(data: Mapping[str, Json]) -> RecipeBook:
    """Rebuild a book from `RecipeBook.to_json()`."""
    recipes = tuple(
        Recipe(output, count, tuple(Ingredient(i, n) for i, n in ingredients), tag)
        for output, count, ingredients, tag in data["recipes"]
    )
    return RecipeBook(data["namespace"], recipes, dict(data["tag_of"]), frozenset(data["tags"]), frozenset(data["items"]))


def _depths(
    recipes: Iterable[Recipe],
    by_output: Mapping[str, tuple[Recipe, ...]],
    by_tag: Mapping[str, tuple[Recipe, ...]],
    ids: Iterable[str],
) -> dict[str, int]:
    """Return the depth of each id, by rounds: round d settles what is craftable from depths below d."""
    depth: dict[str, int] = {}
    for recipe in recipes:
        for ingredient in recipe.ingredients:
            if ingredient.id not in by_output and ingredient.id not in by_tag:
                depth[ingredient.id] = 0
    for id_ in ids:
        if id_ not in by_output and id_ not in by_tag:
            depth[id_] = 0
    open_ = {**by_tag, **by_output}  # an item's own recipes go before those filed under its name as a tag
    level = 1
    while open_:
        settled = [i for i, ways in open_.items() if any(all(x.id in depth for x in way.ingredients) for way in ways)]
        if not settled:
            break
        for id_ in settled:
            depth[id_] = level
            del open_[id_]
        level += 1
    return depth
