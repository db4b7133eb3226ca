"""Tasks of TextCraft from published files, with their integer ids as `MAPPING#N`.

The integers count in the directory order of one machine, so nothing can be computed from them. The goal and the command list
of an item stand in its first observation.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palaestra.envs.agentgym import published
from palaestra.envs.agentgym.published import Published, PublishedItem
from palaestra.envs.agentgym.textcraft.recipes import RecipeBook
from palaestra.envs.agentgym.textcraft.tasks import task_from_observation
from palaestra.envs.core.tasks import Task
from palaestra.errors import ConfigError, UnknownNameError, UsageError

_HEADER, _GOAL = "Crafting commands:\n", "\n\nGoal: craft "


def published_tasks(book: RecipeBook, sources: str | Path | Mapping[str, Any]) -> Published:
    """Return the tasks of published files.

    Args:
        book: The recipes that the files were made with.
        sources: See `palaestra.envs.agentgym.published.published_tasks`.

    Raises:
        MissingDataError: If a file is missing.
        ConfigError: If a file cannot be understood, an item has no first observation, or a task is in two splits.
        UsageError: If the book does not know a goal.
    """
    return published.published_tasks("textcraft", sources, lambda item, path, split: _task(book, item, path, split))


def _task(book: RecipeBook, item: PublishedItem, path: str, split: str) -> Task:
    """Return the task of an item."""
    opening = next((text for text in item.told if _HEADER in text and _GOAL in text), None)
    if opening is None:
        raise ConfigError(
            f"Item {item.item_id!r} of {path} has no first observation ('Crafting commands:' ...), from which its goal is "
            f"recovered; pass a file with the dialogues, such as AgentTraj-L."
        )
    try:
        return task_from_observation(book, opening, split=split)
    except UnknownNameError as error:
        raise UsageError(
            f"Item {item.item_id!r} of {path}: {error} Pass the recipes that the file was made with: recipes=FOLDER."
        ) from None
    except UsageError as error:
        raise ConfigError(f"Item {item.item_id!r} of {path}: {error}") from None


__all__ = ["Published", "published_tasks"]
