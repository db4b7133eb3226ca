"""Errors injected on purpose (`palaestra.envs.InjectErrors`), as the transcript viewer marks them below a step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from palaestra.results.tables import StepBlock

_GOOD = ("correct", "proceed", "correction_without_reflection", "retry_succeeded")


def injected_blocks(info: Mapping[str, Any]) -> list[StepBlock]:
    """Return blocks on the error that befell a step and on the answer to one; nothing for a step without either.

    Args:
        info: The step's info as it was stored.
    """
    found = []
    if isinstance(injection := info.get("injection"), Mapping):
        found.append(_error(injection))
    if isinstance(critique := info.get("critique"), Mapping):
        found.append(_answer(critique))
    return found


def _error(injection: Mapping[str, Any]) -> StepBlock:
    """Return the block on an error, or on why there was none."""
    if "label" not in injection:
        return StepBlock("No error was injected", notes=(str(injection.get("why", "")),))
    calls = [
        (title, _call(injection[name]))
        for title, name in (("Right call", "call"), ("Run instead of it", "wrong"))
        if isinstance(injection.get(name), Mapping)
    ]
    result = injection.get("result")
    said = [("Result", str(result.get("content", "")))] if isinstance(result, Mapping) else []
    tags = [str(injection.get(name) or "") for name in ("mode", "kind")]
    return StepBlock(
        "Injected error again" if injection.get("again") else "Injected error",
        verdict=str(injection["label"]),
        mark="bad",
        tags=tuple(tag for tag in tags if tag),
        notes=(f"failure {injection['failures']} of this call",) if "failures" in injection else (),
        details=(*calls, *said),
    )


def _answer(critique: Mapping[str, Any]) -> StepBlock:
    """Return the block on what an agent made of an error."""
    recovery = _recovery(critique)
    if critique.get("again"):
        is_back = bool(critique.get("recovered"))
        return StepBlock("In the end", verdict=recovery, mark="good" if is_back else "bad")
    behaviour = str(critique.get("behaviour", ""))
    parts = critique.get("components")
    notes = [f"{name} {value:g}" for name, value in parts.items()] if isinstance(parts, Mapping) else []
    if critique.get("claim"):
        notes.append(f"claims {critique['claim']}")
    if critique.get("retries"):
        notes.append(f"{critique['retries']} retr{'y' if critique['retries'] == 1 else 'ies'}")
    notes += [recovery] if recovery else []
    return StepBlock(
        "Answer to the injected error" if "recovered" in critique else "Critique",
        verdict=behaviour.replace("_", " "),
        mark="good" if behaviour in _GOOD else "bad" if behaviour else "",
        notes=tuple(notes),
    )


def _recovery(critique: Mapping[str, Any]) -> str:
    """Return whether and when the agent recovered, in words; empty where there was no error."""
    if "recovered" not in critique:
        return ""
    steps = critique.get("steps_to_recovery")
    return f"recovered after {steps} step{'' if steps == 1 else 's'}" if critique["recovered"] else "not recovered"


def _call(call: Mapping[str, Any]) -> str:
    """Return a call as a line."""
    return f"{call.get('name', '')} {json.dumps(call.get('arguments', {}), ensure_ascii=False)}"


__all__ = ["injected_blocks"]
