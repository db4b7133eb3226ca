"""Fields of whole trajectories in files of others: checked before an episode is made of them.

`Trajectory.from_json` takes what the store wrote as it is, quickly. A file may hold anything, so that its records are checked
here, and keys that a data set filled with nulls are taken out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from palaestra.agents.export.record_fields import is_finite, read_success, read_weight
from palaestra.errors import UsageError
from palaestra.types import Json

_TEXTS = ("episode_id", "env_id", "agent", "instructions", "final_observation", "group_id", "seat")
_OBJECTS = ("task", "outcome", "usage", "meta", "seats")
_LISTS = ("tools", "steps", "segments")
_ACTION_TEXTS = ("content", "tool_call_id", "name", "reasoning", "raw", "error", "finish_reason")


def whole_fields(record: Mapping[str, Json]) -> dict[str, Json]:
    """Return the fields of a whole trajectory as `Trajectory.from_json` takes them, without nulls.

    Args:
        record: What stands in a file.

    Raises:
        UsageError: If a field is not what a trajectory has there; the text names the field.
    """
    data = _present(record)
    for name in ("episode_id", "env_id", "task"):
        if name not in data:
            raise UsageError(
                f"it is not a trajectory, without {name}; write it with the format 'jsonl', or read it with "
                f"load_conversations()."
            )
    _expect(data, _TEXTS, str, "a text")
    _expect(data, _OBJECTS, Mapping, "an object")
    _expect(data, _LISTS, list, "a list")
    for name in ("key", "split", "type"):
        value = data["task"].get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
            raise _wrong(f"task.{name}", value, "a text")
    for number, tool in enumerate(data.get("tools", ())):
        if not isinstance(tool, Mapping):
            raise _wrong(f"tools[{number}]", tool, "an object")
    data["steps"] = [_step(step, f"steps[{number}]") for number, step in enumerate(data.get("steps", ()))]
    data["outcome"] = _outcome(data.get("outcome", {}))
    if "usage" in data:
        data["usage"] = _present(data["usage"])
    if "meta" in data:
        meta = _present(data["meta"]) if data["meta"].get("weight", 0) is None else data["meta"]
        read_weight(meta.get("weight"), "meta.weight")
        data["meta"] = meta
    return data


def _step(value: Any, field: str) -> dict[str, Json]:
    """Return the fields of a step."""
    if not isinstance(value, Mapping):
        raise _wrong(field, value, "an object")
    step = _present(value)
    for name, kind, wanted in (("observation", str, "a text"), ("action", Mapping, "an object")):
        if not isinstance(step.get(name), kind):
            raise _wrong(f"{field}.{name}", step.get(name), wanted)
    if "reward" in step:
        _check_number(step["reward"], f"{field}.reward")
    _expect(step, ("terminated", "truncated"), bool, "true or false", field)
    _expect(step, ("info",), Mapping, "an object", field)
    _expect(step, ("seat", "state_hash"), str, "a text", field)
    step["action"] = _action(step["action"], f"{field}.action")
    return step


def _action(value: Mapping[str, Json], field: str) -> dict[str, Json]:
    """Return the fields of an action."""
    action = _present(value)
    if action.get("role") != "assistant":
        raise _wrong(f"{field}.role", action.get("role"), "'assistant'")
    _expect(action, _ACTION_TEXTS, str, "a text", field)
    _expect(action, ("tool_calls", "media"), list, "a list", field)
    _expect(action, ("provider",), Mapping, "an object", field)
    calls: list[Json] = []
    for number, call in enumerate(action.get("tool_calls", ())):
        place = f"{field}.tool_calls[{number}]"
        if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
            raise _wrong(place, call, "a call with a name and arguments")
        call = _present(call)
        _expect(call, ("arguments",), (Mapping, str), "an object, or its JSON as a text", place)
        _expect(call, ("id",), str, "a text", place)
        _expect(call, ("provider",), Mapping, "an object", place)
        calls.append(call)
    return {**action, "tool_calls": calls} if calls else action


def _outcome(value: Mapping[str, Json]) -> dict[str, Json]:
    """Return the fields of an outcome."""
    outcome = _present(value)
    if "score" in outcome:
        _check_number(outcome["score"], "outcome.score")
    try:
        outcome["success"] = read_success(outcome.get("success"))
    except UsageError as error:
        raise UsageError(f"outcome.{error}") from None
    _expect(outcome, ("stop_reason",), str, "a text", "outcome")
    _expect(outcome, ("error", "metrics"), Mapping, "an object", "outcome")
    if "error" in outcome:
        outcome["error"] = _present(outcome["error"])
        for name in ("boundary", "type", "message"):
            if not isinstance(outcome["error"].get(name), str):
                raise _wrong(f"outcome.error.{name}", outcome["error"].get(name), "a text")
    if "metrics" in outcome:
        outcome["metrics"] = _present(outcome["metrics"])
        for name, number in outcome["metrics"].items():
            _check_number(number, f"outcome.metrics[{name!r}]")
    return outcome


def _present(fields: Mapping[str, Json]) -> dict[str, Json]:
    """Return fields without those that are null, as data sets fill in what a row does not have."""
    return {name: value for name, value in fields.items() if value is not None}


def _expect(
    fields: Mapping[str, Json], names: tuple[str, ...], kind: type | tuple[type, ...], wanted: str, place: str = ""
) -> None:
    """Refuse fields that are there and of another kind."""
    for name in names:
        if name in fields and not isinstance(fields[name], kind):
            raise _wrong(f"{place}.{name}" if place else name, fields[name], wanted)


def _check_number(value: Json, field: str) -> None:
    """Refuse what is not a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not is_finite(value):
        raise _wrong(field, value, "a finite number")


def _wrong(field: str, value: Json, wanted: str) -> UsageError:
    """Return the error of a field."""
    text = repr(value)
    return UsageError(f"{field} is {text if len(text) <= 80 else f'{text[:77]}...'}; expected {wanted}.")


__all__ = ["whole_fields"]
