"""The expert of TextCraft: a plan from any inventory to the goal.

One recipe is chosen per item such that what it takes is always cheaper than what it gives, so the choices cannot run in
a circle; the plan then adds up how much of everything is still missing, fetches each item once and crafts bottom-up.
"""

from __future__ import annotations

from collections.abc import Mapping

from palaestra.envs.agentgym.textcraft.recipes import Recipe, RecipeBook


class Planner:
    """Plans for one recipe book; choices are made once and kept."""

    def __init__(self, book: RecipeBook) -> None:
        """Choose the cheapest recipe of every item that can be obtained."""
        self.book = book
        self.cost: dict[str, int] = {}
        self._choice: dict[str, Recipe] = {}
        self._settle()

    def can_reach(self, goal: str) -> bool:
        """Whether an item can be obtained from nothing."""
        return goal in self.cost

    def plan(self, goal: str, inventory: Mapping[str, int] | None = None) -> list[str] | None:
        """Return commands that end with the goal item being obtained.

        Args:
            goal: Item id. It has to be obtained once more even if it is carried already.
            inventory: Item ids and counts to start from; what is useful in it is used.

        Returns:
            The commands, or None if the item cannot be obtained.
        """
        if goal not in self.cost:
            return None
        if goal not in self._choice:
            return [f"get 1 {self.book.name(goal)}"]
        steps, fetch = self._amounts(goal, inventory or {})
        commands: list[str] = []
        name = self.book.name
        for item, times, inputs in reversed(steps):
            for ingredient, _ in inputs:
                if missing := fetch.pop(ingredient, 0):
                    commands.append(f"get {missing} {name(ingredient)}")
            listed = ", ".join(f"{count} {name(ingredient)}" for ingredient, count in inputs)
            commands += [f"craft {self._choice[item].count} {name(item)} using {listed}"] * times
        return commands

    def _amounts(
        self, goal: str, inventory: Mapping[str, int]
    ) -> tuple[list[tuple[str, int, list[tuple[str, int]]]], dict[str, int]]:
        """Return the crafts (item, times, concrete ingredients), goal first, and how much to fetch of what."""
        pending = {goal: 1}
        steps: list[tuple[str, int, list[tuple[str, int]]]] = []
        fetch: dict[str, int] = {}
        while pending:
            # The dearest item first: whatever else needs it is dearer still, so its demand is complete.
            item = max(pending, key=lambda i: (self.cost[i], i))
            missing = pending.pop(item) - (0 if item == goal else inventory.get(item, 0))
            if missing <= 0:
                continue
            if item not in self._choice:
                fetch[item] = missing
                continue
            recipe = self._choice[item]
            times = -(-missing // recipe.count)
            inputs = []
            for ingredient in recipe.ingredients:
                amount = ingredient.count * times
                used = self._pick(ingredient.id, item, amount, inventory, pending)
                pending[used] = pending.get(used, 0) + amount
                inputs.append((used, ingredient.count))
            steps.append((item, times, inputs))
        return steps, fetch

    def _pick(
        self, ingredient: str, output: str, amount: int, inventory: Mapping[str, int], pending: Mapping[str, int]
    ) -> str:
        """Choose the item for an ingredient: one that is carried in sufficient amount, else the cheapest."""
        options = [i for i in self._options(ingredient) if self.cost.get(i, self.cost[output]) < self.cost[output]]
        for item in options:
            if inventory.get(item, 0) - pending.get(item, 0) >= amount:
                return item
        return min(options, key=lambda i: self._batch_price(i, amount))

    def _settle(self) -> None:
        """Price every obtainable item: roughly the number of commands for it, by its cheapest recipe."""
        cost = self.cost
        for item in sorted(self.book.items):
            if self.book.is_gettable(item):
                cost[item] = 1
        recipes = [recipe for recipe in self.book.recipes if recipe.output not in self.book.tags]
        changed = True
        while changed:  # prices only fall, and a price exceeds that of every ingredient: no circle can be chosen
            changed = False
            for recipe in recipes:
                price = self._price(recipe)
                if price is not None and price < cost.get(recipe.output, price + 1):
                    cost[recipe.output] = price
                    self._choice[recipe.output] = recipe
                    changed = True

    def _price(self, recipe: Recipe) -> int | None:
        """Return the price of a recipe; None while an ingredient has none."""
        price = 1
        for ingredient in recipe.ingredients:
            options = [i for i in self._options(ingredient.id) if i in self.cost]
            if not options:
                return None
            price += min(self._batch_price(i, ingredient.count) for i in options)
        return price

    def _batch_price(self, item: str, count: int) -> int:
        """Return the price of so many of an item: one command to fetch them all, else one batch after the other."""
        recipe = self._choice.get(item)
        return 1 if recipe is None else self.cost[item] * -(-count // recipe.count)

    def _options(self, ingredient: str) -> tuple[str, ...]:
        """Return the items that satisfy an ingredient."""
        return self.book.members(ingredient) if ingredient in self.book.tags else (ingredient,)
