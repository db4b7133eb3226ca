"""Wrappers that change how an environment is played, not what it is; one idea a file.

`TurnLimit` stops long episodes, `RecordTrajectory` keeps what was played, `RewardNoise` adds noise to rewards, `InjectErrors`
makes calls of tools go wrong, and `TransformObservationText`, `MoveInstructions` and `TruncateObservation` change what the
agent reads. All of them take any environment with text in and out, pickle if what they are given pickles, and stand in
`env.spec` with their arguments.
"""

from palaestra.envs.wrappers.injection import InjectErrors, Plan, PlanSampler
from palaestra.envs.wrappers.move_instructions import MoveInstructions
from palaestra.envs.wrappers.noise_model import NoiseMode, NoiseModel
from palaestra.envs.wrappers.observation_text import TransformObservationText
from palaestra.envs.wrappers.record_trajectory import RecordTrajectory
from palaestra.envs.wrappers.reward_noise import RewardNoise
from palaestra.envs.wrappers.truncate_observation import TruncateObservation
from palaestra.envs.wrappers.turn_limit import TurnLimit

__all__ = [
    "InjectErrors",
    "MoveInstructions",
    "NoiseMode",
    "NoiseModel",
    "Plan",
    "PlanSampler",
    "RecordTrajectory",
    "RewardNoise",
    "TransformObservationText",
    "TruncateObservation",
    "TurnLimit",
]
