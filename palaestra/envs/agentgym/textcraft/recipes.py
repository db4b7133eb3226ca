"""Recipe books: what can be crafted from what, and how deep each item lies.

A `RecipeBook` is immutable and made in one of three ways: from a text of lines (`parse_book`, the format of the
built-in `data/workshop.txt`), from the recipe files of a Minecraft data folder (`minecraft.py`), or from recipes that
a generator drew (`procedural.py`). Items and tags are known by id (`workshop:oak_plank`) and shown by name (`oak plank`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path

from palaestra.errors import ConfigError, MissingDataError, UsageError
from palaestra.types import Json

BUILTIN_NAMESPACE = "workshop"
MAX_COUNT = 1_000_000  # of one item in one line; more is a slip of the pen and would only bloat states
MAX_INGREDIENTS = 9  # the fields of the crafting table

_RECIPE_LINE = re.compile(r"craft ([0-9]{1,7}) (.+?) using (.+)")
_INGREDIENT = re.compile(r"([0-9]{1,7}) (.+)")
_TAG_LINE = re.compile(r"tag ([^:]+): *(.+)")
_NAME = re.compile(r"[a-z0-9]+(?:[ '.-][a-z0-9]+)*")


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
    """All recipes of one world; build it with `parse_book`, `load_minecraft_folder` or `book_from_json`.

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
        """Hash what identifies the book."""
        return hash((self.namespace, self.recipes))

    # -- names ----------------------------------------------------------------------------------------------------

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


def parse_book(text: str, *, namespace: str = BUILTIN_NAMESPACE, source: str = "recipe book") -> RecipeBook:
    """Read a book from text, one entry a line.

        # a comment
        tag plank: oak plank, pine plank
        craft 4 oak plank using 1 oak log
        craft 2 rung using 1 plank

    Names are lower-case words. What no line crafts can be got for the asking. A tag needs a craftable item; an item has
    at most one tag.

    Args:
        text: The lines.
        namespace: Prefix of all ids.
        source: Name of the text for error messages.

    Raises:
        ConfigError: With the line, for what cannot be read, for a tag without a craftable item, and for recipes that
            need their own output.
    """
    tag_of: dict[str, str] = {}
    tag_lines: dict[str, int] = {}
    recipes: list[Recipe] = []
    recipe_lines: list[int] = []

    def fail(number: int, problem: str) -> ConfigError:
        return ConfigError(f"{source}, line {number}: {problem}")

    def to_id(name: str, number: int) -> str:
        if not _NAME.fullmatch(name):
            raise fail(number, f"{name!r} is no item name; write lower-case words such as 'oak plank'.")
        key = name.replace(" ", "_")
        return f"{namespace}:{key}" if namespace else key

    def to_count(digits: str, number: int) -> int:
        if not 1 <= int(digits) <= MAX_COUNT:
            raise fail(number, f"the count {digits} is not between 1 and {MAX_COUNT}.")
        return int(digits)

    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if match := _TAG_LINE.fullmatch(line):
            tag = to_id(match[1].strip(), number)
            if tag in tag_lines:
                raise fail(number, f"tag {match[1]!r} was defined in line {tag_lines[tag]}; give it one line.")
            tag_lines[tag] = number
            for name in match[2].split(","):
                item = to_id(name.strip(), number)
                if item in tag_of:
                    raise fail(number, f"{name.strip()!r} already belongs to a tag; an item has at most one.")
                tag_of[item] = tag
        elif match := _RECIPE_LINE.fullmatch(line):
            ingredients: dict[str, int] = {}
            for part in match[3].split(","):
                ingredient = _INGREDIENT.fullmatch(part.strip())
                if ingredient is None:
                    raise fail(number, f"{part.strip()!r} is no ingredient; write a count and a name such as '2 stick'.")
                id_ = to_id(ingredient[2], number)
                if id_ in ingredients:
                    raise fail(number, f"{ingredient[2]!r} is listed twice; write it once with the whole count.")
                ingredients[id_] = to_count(ingredient[1], number)
            if len(ingredients) > MAX_INGREDIENTS:
                raise fail(number, f"the recipe has {len(ingredients)} ingredients; at most {MAX_INGREDIENTS} fit the table.")
            output = to_id(match[2], number)
            inputs = tuple(Ingredient(i, n) for i, n in ingredients.items())
            recipes.append(Recipe(output, to_count(match[1], number), inputs))
            recipe_lines.append(number)
        else:
            raise fail(number, f"{line!r} is neither 'craft N ITEM using N ITEM, ...' nor 'tag NAME: ITEM, ...'.")
    if not recipes:
        raise ConfigError(f"{source} holds no recipe; write lines such as 'craft 4 oak plank using 1 oak log'.")
    outputs = {recipe.output for recipe in recipes}
    for tag, number in tag_lines.items():
        if tag in outputs:
            raise fail(number, f"{tag!r} is the name of a tag and of a crafted item; rename one.")
        if not any(item in outputs for item, of in tag_of.items() if of == tag):
            raise fail(number, f"tag {tag!r} has no item that is crafted; name the item itself in the recipes.")
    recipes = [Recipe(r.output, r.count, r.ingredients, tag_of.get(r.output, "")) for r in recipes]
    tags = frozenset(tag_lines)
    items = outputs | set(tag_of) | {i.id for r in recipes for i in r.ingredients}
    book = RecipeBook(namespace, tuple(recipes), tag_of, tags, frozenset(items - tags))
    for recipe, number in zip(recipes, recipe_lines, strict=True):
        if recipe.output in _everything_below(book, recipe):
            raise fail(number, f"{book.line(recipe)!r} needs its own output in the end; break the circle.")
    return book


@lru_cache(maxsize=1)
def builtin_book() -> RecipeBook:
    """Return the book that ships with the package."""
    text = (resources.files("palaestra.envs.agentgym.textcraft") / "data" / "workshop.txt").read_text(encoding="utf-8")
    return parse_book(text, source="data/workshop.txt")


def load_book(path: str | Path) -> RecipeBook:
    """Load a book from a text file or a folder of Minecraft recipe files; an unchanged path is read once.

    Raises:
        MissingDataError: If there is nothing to read at `path`.
        ConfigError: If a file cannot be understood.
    """
    from palaestra.envs.agentgym.textcraft.minecraft import load_minecraft_folder

    path = Path(path).expanduser()
    if path.is_dir():
        return load_minecraft_folder(path)
    if not path.is_file():
        raise MissingDataError(
            f"There is no recipe book at {str(path)!r}; expected a folder of Minecraft recipe files "
            f"(recipes/*.json of a data pack) or a text file of lines such as 'craft 4 oak plank using 1 oak log'."
        )
    return _load_text(str(path.resolve()), path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _load_text(path: str, mtime_ns: int) -> RecipeBook:
    """Read a text book; the time of change is only there to be part of the cache key."""
    del mtime_ns
    try:
        text = Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8.") from None
    return parse_book(text, source=path)


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


def _everything_below(book: RecipeBook, recipe: Recipe) -> set[str]:
    """Return the ids of all items that a recipe may draw on, tags through their items."""
    found: set[str] = set()
    waiting = [ingredient.id for ingredient in recipe.ingredients]
    while waiting:
        id_ = waiting.pop()
        if id_ in found:
            continue
        found.add(id_)
        waiting.extend(book.members(id_))
        waiting.extend(i.id for below in book.recipes_of(id_) for i in below.ingredients)
    return found
