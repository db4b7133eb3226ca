"""Values of expressions in an agent's code, worked out from the syntax tree; nothing is ever executed.

Understood: literals, names of earlier results, subscripts, `.get` `.keys` `.values` `.items` of a result, comparisons,
`and` `or` `not`, `in`, `a if c else b`, + - * / // %, f-strings of plain values, and the functions `len str int float
bool round abs min max sorted list range`. Calls on the car are handed to the caller. Everything is counted and bounded,
so that no expression can run away.
"""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.vehicle.car.call_result import Refusal

CONSTRUCTS = {
    "Import": "import",
    "ImportFrom": "import",
    "FunctionDef": "a function definition",
    "AsyncFunctionDef": "a function definition",
    "ClassDef": "a class definition",
    "Lambda": "lambda",
    "While": "while",
    "With": "with",
    "AsyncWith": "with",
    "AsyncFor": "async for",
    "Try": "try",
    "TryStar": "try",
    "Raise": "raise",
    "Assert": "assert",
    "Delete": "del",
    "Return": "return",
    "Yield": "yield",
    "YieldFrom": "yield",
    "Await": "await",
    "Global": "global",
    "Nonlocal": "nonlocal",
    "Match": "match",
    "AnnAssign": "an annotated assignment",
    "NamedExpr": "an assignment inside an expression (:=)",
    "ListComp": "a comprehension",
    "SetComp": "a comprehension",
    "DictComp": "a comprehension",
    "GeneratorExp": "a generator",
    "Starred": "an unpacking (*)",
    "Set": "a set",
    "Slice": "a slice",
    "Pow": "the operator **",
    "MatMult": "the operator @",
    "LShift": "the operator <<",
    "RShift": "the operator >>",
    "BitOr": "the operator |",
    "BitAnd": "the operator &",
    "BitXor": "the operator ^",
    "Invert": "the operator ~",
}
_MAX_DEPTH = 50
_CHARS_A_STEP = 128  # of text that take as long as a step
_CHARS_A_PART = 16  # as long as an element takes
_DIGITS_A_STEP = 8
_SHOWN, _SHOWN_PARTS = 120, 20  # characters and elements of a value in a message
_NEEDLE = 100  # characters; a shorter text may be looked for at every place, a longer one is not
_MAX_NUMBER = 10**15
_WARNS = re.compile(r"\\|\d[A-Za-z]")
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one message may use.

    Attributes:
        calls: Calls on the car and discovery calls together.
        steps: Work: expressions and statements worked out, and the size of what is compared, copied, sorted or shown.
        code: Characters of the code.
        text: Characters of any text in it.
        items: Elements of any list or map in it.
        shown: Characters of the feedback.
    """

    calls: int = 64
    steps: int = 20_000
    code: int = 20_000
    text: int = 50_000
    items: int = 2_000
    shown: int = 400_000


def forbidden(construct: str, instead: str = "") -> Refusal:
    """Return the refusal of something that the language does not have."""
    hint = instead or "Write only calls such as vw.<module>.<function>(...), one a line"
    return Refusal("forbidden_syntax", f"{construct} is not part of the call language. {hint}.")


def parse(text: str, limits: Limits) -> ast.Module:
    """Return the syntax tree of code.

    Raises:
        Refusal: forbidden_syntax if the text is not code, limit if it is too long.
    """
    if len(text) > limits.code:
        raise Refusal("limit", f"The code has {len(text)} characters; at most {limits.code} are read. Send less at once.")
    try:
        return _tree(text)
    except SyntaxError as error:
        if "\\n" in text:  # line ends written as two characters, as in a JSON text
            return parse(text.replace("\\n", "\n"), limits)
        where = f"Line {error.lineno}" if error.lineno else "The code"
        hint = ' A text with an apostrophe stands in double quotes: "driver\'s seat".' if "'driver's" in text else ""
        raise Refusal("forbidden_syntax", f"{where} cannot be read as code ({error.msg}).{hint}") from None
    except (RecursionError, MemoryError):
        raise Refusal("forbidden_syntax", "The code is nested too deeply to be read.") from None
    except UnicodeError:
        raise Refusal("forbidden_syntax", "The code holds half a surrogate pair, which is no text.") from None
    except ValueError:
        raise Refusal("forbidden_syntax", "The code holds a null character.") from None


def _tree(text: str) -> ast.Module:
    """Return the syntax tree of code, without the warnings that reading it may give."""
    if _WARNS.search(text) is None:
        return ast.parse(text)
    with warnings.catch_warnings():  # `\\d` in a text or `1if` warn; what the agent writes is no concern of ours
        warnings.simplefilter("ignore")
        return ast.parse(text)


def plain(value: Any, limits: Limits, what: str = "A value") -> Any:
    """Return a value that is plain data of bounded size; tuples become lists.

    Raises:
        Refusal: invalid_value or limit.
    """
    return _plain(value, limits, what, 0)


def _plain(value: Any, limits: Limits, what: str, depth: int) -> Any:
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int or kind is float:
        if not -_MAX_NUMBER <= value <= _MAX_NUMBER:  # also true of NaN
            raise Refusal("invalid_value", f"{what} is no finite number between -1e15 and 1e15.")
        return value
    if kind is str:
        if len(value) > limits.text:
            raise Refusal("limit", f"{what} has {len(value)} characters; at most {limits.text} are allowed.")
        if _SURROGATE.search(value):
            raise Refusal("invalid_value", f"{what} holds half a surrogate pair, which is no text.")
        return value
    if depth >= _MAX_DEPTH:
        raise Refusal("limit", f"{what} is nested deeper than {_MAX_DEPTH} levels.")
    if kind is list or kind is tuple:
        _check_items(value, limits, what)
        return [_plain(item, limits, what, depth + 1) for item in value]
    if kind is dict:
        _check_items(value, limits, what)
        if any(type(key) is not str for key in value):
            raise Refusal("invalid_type", f"{what} has a key that is no text.")
        keys = [_plain(key, limits, what, depth + 1) for key in value]
        return {key: _plain(item, limits, what, depth + 1) for key, item in zip(keys, value.values(), strict=True)}
    raise Refusal("invalid_type", f"{what} is no plain value (a number, text, true, false, null, list or map).")


def _check_items(value: Any, limits: Limits, what: str) -> None:
    if len(value) > limits.items:
        raise Refusal("limit", f"{what} has {len(value)} elements; at most {limits.items} are allowed.")


_COMPARE: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: lambda a, b: a is b or (a == b and type(a) is type(b)),
    ast.IsNot: lambda a, b: not (a is b or (a == b and type(a) is type(b))),
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "len": len,
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "round": round,
    "abs": abs,
    "min": min,
    "max": max,
    "sorted": sorted,
    "list": list,
}
_TIMES = {"sorted": 16, "len": 0, "bool": 0}
"""How often a function goes through what it is given, where that is not once."""
_READERS = ("get", "keys", "values", "items")

CarCall = Callable[[ast.Call, list[str], list[Any], dict[str, Any]], Any]
"""Carries out a call that is not one of the language's own: the node, its name in parts, arguments, named arguments."""


