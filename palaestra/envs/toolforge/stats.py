"""Sizes of a set of instances by scenario: the table that a builder is calibrated with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.toolforge.graph import SCENARIOS
from palaestra.envs.toolforge.instance import Instance
from palaestra.results.tables import ResultTable

TYPES = ("string", "boolean", "object", "number", "array", "integer")


@dataclass
class Sizes:
    """Sums over the instances of a scenario.

    Attributes:
        instances: How many there are.
        tools: Tools of all of them.
        nodes: Nodes of all of them.
        distractors: Tools that no node asks for.
        parameters: Parameters of all tools.
        types: How many of the parameters have each type of JSON; "other" for lists of types and none.
    """

    instances: int = 0
    tools: int = 0
    nodes: int = 0
    distractors: int = 0
    parameters: int = 0
    types: Counter[str] = field(default_factory=Counter)

    def add(self, instance: Instance) -> None:
        """Count an instance."""
        used = {node.tool for node in instance.nodes}
        self.instances += 1
        self.tools += len(instance.tools)
        self.nodes += len(instance.nodes)
        self.distractors += sum(name not in used for name in instance.tool_names())
        for tool in instance.tools:
            for schema in _properties(tool).values():
                kind = schema.get("type") if isinstance(schema, Mapping) else None
                self.parameters += 1
                self.types[kind if kind in TYPES else "other"] += 1

    @property
    def tools_mean(self) -> float:
        """Tools of an instance."""
        return self.tools / self.instances if self.instances else 0.0

    @property
    def nodes_mean(self) -> float:
        """Nodes of an instance."""
        return self.nodes / self.instances if self.instances else 0.0

    @property
    def distractors_mean(self) -> float:
        """Tools of an instance that no node asks for."""
        return self.distractors / self.instances if self.instances else 0.0

    @property
    def parameters_mean(self) -> float:
        """Parameters of a tool."""
        return self.parameters / self.tools if self.tools else 0.0

    def share(self, kind: str) -> float:
        """Share of the parameters of a type, 0 to 1."""
        return self.types[kind] / self.parameters if self.parameters else 0.0


def sizes_of(instances: Iterable[Instance]) -> dict[str, Sizes]:
    """Return the sizes by scenario, those of all instances under "all".

    Args:
        instances: Gone through once.
    """
    sizes = {name: Sizes() for name in (*SCENARIOS, "all")}
    for instance in instances:
        sizes[instance.scenario].add(instance)
        sizes["all"].add(instance)
    return {name: one for name, one in sizes.items() if one.instances}


def sizes_table(instances: Iterable[Instance]) -> ResultTable:
    """Return the sizes of instances as a table, one row a scenario."""
    columns = ("scenario", "instances", "tools", "nodes", "distractors", "parameters of a tool", *TYPES)
    rows = tuple(
        (
            name,
            str(one.instances),
            f"{one.tools_mean:.1f}",
            f"{one.nodes_mean:.1f}",
            f"{one.distractors_mean:.1f}",
            f"{one.parameters_mean:.1f}",
            *(f"{one.share(kind):.0%}" for kind in TYPES),
        )
        for name, one in sizes_of(instances).items()
    )
    return ResultTable("Sizes of the instances", columns, rows, note="Means; the types are shares of all parameters.")


def _properties(tool: Any) -> Mapping[str, Any]:
    """Return the parameters of a tool by name."""
    parameters = tool["function"].get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    return properties if isinstance(properties, Mapping) else {}


__all__ = ["TYPES", "Sizes", "sizes_of", "sizes_table"]
