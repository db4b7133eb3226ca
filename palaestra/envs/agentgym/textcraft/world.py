"""The world of TextCraft: a recipe book, a goal, and what is carried.

Replies are word for word those of AgentGym's engine, because published models and data depend on them. Three faults
of that engine are fixed: an ingredient listed twice cannot take more than is carried, counts of 0 and beyond
`MAX_COUNT` are not executed, and looking at the recipes of a goal does not change them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from palaestra.envs.agentgym.textcraft.recipes import MAX_COUNT, MAX_INGREDIENTS, Ingredient, Recipe, RecipeBook
from palaestra.envs.core.typed import fits
from palaestra.types import Json

MAX_ECHO_CHARS = 1_000

_CRAFT = re.compile(r"craft (.*) using (.*)")
_GET = re.compile(r"get ([0-9]+) (.*)")
_COUNTED = re.compile(r"([0-9]+) (.*)")


class Reply(NamedTuple):
    """What one command did.

    Attributes:
        text: The world's answer.
        is_error: The command did nothing.
        is_solved: The goal item was obtained by this command.
    """

    text: str
    is_error: bool = False
    is_solved: bool = False


class TextCraftWorld:
    """State of one episode.

    Args:
        book: The recipes that work; shared and never changed.
        goal: Id of the item to obtain.
        commands: Recipe lines shown to the agent; they do not restrict which recipes work.
        inventory: Item ids with counts of at least 1, in the order in which they were first obtained.
    """

    __slots__ = ("book", "commands", "goal", "inventory")

    max_ingredients: ClassVar[int] = MAX_INGREDIENTS
    """Ingredients that are read in one command."""

    def __init__(
        self, book: RecipeBook, goal: str, commands: Sequence[str], inventory: Mapping[str, int] | None = None
    ) -> None:
        """Begin with the given inventory, empty by default."""
        self.book = book
        self.goal = goal
        self.commands = tuple(commands)
        self.inventory: dict[str, int] = dict(inventory or {})

    # -- commands -------------------------------------------------------------------------------------------------

    def observation(self) -> str:
        """Return the first observation: the command list and the goal."""
        lines = "\n".join(self.commands)
        return f"Crafting commands:\n{lines}\n\nGoal: craft {self.book.name(self.goal)}."

    def act(self, command: str) -> Reply:
        """Execute a command; one that fails changes nothing.

        Args:
            command: `craft [N] X using n A, m B`, `get N X` or `inventory`; what follows a line break is ignored.
        """
        if match := _CRAFT.match(command):
            return self._craft(match[1], match[2], command)
        if match := _GET.match(command):
            return self._get(match[1], match[2], command)
        if command.startswith("inventory"):
            return Reply(self.inventory_text())
        return _not_executed(command)

    def available_commands(self) -> Iterator[str]:
        """Yield the commands that would not fail now: one of each item that can be had, and all that can be crafted."""
        yield "inventory"
        name = self.book.name
        for item in sorted(self.book.items):
            if self.book.is_gettable(item):
                yield f"get 1 {name(item)}"
        crafts: dict[str, None] = {}  # two recipes of an item may take the same
        for recipe in self.book.recipes:
            for items in self._choices(recipe.ingredients, self.inventory):
                inputs = ", ".join(f"{i.count} {name(item)}" for i, item in zip(recipe.ingredients, items, strict=True))
                crafts[f"craft {recipe.count} {name(recipe.output)} using {inputs}"] = None
        yield from crafts

    def inventory_text(self) -> str:
        """Return the answer to `inventory`."""
        if not self.inventory:
            return "Inventory: You are not carrying anything."
        name = self.book.name
        return "Inventory: " + "".join(f"[{name(item)}] ({count}) " for item, count in self.inventory.items())

    def _get(self, digits: str, name: str, command: str) -> Reply:
        """Take items that need no crafting."""
        item = self.book.id_of(name)
        if not self.book.is_gettable(item):
            return Reply(f"Could not find {_echo(name)}", is_error=True)
        count = _count(digits)
        if not 1 <= count <= MAX_COUNT:
            return _not_executed(command)
        self.inventory[item] = self.inventory.get(item, 0) + count
        return Reply(f"Got {count} {name}", is_solved=item == self.goal)

    def _craft(self, output: str, inputs: str, command: str) -> Reply:
        """Craft by a recipe that takes exactly the listed ingredients; the count of the output is not looked at."""
        listed: list[tuple[str, int]] = []
        parts = inputs.split(",", self.max_ingredients)
        for part in parts:
            part = part.strip()
            match = _COUNTED.match(part)
            if match is None:
                return Reply(f"Wrong item format: {_echo(part)}", is_error=True)
            listed.append((self.book.id_of(match[2]), _count(match[1])))
        counted = _COUNTED.match(output)
        goal_id = self.book.id_of(counted[2] if counted else output)
        if len(parts) > self.max_ingredients or not self._carries(listed):
            return Reply(f"Could not find enough items to craft {_echo(goal_id)}", is_error=True)
        for recipe in self.book.recipes_of(goal_id):
            if recipe.output == goal_id and self._fits(recipe, listed):
                return self._make(recipe, listed)
        tag, item_id = (goal_id, None) if goal_id in self.book.tags else (None, goal_id)
        shown = f"ItemTagWithCount(item_tag=ItemTag(tag={tag!r}, item_id={item_id!r}), "
        shown += f"count={_count(counted[1]) if counted else 1})"
        return Reply(f"Could not find a valid recipe for {_echo(shown)}", is_error=True)

    def _carries(self, listed: Sequence[tuple[str, int]]) -> bool:
        """Whether everything listed is carried, all together."""
        wanted: dict[str, int] = {}
        for item, count in listed:
            wanted[item] = wanted.get(item, 0) + count
        carried = self.inventory
        return all(carried.get(item, -1) >= count for item, count in wanted.items())

    def _choices(self, ingredients: Sequence[Ingredient], carried: Mapping[str, int]) -> Iterator[tuple[str, ...]]:
        """Yield the carried items that may stand for the ingredients, one for one."""
        if not ingredients:
            yield ()
            return
        first, rest = ingredients[0], ingredients[1:]
        for item, count in carried.items():
            if count >= first.count and self.book.satisfies(item, first.id):
                for others in self._choices(rest, {**carried, item: count - first.count}):
                    yield (item, *others)

    def _fits(self, recipe: Recipe, listed: Sequence[tuple[str, int]]) -> bool:
        """Whether the listed ingredients are those of the recipe, one for one, in any order."""
        return len(recipe.ingredients) == len(listed) and self._pairs(recipe.ingredients, listed)

    def _pairs(self, ingredients: Sequence[Ingredient], listed: Sequence[tuple[str, int]]) -> bool:
        """Whether each ingredient can be paired with a listed item of the same count; lengths are equal."""
        if not ingredients:
            return True
        first, rest = ingredients[0], ingredients[1:]
        for index, (item, count) in enumerate(listed):
            if count == first.count and self.book.satisfies(item, first.id):
                others = [*listed[:index], *listed[index + 1 :]]
                if self._pairs(rest, others):
                    return True
        return False

    def _make(self, recipe: Recipe, used: Sequence[tuple[str, int]]) -> Reply:
        """Take the ingredients and give the output."""
        carried = self.inventory
        for item, count in used:
            carried[item] -= count
            if carried[item] == 0:
                del carried[item]
        carried[recipe.output] = carried.get(recipe.output, 0) + recipe.count
        return Reply(f"Crafted {recipe.count} {recipe.output}", is_solved=recipe.output == self.goal)

    # -- state ----------------------------------------------------------------------------------------------------

    def to_json(self) -> Json:
        """Return the whole state; the inventory is a list because its order shows."""
        return {
            "goal": self.goal,
            "commands": list(self.commands),
            "inventory": [[item, count] for item, count in self.inventory.items()],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json], book: RecipeBook) -> TextCraftWorld:
        """Rebuild from `to_json()` over a book.

        Raises:
            KeyError, TypeError, ValueError: If it is not the state of a world with these recipes.
        """
        if not fits(data["inventory"], list[tuple[str, int]]) or not fits(data["commands"], list[str]):
            raise TypeError("inventory or commands are not of their types")
        if data["goal"] not in book.items:
            raise ValueError(f"the recipes do not know the goal {data['goal']!r}")
        return cls(book, data["goal"], data["commands"], {item: count for item, count in data["inventory"]})

    def copy(self) -> TextCraftWorld:
        """Return an independent world in the same state."""
        return TextCraftWorld(self.book, self.goal, self.commands, self.inventory)

    def __eq__(self, other: object) -> bool:
        """Whether two worlds are in the same state and have the same recipes."""
        return (
            isinstance(other, TextCraftWorld)
            and self.to_json() == other.to_json()
            and (self.book is other.book or self.book == other.book)
        )

    __hash__ = None  # type: ignore[assignment]  # worlds change; hash env.state_hash() instead

    def __repr__(self) -> str:
        """Show goal and inventory."""
        return f"TextCraftWorld(goal={self.goal!r}, inventory={self.inventory!r})"


def _count(digits: str) -> int:
    """Read a count; absurdly long ones all read as one number beyond any that is carried."""
    return int(digits) if len(digits) <= 12 else 10**12


def _echo(text: str) -> str:
    """Shorten what is repeated to the agent."""
    return text if len(text) <= MAX_ECHO_CHARS else text[:MAX_ECHO_CHARS] + "..."


def _not_executed(command: str) -> Reply:
    """Refuse a command."""
    return Reply(f"Could not execute {_echo(command)}", is_error=True)
