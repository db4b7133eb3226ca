"""Finding recipe files: a path, or the name of one that comes with Palaestra."""

from __future__ import annotations

from pathlib import Path

from palaestra.envs.core.data_files import kind_of
from palaestra.errors import unknown_name

_PACKAGE = Path(__file__).parents[2]
# installed: beside the package's folders; in a checkout: at the root of the repository
_FOLDERS = (_PACKAGE / "recipes", _PACKAGE.parent / "recipes")


def packaged_recipes() -> dict[str, Path]:
    """Return the recipes that come with Palaestra, by name."""
    for folder in _FOLDERS:
        if found := {path.stem: path for path in sorted(folder.glob("*.toml"))}:
            return found
    return {}


def find_recipe(recipe: str | Path) -> Path:
    """Return the file that a user means.

    Args:
        recipe: A path, or a name such as "textcraft_tiny".

    Raises:
        UnknownNameError: If there is neither such a file nor a recipe of that name.
    """
    path = Path(recipe)
    if kind_of(path) != "nothing":
        return path
    packaged = packaged_recipes()
    if path.stem in packaged and str(path) in (path.stem, path.name, f"recipes/{path.name}"):
        return packaged[path.stem]
    raise unknown_name(
        "recipe", str(recipe), packaged, hint=f"Give a TOML file, or one of: {', '.join(packaged) or 'none installed'}."
    )
