"""Writes of state as text: read from what an agent writes, and written out.

Three syntaxes have the same meaning, and paths may have the plain or the published wrapped form:

* Python assignments on `vw`, which are read and never executed::

    vw['environment']['volume'] = 60                                    # or vw.environment.volume = 60
    vw['environment']['value']['volume']['value'] = 60                  # the wrapped form
    vw['music']['_tracks'][0]['is_favorite'] = True
    vw['music']['_favorite_tracks'].append({'id': '2'})                 # also .insert(0, ...), .extend([...]), .clear()
    del vw['music']['_favorite_tracks'][0]                              # also .remove({'id': '1'}), .pop(0)

* a JSON map from path to value; `path[+]` appends, `path[+0]` inserts before element 0, `path[-]` removes an equal
  element, and null for an element removes it::

    {"environment.volume": 60, "music._tracks[0].is_favorite": true, "music._favorite_tracks[+]": {"id": "2"}}

* a JSON list of operations; "add" to a list appends, to an element inserts before it; "remove" takes an element, or a list and
  the value to take out::

    [{"op": "set", "path": "environment.volume", "value": 60}, {"op": "remove", "path": "music._favorite_tracks[0]"}]

What the values mean is told in `writing`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from palaestra.envs.vehicle.calls.code_blocks import WRITABLE, extract_code, fenced_blocks
from palaestra.envs.vehicle.calls.expressions import CONSTRUCTS, Limits, parse, plain
from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.places import Step, find_place, join_path, split_path, wrapped_steps
from palaestra.envs.vehicle.car.tables import car_tables
from palaestra.errors import unknown_name
from palaestra.types import Json

Syntax = Literal["python", "map", "operations"]
SYNTAXES: tuple[Syntax, ...] = ("python", "map", "operations")
OPS = ("set", "add", "remove")

_LIMITS = Limits()
_MAX_WRITES = 1_000
_FENCE = re.compile(r"^[ \t]*(?:```|~~~)", re.MULTILINE)
_LIST_MARK = re.compile(r"\[(\+\d{0,9}|-)\]$")
_HOW = "Write assignments such as vw['environment']['volume'] = 60, one a line"


@dataclass(frozen=True, slots=True)
class Write:
    """One write of state.

    Attributes:
        op: "set"; "add" (a list: append; an element: insert before it); "remove" (an element, or from a list the element that
            `value` describes).
        path: What is written, with dots and without the steps of the wrapped form.
        value: What it becomes.
    """

    op: Literal["set", "add", "remove"]
    path: str
    value: Any = None

    def to_json(self) -> dict[str, Json]:
        """Return the write as an operation in plain data."""
        data: dict[str, Json] = {"op": self.op, "path": self.path}
        if self.op != "remove" or self.value is not None:
            data["value"] = self.value
        return data


def extract_writes(message: str) -> str:
    """Return the fenced code of a message that may write state (Python, JSON or no language named); "" if there is none."""
    return extract_code(message, WRITABLE)


def parse_writes(text: str) -> list[Write]:
    """Return the writes that a text asks for, in any of the three syntaxes.

    Args:
        text: Code; if a line in it opens a fenced block, such blocks are read and the words around them are not.

    Raises:
        Refusal: forbidden_syntax, unknown_path (no path at all), invalid_value, invalid_type or limit. Whether paths exist and
            values fit is checked when the writes are applied.
    """
    if _FENCE.search(text):
        blocks = [code for language, code in fenced_blocks(text) if language in WRITABLE]
        writes = [write for block in blocks for write in _parse(block)]
    else:
        writes = _parse(text)
    if len(writes) > _MAX_WRITES:
        raise Refusal("limit", f"The message writes {len(writes)} times; at most {_MAX_WRITES} are allowed.")
    return writes


def format_writes(writes: Iterable[Write], syntax: Syntax = "python", wrapped: bool = False) -> str:
    """Return writes as text that `parse_writes` reads back.

    Args:
        writes: The writes.
        syntax: "python", "map" or "operations".
        wrapped: Whether paths have the steps `value` of the published wrapped form.

    Raises:
        UnknownNameError: For an unknown syntax.
    """
    if syntax == "python":
        return "\n".join(_python_line(write, wrapped) for write in writes)
    if syntax == "map":
        lines = [f"  {_dump(_map_key(write, wrapped))}: {_dump(write.value)}" for write in writes]
        return "{\n" + ",\n".join(lines) + "\n}" if lines else "{}"
    if syntax == "operations":
        lines = [f"  {_dump({**write.to_json(), 'path': _path(write.path, wrapped)})}" for write in writes]
        return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"
    raise unknown_name("syntax", syntax, SYNTAXES)


# -- reading ------------------------------------------------------------------------------------------------------------


def _parse(text: str) -> list[Write]:
    """Return the writes of one block."""
    if len(text) > _LIMITS.code:
        raise Refusal("limit", f"The code has {len(text)} characters; at most {_LIMITS.code} are read.")
    if text.lstrip()[:1] in ("{", "["):
        return [write for data in _documents(text) for write in _from_data(data)]
    tree = parse(text, _LIMITS)
    return [write for statement in tree.body for write in _from_statement(statement)]


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, repeated ones kept."""


