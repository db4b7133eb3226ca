"""Recipe files of a Minecraft data folder, read by the rules of TextCraft.

Only crafting recipes count, shaped and shapeless. The rules that decide which recipes stay (blocks, circles, tags
without a craftable item) depend on the load order, which is the sorted order of the file names.

Source: the engine of AgentGym's TextCraft (arXiv 2406.04151), which loads in directory order instead.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from palaestra.envs.agentgym.textcraft.recipes import MAX_COUNT, Ingredient, Recipe, RecipeBook
from palaestra.envs.core.data_files import files_in, read_text, shown
from palaestra.errors import ConfigError, MissingDataError
from palaestra.types import Json

NAMESPACE = "minecraft"
MAX_FILE_BYTES = 2**20

_SHAPED = ("minecraft:crafting_shaped", "crafting_shaped")
_SHAPELESS = ("minecraft:crafting_shapeless", "crafting_shapeless")
_FOLDERS = (
    "",
    "recipes",
    "recipe",
    "data/minecraft/recipes",
    "data/minecraft/recipe",
    "minecraft/recipes",
    "minecraft/recipe",
)


def load_minecraft_folder(folder: Path) -> RecipeBook:
    """Load the recipe files of a folder; unchanged folders are read once.

    Args:
        folder: The folder of the files, or one above it (`recipes/`, `recipe/` or `data/minecraft/recipes/` within).

    Raises:
        MissingDataError: If no recipe file is found.
        ConfigError: With the file and the field, if one cannot be understood.
    """
    for name in _FOLDERS:
        files = files_in(folder / name, ".json")
        if files:
            stamps = tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)
            return _load(stamps)
    raise MissingDataError(
        f"There are no recipe files in {shown(folder)}; expected *.json there or in {', '.join(f for f in _FOLDERS[1:3])} or "
        f"{_FOLDERS[3]} below it, as in the data folder of the game."
    )


@lru_cache(maxsize=4)
def _load(stamps: tuple[tuple[str, int, int], ...]) -> RecipeBook:
    """Read the files and apply the rules; time and size of the files are only there to be part of the cache key."""
    book = _Draft()
    for path, _, _ in stamps:
        book.add_file(Path(path))
    return book.finish(source=str(Path(stamps[0][0]).parent))


class _Draft:
    """A book in the making: every rule that depends on the load order is applied here."""

    def __init__(self) -> None:
        self.recipes: list[Recipe] = []
        self.tag_of: dict[str, str] = {}
        self.tags: set[str] = set()
        self.items: set[str] = set()
        self.below: dict[str, set[str]] = {}  # by output: all names that its accepted recipes draw on

    def add_file(self, path: Path) -> None:
        """Read one file; recipes that are not crafted by hand are passed over."""
        data = _read(path)
        kind = data.get("type")
        if kind in _SHAPED:
            found = _shaped(path, data)
        elif kind in _SHAPELESS:
            found = _shapeless(path, data)
        elif isinstance(kind, str):
            return
        else:
            raise _malformed(path, "type", kind, "a text such as 'minecraft:crafting_shaped'")
        for ingredient, is_tag in found:
            (self.tags if is_tag else self.items).add(ingredient.id)
        output, count = _result(path, data)
        self.items.add(output)
        self._add(path, data, Recipe(output, count, tuple(ingredient for ingredient, _ in found)))

    def _add(self, path: Path, data: Mapping[str, Json], recipe: Recipe) -> None:
        """Keep a recipe unless a rule drops it."""
        output, inputs = recipe.output, [ingredient.id for ingredient in recipe.ingredients]
        if len(inputs) == 1 and inputs[0].endswith("_block"):
            return
        group = data.get("group", "")
        if not isinstance(group, str):
            raise _malformed(path, "group", group, "a text")
        tag = f"{NAMESPACE}:{group}" if group else ""
        if tag and tag != output:
            self.tags.add(tag)
            self.tag_of[output] = tag
        below = self.below.setdefault(output, set())
        if any(output in self.below.get(id_, ()) for id_ in inputs):
            return
        self.recipes.append(Recipe(output, recipe.count, recipe.ingredients, tag))
        for id_ in inputs:
            below.add(id_)
            below |= self.below.get(id_, set())

    def finish(self, source: str) -> RecipeBook:
        """Turn tags without a craftable item into items, and build the book."""
        outputs = {recipe.output for recipe in self.recipes}
        if not outputs:
            raise MissingDataError(f"No file in {source!r} is a crafting recipe (shaped or shapeless); check the path.")
        craftable_tags = {tag for item, tag in self.tag_of.items() if item in outputs}
        used = {ingredient.id for recipe in self.recipes for ingredient in recipe.ingredients}
        plain = {id_ for id_ in used if id_ in self.tags and id_ not in craftable_tags}
        return RecipeBook(
            NAMESPACE, tuple(self.recipes), self.tag_of, frozenset(self.tags - plain), frozenset(self.items | plain)
        )


def _read(path: Path) -> Mapping[str, Json]:
    """Return the JSON object of a file."""
    text = read_text(path, max_bytes=MAX_FILE_BYTES)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid JSON ({error}); restore the file from the game's data or remove it.") from None
    if not isinstance(data, dict):
        raise _malformed(path, "the file", data, "a JSON object with 'type' and 'result'")
    return data


def _shaped(path: Path, data: Mapping[str, Json]) -> list[tuple[Ingredient, bool]]:
    """Return the ingredients of a pattern: each key with the number of its occurrences."""
    pattern, key = data.get("pattern"), data.get("key")
    if not isinstance(pattern, list) or not pattern or not all(isinstance(row, str) for row in pattern):
        raise _malformed(path, "pattern", pattern, "a list of texts such as ['##', '##']")
    if not isinstance(key, dict) or not key:
        raise _malformed(path, "key", key, "an object from pattern characters to ingredients")
    found = []
    for symbol, ingredient in key.items():
        id_, is_tag = _ingredient(path, f"key.{symbol}", ingredient)
        count = sum(row.count(symbol) for row in pattern) if symbol else 0
        if count == 0:
            raise _malformed(path, f"key.{symbol}", symbol, f"a character that occurs in the pattern {pattern!r}")
        found.append((Ingredient(id_, count), is_tag))
    return found


def _shapeless(path: Path, data: Mapping[str, Json]) -> list[tuple[Ingredient, bool]]:
    """Return the ingredients of a list, identical ones merged."""
    ingredients = data.get("ingredients")
    if not isinstance(ingredients, list) or not ingredients:
        raise _malformed(path, "ingredients", ingredients, "a list of ingredients such as [{'item': 'minecraft:wheat'}]")
    counts: dict[str, int] = {}
    kinds: dict[str, bool] = {}
    for index, ingredient in enumerate(ingredients):
        id_, is_tag = _ingredient(path, f"ingredients[{index}]", ingredient)
        counts[id_] = counts.get(id_, 0) + 1
        kinds.setdefault(id_, is_tag)
    return [(Ingredient(id_, count), kinds[id_]) for id_, count in counts.items()]


def _ingredient(path: Path, field: str, value: Json) -> tuple[str, bool]:
    """Return the id of an ingredient and whether it is a tag; of alternatives the first."""
    if isinstance(value, list) and value:
        value = value[0]
    if isinstance(value, str) and value:  # since Minecraft 1.21.2: "minecraft:stick", "#minecraft:planks"
        return (value[1:], True) if value.startswith("#") else (value, False)
    if isinstance(value, dict):
        for kind in ("item", "tag"):
            if isinstance(value.get(kind), str) and value[kind]:
                return value[kind], kind == "tag"
    raise _malformed(path, field, value, "{'item': ID} or {'tag': ID}, or a list of them")


def _result(path: Path, data: Mapping[str, Json]) -> tuple[str, int]:
    """Return the id and the count of what comes out."""
    result = data.get("result")
    if isinstance(result, str) and result:
        return result, 1
    if isinstance(result, dict):
        output = result.get("item") or result.get("id")  # "id" since Minecraft 1.20.5
        count = result.get("count", 1)
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MAX_COUNT:
            raise _malformed(path, "result.count", count, f"an integer from 1 to {MAX_COUNT}")
        if isinstance(output, str) and output:
            return output, count
    raise _malformed(path, "result", result, "an item id or {'item': ID, 'count': N}")


def _malformed(path: Path, field: str, value: object, expected: str) -> ConfigError:
    """Build the error for a field that cannot be understood."""
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "..."
    return ConfigError(f"{path}: {field} is {shown}; expected {expected}. Restore the file from the game's data or remove it.")
