"""The call language: how an agent calls functions of the car in code that is read, never executed.

A message may hold calls, one or several a line, over several lines, in loops and conditions::

    door = vw.door.to_dict()                    # state of one module; vw.environment.to_dict(): what all share
    for seat in ["driver's seat", "passenger seat"]:
        if door["doors"][seat]["status"] == "open":
            vw.door.carcontrol_carDoor_switch(action="close", position=[seat])
    result = vw.music.music_favorite_play()
    if not result["ok"]:
        print(result["error"]["message"])

Besides calls on `vw` there are `get_modules()`, `get_module_API(modules=[...])` and `print(...)`. A call returns
`{"ok", "data", "changed", "error"}`. Understood are assignment to a name, `if`, `for`, `break`, `continue`, `pass` and the
expressions of `expressions`; all else is refused with `forbidden_syntax`. A refused call does not stop the code; a
statement that cannot be carried out does, and calls made before it stay in force. Everything is counted and bounded
(`Limits`).
"""

from __future__ import annotations

import ast
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from palaestra.envs.vehicle.calls.call import Call
from palaestra.envs.vehicle.calls.calling import call_function
from palaestra.envs.vehicle.calls.code_blocks import extract_code
from palaestra.envs.vehicle.calls.expressions import CONSTRUCTS, Evaluator, Limits, forbidden, parse, plain
from palaestra.envs.vehicle.calls.schemas import api_text
from palaestra.envs.vehicle.car.call_result import CallResult, Refusal
from palaestra.envs.vehicle.car.car import Car
from palaestra.envs.vehicle.car.descriptions import module_list
from palaestra.envs.vehicle.car.tables import ENVIRONMENT, MODULES
from palaestra.envs.vehicle.car.views import plain_state
from palaestra.types import Json

__all__ = ["CodeRun", "ExecutedCall", "Limits", "call_line", "extract_code", "run_call", "run_code"]

_SHOWN_CHANGES = 24
_LIMITS = Limits()
_DISCOVERY = ("get_modules", "get_module_API")


@dataclass(frozen=True, slots=True)
class ExecutedCall:
    """One call on the car that an agent made.

    Attributes:
        call: What was called.
        result: What it came to.
        line: The line that tells the agent.
    """

    call: Call
    result: CallResult
    line: str


@dataclass(slots=True)
class CodeRun:
    """What the code of one message came to.

    Attributes:
        calls: Calls on the car in order; reading state and lists of functions is not among them.
        lookups: Number of calls that read state or lists of functions.
        error: What stopped the code, or None. Calls before it stay in force.
        lines: What the agent is told, one entry a call.
    """

    calls: list[ExecutedCall] = field(default_factory=list)
    lookups: int = 0
    error: Refusal | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the code ran to its end and every call was carried out."""
        return self.error is None and all(executed.result.ok for executed in self.calls)

    @property
    def feedback(self) -> str:
        """What the agent is told: one line a call, then what stopped the code."""
        lines = list(self.lines)
        if self.error is not None:
            lines.append(f"Stopped: {self.error.code}: {self.error.message}")
            if self.calls:
                count = len(self.calls)
                lines.append(
                    f"The call{'s' if count > 1 else ''} before it ({count}) stay{'' if count > 1 else 's'} in force."
                )
        return "\n".join(lines) or "The code made no call."


def run_code(car: Car, text: str, *, modules: Collection[str] | None = None, limits: Limits | None = None) -> CodeRun:
    """Carry out code on a car.

    Args:
        car: The car; changed in place.
        text: Code without fences (see `extract_code`).
        modules: Modules that may be used; None for all. The environment may always be read.
        limits: What the code may use; None for the usual limits.

    Returns:
        What it came to. Nothing in the text raises.
    """
    return _Interpreter(car, modules, limits or Limits()).run(text)


def run_call(car: Car, call: Call, *, modules: Collection[str] | None = None) -> ExecutedCall:
    """Carry out one call, refusing modules that may not be used.

    Args:
        car: The car; changed in place.
        call: The call.
        modules: Modules that may be used; None for all.
    """
    try:
        refusal = _outside(call.module, modules)
        if refusal is not None:
            raise refusal
        arguments = plain(list(call.args), _LIMITS, "An argument")
        named = {name: plain(value, _LIMITS, f"The argument {name}") for name, value in call.kwargs.items()}
        result = call_function(car, call.module, call.function, arguments, named)
    except Refusal as refused:
        result = CallResult(False, error=refused)
    return ExecutedCall(call, result, call_line(call, result))


def call_line(call: Call, result: CallResult) -> str:
    """Return the line that tells an agent of a call: its text, an arrow, the result as compact JSON.

    `changed` is a map from path to new value (null: gone) with at most 24 entries.
    """
    shown: dict[str, Json] = {"ok": result.ok}
    if result.data is not None:
        shown["data"] = result.data
    if changes := result.changes:
        shown["changed"] = {change.path: change.new for change in changes[:_SHOWN_CHANGES]}
        if len(changes) > _SHOWN_CHANGES:
            shown["more_changes"] = len(changes) - _SHOWN_CHANGES
    if result.ok and result.error is not None:
        shown["note"] = result.error.code
    elif result.error is not None:
        error = result.error
        shown["error"] = {"code": error.code, "message": error.message} | ({"param": error.param} if error.param else {})
    return _printable(f"{call.code()} -> {_json(shown)}")


class _Flow(Exception):
    """A `break` or `continue` on its way to its loop."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


