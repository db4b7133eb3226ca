"""What AgentGym's server and client say, for `compat="upstream"`.

The server plays games of the dialect "put". It leaves out the first paragraph of the first text, and later the sentence
`You arrive at loc N. `. A message that its client cannot read never reaches it.

Source: WooooDyy/AgentGym, agentenv-alfworld and the client in agentenv.
"""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.types import Json

_ARRIVAL = "You arrive at loc "


def first_reply(intro: str, commands: Sequence[str], task_type: str) -> dict[str, Json]:
    """Return the reply to `POST /reset`, without the id.

    Args:
        intro: The first text of the game.
        commands: The admissible commands.
        task_type: Name of the type of the task.
    """
    observation = "\n".join(intro.split("\n\n")[1:])
    return {"observation": observation, "available_actions": list(commands), "task_type": task_type}


def reply(text: str, commands: Sequence[str], *, is_won: bool) -> dict[str, Json]:
    """Return the reply to `POST /step`.

    Args:
        text: What the game says.
        commands: The admissible commands.
        is_won: Whether the goal is reached.
    """
    observation = text.partition(". ")[2] if text.startswith(_ARRIVAL) else text
    return {"observation": observation, "reward": float(is_won), "available_actions": list(commands), "done": is_won}


def shown_by_client(observation: str, commands: Sequence[str]) -> str:
    """Return the first observation as the client shows it: with the commands."""
    return f"{observation}\nAVAILABLE ACTIONS: {','.join(commands)}"


def never_sent(observation: str, commands: Sequence[str]) -> dict[str, Json]:
    """Return the words of the client about a message that it cannot read.

    Args:
        observation: The last observation.
        commands: The admissible commands.
    """
    text = f"Invalid Action.\n\n{shown_by_client(observation, commands)}"
    return {"observation": text, "reward": 0.0, "available_actions": list(commands), "done": False}


__all__ = ["first_reply", "never_sent", "reply", "shown_by_client"]
