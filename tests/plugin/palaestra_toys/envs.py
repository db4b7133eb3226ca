"""The ids of this package; `palaestra.envs` names `register` in its entry points."""

import gymnasium

MEETING_ID = "toys/Meeting-v0"


def register() -> None:
    """Register every environment of this package, each once."""
    if MEETING_ID not in gymnasium.registry:
        gymnasium.register(
            MEETING_ID,
            entry_point="palaestra_toys.meeting:MeetingEnv",
            vector_entry_point=f"palaestra.envs.core.vector:{MEETING_ID}",
            order_enforce=False,
            kwargs={"max_turns": 8},
        )
