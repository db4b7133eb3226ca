"""Tools that are data: the interpreter of table specifications, and the same tool as Python source.

A specification is plain JSON. `does` says what the tool does:

* `look_up`: find the record of a key. `keys` are pairs of parameter and form (text, object, list, pair), `attribute` names the
  parameter that chooses between `tables` (None: `field` does). A table has `rows` by normalised key, each
  `[key as written, value, *columns]`. `options` are the defaults of the optional parameters.
* `calculate`: compute from the numbers in `values`, by `operation`; `count_days`: days between the dates `first` and `second`.

Keys are found whatever their case, spaces, accents and punctuation. A call that fails is told so as data, `{"status": ...}`:
nothing raises, and no message repeats an argument. The functions below import what they use themselves, because
`source_of` copies them into the source of a tool.
"""

from __future__ import annotations

import ast
import inspect
import json
from collections.abc import Mapping
from functools import cache
from keyword import iskeyword
from typing import Any

MAX_HINTS = 3


def run_table(spec: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the result of a call.

    Args:
        spec: Specification of the tool.
        arguments: Arguments by name, anything at all.

    Returns:
        A flat JSON object. A call that failed has `status`: "not_found" (with `hint`, known keys at an edit distance of at
        most 2 from the given one) or "error" (with `message`).
    """
    try:
        if spec.get("deprecated"):
            return {"status": "error", "message": f"This tool is deprecated; use {spec['deprecated']}."}
        if any(name not in spec["parameters"] for name in arguments):
            return {"status": "error", "message": "There is an argument that this tool does not have."}
        given = {**spec["options"], **arguments}
        if spec["does"] == "look_up":
            return _look_up(spec, given)
        if spec["does"] == "count_days":
            return {spec["field"]: _days(given["first"], given["second"]) + (1 if given.get("inclusive") is True else 0)}
        value = calculate(given["operation"], given["values"])
        return {spec["field"]: round(value, int(given["decimals"])) if "decimals" in given else value}
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, ArithmeticError):
        return {"status": "error", "message": "An argument is missing, or is not of the kind that its description asks for."}


def calculate(operation: str, values: list[Any]) -> Any:
    """Return the result of an operation on numbers: whole numbers stay whole, others have at most six decimals.

    Args:
        operation: sum, difference (absolute), product, ratio (the first divided by the second), largest or smallest.
        values: Numbers, two for a difference and a ratio, at least one otherwise.

    Raises:
        ValueError: For another operation, or another number of values.
        TypeError: If a value is not a number.
        ZeroDivisionError: For a ratio to 0.
    """
    if not values or any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        raise TypeError("values are numbers")
    if operation in ("difference", "ratio") and len(values) != 2:
        raise ValueError("two values are needed")
    if operation == "sum":
        result = sum(values)
    elif operation == "difference":
        result = abs(values[0] - values[1])
    elif operation == "ratio":
        result = values[0] / values[1]
    elif operation == "product":
        result = 1
        for value in values:
            result *= value
    elif operation in ("largest", "smallest"):
        result = max(values) if operation == "largest" else min(values)
    else:
        raise ValueError("the operation is not known")
    return round(result, 6) if isinstance(result, float) else result


def plain_key(text: str) -> str:
    """Return a key without case, accents, punctuation and surplus spaces."""
    import unicodedata

    text = text.casefold()
    if not text.isascii():
        text = "".join(char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char))
    return " ".join("".join(char if char.isalnum() else " " for char in text).split())


def within_two(one: str, other: str) -> bool:
    """Whether two texts differ by at most two insertions, deletions and replacements of a character."""
    if abs(len(one) - len(other)) > 2:
        return False
    row = list(range(len(other) + 1))
    for place, char in enumerate(one, start=1):
        last, row[0] = row[0], place
        for at, with_char in enumerate(other, start=1):
            last, row[at] = row[at], min(row[at] + 1, row[at - 1] + 1, last + (char != with_char))
        if min(row) > 2:
            return False
    return row[-1] <= 2


def _look_up(spec: Mapping[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Find a record, filter it, and write it as the options ask."""
    field = spec["field"] if spec["attribute"] is None else given[spec["attribute"]]
    table, columns = spec["tables"][field], spec["columns"]
    wanted = _wanted(spec["keys"], given)
    rows = table["rows"]
    for names in wanted:
        row = rows.get("|".join(plain_key(name) for name in names))
        is_exact = given.get("match") == "exact"
        if row is not None and not (is_exact and row[0] != ", ".join(names)):
            record = dict(zip(columns, row[2:]))  # noqa: B905
            if _passes(record, given):
                return _written(spec, field, row[1], record, given)
    if given.get("on_missing") == "null":
        return {field: None}
    most = spec["hints"] if given.get("hints", True) is True else 0
    most = min(most, int(given.get("max_hints", most)))
    names = [plain_key(name) for name in wanted[0]]
    near = [row[0] for key, row in rows.items() if most > 0 and within_two("|".join(names), key)]
    return {"status": "not_found", "hint": near[:most]} if spec["hints"] else {"status": "not_found"}


def _wanted(keys: list[list[str]], given: Mapping[str, Any]) -> list[list[str]]:
    """Return the keys to try, in order; each is a list of names, one for every part of the key."""
    if keys[0][1] in ("list", "pair"):
        names = given[keys[0][0]]
        if not isinstance(names, list):
            raise TypeError("names come in a list")
        found = [names] if keys[0][1] == "pair" else [[name] for name in names]
    else:
        found = [[given[name]["name"] if form == "object" else given[name] for name, form in keys]]
    for names in found:
        for name in names:
            if not isinstance(name, str):
                raise TypeError("names are texts")
    return found[:5] if found else [[""]]


def _passes(record: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether a record passes the filters of a call."""
    for name in ("source", "state", "office"):
        if given.get(name, "any") not in ("any", record.get(name)):
            return False
    entered = record.get("entered", "")
    period = given.get("period", {})
    first = max(str(given.get("entered_from", "")), str(period.get("from", "")))
    last = min(str(given.get("entered_until", "9999")), str(period.get("until", "9999")))
    if entered and not first <= entered <= last:
        return False
    return bool(record.get("confidence", 1) >= given.get("min_confidence", 0))


def _written(
    spec: Mapping[str, Any], field: str, value: Any, record: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return a record as the options ask for it."""
    table = spec["tables"][field]
    result = {field: _value_as(table, value, given)}
    if "language" in given:
        result["kind"] = spec["labels"][given["language"]]
    if given.get("with_records") is True:
        result["records"] = len(table["rows"])
    shown = [*spec["shows"], *given.get("show", [])]
    for name, content in record.items():
        if name in shown or given.get("with_" + name) is True:
            result[name] = _date_as(content, given) if name == "entered" else content
    return result


def _value_as(table: Mapping[str, Any], value: Any, given: Mapping[str, Any]) -> Any:
    """Return the value in the unit and the form asked for."""
    if isinstance(value, str):
        if table["kind"] == "date":
            return _date_as(value, given)
        case = given.get("letter_case", "as_written")
        return value.upper() if case == "upper" else value.lower() if case == "lower" else value
    if table["kind"] == "year":
        return value
    factor = 1.0
    if "unit" in given and given["unit"] != table["unit"]:
        factor = table["units"][given["unit"]] / table["units"][table["unit"]]
    if given.get("scale", 1) != 1:
        factor = factor * float(given["scale"])
    if factor != 1:
        value = round(value * factor, 6)
    if given.get("significant_digits", 0) > 0:
        rounded = float(f"{value:.{int(given['significant_digits'])}g}")
        value = rounded if isinstance(value, float) else int(rounded)
    style = given.get("number_format", "number")
    return value if style == "number" else format(value, ",") if style == "grouped" else str(value)


def _date_as(text: str, given: Mapping[str, Any]) -> str:
    """Return a date in the form asked for."""
    year, month, day = text.split("-")
    style = given.get("date_format", "iso")
    return text if style == "iso" else f"{day}.{month}.{year}" if style == "day_first" else f"{month}/{day}/{year}"


def _days(first: str, second: str) -> int:
    """Return the number of days between two dates, in either order."""
    from datetime import date

    ends = []
    for text in (first, second):
        year, month, day = text.split("-")
        ends.append(date(int(year), int(month), int(day)).toordinal())
    return abs(ends[0] - ends[1])


_COPIED = (run_table, calculate, plain_key, within_two, _look_up, _wanted, _passes, _written, _value_as, _date_as, _days)


def source_of(name: str, schema: Mapping[str, Any], spec: Mapping[str, Any]) -> str:
    """Return a tool as the source of one Python function, which needs nothing but the standard library.

    Args:
        name: Name of the function.
        schema: Schema of its arguments; required ones come first, the others have the defaults of the schema.
        spec: Specification of the tool.

    Raises:
        ValueError: If a name is not one that Python takes.
        KeyError: If an optional argument has no default.
    """
    for word in (name, *schema["properties"]):
        if not word.isidentifier() or iskeyword(word):
            raise ValueError(f"{word!r} is not a name in Python")
    required = schema.get("required", [])
    options = {key: inner["default"] for key, inner in schema["properties"].items() if key not in required}
    parameters = ", ".join([*required, *(f"{key}={value!r}" for key, value in options.items())])
    given = ", ".join(f"{key!r}: {key}" for key in schema["properties"])
    data = json.dumps(spec, ensure_ascii=True, separators=(",", ":"))
    return (
        f"def {name}({parameters}):\n    import json\n\n{_helpers()}\n\n"
        f"    spec = json.loads({data!r})\n    return run_table(spec, {{{given}}})\n"
    )


@cache
def _helpers() -> str:
    """Return the source of the interpreter, without annotations and docstrings, indented once."""
    texts = []
    for function in _COPIED:
        tree = ast.parse(inspect.getsource(function)).body[0]
        assert isinstance(tree, ast.FunctionDef)
        tree.body, tree.returns = tree.body[1:], None
        for argument in tree.args.args:
            argument.annotation = None
        texts.append("\n".join(f"    {line}" for line in ast.unparse(tree).splitlines()))
    return "\n".join(texts)


__all__ = ["MAX_HINTS", "calculate", "plain_key", "run_table", "source_of", "within_two"]
