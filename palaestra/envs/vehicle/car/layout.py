"""The tree that the flat paths of a car form: modules, groups, leaves, lists of records and references.

Views walk it to show the state; writes walk it to find what a path names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from palaestra.envs.vehicle.car.tables import CarTables, Property

Kind = Literal["branch", "leaf", "list", "record", "texts", "map"]


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One place in the tree.

    Attributes:
        kind: "branch" (a group of others), "leaf" (one scalar), "list" (of records), "record" (a reference to a record
            or null), "texts" (a constant list of texts) or "map" (constant records by name).
        path: Full path; empty for the root.
        row: The property; None for a branch.
        children: Places below a branch by name, in table order.
    """

    kind: Kind
    path: str
    row: Property | None = None
    children: dict[str, Node] = field(default_factory=dict)

    @property
    def prop(self) -> Property:
        """The property row of a place that is not a branch."""
        assert self.row is not None
        return self.row

    @property
    def constant(self) -> bool:
        """Whether nothing here may be written."""
        if self.row is None:
            return all(child.constant for child in self.children.values())
        return self.row.constant

    def leaves(self) -> Iterator[Node]:
        """Yield every place below (or this one) that is not a branch, in table order."""
        if self.kind == "branch":
            for child in self.children.values():
                yield from child.leaves()
        else:
            yield self


@cache
def car_layout(tables: CarTables) -> Node:
    """Return the root of a car's tree; its children are the environment and the modules."""
    root = Node("branch", "")
    for module in tables.modules.values():
        branch = root.children[module.name] = Node("branch", module.name)
        for row in module.properties:
            for path in row.paths():
                _insert(branch, path.split(".")[1:], row, path)
    return root


def map_keys(row: Property) -> list[str]:
    """Return every name that the tables give to records of a constant map, in table order."""
    return list(dict.fromkeys(key for value in row.values.values() for key in value))


def num_texts(row: Property) -> int:
    """Return the largest number of texts that the tables give to a constant list."""
    return max(len(value) for value in row.values.values())


def _insert(branch: Node, names: list[str], row: Property, path: str) -> None:
    """Put one property below a module."""
    for name in names[:-1]:
        below = f"{branch.path}.{name}"
        branch = branch.children.setdefault(name, Node("branch", below))
    kind: Kind = row.type if row.type in ("list", "record", "texts", "map") else "leaf"  # type: ignore[assignment]
    branch.children[names[-1]] = Node(kind, path, row)