def _documents(text: str) -> list[Any]:
    """Return the JSON values that stand one after the other in a text; Python literals are understood too."""
    decoder = json.JSONDecoder(object_pairs_hook=_Pairs, parse_constant=_no_number)
    found: list[Any] = []
    rest = text.strip()
    try:
        while rest:
            data, end = decoder.raw_decode(rest)
            found.append(data)
            rest = rest[end:].lstrip(" \t\n,;")
    except json.JSONDecodeError as error:
        if not found:
            try:
                return [_literal(statement.value) for statement in _expressions(text)]
            except Refusal:
                pass
        where = f"line {error.lineno}, column {error.colno}"
        raise Refusal("forbidden_syntax", f"The JSON cannot be read: {error.msg} at {where}.") from None
    except RecursionError:
        raise Refusal("forbidden_syntax", "The JSON is nested too deeply to be read.") from None
    except ValueError as error:
        raise Refusal("forbidden_syntax", f"The JSON cannot be read: {str(error)[:80]}.") from None
    return found


def _expressions(text: str) -> list[ast.Expr]:
    """Return the statements of a text if all are bare expressions."""
    body = parse(text.strip(), _LIMITS).body
    if not all(isinstance(statement, ast.Expr) for statement in body):
        raise Refusal("forbidden_syntax", "Data and statements are mixed.")
    return [statement for statement in body if isinstance(statement, ast.Expr)]


def _no_number(name: str) -> Any:
    raise Refusal("invalid_value", f"{name} is no number that can be written.")


def _from_data(data: Any) -> list[Write]:
    """Return the writes of a JSON map or list."""
    if isinstance(data, dict):
        data = _Pairs(data.items())
    if isinstance(data, _Pairs):
        names = {name for name, _ in data}
        if "path" in names and names <= {"op", "path", "value"}:
            return [_operation(data, 0)]
        return [_from_map(path, value) for path, value in data]
    if not isinstance(data, list):
        raise Refusal("forbidden_syntax", "Expected a map from path to value, or a list of operations.")
    return [_operation(item, number) for number, item in enumerate(data)]


def _operation(data: Any, number: int) -> Write:
    """Return the write of one operation."""
    if isinstance(data, dict):
        data = _Pairs(data.items())
    if not isinstance(data, _Pairs):
        raise Refusal(
            "forbidden_syntax", f'Operation {number} is no object; expected {{"op": "set", "path": ..., "value": ...}}.'
        )
    row = dict(data)
    op, path = row.get("op", "set"), row.get("path")
    if op not in OPS:
        raise Refusal("invalid_value", f"Operation {number} has op {str(op)[:40]!r}; expected {', '.join(OPS)}.")
    if not isinstance(path, str):
        raise Refusal("invalid_type", f"Operation {number} needs a path, a text such as environment.volume.")
    if unknown := sorted(str(key)[:40] for key in row.keys() - {"op", "path", "value"}):
        raise Refusal("invalid_value", f"Operation {number} has the key {unknown[0]!r}; expected op, path, value.")
    if op != "remove" and "value" not in row:
        raise Refusal("missing_argument", f"Operation {number} ({op} {path[:80]}) needs a value.")
    return Write(op, _plain_path(split_path(path)), _value(row.get("value")))


