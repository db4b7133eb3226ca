"""ToolForge: questions that are answered by calling tools, with tools of their own in every task and a proof of each answer.

`instance` is the format, `files` and `rows` read and write it, `graph` tells the scenarios apart, `stats` measures a set.
`build` makes instances, `env` plays them (`palaestra/ToolForge-v0`), `strict` and `published` say what a call solves;
`scoring` plays stored messages again, `training` makes single turns of episodes.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.envs.toolforge.files import InstanceFile, open_instances, write_instances
    from palaestra.envs.toolforge.graph import SCENARIOS, scenario_of
    from palaestra.envs.toolforge.instance import Instance, InstanceError, Node
    from palaestra.envs.toolforge.oddities import warnings_of
    from palaestra.envs.toolforge.rows import instance_of_row, row_of_instance
    from palaestra.envs.toolforge.scoring import scored, scores_table
    from palaestra.envs.toolforge.stats import sizes_of, sizes_table
    from palaestra.envs.toolforge.training import snapshots, training_rows, turn_rewards

_HOMES = {
    "files": ("InstanceFile", "open_instances", "write_instances"),
    "graph": ("SCENARIOS", "scenario_of"),
    "instance": ("Instance", "InstanceError", "Node"),
    "oddities": ("warnings_of",),
    "rows": ("instance_of_row", "row_of_instance"),
    "scoring": ("scored", "scores_table"),
    "stats": ("sizes_of", "sizes_table"),
    "training": ("snapshots", "training_rows", "turn_rewards"),
}

__all__ = [
    "SCENARIOS",
    "Instance",
    "InstanceError",
    "InstanceFile",
    "Node",
    "instance_of_row",
    "open_instances",
    "row_of_instance",
    "scenario_of",
    "scored",
    "scores_table",
    "sizes_of",
    "sizes_table",
    "snapshots",
    "training_rows",
    "turn_rewards",
    "warnings_of",
    "write_instances",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
