"""What all wrappers share: types of text in and text out, and the message that an action stands for."""

from __future__ import annotations

from typing import Any, SupportsFloat

import gymnasium

from palaestra.envs.core.actions import as_action
from palaestra.media.store import read_known_tags
from palaestra.types import Message

Action = str | Message
Env = gymnasium.Env[str, Action]
TextWrapper = gymnasium.Wrapper[str, Action, str, Action]
Result = tuple[str, SupportsFloat, bool, bool, dict[str, Any]]


def message_of(action: Action) -> Message:
    """Return the assistant message that an action stands for."""
    action = as_action(action)
    if isinstance(action, Message):
        return action
    content, media = read_known_tags(action)
    return Message("assistant", content, media=media)


__all__ = ["Action", "Env", "Result", "TextWrapper", "message_of"]
