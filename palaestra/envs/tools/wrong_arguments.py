"""Wrong arguments of a call, in words for the agent: what came, what was expected, and what may have been meant."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from palaestra.envs.tools.schema import MAX_NAMES, Schema, describe
from palaestra.types import Json

MAX_SHOWN = 80
MAX_PROBLEMS = 4


def problems_of(errors: Iterable[Mapping[str, Any]], arguments: Mapping[str, Json], root: Schema) -> list[str]:
    """Say for each wrong argument what was received and what was expected.

    Args:
        errors: Pydantic's, as plain data.
        arguments: The arguments of the call.
        root: Schema of the arguments.
    """
    properties = root["properties"]
    by_argument: dict[str, list[str]] = {}
    for error in errors:
        location = error["loc"]
        if not location:
            by_argument.setdefault("", []).append(f"the arguments are not usable: {error['msg']}")
            continue
        name = str(location[0])
        path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)[1:]
        if error["type"] == "missing" and len(location) == 1:
            text = f"argument {name!r} is missing; expected {expectation(properties[name], root)}"
        elif error["type"] == "extra_forbidden" and len(location) == 1:
            text = unexpected(name, arguments, list(properties))
        elif len(location) == 1 or "anyOf" in properties[name]:
            text = f"argument {name!r} is {shown(arguments.get(name))}; expected {expectation(properties[name], root)}"
        else:
            wanted = error["msg"].removeprefix("Input should be ").rstrip(".")
            text = f"argument {path!r} is {shown(error['input'])}; expected {wanted}"
            if error["type"] == "missing":
                text = f"argument {path!r} is missing"
        if text not in by_argument.setdefault(name, []):
            by_argument[name].append(text)
    return limited(text for group in by_argument.values() for text in group)


def limited(texts: Iterable[str]) -> list[str]:
    """Return the first few problems, and how many more there are."""
    texts = list(texts)
    return texts[:MAX_PROBLEMS] + ([f"and {len(texts) - MAX_PROBLEMS} more problems"] if len(texts) > MAX_PROBLEMS else [])


def without_nulls(arguments: Mapping[str, Json], parameters: Sequence[str], required: Sequence[str]) -> dict[str, Json] | None:
    """Leave out optional arguments that are null, as strict schemas write them; None if there are none."""
    left = {k: v for k, v in arguments.items() if v is not None or k in required or k not in parameters}
    return left if len(left) < len(arguments) else None


def expectation(schema: Schema | bool, root: Schema) -> str:
    """Say what an argument must be, with its description."""
    note = schema.get("description") if isinstance(schema, dict) else None
    return describe(schema, root) + (f" ({note.rstrip('.')})" if note else "")


def unexpected(name: str, arguments: Mapping[str, Json], parameters: Sequence[str]) -> str:
    """Say that an argument does not exist, and which one may be meant."""
    free = [parameter for parameter in parameters if parameter not in arguments]
    near = difflib.get_close_matches(name[:64], free, n=1, cutoff=0.5)
    advice = f"; did you mean {near[0]!r}?" if near else f"; the arguments are: {listed(parameters) or 'none'}"
    return f"there is no argument {cut(name)!r}{advice}"


def listed(names: Sequence[str]) -> str:
    """List names, the first of many."""
    return ", ".join(names[:MAX_NAMES]) + (f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else "")


def shown(value: object) -> str:
    """Return a value as JSON, cut to a readable length; characters that cannot be sent are escaped."""
    try:
        text = json.dumps(value, ensure_ascii=False)
        text.encode()
    except UnicodeEncodeError:
        text = json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        text = repr(value) if not isinstance(value, (dict, list)) else f"a {type(value).__name__} that is not JSON"
    return cut(text)


def cut(text: str) -> str:
    """Cut a long text."""
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}... ({len(text)} characters)"


__all__ = ["cut", "expectation", "limited", "listed", "problems_of", "shown", "unexpected", "without_nulls"]
