"""What AgentGym's server would have answered, its faults included: for `compat="upstream"`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from palaestra.envs.agentgym.textcraft.recipes import Ingredient, Recipe, RecipeBook
from palaestra.envs.agentgym.textcraft.world import Reply, TextCraftWorld
from palaestra.types import Json

MAX_CARRIED = 10**15  # counts are kept up to here; the server has no limit


class ServerError(Exception):
    """The server's own code raised; it answers with the text of the exception."""


class UpstreamEngine(TextCraftWorld):
    """The engine of the published server, with an inventory of its own.

    Where it differs from `TextCraftWorld`: an ingredient that is listed twice is looked up twice and taken twice; listed items
    are paired with ingredients in their order, without trying another order; any count can be had, 0 too; there is no limit
    of ingredients. Left out is what depends on earlier episodes of a server, where looking at a goal's recipes adds to them.

    Source: WooooDyy/AgentGym, agentenv-textcraft (environment.py, crafting_tree.py).
    """

    __slots__ = ()

    max_ingredients: ClassVar[int] = 10_000

    @classmethod
    def carrying(cls, book: RecipeBook, goal: str, inventory: Sequence[Any]) -> UpstreamEngine:
        """Return the engine in a state that `carried` returned."""
        return cls(book, goal, (), dict(inventory))

    def carried(self) -> list[Json]:
        """Return the inventory as plain data, in its order."""
        return [[item, count] for item, count in self.inventory.items()]

    def answer(self, command: str) -> dict[str, Json]:
        """Play a command and return the reply of `POST /step`: observation, reward and done, or an error."""
        try:
            reply = self.act(command)
        except ServerError as error:
            return {"error": str(error)}
        return {"observation": reply.text, "reward": int(reply.is_solved), "done": reply.is_solved}

    def _get(self, digits: str, name: str, command: str) -> Reply:
        """Take items that need no crafting, however many."""
        reply = super()._get("1", name, command)
        if reply.is_error:
            return reply
        item = self.book.id_of(name)
        count = digits.lstrip("0") or "0"
        carried = self.inventory[item] - 1 + (int(count) if len(count) <= 15 else MAX_CARRIED)
        self.inventory[item] = min(carried, MAX_CARRIED)
        return Reply(f"Got {count} {name}", is_solved=reply.is_solved)

    def _carries(self, listed: Sequence[tuple[str, int]]) -> bool:
        """Whether each listed item is carried, looked up alone."""
        return all(item in self.inventory and self.inventory[item] >= count for item, count in listed)

    def _pairs(self, ingredients: Sequence[Ingredient], listed: Sequence[tuple[str, int]]) -> bool:
        """Whether each ingredient takes the first listed item of its kind with the right count."""
        rest = list(listed)
        for ingredient in ingredients:
            found = next((pair for pair in rest if self.book.satisfies(pair[0], ingredient.id)), None)
            if found is None or found[1] != ingredient.count:
                return False
            rest.remove(found)
        return True

    def _make(self, recipe: Recipe, used: Sequence[tuple[str, int]]) -> Reply:
        """Take the ingredients one by one and give the output; what is already used up is an error of the server."""
        for item, count in used:
            if item not in self.inventory:
                raise ServerError(repr(item))
            self.inventory[item] -= count
            if self.inventory[item] == 0:
                del self.inventory[item]
        return super()._make(recipe, ())


__all__ = ["ServerError", "UpstreamEngine"]
