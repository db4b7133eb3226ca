"""The registered environments that the attacks run over, each with the options that change its tasks or its play."""

from __future__ import annotations

from typing import Any

import palaestra
from palaestra.envs.registration import missing

MADE: dict[str, list[dict[str, Any]]] = {
    "palaestra/TextCraft-v0": [
        {"recipes": "procedural"},
        {"recipes": "procedural", "depth": 8, "max_ingredients": 9, "branching": 1.0, "num_names": 50, "name_words": 1},
        {"recipes": "procedural", "depth": (1, 1), "name_words": 1, "num_names": 20, "distractors": 0},
    ],
    "palaestra/Desk-v0": [{"difficulty": "easy"}, {"difficulty": "hard"}],
    "palaestra/VehicleWorld-v0": [{"difficulty": "easy"}, {"difficulty": "hard"}, {"profile": "published"}],
}
TESTED = {"palaestra/BabyAI-v0": 500}
"""Tasks of each split that a test makes of an environment whose tasks are solved before they are given; 2,000 of others."""
BEGUN = {"palaestra/SciWorld-v0": 60}
"""Tasks of each split that a test begins where an engine takes a tenth of a second for each; all of others."""
PLAYED: dict[str, list[dict[str, Any]]] = {
    "palaestra/TextCraft-v0": [{"action_format": "react"}, {"recipes": "procedural"}],
    "palaestra/Desk-v0": [{"difficulty": "hard", "lenient": True, "shaping": 0.3}],
    "palaestra/VehicleWorld-v0": [
        {"mode": "sfc"},
        {"mode": "hybrid", "plan": True, "mixed": True},
        {"profile": "published"},
        {"mode": "sfc", "profile": "published", "state_form": "wrapped", "difficulty": "hard"},
        {"calls": "tools", "tool_scope": "selected", "profile": "published"},
        {"mode": "hybrid", "calls": "tools", "extra_modules": 3, "reward": "accuracy"},
    ],
}


def makers() -> list[tuple[str, dict[str, Any]]]:
    """Return every registered id, with its defaults and with options that make other tasks."""
    return _with(MADE)


def players() -> list[tuple[str, dict[str, Any]]]:
    """Return every registered id, with its defaults and with options that change how it is played."""
    return _with(PLAYED)


def name_of(env_id: str, options: dict[str, Any]) -> str:
    """Return a setting as one word, e.g. `Desk-v0,difficulty=easy`."""
    return env_id.rpartition("/")[2] + "".join(f",{key}={value}" for key, value in options.items())


def _with(variants: dict[str, list[dict[str, Any]]]) -> list[tuple[str, dict[str, Any]]]:
    """Return every registered id that can be made here without arguments, with its defaults and its variants."""
    here = [env_id for env_id in palaestra.list_envs() if not missing(env_id)]
    return [(env_id, options) for env_id in here for options in [{}, *variants.get(env_id, [])]]