class _Interpreter:
    """Runs the code of one message."""

    def __init__(self, car: Car, modules: Collection[str] | None, limits: Limits) -> None:
        self.car, self.modules, self.limits = car, modules, limits
        self.done = CodeRun()
        self.evaluator = Evaluator(limits, self.call)
        self.shown = 0
        self.depth = 0

    def run(self, text: str) -> CodeRun:
        try:
            tree = parse(text, self.limits)
        except Refusal as refusal:
            self.done.error = refusal
            return self.done
        lines = text.split("\n")
        if tree.body and tree.body[-1].lineno > len(lines):
            lines = text.replace("\\n", "\n").split("\n")
        for statement in tree.body:
            try:
                self.statement(statement)
            except _Flow as flow:
                self.done.error = _at(statement, lines, forbidden(f"{flow.word} outside a loop"))
            except _Stopped as stopped:
                self.done.error = _at(stopped.statement, lines, stopped.refusal)
            if self.done.error is not None:
                break
        return self.done

    # -- statements -----------------------------------------------------------------------------------------------

    def statement(self, node: ast.stmt) -> None:
        """Carry out one statement; what goes wrong is told with the innermost statement."""
        try:
            self.evaluator.count()
            work = getattr(self, f"_{type(node).__name__}", None)
            if work is None:
                name = CONSTRUCTS.get(type(node).__name__, type(node).__name__)
                raise forbidden(name[0].upper() + name[1:])
            self.depth += 1
            if self.depth > 20:
                raise Refusal("limit", "Statements are nested deeper than 20 levels.")
            work(node)
        except Refusal as refusal:
            raise _Stopped(node, refusal) from None
        finally:
            self.depth = max(0, self.depth - 1)

    def block(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            self.statement(statement)

    def _Expr(self, node: ast.Expr) -> None:
        self.evaluator.value(node.value)

    def _Pass(self, node: ast.Pass) -> None:
        pass

    def _Break(self, node: ast.Break) -> None:
        raise _Flow("break")

    def _Continue(self, node: ast.Continue) -> None:
        raise _Flow("continue")

    def _Assign(self, node: ast.Assign) -> None:
        value = self.evaluator.value(node.value)
        for target in node.targets:
            self.bind(target, value)

    def _AugAssign(self, node: ast.AugAssign) -> None:
        if not isinstance(node.target, ast.Name):
            raise _state_write()
        before = self.evaluator.value(ast.Name(node.target.id, ast.Load()))
        self.bind(node.target, self.evaluator.arithmetic(node.op, before, self.evaluator.value(node.value)))

    def _If(self, node: ast.If) -> None:
        while True:  # an elif is an if alone in the else branch: walked here, so that long chains are no deep nesting
            if self.evaluator.value(node.test):
                return self.block(node.body)
            if len(node.orelse) != 1 or not isinstance(node.orelse[0], ast.If):
                return self.block(node.orelse)
            node = node.orelse[0]

    def _For(self, node: ast.For) -> None:
        if node.orelse:
            raise forbidden("else after for")
        values = self.evaluator.value(node.iter)
        if not isinstance(values, list | dict):
            raise Refusal("invalid_type", "A for loop runs over a list or a map.")
        for value in list(values):
            self.evaluator.count()
            self.bind(node.target, value)
            try:
                self.block(node.body)
            except _Flow as flow:
                if flow.word == "break":
                    break

    def bind(self, target: ast.expr, value: Any) -> None:
        """Assign a value to a name, or its elements to several names."""
        if isinstance(target, ast.Name):
            if target.id == "vw" or target.id in _DISCOVERY:
                raise forbidden(f"Assigning to {target.id}", "It is there already; choose another name")
            if len(self.evaluator.names) >= 500 and target.id not in self.evaluator.names:
                raise Refusal("limit", "The code assigns more than 500 names.")
            self.evaluator.names[target.id] = value
        elif isinstance(target, ast.Tuple | ast.List):
            if not isinstance(value, list) or len(value) != len(target.elts):
                raise Refusal("invalid_type", f"The value does not have {len(target.elts)} elements to assign.")
            for part, item in zip(target.elts, value, strict=True):
                self.bind(part, item)
        else:
            raise _state_write()

    # -- calls ----------------------------------------------------------------------------------------------------

    def call(self, node: ast.Call, parts: list[str], arguments: list[Any], named: dict[str, Any]) -> Any:
        """Carry out a call that is not one of the expressions' own functions."""
        self.evaluator.weigh(arguments, named)
        if parts == ["print"]:
            return self.show(" ".join(item if isinstance(item, str) else _json(item) for item in arguments))
        if parts[0] != "vw" and parts[0] not in _DISCOVERY:
            raise forbidden(f"The function {'.'.join(parts)}()")
        if len(self.done.calls) + self.done.lookups >= self.limits.calls:
            raise Refusal("limit", f"A message may make {self.limits.calls} calls. Go on in the next message.")
        if len(parts) == 1:
            return self.discover(parts[0], arguments, named)
        if len(parts) != 3:
            raise forbidden(f"The call {'.'.join(parts)}()", "A call has the form vw.<module>.<function>(...)")
        _, module, function = parts
        if function == "to_dict":
            return self.read(module, arguments, named)
        executed = run_call(self.car, Call(module, function, tuple(arguments), named), modules=self.modules)
        self.done.calls.append(executed)
        self.tell(executed.line)
        return executed.result.to_json()

    def read(self, module: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Return the state of one module, or of the environment."""
        if arguments or named:
            raise Refusal("invalid_value", "to_dict() takes no arguments.")
        self.done.lookups += 1
        refusal = _outside(module, self.modules) or _unknown(module)
        if refusal is not None:
            raise refusal
        state = plain_state(self.car, [module])[module]
        self.tell(f"vw.{module}.to_dict() -> {_json(state)}")
        return state

    def discover(self, name: str, arguments: list[Any], named: dict[str, Any]) -> Any:
        """Carry out get_modules or get_module_API."""
        self.done.lookups += 1
        tables = self.car.tables
        if name == "get_modules":
            if arguments or named:
                raise Refusal("invalid_value", "get_modules() takes no arguments.")
            found = {
                module: summary
                for module, summary in module_list(tables).items()
                if self.modules is None or module in self.modules or module == ENVIRONMENT
            }
            self.tell(f"get_modules() -> {_json(found)}")
            return found
        wanted = arguments[0] if arguments else named.get("modules")
        if len(arguments) + len(named) != 1 or wanted is None:
            raise Refusal("missing_argument", "get_module_API(modules=[...]) takes a list of names of modules.", "modules")
        names = [wanted] if isinstance(wanted, str) else wanted
        if not isinstance(names, list) or not all(isinstance(item, str) for item in names):
            raise Refusal("invalid_type", "modules is a list of names of modules.", "modules")
        names = list(dict.fromkeys(names))
        for module in names:
            refusal = _outside(module, self.modules) or _unknown(module)
            if refusal is not None:
                raise refusal
        text = api_text(tables, names)
        self.tell(f"get_module_API(modules={_json(names)}) ->\n{text}")
        return None

    def show(self, text: str) -> None:
        """Show what `print` was given."""
        self.tell(f"print: {text}")

    def tell(self, line: str) -> None:
        """Add to the feedback."""
        line = _printable(line)
        self.shown += len(line)
        if self.shown > self.limits.shown:
            raise Refusal("limit", f"The results have more than {self.limits.shown} characters. Ask for less in one message.")
        self.done.lines.append(line)


class _Stopped(Exception):
    """The code cannot go on; holds the innermost statement and why."""

    def __init__(self, statement: ast.stmt, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.statement, self.refusal = statement, refusal


def _at(statement: ast.stmt, lines: Sequence[str], refusal: Refusal) -> Refusal:
    """Return a refusal that also tells the statement and its line."""
    number = statement.lineno
    source = lines[number - 1].strip() if number <= len(lines) else ""
    if len(source) > 100:
        source = f"{source[:97]}..."
    return Refusal(refusal.code, _printable(f"line {number} `{source}`: {refusal.message}"), refusal.param)


def _state_write() -> Refusal:
    """Return the refusal of an assignment to something that is no name."""
    return forbidden("Assigning to anything but a name", "State changes through calls; assign results to plain names only")


def _outside(module: str, modules: Collection[str] | None) -> Refusal | None:
    """Return the refusal of a module that is not offered, or None."""
    if modules is None or module in modules or module == ENVIRONMENT or module not in MODULES:
        return None
    offered = ", ".join(name for name in MODULES if name in modules) or "none"
    return Refusal("unknown_module", f"The module {module} is not offered for this request. Offered: {offered}.")


def _unknown(module: str) -> Refusal | None:
    """Return the refusal of a module that does not exist, or None."""
    if module in MODULES or module == ENVIRONMENT:
        return None
    return Refusal("unknown_module", f"There is no module {module!r}. List them with get_modules().")


def _json(value: Any) -> str:
    """Return a value as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)


def _printable(text: str) -> str:
    """Return a text that can be encoded: halves of surrogate pairs become question marks."""
    return text if text.isprintable() else text.encode("utf-8", "replace").decode("utf-8")
