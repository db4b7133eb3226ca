"""What agents' own code did wrong around an episode: where it raised, what it returned, and how it closed."""

from __future__ import annotations

import logging
import os
from typing import Any

from palaestra.agents.core import Agent, AgentRecord
from palaestra.agents.masking import masked, masked_message
from palaestra.errors import PalaestraError, UsageError

log = logging.getLogger(__name__)

_BETWEEN = frozenset({"palaestra", "asyncio", "concurrent", "contextlib", "copy", "threading"})
"""Packages whose frames stand between the engine and the code of an agent."""


class NotARecord(UsageError):
    """An agent's `record()` returned something else: a mistake in its code, which ends the run."""


class Exited(Exception):
    """Carries a `SystemExit` of an agent out of a task, in which asyncio would end the loop."""

    def __init__(self, original: BaseException) -> None:
        """Keep what was raised."""
        super().__init__(str(original))
        self.original = original


def place_of(error: BaseException) -> str:
    """Return where code outside of this package raised an error, e.g. "Crafter.act, my_agents.py:12"; empty if it did not.

    Args:
        error: Any exception but those of this package, whose messages say all.
    """
    if isinstance(error, PalaestraError):
        return ""
    found = error.__traceback__
    while found is not None and str(found.tb_frame.f_globals.get("__name__", "")).partition(".")[0] in _BETWEEN:
        found = found.tb_next
    if found is None:
        return ""
    code, line = found.tb_frame.f_code, found.tb_lineno
    while found is not None:  # the innermost line of the file in which the code was entered
        line = found.tb_lineno if found.tb_frame.f_code.co_filename == code.co_filename else line
        found = found.tb_next
    return f"{code.co_qualname.replace('<locals>.', '')}, {os.path.basename(code.co_filename)}:{line}"


def told(error: BaseException) -> str:
    """Return type, message and place of an error of an agent's code."""
    place = place_of(error)
    message = f"{type(error).__name__}: {error}".removesuffix(": ")
    return f"{message} (in {place})" if place else message


def forked(agent: Agent) -> Agent:
    """Return a fork of an agent.

    Raises:
        UsageError: If its `fork()` returned something else.
    """
    found: Any = agent.fork()
    if isinstance(found, Agent):
        return found
    shown = "None" if found is None else f"a {type(found).__name__}"
    raise UsageError(
        f"{agent.name}.fork() returned {shown}; expected an Agent. Return an independent one (itself, if it keeps nothing "
        f"between two turns)."
    )


def as_record(found: object, name: str) -> AgentRecord:
    """Return the result of a `record()`, checked.

    Args:
        found: What it returned.
        name: Of the agent.

    Raises:
        NotARecord: If it is not an `AgentRecord`.
    """
    if isinstance(found, AgentRecord):
        return found
    shown = "None" if found is None else f"a {type(found).__name__}"
    raise NotARecord(f"{name}.record() returned {shown}; expected an AgentRecord. Return one, or leave record() out.")


def recorded(agent: Agent) -> AgentRecord:
    """Return the record of an agent.

    Raises:
        NotARecord: If its `record()` returned something else.
    """
    return as_record(agent.record(), agent.name)


def check_forks(agent: Agent) -> None:
    """Fork an agent with a `fork` of its own once, before anything is played.

    Raises:
        UsageError: If it raises or returns something that is not an agent.
    """
    if (getattr(agent.fork, "__module__", "") or "").partition(".")[
        0
    ] == "palaestra":  # these are known, and may build a model
        return
    try:
        forked(agent)
    except PalaestraError:
        raise
    except (Exception, SystemExit) as error:
        raise UsageError(f"{agent.name}.fork() raised {told(error)}. Correct it: every episode plays with a fork.") from error


async def close_after(agent: Agent) -> None:
    """Close an agent when everything is played: a failure is a warning, for the results stand."""
    try:
        await agent.aclose()
    except (Exception, SystemExit) as error:
        name, problem = masked(agent.name), masked_message(told(error))
        log.warning("The agent %r could not be closed: %s. What it played is kept.", name, problem)


__all__ = ["Exited", "NotARecord", "as_record", "check_forks", "close_after", "forked", "place_of", "recorded", "told"]
