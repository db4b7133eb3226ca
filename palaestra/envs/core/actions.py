"""What an agent sent: whether it can be used at all, and how it is shown."""

from __future__ import annotations

from palaestra.envs.core.tasks import Task
from palaestra.errors import UsageError
from palaestra.spaces import MAX_ACTION_CHARS, is_unicode
from palaestra.types import Message


def unusable(action: object) -> str | None:
    """Return why an action cannot even be read, for the agent; None if it can.

    Args:
        action: Anything that was given to `step`.

    Raises:
        UsageError: If the caller passed something other than a text or an assistant message.
    """
    if isinstance(action, str):
        text = action
    elif isinstance(action, Message):
        if action.role != "assistant":
            raise UsageError(f"The action is a message with role {action.role!r}; expected 'assistant'.")
        if action.error:
            return action.error
        text = action.content
    else:
        raise UsageError(f"The action is a {type(action).__name__}; expected a str or an assistant Message.")
    if len(text) > MAX_ACTION_CHARS:
        return f"Your message has {len(text)} characters; at most {MAX_ACTION_CHARS} are read. Send a shorter one."
    if not is_unicode(text):
        return "Your message is not valid Unicode (it holds lone surrogates). Send it again as plain text."
    return None


def show_turn(task: Task | None, num_turns: int, score: float, action: str | Message | None, observation: str) -> str:
    """Return a turn as a text for people: where the episode stands, the last action, what the agent is shown now.

    Args:
        task: The task, None before the first `reset`.
        num_turns: Actions played so far.
        score: The score so far.
        action: The last action, None if there was none.
        observation: The current observation.
    """
    if task is None:
        return "(not started)"
    said = "" if action is None else f"> {_action_text(action)}\n"
    return f"[{task.key}] turn {num_turns}, score {score:g}\n{said}{observation}"


def _action_text(action: str | Message) -> str:
    """Return the text of an action, else the names of the tools that it calls."""
    if isinstance(action, str):
        return action
    return action.content or ", ".join(call.name for call in action.tool_calls)


__all__ = ["show_turn", "unusable"]
