"""Where recipe books come from: the built-in one, a text file, or a Minecraft data folder."""

from __future__ import annotations

from functools import lru_cache
from importlib import resources
from pathlib import Path

from palaestra.envs.agentgym.textcraft.minecraft import load_minecraft_folder
from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.envs.agentgym.textcraft.text_book import parse_book
from palaestra.envs.core.data_files import kind_of, place_of, read_text, shown
from palaestra.errors import MissingDataError

MAX_BOOK_BYTES = 16 * 2**20


@lru_cache(maxsize=1)
def builtin_book() -> RecipeBook:
    """Return the book that ships with the package."""
    text = (resources.files("palaestra.envs.agentgym.textcraft") / "data" / "workshop.txt").read_text(encoding="utf-8")
    return parse_book(text, source="data/workshop.txt")


def load_book(path: str | Path) -> RecipeBook:
    """Load a book from a text file or a folder of Minecraft recipe files; an unchanged path is read once.

    Raises:
        MissingDataError: If there is nothing to read at `path`.
        ConfigError: If a file cannot be understood; the message names it.
    """
    path = place_of(path)
    kind = kind_of(path)
    if kind == "folder":
        return load_minecraft_folder(path)
    if kind == "nothing":
        raise MissingDataError(
            f"There is no recipe book at {shown(path)}; expected a folder of Minecraft recipe files "
            f"(recipes/*.json of a data pack) or a text file of lines such as 'craft 4 oak plank using 1 oak log'."
        )
    stat = path.stat()
    return _load_text(str(path.resolve()), stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=8)
def _load_text(path: str, mtime_ns: int, size: int) -> RecipeBook:
    """Read a text book; time of change and size are only there to be part of the cache key."""
    del mtime_ns, size
    return parse_book(read_text(Path(path), max_bytes=MAX_BOOK_BYTES), source=path)