@dataclass(slots=True)
class Evaluator:
    """Works out expressions within limits.

    Attributes:
        limits: What may be used.
        call: Carries out calls on the car.
        names: Values of the names assigned so far.
        steps: Work done so far (see `Limits`).
    """

    limits: Limits
    call: CarCall
    names: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    depth: int = 0

    def count(self, steps: int = 1) -> None:
        """Count steps; what a step is does not depend on the machine.

        Raises:
            Refusal: limit.
        """
        self.steps += steps
        if self.steps > self.limits.steps:
            raise Refusal("limit", f"The code takes more than {self.limits.steps} steps. Make fewer or shorter loops.")

    def weigh(self, *values: Any, times: int = 1) -> None:
        """Count the work of going through values, before it is done; a text or a list counts as often as it is held.

        Args:
            *values: What is gone through.
            times: How often.

        Raises:
            Refusal: limit.
        """
        left: list[Any] = [value for value in values if isinstance(value, str | list | dict)]
        room = (self.limits.steps - self.steps) * _CHARS_A_STEP // max(1, times)
        size = 0
        while left and size <= room:
            part = left.pop()
            if isinstance(part, str):
                size += len(part)
                continue
            size += _CHARS_A_PART * len(part)
            if isinstance(part, dict):
                size += sum(map(len, filter(_is_text, part)))
                part = part.values()
            left.extend(item for item in part if isinstance(item, str | list | dict))
        if size >= _CHARS_A_STEP:
            self.count(size * times // _CHARS_A_STEP)

    def value(self, node: ast.expr) -> Any:
        """Return the value of an expression.

        Raises:
            Refusal: If it is not part of the language, goes wrong, or uses too much.
        """
        self.count()
        work = getattr(self, f"_{type(node).__name__}", None)
        if work is None:
            raise forbidden(CONSTRUCTS.get(type(node).__name__, type(node).__name__).capitalize())
        if self.depth >= _MAX_DEPTH:
            raise Refusal("limit", f"An expression is nested deeper than {_MAX_DEPTH} levels.")
        self.depth += 1
        try:
            return work(node)
        finally:
            self.depth -= 1

    # -- literals -------------------------------------------------------------------------------------------------

    def _Constant(self, node: ast.Constant) -> Any:
        if node.value is ... or isinstance(node.value, bytes | complex):
            raise forbidden(f"The literal {type(node.value).__name__}")
        self.weigh(node.value)
        return plain(node.value, self.limits)

    def _List(self, node: ast.List | ast.Tuple) -> Any:
        return self._bounded([self.value(item) for item in node.elts])

    _Tuple = _List

    def _Dict(self, node: ast.Dict) -> Any:
        found: dict[Any, Any] = {}
        for key, item in zip(node.keys, node.values, strict=True):
            if key is None:
                raise forbidden("An unpacking (**)")
            found[self._key(self.value(key))] = self.value(item)
        return self._bounded(found)

    def _JoinedStr(self, node: ast.JoinedStr) -> str:
        parts = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                if part.format_spec is not None or part.conversion != -1:
                    raise forbidden("A format after : or ! in an f-string", "Write {name} alone")
                shown = self.value(part.value)
                if not isinstance(shown, str | int | float | None):
                    raise Refusal("invalid_type", "An f-string shows only a text, a number or a truth value.")
                parts.append(str(shown))
            else:
                parts.append(str(self.value(part)))
        self.weigh(parts)
        return str(self._bounded("".join(parts)))

    # -- names and parts of results ---------------------------------------------------------------------------------

    def _Name(self, node: ast.Name) -> Any:
        if node.id in self.names:
            return self.names[node.id]
        if node.id == "vw":
            raise forbidden("The bare name vw", "Call vw.<module>.<function>(...), or vw.<module>.to_dict() to read state")
        fix = {"true": "True", "false": "False", "null": "None", "none": "None"}.get(node.id)
        raise Refusal("forbidden_syntax", f"The name {node.id!r} is not known{f'; write {fix}' if fix else ''}.")

    def _Attribute(self, node: ast.Attribute) -> Any:
        raise forbidden(
            f"Reading the attribute .{node.attr}",
            'Read a field of a result with result["field"]; read state with vw.<module>.to_dict()',
        )

    def _Subscript(self, node: ast.Subscript) -> Any:
        if isinstance(node.slice, ast.Slice):
            raise forbidden("A slice", "Take single elements")
        whole, key = self.value(node.value), self.value(node.slice)
        if isinstance(whole, dict):
            if self._key(key) not in whole:
                raise Refusal("not_found", f"There is no field {_short(key)}; there are {_short(list(whole))}.")
            return whole[key]
        if isinstance(whole, list | str):
            if type(key) is not int:
                raise Refusal("invalid_type", f"The index {_short(key)} is no whole number.")
            if not -len(whole) <= key < len(whole):
                raise Refusal("not_found", f"The index {key} is outside a list of {len(whole)}.")
            return whole[key]
        raise Refusal("invalid_type", f"{_short(whole)} has no fields.")

    # -- operators ------------------------------------------------------------------------------------------------

    def _BoolOp(self, node: ast.BoolOp) -> Any:
        found: Any = None
        for part in node.values:
            found = self.value(part)
            if bool(found) is isinstance(node.op, ast.Or):
                break
        return found

    def _IfExp(self, node: ast.IfExp) -> Any:
        return self.value(node.body if self.value(node.test) else node.orelse)

    def _UnaryOp(self, node: ast.UnaryOp) -> Any:
        found = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return not found
        if isinstance(node.op, ast.Invert):
            raise forbidden(CONSTRUCTS["Invert"].capitalize())
        if type(found) not in (int, float):
            raise Refusal("invalid_type", f"{_short(found)} is no number.")
        return -found if isinstance(node.op, ast.USub) else found

    def _Compare(self, node: ast.Compare) -> bool:
        left = self.value(node.left)
        for op, part in zip(node.ops, node.comparators, strict=True):
            right = self.value(part)
            self.weigh(left, right)
            if isinstance(op, ast.In | ast.NotIn) and isinstance(left, str) and isinstance(right, str):
                self.weigh(right, times=max(1, min(len(left), _NEEDLE) // 8))
            try:
                if not _COMPARE[type(op)](left, right):
                    return False
            except TypeError:
                raise Refusal("invalid_type", f"{_short(left)} and {_short(right)} cannot be compared.") from None
            left = right
        return True

    def _BinOp(self, node: ast.BinOp) -> Any:
        return self.arithmetic(node.op, self.value(node.left), self.value(node.right))

    def arithmetic(self, op: ast.operator, left: Any, right: Any) -> Any:
        """Return `left op right` for numbers; + also joins texts or lists.

        Raises:
            Refusal: forbidden_syntax, invalid_type or invalid_value.
        """
        work = _ARITHMETIC.get(type(op))
        if work is None:
            raise forbidden(CONSTRUCTS.get(type(op).__name__, "This operator").capitalize())
        numbers = type(left) in (int, float) and type(right) in (int, float)
        joins = isinstance(op, ast.Add) and type(left) is type(right) and isinstance(left, str | list)
        if not numbers and not joins:
            raise Refusal("invalid_type", f"{_short(left)} and {_short(right)} cannot be combined so.")
        self.weigh(left, right)
        try:
            return self._bounded(work(left, right))
        except (ZeroDivisionError, OverflowError):
            raise Refusal("invalid_value", f"{_short(left)} and {_short(right)} give no finite number.") from None

    # -- calls ----------------------------------------------------------------------------------------------------

    def _Call(self, node: ast.Call) -> Any:
        function = node.func
        if isinstance(function, ast.Attribute) and function.attr in _READERS and not _starts_with_vw(function):
            return self._read(function, self._arguments(node))
        parts = _name_parts(function)
        if parts is None:
            raise forbidden("This call")
        arguments = self._arguments(node)
        named: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise forbidden("An unpacking (**)")
            if keyword.arg in named:
                raise Refusal("conflicting_arguments", f"The argument {keyword.arg} is given twice.", keyword.arg)
            named[keyword.arg] = self.value(keyword.value)
        if len(parts) == 1 and (parts[0] in _FUNCTIONS or parts[0] == "range"):
            return self._own(parts[0], arguments, named)
        return self.call(node, parts, arguments, named)

    def _arguments(self, node: ast.Call) -> list[Any]:
        return [self.value(argument) for argument in node.args]

    def _read(self, function: ast.Attribute, arguments: Sequence[Any]) -> Any:
        whole = self.value(function.value)
        if not isinstance(whole, dict):
            raise Refusal("invalid_type", f".{function.attr}() reads a map; {_short(whole)} is none.")
        if function.attr != "get":
            self.count(len(whole) // 4)
        if function.attr == "get":
            if not 1 <= len(arguments) <= 2:
                raise Refusal("missing_argument", ".get() takes a field and an optional default.")
            return whole.get(self._key(arguments[0]), arguments[1] if len(arguments) == 2 else None)
        if function.attr == "items":
            return [list(pair) for pair in whole.items()]
        return list(whole) if function.attr == "keys" else list(whole.values())

    def _own(self, name: str, arguments: Sequence[Any], named: dict[str, Any]) -> Any:
        if named:
            raise Refusal("invalid_value", f"{name}() takes no named arguments here.")
        if name == "round" and len(arguments) == 2 and (type(arguments[1]) is not int or not -15 <= arguments[1] <= 15):
            raise Refusal("invalid_value", "round() takes -15 to 15 digits.")
        self.weigh(*arguments, times=_TIMES.get(name, 1))
        if name in ("int", "float") and arguments and isinstance(arguments[0], str):
            self.count(len(arguments[0]) // _DIGITS_A_STEP)
        try:
            if name == "range":
                numbers = range(*arguments)
                if len(numbers) > self.limits.items:
                    raise Refusal("limit", f"This range has more than {self.limits.items} elements.")
                return list(numbers)
            return self._bounded(_FUNCTIONS[name](*arguments))
        except (TypeError, ValueError, OverflowError):
            raise Refusal("invalid_type", f"{name}() cannot be used on {_short(list(arguments))}.") from None

    # -- bounds ---------------------------------------------------------------------------------------------------

    def _bounded(self, value: Any) -> Any:
        """Return a value if it is not too large; every part of a list or map counts, however often it is shared."""
        if not isinstance(value, list | dict):
            self.weigh(value)
            return plain(value, self.limits)
        size, most = 0, self.limits.items * 5
        left = [value]
        while left:
            part = left.pop()
            if isinstance(part, list | dict):
                size += len(part) + 1
                if size > most:
                    raise Refusal("limit", f"A value has more than {most} parts.")
                left.extend(part.values() if isinstance(part, dict) else part)
        self.count(size // 8)
        return value

    def _key(self, key: Any) -> Any:
        if not isinstance(key, str | int | float | None):
            raise Refusal("invalid_type", f"{_short(key)} cannot be a key.")
        self.weigh(key)
        return key


def _name_parts(node: ast.expr) -> list[str] | None:
    """Return a dotted name in parts, or None if the expression is none."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
        if len(parts) > 8:
            return None
    if not isinstance(node, ast.Name):
        return None
    parts.append(node.id)
    return parts[::-1]


def _starts_with_vw(node: ast.expr) -> bool:
    """Whether a dotted name begins with vw."""
    parts = _name_parts(node)
    return parts is not None and parts[0] == "vw"


_SMALL = Limits(steps=400)
"""What may be written out whole before it is cut."""


def _no_call(*_: Any) -> Any:
    """Carry out nothing."""


def _is_text(value: Any) -> bool:
    """Whether a value is a text."""
    return isinstance(value, str)


def _short(value: Any) -> str:
    """Return a value as text that fits into a message; of a large one only the beginning is looked at."""
    small = Evaluator(_SMALL, _no_call)
    try:
        small.weigh(value)
    except Refusal:
        value = _beginning(value, 2)
    text = repr(value if not isinstance(value, list | dict) or len(value) <= _SHOWN_PARTS else list(value)[:_SHOWN_PARTS])
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _beginning(value: Any, levels: int) -> Any:
    """Return a value as far as it may be shown: enough elements and characters to fill a message, and few levels."""
    if isinstance(value, str):
        return value[:_SHOWN]
    if not isinstance(value, list | dict):
        return value
    if not levels and value:
        return ...
    if isinstance(value, dict) and len(value) <= _SHOWN_PARTS:
        return {_beginning(key, levels): _beginning(item, levels - 1) for key, item in value.items()}
    return [_beginning(item, levels - 1) for item in list(value)[:_SHOWN_PARTS]]
