"""Hand-made trajectories for the tests of this folder."""

from __future__ import annotations

from collections.abc import Sequence

from palaestra.types import EpisodeError, Message, Outcome, Segment, Step, Trajectory, TurnSpan


def segment(mask: Sequence[int], turns: Sequence[tuple[int, int, int]], first_id: int = 1) -> Segment:
    """A segment with ids counting up, log-prob -1 at action tokens, and spans (start, end, turn)."""
    action = tuple(bool(m) for m in mask)
    return Segment(
        ids=tuple(range(first_id, first_id + len(mask))),
        action=action,
        log_prob=tuple(-1.0 if a else 0.0 for a in action),
        version=tuple(0 if a else -1 for a in action),
        turns=tuple(TurnSpan(*turn) for turn in turns),
    )


def episode(
    name: str,
    segments: Sequence[Segment],
    rewards: Sequence[float],
    *,
    group: str = "g",
    error: bool = False,
    success: bool | None = None,
) -> Trajectory:
    """An episode with one step per reward."""
    failure = EpisodeError("environment", "EnvironmentFault", "the engine died") if error else None
    total = sum(rewards)
    return Trajectory(
        episode_id=name,
        env_id="test/Env-v0",
        task={"key": group, "split": "train", "type": ""},
        steps=tuple(Step(observation="see", action=Message("assistant", "do"), reward=r) for r in rewards),
        outcome=Outcome(error=failure)
        if error
        else Outcome(score=total, success=bool(total > 0) if success is None else success),
        segments=tuple(segments),
        group_id=group,
    )


def simple(name: str, reward: float, *, group: str = "g", tokens: int = 3, error: bool = False) -> Trajectory:
    """Two prompt tokens, then one turn of `tokens` sampled tokens."""
    one = segment([0, 0] + [1] * tokens, [(2, 2 + tokens, 0)])
    return episode(name, [one], [reward], group=group, error=error)
