"""What all wrappers share: types of text in and text out, and the message that an action stands for."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium

from palaestra.types import Message

Action = str | Message
Env = gymnasium.Env[str, Action]
TextWrapper = gymnasium.Wrapper[str, Action, str, Action]
Result = tuple[str, SupportsFloat, bool, bool, dict[str, Any]]


def message_of(action: Action) -> Message:
    """Return the assistant message that an action stands for."""
    return action if isinstance(action, Message) else Message("assistant", action)


__all__ = ["Action", "Env", "Result", "TextWrapper", "message_of"]
