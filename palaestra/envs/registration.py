"""All environment ids, and the way in for third parties.

Gymnasium loads no entry points of its own since 1.0: importing `palaestra` calls `register_environments()` here, which
registers the ids of this package and asks installed plugins for theirs. Entry points are strings: nothing of an
environment is imported before `gymnasium.make`.

To add an environment of this package, add one `_register(...)` line below. A third party registers with Gymnasium as
usual, or names in its package metadata, under the group `palaestra.envs`, a function without arguments that does so
(or a module whose import does).
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import Any

import gymnasium
from gymnasium.envs.registration import registry

PLUGIN_GROUP = "palaestra.envs"

_plugin_ids: set[str] = set()


def register_environments() -> None:
    """Register every id of this package and of its plugins; called by `import palaestra`, harmless when repeated."""
    _register("palaestra/TextCraft-v0", "palaestra.envs.agentgym.textcraft.env:TextCraftEnv", max_turns=30)
    _register("palaestra/Desk-v0", "palaestra.envs.desk.env:DeskEnv", max_turns=30)
    _register("palaestra/TwentyQuestions-v0", "palaestra.envs.twenty_questions.env:TwentyQuestionsEnv", max_turns=20)
    _register("palaestra/VehicleWorld-v0", "palaestra.envs.vehicle.env:VehicleWorldEnv", max_turns=60)
    if _any_plugin_installed(sys.path):
        load_plugins()


def list_envs() -> list[str]:
    """Return the ids of all environments registered by this package and its plugins, sorted."""
    return sorted(env_id for env_id in registry if env_id.startswith("palaestra/") or env_id in _plugin_ids)


def load_plugins() -> None:
    """Let every installed package with an entry point in the group `palaestra.envs` register its environments.

    A plugin that fails is reported by a warning with its name; the others, and `import palaestra`, go on.
    """
    from importlib.metadata import entry_points

    for entry_point in sorted(entry_points(group=PLUGIN_GROUP), key=lambda found: (found.name, found.value)):
        before = set(registry)
        try:
            plugin = entry_point.load()
            if callable(plugin):
                plugin()
        except Exception as error:
            package = "an unknown package" if entry_point.dist is None else f"package {entry_point.dist.name!r}"
            warnings.warn(
                f"The environment plugin {entry_point.name!r} of {package} ({entry_point.value}) failed with "
                f"{type(error).__name__}: {error}. Its environments may be missing; mend, update or uninstall it.",
                stacklevel=2,
            )
        finally:
            _plugin_ids.update(set(registry) - before)


def _register(env_id: str, entry_point: str, **kwargs: Any) -> None:
    """Register one environment with the fast vector environment for text, unless it is there already."""
    if env_id not in registry:
        gymnasium.register(
            env_id,
            entry_point=entry_point,
            vector_entry_point=f"palaestra.envs.core.vector:{env_id}",
            order_enforce=False,  # TextEnv checks the order itself, with better messages and one call less per step
            kwargs=kwargs,
        )


def _any_plugin_installed(paths: list[str]) -> bool:
    """Whether any package on `paths` mentions the plugin group in its metadata.

    `importlib.metadata` costs 30 ms to import and ask, a tenth of the whole `import palaestra`; looking for the word in the
    metadata files costs 2 ms. Anything on the path that is no folder (a zip file) is left to the exact way.
    """
    group = PLUGIN_GROUP.encode()
    for path in dict.fromkeys(paths):
        try:
            with os.scandir(path or ".") as folder:
                names = [entry.path for entry in folder if entry.name.endswith((".dist-info", ".egg-info"))]
        except FileNotFoundError:
            continue
        except OSError:
            return True
        for name in names:
            try:
                with open(os.path.join(name, "entry_points.txt"), "rb") as file:
                    if group in file.read():
                        return True
            except OSError:
                continue
    return False


__all__ = ["PLUGIN_GROUP", "list_envs", "load_plugins", "register_environments"]
