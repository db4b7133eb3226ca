"""The messages that a model gets: those of an item, with what it is told about errors in the system message.

The wording is this package's own. It stands in front of the closing reminder of the system message where there is one, else
at its end. Items are never changed.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from palaestra.envs.wrappers.injection.critique import DEFINITIONS
from palaestra.types import Json

Mode = Literal["internal", "skip", "finish"]
"""What is judged: a step after a wrong or right one, or how a failure of the environment is met."""
MODES: tuple[Mode, ...] = ("internal", "skip", "finish")
Form = Literal["json", "calls"]
"""How actions are written: one JSON object in the text, or native tool calls."""

REMINDER = "Remember: only generate ONE step each time"


def instruction(mode: Mode, *, cot: bool = False, form: Form = "json") -> str:
    """Return the text that tells a model about errors.

    Args:
        mode: What is judged.
        cot: Whether a thought is asked for.
        form: How actions are written.
    """
    texts = _texts()
    own = texts if form == "json" else {**texts, **texts["calls"]}
    text: str = own["internal" if mode == "internal" else "external"].replace("@THOUGHT@", own["thought"] if cot else "")
    errors = "\n".join(f"- {label}: {about}." for label, about in DEFINITIONS.items())
    return text.replace("@ERRORS@", errors).replace("@AFTER@", "" if mode == "internal" else own[mode]).strip()


def with_instruction(
    messages: Sequence[Mapping[str, Json]], mode: Mode, *, cot: bool = False, form: Form = "json"
) -> list[dict[str, Json]]:
    """Return messages with the instruction in the first system message; without one, in one of its own.

    Args:
        messages: Messages with role and content; they stay as they are.
        mode: What is judged.
        cot: Whether a thought is asked for.
        form: How actions are written.
    """
    told = [dict(message) for message in messages]
    place = next((message for message in told if message.get("role") == "system"), None)
    if place is None:
        return [{"role": "system", "content": instruction(mode, cot=cot, form=form)}, *told]
    place["content"] = insert(str(place.get("content", "")), instruction(mode, cot=cot, form=form))
    return told


def insert(system: str, block: str) -> str:
    """Return a system message with a block in front of its closing reminder, or at its end.

    Args:
        system: The message.
        block: The text to insert.
    """
    before, mark, after = system.rpartition(REMINDER)
    if not mark:
        return f"{system.rstrip()}\n{block}".lstrip()
    return f"{before.rstrip()}\n{block}\n{mark}{after}".lstrip()


@cache
def _texts() -> dict[str, Any]:
    """Return the texts of the package."""
    return tomllib.loads((files("palaestra.envs.critic") / "blocks.toml").read_text(encoding="utf-8"))


__all__ = ["MODES", "REMINDER", "Form", "Mode", "insert", "instruction", "with_instruction"]