def _from_map(path: str, value: Any) -> Write:
    """Return the write of one entry of a map."""
    value = _value(value)
    if mark := _LIST_MARK.search(path):
        whole = _plain_path(split_path(path[: mark.start()]))
        if mark[1] == "-":
            return Write("remove", whole, value)
        return Write("add", whole + (f"[{int(mark[1][1:])}]" if len(mark[1]) > 1 else ""), value)
    return _assigned(split_path(path), value)


def _assigned(steps: list[Step], value: Any) -> Write:
    """Return the write of a value to a path; null for an element removes it."""
    path = _plain_path(steps)
    return (
        Write("remove", path)
        if value is None and path.endswith("]") and not path.endswith(("']", '"]'))
        else Write("set", path, value)
    )


def _plain_path(steps: Sequence[Step]) -> str:
    """Return steps as a plain path; steps that name nothing stay as they are, to be refused later."""
    try:
        return find_place(car_tables(), steps).path
    except Refusal:
        path = join_path(steps)
        split_path(path)  # refuses what is no path at all
        return path


def _value(value: Any) -> Any:
    """Return a value as plain data of bounded size."""
    return plain(_unpaired(value, 0), _LIMITS, "A value")


def _unpaired(value: Any, depth: int) -> Any:
    """Return a value with objects as dictionaries."""
    if depth > 60:
        raise Refusal("limit", "A value is nested too deeply.")
    if isinstance(value, _Pairs):
        return {name: _unpaired(item, depth + 1) for name, item in value}
    if isinstance(value, list | tuple):
        return [_unpaired(item, depth + 1) for item in value]
    return value


# -- reading Python -----------------------------------------------------------------------------------------------------


def _from_statement(node: ast.stmt) -> list[Write]:
    """Return the writes of one statement."""
    try:
        match node:
            case ast.Assign():
                value = _value(_literal(node.value))
                return [_assigned(_steps(target), value) for target in node.targets]
            case ast.Delete():
                return [Write("remove", _plain_path(_steps(target))) for target in node.targets]
            case ast.Expr(value=ast.Call() as call):
                return _from_method(call)
            case ast.Pass() | ast.Expr(value=ast.Constant()):
                return []
            case ast.AugAssign():
                raise Refusal("forbidden_syntax", "State is written as the value that it becomes, not by += or the like.")
            case _:
                name = CONSTRUCTS.get(
                    type(node).__name__, {"For": "for", "If": "if"}.get(type(node).__name__, "This statement")
                )
                raise Refusal("forbidden_syntax", f"{name[0].upper()}{name[1:]} is not part of a write of state. {_HOW}.")
    except Refusal as refusal:
        raise Refusal(refusal.code, f"Line {node.lineno}: {refusal.message}", refusal.param) from None


def _from_method(call: ast.Call) -> list[Write]:
    """Return the writes of a list's method."""
    if not isinstance(call.func, ast.Attribute) or call.keywords:
        raise Refusal("forbidden_syntax", f"Functions are not called here. {_HOW}.")
    method = call.func.attr
    if method not in ("append", "insert", "extend", "remove", "pop", "clear"):
        raise Refusal("forbidden_syntax", f"{method[:60]}() is not part of a write of state. {_HOW}.")
    path = _plain_path(_steps(call.func.value))
    arguments = [_value(_literal(argument)) for argument in call.args]
    match method, arguments:
        case "append", [value]:
            return [Write("add", path, value)]
        case "insert", [int(index), value]:
            return [Write("add", f"{path}[{index}]", value)]
        case "extend", [list(values)]:
            return [Write("add", path, value) for value in values]
        case "remove", [dict(value)]:
            return [Write("remove", path, value)]
        case "pop", []:
            return [Write("remove", f"{path}[-1]")]
        case "pop", [int(index)]:
            return [Write("remove", f"{path}[{index}]")]
        case "clear", []:
            return [Write("set", path, [])]
        case _:
            raise Refusal("invalid_value", f"{method}() was given what it does not take.")


