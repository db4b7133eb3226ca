"""The writes that turn one state of a car into another: gold actions of state-based play, made from calls.

Found by trial: free leaves first, then whatever still differs, each step carried out on a copy; so what follows by itself
is not written, and the writes are proved to give the state asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from palaestra.envs.vehicle.car import derived
from palaestra.envs.vehicle.car.call_result import Scalar
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.layout import Node, car_layout
from palaestra.envs.vehicle.car.state import MISSING, CarState, Record
from palaestra.envs.vehicle.car.tables import RecordType
from palaestra.envs.vehicle.writes.syntax import Write
from palaestra.envs.vehicle.writes.writing import apply_writes, reachable
from palaestra.errors import UsageError

_ROUNDS = 6
_MAX_FIELDS = 3
"""Fields of a list without identities that are written one by one; more of them are written as the whole list."""


def writes_between(before: Car, after: Car) -> list[Write]:
    """Return few writes that turn `before` into `after`; applied to a copy of `before` they give a state equal to `after`.

    Args:
        before: The car as it stands; not changed.
        after: The car as it is to be; same profile.

    Returns:
        In the `fixed` profile no leaf that follows from another one written, and of lists the shortest of: a field, one
        element added or removed, or the whole list with records named by their identity. In `published` every leaf that
        differs.

    Raises:
        UsageError: If the profiles differ, or no writes lead there (in `fixed`: the state contradicts itself or breaks a
            range).
    """
    if before.profile != after.profile:
        raise UsageError(f"The cars have the profiles {before.profile!r} and {after.profile!r}; expected the same.")
    plan = _Plan(before, after)
    plan.scalars()
    plan.records()
    plan.rest()
    return plan.thinned(before)


class _Plan:
    """Writes found so far, and the car that they give."""

    def __init__(self, before: Car, after: Car) -> None:
        self.trial = before.copy()
        self.after = after
        self.state: CarState = self.trial.state
        self.goal: CarState = after.state
        self.writes: list[Write] = []

    def do(self, write: Write) -> None:
        """Carry out a write on the trial car and keep it."""
        result = apply_writes(self.trial, [write])
        if not result.ok:
            raise UsageError(f"No write leads to the state asked for: {result.errors[0].message}")
        self.writes.append(write)

    def differing(self) -> list[str]:
        """Return the scalar leaves in which the trial car still differs, in the car's order."""
        goal, values = self.goal.values, self.state.values
        if values == goal:
            return []
        if gone := values.keys() - goal.keys():
            raise UsageError(f"No write removes the leaf {min(gone)!r}.")
        return [path for path, value in goal.items() if path not in values or values[path] != value]

    def scalars(self) -> None:
        """Write scalar leaves: free ones, then those that do not follow from them."""
        tables = self.trial.tables
        together: list[Write] = []
        if self.trial.as_published:
            together = [Write("set", path, self.goal.values[path]) for path in self.differing()]
        else:
            together = [Write("set", p, self.goal.values[p]) for p in self.differing() if not derived.follows(tables, p)]
        if together:
            result = apply_writes(self.trial, together)  # amounts and their units have to come in one message
            if not result.ok:
                raise UsageError(f"No write leads to the state asked for: {result.errors[0].message}")
            self.writes += together

    def rest(self) -> None:
        """Write what still differs until nothing does."""
        for _ in range(_ROUNDS):
            left = self.differing()
            if not left:
                break
            for path in left:
                if self.state.values.get(path) != self.goal.values[path]:
                    self.do(Write("set", path, self.goal.values[path]))
        if self.state.flat() != self.goal.flat():
            differing = self.trial.difference(self.after)
            raise UsageError(f"No writes lead to the state asked for; {differing[0].path} stays {differing[0].old!r}.")

    def thinned(self, before: Car) -> list[Write]:
        """Return the writes that are needed, proved in one message."""
        tables = before.tables
        exact = self.state == self.goal
        trial = self.tried(before, self.writes)
        if trial is None or not self.reached(trial, exact):
            raise UsageError("No single message leads to the state asked for; its leaves contradict each other.")
        if not before.as_published and len(self.writes) > 1:
            for write in [write for write in self.writes if derived.siblings(tables, write.path)]:
                fewer = [other for other in self.writes if other is not write]
                trial = self.tried(before, fewer)
                if trial is not None and self.reached(trial, exact):
                    self.writes = fewer
        return self.writes

    def tried(self, before: Car, writes: Sequence[Write]) -> CarState | None:
        """Return the state that writes give in one message, or None if they are refused."""
        trial = before.copy()
        return trial.state if apply_writes(trial, writes).ok else None

    def reached(self, state: CarState, exact: bool) -> bool:
        """Whether a state is the one asked for; if not `exact`, records may be shared in another way."""
        return state == self.goal if exact else state.flat() == self.goal.flat()

    # -- records --------------------------------------------------------------------------------------------------

    def records(self) -> None:
        """Write lists and references, then fields of records that still differ."""
        goal, state = self.goal, self.state
        if goal.lists == state.lists and goal.refs == state.refs and goal.records == state.records:
            return
        places = [node for node in car_layout(self.trial.tables).leaves() if node.kind in ("list", "record")]
        for node in places:
            kind = self.trial.tables.record_types[node.prop.of]
            if node.kind == "list":
                self.elements(node, kind)
            else:
                self.reference(node, kind)
        for node in places:
            if node.kind == "list":
                for index, wanted in enumerate(goal.items(node.path)):
                    self.fields(f"{node.path}[{index}]", state.items(node.path)[index], wanted)
            elif (target := goal.item(node.path)) is not None:
                present = state.item(node.path)
                self.fields(node.path, {} if present is None else present, target)

    def elements(self, node: Node, kind: RecordType) -> None:
        """Bring the elements of a list in order; fields that differ in the same element are left for later."""
        path = node.path
        have, want = self.state.items(path), self.goal.items(path)
        olds, news = [_key(record, kind) for record in have], [_key(record, kind) for record in want]
        if olds == news and (kind.identity or _count_differing(have, want) <= _MAX_FIELDS):
            return
        if len(have) == len(want) and not kind.identity and _count_differing(have, want) <= _MAX_FIELDS:
            return
        if len(news) == len(olds) + 1:
            index = next((i for i, key in enumerate(olds) if news[i] != key), len(olds))
            if news[:index] + news[index + 1 :] == olds:
                place = path if index == len(olds) else f"{path}[{index}]"
                return self.do(Write("add", place, self.named(want[index], node, kind)))
        if len(news) == len(olds) - 1:
            index = next((i for i, key in enumerate(news) if olds[i] != key), len(news))
            if olds[:index] + olds[index + 1 :] == news:
                return self.do(Write("remove", f"{path}[{index}]"))
        self.do(Write("set", path, [self.named(record, node, kind) for record in want]))

    def reference(self, node: Node, kind: RecordType) -> None:
        """Point a reference to the right record; fields that differ in the same record are left for later."""
        have, want = self.state.item(node.path), self.goal.item(node.path)
        if have is None and want is None:
            return
        if want is None:
            self.do(Write("set", node.path, None))
        elif have is None or (kind.identity and _key(have, kind) != _key(want, kind)):
            self.do(Write("set", node.path, self.named(want, node, kind)))

    def named(self, record: Record, node: Node, kind: RecordType) -> dict[str, Scalar]:
        """Return a record as a write gives it: a known one by its identity and what differs, another one in full."""
        if self.trial.as_published or not kind.identity:
            return dict(record)
        key = _key(record, kind)
        known = [self.state.records[n] for n in reachable(self.state, self.trial.tables, node.prop.of)]
        same = next((other for other in known if _key(other, kind) == key), None)
        if same is None:
            return dict(record)
        return {name: value for name, value in record.items() if name in kind.identity or same[name] != value}

    def fields(self, path: str, have: Record, want: Record) -> None:
        """Write the fields in which the record at a path differs."""
        for name, value in want.items():
            if have.get(name, MISSING) != value:
                self.do(Write("set", f"{path}.{name}", value))


def _key(record: Record, kind: RecordType) -> Any:
    """Return what tells a record apart: its identity, or all of it."""
    return tuple(record[name] for name in kind.identity) if kind.identity else tuple(record.values())


def _count_differing(have: Sequence[Record], want: Sequence[Record]) -> int:
    """Return in how many fields two equally long lists differ."""
    return sum(old[name] != value for old, new in zip(have, want, strict=True) for name, value in new.items())
