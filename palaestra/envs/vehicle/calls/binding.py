"""Arguments of a call: matched to parameters and, in the `fixed` profile, checked before anything happens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from palaestra.envs.vehicle.car.call_result import Refusal
from palaestra.envs.vehicle.car.tables import Function, Param

_HUGE = 1e9


def bind(function: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the value of every parameter; parameters left out have their default.

    Raises:
        Refusal: If an argument is missing, unknown or given twice.
    """
    params = function.params
    if not args:  # the common way, and twice as fast
        names, optional = _names(function)
        bound = {**optional, **kwargs}
        if len(bound) == len(names) and kwargs.keys() <= names:
            return bound
    if len(args) > len(params):
        raise Refusal("invalid_value", f"{function.name} takes {len(params)} arguments; {len(args)} were given.")
    bound = {param.name: value for param, value in zip(params, args, strict=False)}
    used = 0
    for param in params[len(args) :]:
        name = param.name
        if name in kwargs:
            bound[name] = kwargs[name]
            used += 1
        elif param.required:
            raise Refusal("missing_argument", f"{function.name} needs the argument {name}.", name)
        else:
            bound[name] = param.default
    if used != len(kwargs):
        raise _surplus(function, kwargs, bound)
    return bound


def check(function: Function, bound: dict[str, Any]) -> None:
    """Check types, words and ranges of bound arguments, as the `fixed` profile does; changes single places to lists.

    Raises:
        Refusal: invalid_type, invalid_value, out_of_range, unknown_target, missing_argument or conflicting_arguments.
    """
    for param in function.params:
        value = bound[param.name]
        if value is None:
            if param.required and param.type != "targets":  # null for places means the speaker's (see `targets`)
                raise Refusal("missing_argument", f"{function.name} needs the argument {param.name}.", param.name)
            continue
        kind = param.type
        if kind == "bool":
            if type(value) is not bool:
                raise _wrong_type(param, value, "true or false")
        elif kind == "str":
            if type(value) is not str:
                raise _wrong_type(param, value, "a text")
            if param.enum and value not in param.enum:
                raise Refusal("invalid_value", f"{param.name} is {value!r}; expected one of {_words(param.enum)}.", param.name)
        elif kind == "int":
            if type(value) is not int:
                raise _wrong_type(param, value, "a whole number")
            _check_range(param, value)
        elif kind == "number":
            if type(value) not in (int, float) or not -_HUGE <= value <= _HUGE:  # neither NaN nor infinite, nor soon to be
                raise _wrong_type(param, value, f"a number within -{_HUGE:g} and {_HUGE:g}")
            _check_range(param, value)
        elif kind in ("targets", "list[str]"):
            bound[param.name] = _texts(param, value)


def check_amount(bound: Mapping[str, Any], *, unit_optional: bool = False) -> None:
    """Check that an amount is said in one way: value and unit together, or a degree word.

    Args:
        bound: Arguments by name.
        unit_optional: Whether a value may stand alone.

    Raises:
        Refusal: missing_argument or conflicting_arguments.
    """
    value, unit, degree = bound.get("value"), bound.get("unit"), bound.get("degree")
    if degree is not None and (value is not None or unit is not None):
        raise Refusal(
            "conflicting_arguments", f"degree {degree!r} came with a value or unit; give one or the other.", "degree"
        )
    if "unit" in bound and (value is None) != (unit is None) and not (unit_optional and unit is None):
        missing = "unit" if unit is None else "value"
        raise Refusal("missing_argument", f"value and unit belong together; {missing} is missing.", missing)


@cache
def _names(function: Function) -> tuple[frozenset[str], dict[str, Any]]:
    """Return the names of a function's parameters, and the defaults of those that may be left out."""
    optional = {param.name: param.default for param in function.params if not param.required}
    return frozenset(param.name for param in function.params), optional


def _surplus(function: Function, kwargs: Mapping[str, Any], bound: Mapping[str, Any]) -> Refusal:
    """Return the refusal of an argument that is unknown or given twice."""
    names = [param.name for param in function.params]
    for name in kwargs:
        if name not in names:
            return Refusal("invalid_value", f"{function.name} has no argument {name!r}; it takes {_words(names)}.", str(name))
    twice = next(name for name in kwargs if name in bound)
    return Refusal("conflicting_arguments", f"{function.name} got the argument {twice} twice.", twice)


def _wrong_type(param: Param, value: Any, expected: str) -> Refusal:
    """Return the refusal of a value of the wrong type."""
    return Refusal("invalid_type", f"{param.name} is {_short(value)}; expected {expected}.", param.name)


def _check_range(param: Param, value: float) -> None:
    """Refuse a number outside the parameter's range."""
    if (param.low is not None and value < param.low) or (param.high is not None and value > param.high):
        expected = f"at least {param.low:g}" if param.high is None else f"{param.low or 0:g} to {param.high:g}"
        raise Refusal("out_of_range", f"{param.name} is {value!r}; expected {expected}.", param.name)


def _texts(param: Param, value: Any) -> list[str]:
    """Return a list of texts; a single place is a list of one."""
    if type(value) is str and param.type == "targets":
        return [value]
    if not isinstance(value, list | tuple):
        raise _wrong_type(param, value, "a list of texts")
    for item in value:
        if type(item) is not str:
            raise _wrong_type(param, value, "a list of texts")
    return list(value)


def _words(words: Sequence[str]) -> str:
    """Return words as a list to read."""
    return ", ".join(words) or "nothing"


def _short(value: Any) -> str:
    """Return a value as text that fits into a message."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