def _steps(node: ast.expr) -> list[Step]:
    """Return the steps of a target such as `vw['door']['doors'][...]` or `vw.environment.volume`."""
    steps: list[Step] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            steps.append(node.attr)
        elif isinstance(node, ast.Subscript):
            key = _literal(node.slice)
            if type(key) not in (str, int) or (isinstance(key, int) and abs(key) >= 10**9):
                raise Refusal("unknown_path", "A step of a path is a text or a whole number.")
            steps.append(key)
        else:
            raise Refusal("forbidden_syntax", f"Only vw can be assigned to. {_HOW}.")
        node = node.value
        if len(steps) > 24:
            raise Refusal("unknown_path", "The path has more than 24 steps.")
    if node.id != "vw" or not steps:
        raise Refusal("forbidden_syntax", f"Assigning to {node.id[:60]!r} writes no state. {_HOW}.")
    return steps[::-1]


def _literal(node: ast.expr, depth: int = 0) -> Any:
    """Return the value of a literal."""
    if depth > 50:
        raise Refusal("limit", "A value is nested deeper than 50 levels.")
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str()):
            return node.value
        case ast.List() | ast.Tuple():
            return [_literal(item, depth + 1) for item in node.elts]
        case ast.Dict():
            keys = [_literal(key, depth + 1) if key is not None else None for key in node.keys]
            if not all(isinstance(key, str) for key in keys):
                raise Refusal("invalid_type", "The keys of a map are texts.")
            return _Pairs((str(key), _literal(value, depth + 1)) for key, value in zip(keys, node.values, strict=True))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd()):
            number = _literal(node.operand, depth + 1)
            if type(number) in (int, float):
                return -number if isinstance(node.op, ast.USub) else number
        case ast.Name():
            fix = {"true": "True", "false": "False", "null": "None"}.get(node.id)
            hint = f"write {fix}" if fix else "a text stands in quotes"
            raise Refusal("forbidden_syntax", f"The name {node.id[:60]!r} is no value; {hint}.")
    raise Refusal("forbidden_syntax", "The value is no literal; write numbers, texts, True, False, None, lists or maps.")


# -- writing out --------------------------------------------------------------------------------------------------------


def _path(path: str, wrapped: bool) -> str:
    """Return a path, in the wrapped form if wanted."""
    return join_path(wrapped_steps(split_path(path))) if wrapped else path


def _map_key(write: Write, wrapped: bool) -> str:
    """Return the key of a write in a map."""
    path = _path(write.path, wrapped)
    if write.op == "set" or (write.op == "remove" and write.value is None):
        return path
    if write.op == "remove":
        return f"{path}[-]"
    if path.endswith("]") and isinstance(split_path(path)[-1], int):
        whole, _, index = path[:-1].rpartition("[")
        return f"{whole}[+{index}]"
    return f"{path}[+]"


def _python_line(write: Write, wrapped: bool) -> str:
    """Return a write as one line of Python."""
    steps = split_path(write.path)
    if write.op == "set":
        return f"{_python_target(steps, wrapped)} = {write.value!r}"
    if write.op == "remove":
        if write.value is None:
            return f"del {_python_target(steps, wrapped)}"
        return f"{_python_target(steps, wrapped)}.remove({write.value!r})"
    if isinstance(steps[-1], int):
        return f"{_python_target(steps[:-1], wrapped)}.insert({steps[-1]}, {write.value!r})"
    return f"{_python_target(steps, wrapped)}.append({write.value!r})"


def _python_target(steps: Sequence[Step], wrapped: bool) -> str:
    """Return the target of an assignment."""
    return "vw" + "".join(f"[{step!r}]" for step in (wrapped_steps(steps) if wrapped else steps))


def _dump(value: Json) -> str:
    """Return compact JSON."""
    return json.dumps(value, ensure_ascii=False)
