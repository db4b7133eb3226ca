"""Actions that mean nothing, or nothing yet, to see what an environment says to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from palaestra.envs.audit.play import Start, Step, drawn
from palaestra.envs.audit.subject import Subject
from palaestra.envs.formats.hermes import format_call
from palaestra.types import ToolCall

MAX_TOOLS = 6  # that are called without arguments
DRAWN = 8  # well-formed actions
NONSENSE = "xyzzy plugh"
UNKNOWN_TOOL = "no_such_tool"


def malformed(info: Mapping[str, Any]) -> Iterator[str]:
    """Yield texts that no environment can do anything with: nonsense, unknown tools, calls without their arguments.

    Args:
        info: What `reset` said; its tools are called wrongly.
    """
    yield ""
    yield NONSENSE
    yield format_call(ToolCall(UNKNOWN_TOOL, {}))
    for tool in _tools(info)[:MAX_TOOLS]:
        function = tool["function"]
        if required := function.get("parameters", {}).get("required"):
            yield format_call(ToolCall(function["name"], {}))
            yield format_call(ToolCall(function["name"], {name: ["?"] for name in required}))


def refusals(subject: Subject, start: Start) -> list[tuple[Step, tuple[Step, ...]]]:
    """Return steps with drawn actions that were refused in the middle of an episode, each with the steps before it."""
    played = subject.play(start, drawn(DRAWN), stream="leaks.drawn")
    steps = tuple(played.steps[: len(played.steps) - played.is_over])
    return [(step, steps[:turn]) for turn, step in enumerate(steps) if was_refused(step.info)]


def was_refused(info: Mapping[str, Any]) -> bool:
    """Whether an action, or a call in it, was refused, as the info of its step says."""
    results: Sequence[Any] = info.get("tool_results") or ()
    return bool(info.get("action_error")) or any(getattr(result, "status", "ok") != "ok" for result in results)


def _tools(info: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tools that an info tells of, as far as they can be read."""
    found = info.get("tools") or ()
    return [tool for tool in found if isinstance(tool, Mapping) and isinstance(tool.get("function"), Mapping)]


__all__ = ["NONSENSE", "UNKNOWN_TOOL", "malformed", "refusals", "was_refused"]
