"""ToolForge: questions that are answered by calling tools, with tools of their own in every task and a proof of each answer.

`instance` is the format, `files` and `rows` read and write it, `graph` tells the scenarios apart, `stats` measures a set.
"""

from typing import TYPE_CHECKING

from palaestra.lazy import lazy_names

if TYPE_CHECKING:
    from palaestra.envs.toolforge.files import InstanceFile, open_instances, write_instances
    from palaestra.envs.toolforge.graph import SCENARIOS, scenario_of
    from palaestra.envs.toolforge.instance import Instance, InstanceError, Node
    from palaestra.envs.toolforge.oddities import warnings_of
    from palaestra.envs.toolforge.rows import instance_of_row, row_of_instance
    from palaestra.envs.toolforge.stats import sizes_of, sizes_table

_HOMES = {
    "files": ("InstanceFile", "open_instances", "write_instances"),
    "graph": ("SCENARIOS", "scenario_of"),
    "instance": ("Instance", "InstanceError", "Node"),
    "oddities": ("warnings_of",),
    "rows": ("instance_of_row", "row_of_instance"),
    "stats": ("sizes_of", "sizes_table"),
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
    "sizes_of",
    "sizes_table",
    "warnings_of",
    "write_instances",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
