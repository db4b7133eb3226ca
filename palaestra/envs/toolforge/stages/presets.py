"""Presets: how large and how hard instances are.

Settings with several possible values hold (value, weight) pairs. The sizes of `paper_like` are those of the published test
split: 8.0, 7.5, 10.3 and 11.3 tools and 1, 2.0, 5.7 and 7.7 nodes on average in the four scenarios, about 7 parameters a tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.stages.catalogue import catalogue
from palaestra.errors import ConfigError, unknown_name
from palaestra.types import Json

LEVELS = ("function", "params", "types", "toolset")
"""The paper's four dimensions of complexity, each from 0 to 3: relations that a function covers, optional parameters, types of
parameters, distractors. Source: Feng et al. 2025 (arXiv:2508.08791), section 3.1."""

Weights = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Preset:
    """Settings of the procedural builder.

    Attributes:
        scenarios: Weights of the four scenarios, in the order of `SCENARIOS`.
        levels: For each of `LEVELS`, the levels of an instance, each as likely; repeat one to make it likelier.
        width: Nodes of a parallel question of one hop, with weights; 2 to 6.
        hops: Nodes of a chain, with weights; 2 to 10.
        nodes: Nodes of a question with branches, with weights; 3 to 16.
        joins: Ways to join branches, with weights: "relation" (of two things), "calculator" (a tool computes), "operation"
            (the final answer is computed), "list".
        rows: Records of each table in addition to those that golden calls find, at least 2.
        distractors: Tools that no node needs, at each level of `toolset`.
        values: "names" (pronounceable, open), "codes" (letter, digit, letter, digit: open, one token a character) or "words"
            (a closed pool of 144 short words).
        relations: Names of the relations in use; empty for all.
        is_plain: One phrasing, one parameter `of`, results that hold the value and nothing else, no hints.
    """

    scenarios: tuple[float, float, float, float] = (1, 1, 1, 1)
    levels: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: dict.fromkeys(LEVELS, (0,)))
    width: Weights = ((2, 1),)
    hops: Weights = ((2, 1), (3, 1))
    nodes: Weights = ((4, 1), (5, 1))
    joins: tuple[tuple[str, float], ...] = (("relation", 2), ("calculator", 2), ("operation", 2), ("list", 1))
    rows: int = 8
    distractors: tuple[int, int, int, int] = (0, 3, 6, 10)
    values: str = "names"
    relations: tuple[str, ...] = ()
    is_plain: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, levels in self.levels.items():
            if name not in LEVELS:
                raise unknown_name("level", name, LEVELS)
            if not levels or any(isinstance(level, bool) or level not in (0, 1, 2, 3) for level in levels):
                raise ConfigError(f"The levels of {name!r} are {levels!r}; expected whole numbers from 0 to 3.")
        if self.values not in ("names", "codes", "words"):
            raise unknown_name("kind of values", self.values, ("names", "codes", "words"))
        if len(self.scenarios) != 4 or min(self.scenarios) < 0 or not sum(self.scenarios):
            raise ConfigError(f"The weights of the scenarios are {self.scenarios!r}; expected four, not all of them 0.")
        for name, low, high in (("width", 2, 6), ("hops", 2, 10), ("nodes", 3, 16)):
            if not (sizes := [size for size, _ in getattr(self, name)]) or min(sizes) < low or max(sizes) > high:
                raise ConfigError(
                    f"{name} is {getattr(self, name)!r}; expected pairs of a size from {low} to {high} and a weight."
                )
        if not 2 <= self.rows <= 50:
            raise ConfigError(f"rows is {self.rows!r}; expected a whole number from 2 to 50.")
        for relation in self.relations:
            if relation not in catalogue().relations:
                raise unknown_name("relation", relation, catalogue().relations)

    def with_levels(self, levels: Mapping[str, int]) -> Preset:
        """Return the preset with some of its levels fixed."""
        return replace(self, levels={**self.levels, **{name: (level,) for name, level in levels.items()}})

    def to_json(self) -> dict[str, Json]:
        """Return the settings as plain JSON; equal settings give equal instances."""
        return asdict(self)


PRESETS: Mapping[str, Preset] = {
    "tiny": Preset(
        scenarios=(2, 1, 2, 0),
        levels={"function": (0,), "params": (0,), "types": (0,), "toolset": (1,)},
        width=((2, 1),),
        hops=((2, 1),),
        nodes=((3, 1),),
        joins=(("list", 1),),
        rows=3,
        distractors=(0, 1, 2, 3),
        values="codes",
        relations=("boss", "heir", "mentor", "partner", "birthplace", "mayor", "patron"),
        is_plain=True,
    ),
    "easy": Preset(
        levels={"function": (0,), "params": (1,), "types": (0, 1), "toolset": (1,)},
        width=((2, 2), (3, 1)),
        hops=((2, 1), (3, 1)),
        nodes=((3, 1), (4, 1), (5, 1)),
    ),
    "paper_like": Preset(
        levels={"function": (1,), "params": (2, 2, 2, 3, 3), "types": (3,), "toolset": (2, 2, 2, 2, 2, 2, 2, 3)},
        width=((2, 19), (3, 1)),
        hops=((2, 16), (3, 6), (4, 4), (5, 8), (6, 24), (7, 26), (8, 9), (9, 5), (10, 2)),
        nodes=((5, 1), (6, 3), (7, 5), (8, 7), (9, 3), (10, 2), (11, 1)),
    ),
    "hard": Preset(
        scenarios=(0, 1, 1, 2),
        levels={"function": (2,), "params": (3,), "types": (3,), "toolset": (3,)},
        width=((3, 1), (4, 1), (5, 1), (6, 1)),
        hops=((6, 1), (7, 1), (8, 1), (9, 1), (10, 1)),
        nodes=((8, 1), (9, 1), (10, 1), (11, 1)),
        rows=10,
    ),
    "stress": Preset(
        scenarios=(0, 1, 1, 2),
        levels={"function": (3,), "params": (3,), "types": (3,), "toolset": (3,)},
        width=((6, 1),),
        hops=((10, 1),),
        nodes=((12, 1), (14, 1), (16, 1)),
        rows=12,
        distractors=(0, 3, 6, 14),
    ),
}
"""Presets by name. `tiny` is for policies of a few million parameters or fewer: values that can be copied, short dialogues."""


def preset_of(preset: str | Preset, levels: Mapping[str, int] | None = None) -> Preset:
    """Return a preset by its name, or as it is given, with some of its levels fixed.

    Raises:
        UnknownNameError: If there is none of this name, or a level has another name.
        ConfigError: If a level is not a whole number from 0 to 3.
    """
    if isinstance(preset, str):
        if preset not in PRESETS:
            raise unknown_name("preset", preset, PRESETS)
        preset = PRESETS[preset]
    return preset.with_levels(levels) if levels else preset


__all__ = ["LEVELS", "PRESETS", "SCENARIOS", "Preset", "preset_of"]
