"""The ids of this package; `palaestra.envs` names `register` in its entry points."""

import gymnasium

from palaestra.envs.registration import register_env

LAMP_ID = "toys/Lamp-v0"
BACKWARDS_ID = "toys/Backwards-v0"
LIGHTHOUSE_ID = "toys/Lighthouse-v0"
MEETING_ID = "toys/Meeting-v0"


def register() -> None:
    """Register every environment of this package, each once."""
    _register(MEETING_ID, "palaestra_toys.meeting:MeetingEnv", max_turns=8)
    _register(LAMP_ID, "palaestra_toys.lamp:LampEnv", max_turns=5)
    _register(BACKWARDS_ID, "palaestra_toys.backwards.env:BackwardsEnv", max_turns=3)
    register_env(
        LIGHTHOUSE_ID,
        "palaestra_toys.lighthouse:LighthouseEnv",
        arguments=("address",),
        cost="engine",
        for_tests="palaestra_toys.lighthouse:partner",
    )


def _register(env_id: str, entry_point: str, **kwargs: object) -> None:
    """Register one environment with the fast vector environment for text."""
    if env_id not in gymnasium.registry:
        gymnasium.register(
            env_id,
            entry_point=entry_point,
            vector_entry_point=f"palaestra.envs.core.vector:{env_id}",
            order_enforce=False,
            kwargs=dict(kwargs),
        )
