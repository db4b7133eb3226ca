"""The settings that agents tell of themselves, checked before they are recorded."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from palaestra.agents.core import Agent
from palaestra.agents.evaluation.resuming import player_record
from palaestra.agents.users_code import told
from palaestra.errors import PalaestraError, UsageError
from palaestra.types import Json, plain


def checked_record(agent: Agent, make_env: Callable[..., Any] | None, *, is_of_training: bool) -> dict[str, Json]:
    """Return `player_record` of an agent.

    Raises:
        UsageError: If a `shaped_by()` raises, or returns something else than a dict of plain JSON.
    """
    try:
        record = player_record(agent, make_env, is_of_training=is_of_training)
        json.dumps(record, allow_nan=False)
        if all(isinstance(one, dict) for one in (record["agent_settings"], *record.get("seat_settings", {}).values())):
            return record
    except PalaestraError:
        raise
    except (Exception, SystemExit) as error:
        raise _refused(agent) or UsageError(f"The record of the agent {agent.name!r} failed: {told(error)}.") from error
    raise _refused(agent) or UsageError(f"The settings of the agent {agent.name!r} are not a dict.")


def _refused(agent: Agent) -> UsageError | None:
    """Return the error that says which agent told something that cannot be recorded."""
    others: Mapping[str, Agent] = getattr(agent, "others", {}) if agent.seats else {}
    for one in (agent, *others.values()):
        try:
            found: Any = one.shaped_by()
            problem = "" if isinstance(found, Mapping) else f"returned a {type(found).__name__}"
            json.dumps(plain(found), allow_nan=False)
        except (Exception, SystemExit) as error:
            problem = f"cannot be recorded ({told(error)})"
        if problem:
            return UsageError(
                f"shaped_by() of the agent {one.name!r} {problem}; expected a dict of plain JSON: texts, finite numbers, "
                f"true, false, None, lists and dicts of these. Name a setting by a text, e.g. str(value)."
            )
    return None


__all__ = ["checked_record"]
