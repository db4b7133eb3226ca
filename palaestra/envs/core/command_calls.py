"""From the text of a command back to the call of its tool.

The shape of the texts is found by writing a few calls of every tool: what stands where an argument was is that argument. A
call is returned only if it writes exactly the text that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from palaestra.envs.tools.sampling import ToolSampler
from palaestra.types import Json, ToolCall, ToolResult

_NUM_DRAWN = 8  # calls of a tool that are written to see its texts


class _Shape(NamedTuple):
    """One form of the texts of a tool.

    Attributes:
        pattern: Matches them, with a group for each argument.
        tool: The tool.
        names: The arguments, in the order of the groups.
        whole: Which of them are integers.
    """

    pattern: re.Pattern[str]
    tool: str
    names: tuple[str, ...]
    whole: frozenset[str]


class CommandCalls:
    """Reads commands as calls.

    Args:
        call: Returns the text of a command with status "ok" for a call that is right.
        schemas: OpenAI function schemas of the tools.
    """

    def __init__(self, call: Callable[[ToolCall], ToolResult], schemas: Sequence[dict[str, Any]]) -> None:
        """Write some calls of every tool."""
        self._call = call
        found: dict[tuple[str, tuple[str, ...]], _Shape] = {}
        rng = np.random.default_rng(0)
        for schema in schemas:
            sampler = ToolSampler((schema,))
            for _ in range(_NUM_DRAWN):
                drawn = sampler.draw_call(rng)
                written = call(drawn)
                shape = _shape_of(drawn, written.content) if written.status == "ok" else None
                if shape is not None:
                    found.setdefault((shape.tool, shape.names), shape)
        self._shapes = sorted(found.values(), key=lambda shape: (len(shape.names), -len(shape.pattern.pattern)))

    def read(self, text: str) -> ToolCall | None:
        """Return the call that writes a text; None if none is known."""
        text = text.strip()
        for shape in self._shapes:
            if (match := shape.pattern.fullmatch(text)) is None:
                continue
            arguments: dict[str, Json] = {
                name: int(value) if name in shape.whole else value
                for name, value in zip(shape.names, match.groups(), strict=True)
            }
            made = ToolCall(shape.tool, arguments)
            written = self._call(made)
            if written.status == "ok" and written.content == text:
                return made
        return None


def _shape_of(call: ToolCall, text: str) -> _Shape | None:
    """Return the form of a text; None if an argument does not stand in it once and as it is."""
    assert not isinstance(call.arguments, str)
    spans: list[tuple[int, int, str]] = []
    for name, value in call.arguments.items():
        if isinstance(value, bool) or not isinstance(value, (str, int)) or not str(value):
            return None
        places = [found.span() for found in re.finditer(rf"(?<!\w){re.escape(str(value))}(?!\w)", text)]
        if len(places) != 1:
            return None
        spans.append((*places[0], name))
    spans.sort()
    pattern, at = "", 0
    for start, end, name in spans:
        if start < at:
            return None
        pattern += re.escape(text[at:start]) + (r"(-?\d{1,9})" if isinstance(call.arguments[name], int) else r"(\S.*?)")
        at = end
    whole = frozenset(name for name, value in call.arguments.items() if isinstance(value, int))
    return _Shape(re.compile(pattern + re.escape(text[at:])), call.name, tuple(name for *_, name in spans), whole)


__all__ = ["CommandCalls"]
