"""Recipe books as text, one entry a line.

    # a comment
    tag plank: oak plank, pine plank
    craft 4 oak plank using 1 oak log
    craft 2 rung using 1 plank

Names are lower-case words. What no line crafts can be got for the asking. A tag needs a craftable item; an item has at
most one tag. No recipe may need its own output in the end.
"""

from __future__ import annotations

import re

from palaestra.envs.agentgym.textcraft.recipes import MAX_COUNT, MAX_INGREDIENTS, Ingredient, Recipe, RecipeBook
from palaestra.errors import ConfigError

BUILTIN_NAMESPACE = "workshop"

_RECIPE = re.compile(r"craft ([0-9]+) (.+?) using (.+)")
_INGREDIENT = re.compile(r"([0-9]+) (.+)")
_TAG = re.compile(r"tag ([^:]+): *(.+)")
_NAME = re.compile(r"[a-z0-9]+(?:[ '.-][a-z0-9]+)*")


def parse_book(text: str, *, namespace: str = BUILTIN_NAMESPACE, source: str = "recipe book") -> RecipeBook:
    """Read a book.

    Args:
        text: The lines.
        namespace: Prefix of all ids; empty for ids without prefix.
        source: Name of the text for error messages.

    Raises:
        ConfigError: With the line, for what cannot be read, for a tag without a craftable item, and for recipes that
            need their own output.
    """
    draft = _Draft(namespace, source)
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.partition("#")[0].strip()
        if line:
            draft.add(line, number)
    return draft.finish()


class _Draft:
    """A book in the making, with the line that every entry came from."""

    def __init__(self, namespace: str, source: str) -> None:
        self.namespace = namespace
        self.source = source
        self.tag_of: dict[str, str] = {}
        self.tags: dict[str, int] = {}
        self.recipes: list[tuple[Recipe, int]] = []

    def add(self, line: str, number: int) -> None:
        """Read one line."""
        if match := _TAG.fullmatch(line):
            self._add_tag(match[1].strip(), match[2].split(","), number)
        elif match := _RECIPE.fullmatch(line):
            count, output, ingredients = match.groups()
            inputs = self._ingredients(ingredients.split(","), number)
            self.recipes.append((Recipe(self._id(output, number), self._count(count, number), inputs), number))
        else:
            raise self._error(number, f"{line!r} is neither 'craft N ITEM using N ITEM, ...' nor 'tag NAME: ITEM, ...'.")

    def finish(self) -> RecipeBook:
        """Build the book."""
        if not self.recipes:
            raise ConfigError(f"{self.source} holds no recipe; write lines such as 'craft 4 oak plank using 1 oak log'.")
        outputs = {recipe.output for recipe, _ in self.recipes}
        for tag, number in self.tags.items():
            if tag in outputs:
                raise self._error(number, f"{tag!r} is the name of a tag and of a crafted item; rename one.")
            if not any(item in outputs for item, of in self.tag_of.items() if of == tag):
                raise self._error(number, f"tag {tag!r} has no item that is crafted; name the item itself in the recipes.")
        recipes = tuple(Recipe(r.output, r.count, r.ingredients, self.tag_of.get(r.output, "")) for r, _ in self.recipes)
        items = outputs | set(self.tag_of) | {i.id for r in recipes for i in r.ingredients}
        tags = frozenset(self.tags)
        book = RecipeBook(self.namespace, recipes, self.tag_of, tags, frozenset(items - tags))
        for recipe, number in self.recipes:
            if recipe.output in _everything_below(book, recipe):
                raise self._error(number, f"{book.line(recipe)!r} needs its own output in the end; break the circle.")
        return book

    def _add_tag(self, name: str, items: list[str], number: int) -> None:
        """Read a line that says which items belong to a tag."""
        tag = self._id(name, number)
        if tag in self.tags:
            raise self._error(number, f"tag {name!r} was defined in line {self.tags[tag]}; give it one line.")
        self.tags[tag] = number
        for item in (self._id(item.strip(), number) for item in items):
            if item in self.tag_of:
                raise self._error(number, f"{item!r} already belongs to {self.tag_of[item]!r}; an item has at most one tag.")
            self.tag_of[item] = tag

    def _ingredients(self, parts: list[str], number: int) -> tuple[Ingredient, ...]:
        """Read what a recipe takes."""
        found: dict[str, int] = {}
        for part in parts:
            match = _INGREDIENT.fullmatch(part.strip())
            if match is None:
                raise self._error(number, f"{part.strip()!r} is no ingredient; write a count and a name such as '2 stick'.")
            id_ = self._id(match[2], number)
            if id_ in found:
                raise self._error(number, f"{match[2]!r} is listed twice; write it once with the whole count.")
            found[id_] = self._count(match[1], number)
        if len(found) > MAX_INGREDIENTS:
            raise self._error(number, f"the recipe has {len(found)} ingredients; at most {MAX_INGREDIENTS} fit the table.")
        return tuple(Ingredient(id_, count) for id_, count in found.items())

    def _id(self, name: str, number: int) -> str:
        """Return the id of a name."""
        if not _NAME.fullmatch(name) or "using" in name.split():
            raise self._error(number, f"{name!r} is no item name; write lower-case words such as 'oak plank'.")
        key = name.replace(" ", "_")
        return f"{self.namespace}:{key}" if self.namespace else key

    def _count(self, digits: str, number: int) -> int:
        """Return a count within its bounds."""
        if len(digits) > 9 or not 1 <= int(digits) <= MAX_COUNT:
            raise self._error(number, f"the count {digits[:20]} is not between 1 and {MAX_COUNT}.")
        return int(digits)

    def _error(self, number: int, problem: str) -> ConfigError:
        """Build the error for a line."""
        return ConfigError(f"{self.source}, line {number}: {problem}")


def _everything_below(book: RecipeBook, recipe: Recipe) -> set[str]:
    """Return the ids of all items that a recipe may draw on, tags through their items."""
    found: set[str] = set()
    waiting = [ingredient.id for ingredient in recipe.ingredients]
    while waiting:
        id_ = waiting.pop()
        if id_ not in found:
            found.add(id_)
            waiting.extend(book.members(id_))
            waiting.extend(i.id for below in book.recipes_of(id_) for i in below.ingredients)
    return found
