"""The levels of minigrid: loaded when first needed, by name, without its window library and without its prints.

minigrid imports pygame at its top, for windows that are never opened here. While it is imported, stand-ins take its place;
a window that is asked of minigrid all the same gets the real one.
"""

from __future__ import annotations

import importlib
import sys
import threading
import types
from collections.abc import Mapping
from typing import Any

import gymnasium

from palaestra.errors import EnvironmentFault, MissingExtraError

LEVELS = (
    *("GoToRedBallGrey", "GoToRedBall", "GoToRedBallNoDists", "GoToObjS6", "GoToLocalS8N7", "GoToObjMazeS7", "GoToImpUnlock"),
    *("GoToSeqS5R2", "GoToRedBlueBall", "GoToDoor", "GoToObjDoor", "Open", "OpenRedDoor", "OpenDoorLoc"),
    *("OpenRedBlueDoorsDebug", "OpenDoorsOrderN4Debug", "Pickup", "UnblockPickup", "PickupLoc", "PickupDistDebug"),
    *("PickupAbove", "PutNextLocalS6N4", "PutNextS7N4Carrying", "Unlock", "UnlockLocalDist", "KeyInBox"),
    *("UnlockPickupDist", "BlockedUnlockPickup", "UnlockToUnlock", "ActionObjDoor", "FindObjS7", "KeyCorridorS6R3"),
    *("OneRoomS20", "MoveTwoAcrossS8N9", "SynthS5R2", "SynthLoc", "SynthSeq", "MiniBossLevel", "BossLevel"),
    "BossLevelNoUnlock",
)
"""The levels of AgentGym in its order, without the `BabyAI-` and `-v0` around each name."""

_EMULATED: Mapping[str, tuple[str, dict[str, Any]]] = {"GoToObjS6": ("GoToObj", {"room_size": 4})}
"""A level that minigrid 3 no longer has in its first version, as another one with arguments."""

_loading = threading.Lock()


def level_id(name: str) -> str:
    """Return the published id of a level, e.g. `BabyAI-GoToRedBall-v0`."""
    return f"BabyAI-{name}-v0"


def make_level(name: str) -> Any:
    """Return a level of minigrid, before its first reset; it computes no observations of its own.

    Args:
        name: One of `LEVELS`.
    """
    load_engine()
    base, more = _EMULATED.get(name, (name, {}))
    spec = gymnasium.spec(level_id(base))
    module, _, attribute = str(spec.entry_point).partition(":")
    level = getattr(importlib.import_module(module), attribute)(**{**spec.kwargs, **more})
    level.gen_obs = _no_observation  # most of the time of a step; the view is computed here
    return level


def begin_level(name: str, seed: int) -> Any:
    """Return a level at the start of the episode of a seed.

    Raises:
        EnvironmentFault: If minigrid fails.
    """
    level = make_level(name)
    try:
        level.reset(seed=seed)
    except Exception as error:
        raise EnvironmentFault(f"minigrid could not begin {level_id(name)} with seed {seed}: {error!r}") from error
    return level


def load_engine() -> None:
    """Import minigrid, once.

    Raises:
        MissingExtraError: If it is not installed.
    """
    if "minigrid.envs.babyai.core.roomgrid_level" in sys.modules and _is_quiet():
        return
    with _loading:
        stand_ins = {} if "pygame" in sys.modules else {name: _StandIn(name) for name in ("pygame", "pygame.freetype")}
        sys.modules.update(stand_ins)
        try:
            importlib.import_module("minigrid")
            roomgrid_level = importlib.import_module("minigrid.envs.babyai.core.roomgrid_level")
        except ImportError as error:
            raise MissingExtraError("BabyAI", "agentgym") from error
        finally:
            for name, stand_in in stand_ins.items():
                if sys.modules.get(name) is stand_in:
                    del sys.modules[name]
        # it prints each rejected sample; a name of the module's own is looked up before the builtin one
        vars(roomgrid_level)["print"] = _say_nothing


def _is_quiet() -> bool:
    """Whether the prints of rejected samples are off."""
    return vars(sys.modules["minigrid.envs.babyai.core.roomgrid_level"]).get("print") is _say_nothing


def _say_nothing(*words: object, **options: object) -> None:
    """Print nothing."""


def _no_observation() -> dict[str, Any]:
    """Return no observation."""
    return {}


class _StandIn(types.ModuleType):
    """Takes the place of a module that is imported when one of its names is asked for."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if self.__name__ == "pygame" and name == "freetype":
            return importlib.import_module("pygame.freetype")
        return getattr(importlib.import_module(self.__name__), name)


__all__ = ["LEVELS", "begin_level", "level_id", "load_engine", "make_level"]
