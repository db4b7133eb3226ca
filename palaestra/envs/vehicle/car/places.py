"""What a path names: a leaf, a list of records, an element of it, a field of that, a reference, or a group of all these.

A path is written with dots (`seat.driver's seat.heater.is_on`, `music._tracks[0].is_favorite`) or with brackets, as in Python
(`vw['music']['_tracks'][0]['is_favorite']`). The steps `value` of the published wrapped form are understood and left out.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.layout import Node, car_layout
from palaestra.envs.vehicle.car.tables import CarTables, Property, RecordType

Step: TypeAlias = str | int
Kind = Literal["leaf", "branch", "list", "element", "field", "record", "record_field", "constant"]

_MAX_LENGTH = 400
_MAX_STEPS = 24
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True, eq=False)
class Place:
    """What a path names.

    Attributes:
        kind: "leaf", "branch", "list" (of records), "element" (of a list), "field" (of an element), "record" (a reference),
            "record_field" (of what it refers to) or "constant" (a constant list or map, or something in it).
        path: Full path, as it is written.
        node: Place in the tree; of elements and fields that of their list or reference.
        index: Of an element, as given; negative from the end.
        field: Of a field.
        record_type: Kind of the records; None for leaves, branches and constant texts.
    """

    kind: Kind
    path: str
    node: Node
    index: int = 0
    field: str = ""
    record_type: RecordType | None = None

    @property
    def row(self) -> Property:
        """The property that the place belongs to."""
        return self.node.prop

    @property
    def records(self) -> RecordType:
        """The kind of the records."""
        assert self.record_type is not None
        return self.record_type


def split_path(text: str) -> list[Step]:
    """Return a path in steps, without a leading `vw`.

    Raises:
        Refusal: unknown_path if the text is not a path.
    """
    text = text.strip()
    if not text or len(text) > _MAX_LENGTH:
        raise Refusal("unknown_path", f"A path has 1 to {_MAX_LENGTH} characters; this one has {len(text)}.")
    if _SURROGATE.search(text):
        raise Refusal("unknown_path", "The path holds half a surrogate pair, which is no text.")
    if text.startswith(("vw.", "vw[")):
        text = text[2:].removeprefix(".")
    steps: list[Step] = []
    at = 0
    while at < len(text):
        if text[at] == "[":
            step, at = _bracket(text, at)
            steps.append(step)
        else:
            start = at + 1 if text[at] == "." and steps else at
            ends = [end for end in (text.find(".", start), text.find("[", start)) if end >= 0]
            at = min(ends, default=len(text))
            name = text[start:at].strip()
            if not name:
                raise Refusal("unknown_path", f"The path {_short(text)} has an empty step; write e.g. environment.volume.")
            steps.append(name)
        if len(steps) > _MAX_STEPS:
            raise Refusal("unknown_path", f"The path {_short(text)} has more than {_MAX_STEPS} steps.")
    return steps


def join_path(steps: Sequence[Step]) -> str:
    """Return steps as a path with dots; names that hold dots or brackets stand in brackets."""
    parts: list[str] = []
    for step in steps:
        if isinstance(step, int):
            parts.append(f"[{step}]")
        elif not step or (step == "vw" and not parts) or step != step.strip() or any(mark in step for mark in ".["):
            parts.append(f"[{_quoted(step)}]")
        else:
            parts.append(f".{step}" if parts else step)
    return "".join(parts)


@lru_cache(maxsize=8192)
def place_at(tables: CarTables, path: str) -> Place:
    """Return the place that a path names.

    Raises:
        Refusal: unknown_path, with the nearest path that exists.
    """
    return find_place(tables, split_path(path))


def find_place(tables: CarTables, steps: Sequence[Step]) -> Place:
    """Return the place that the steps of a path name.

    Raises:
        Refusal: unknown_path, with the nearest path that exists.
    """
    return _below(tables, car_layout(tables), list(steps), 0)


def wrapped_steps(steps: Sequence[Step]) -> list[Step]:
    """Return the steps of a plain path with the steps `value` of the wrapped form.

    Every module, group and property is wrapped, and every field of a record; elements of lists are not.
    """
    found: list[Step] = []
    for step in steps:
        found.append(step)
        if not isinstance(step, int):
            found.append("value")
    return found


def _below(tables: CarTables, node: Node, steps: list[Step], at: int) -> Place:
    """Return what the steps from `at` on name below a node."""
    if node.kind == "branch":
        if at == len(steps):
            return Place("branch", node.path, node)
        step = steps[at]
        child = node.children.get(step) if isinstance(step, str) else None
        if child is not None:
            try:
                return _below(tables, child, steps, at + 1)
            except Refusal:
                if step != "value":
                    raise
        if step == "value":
            return _below(tables, node, steps, at + 1)
        raise _no_child(tables, node, steps, at)
    rest = [step for step in steps[at:] if step != "value"]
    if node.kind == "leaf":
        if rest:
            raise Refusal("unknown_path", f"{join_path(steps)}: {node.path} is a single value; there is nothing below it.")
        return Place("leaf", node.path, node)
    if node.kind in ("texts", "map"):
        return Place("constant", node.path + join_path(["", *rest]).removeprefix("['']"), node)
    kind = tables.record_types[node.prop.of]
    if not rest:
        return Place("list" if node.kind == "list" else "record", node.path, node, record_type=kind)
    if node.kind == "record":
        return Place("record_field", f"{node.path}.{_field(rest, node.path, kind)}", node, 0, str(rest[0]), kind)
    return _in_list(node, rest, kind)


def _in_list(node: Node, rest: list[Step], kind: RecordType) -> Place:
    """Return an element of a list, or a field of it."""
    first = rest[0]
    if isinstance(first, str) and first.removeprefix("-").isdecimal() and first.isascii() and len(first) < 10:
        first = int(first)
    if not isinstance(first, int):
        hint = "add or remove elements instead" if first == "#len" else f"write an element as {node.path}[0]"
        raise Refusal("unknown_path", f"{node.path}.{_short(str(first))}: {node.path} is a list; {hint}.")
    element = f"{node.path}[{first}]"
    if len(rest) == 1:
        return Place("element", element, node, first, "", kind)
    field = _field(rest[1:], element, kind)
    return Place("field", f"{element}.{field}", node, first, field, kind)


def _field(rest: list[Step], path: str, kind: RecordType) -> str:
    """Return the field of a record that steps name."""
    name = rest[0]
    if len(rest) > 1 or not isinstance(name, str) or name not in kind.fields:
        wrong = join_path(rest)
        raise Refusal("unknown_path", f"{path}: a {kind.name} has no {_short(wrong)}; it has {', '.join(kind.fields)}.")
    return name


def _no_child(tables: CarTables, node: Node, steps: list[Step], at: int) -> Refusal:
    """Return the refusal of a name that a group does not have, with what was probably meant."""
    name = str(steps[at])
    known = list(node.children)
    close = difflib.get_close_matches(name[:60], known, n=1, cutoff=0.6)
    meant = [f"{node.path}.{close[0]}" if node.path else close[0]] if close else _elsewhere(tables, node, steps, at)
    where = node.path or "the car"
    hint = f" Did you mean {meant[0]}?" if meant else f" It has {', '.join(known)}."
    return Refusal("unknown_path", f"{_short(join_path(steps))}: {where} has no {_short(name)}.{hint}")


def _elsewhere(tables: CarTables, node: Node, steps: list[Step], at: int) -> list[str]:
    """Return paths, in the same module if the path begins with one, that end in the same names."""
    wanted = "." + join_path([step for step in steps[at:] if step != "value"])
    found = [leaf.path for leaf in car_layout(tables).leaves() if leaf.path.endswith(wanted)]
    module = str(steps[0]) if at else ""
    same = [path for path in found if path.startswith(f"{module}.")] if module else found
    return same if len(same) <= 6 else []


def _bracket(text: str, at: int) -> tuple[Step, int]:
    """Return the step in the brackets that open at `at`, and where the text goes on."""
    quote = text[at + 1 : at + 2]
    if quote in ("'", '"') and quote:
        end = text.find(f"{quote}]", at + 2)
        if end < 0:
            raise Refusal("unknown_path", f"The path {_short(text)} has a bracket that is not closed.")
        return text[at + 2 : end].replace(f"\\{quote}", quote), end + 2
    end = text.find("]", at)
    if end < 0:
        raise Refusal("unknown_path", f"The path {_short(text)} has a bracket that is not closed.")
    inner = text[at + 1 : end].strip()
    if inner.removeprefix("-").isdecimal() and inner.isascii() and len(inner) < 10:
        return int(inner), end + 1
    return inner, end + 1


def _quoted(step: str) -> str:
    """Return a name in the quotes that it does not hold."""
    return f'"{step}"' if "'" in step else f"'{step}'"


def _short(text: str) -> str:
    """Return a text that fits into a message."""
    return text if len(text) <= 100 else f"{text[:97]}..."
