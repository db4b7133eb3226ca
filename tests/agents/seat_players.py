"""Agents for tables, whose every move and every glance is known."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from palaestra_toys.envs import register

from palaestra.agents.core import Agent, AgentRecord
from palaestra.agents.rollout.env_pool import make_planned_env
from palaestra.types import Message, Segment, TurnSpan, Usage, plain
from tests.envs.seated_toys import register_seated_toys


class Scripted(Agent):
    """Plays what the setting's own player of its seat would, from outside; what it was shown is in `seen`."""

    name = "from-outside"

    def __init__(self, *, delay_s: float = 0.0, junk: tuple[int, ...] = (), fails: Mapping[int, Exception] | None = None):
        self.delay_s, self.junk, self.fails = delay_s, junk, fails or {}
        self.seen: list[Any] = []  # shared between forks

    def reset(self, info, *, env=None, session=""):
        self.env, self.seat, self.turn = env, info.get("seat", ""), 0
        self.segments: list[Segment] = []
        self.seen.append(["reset", self.seat, session, plain(dict(info))])

    async def aact(self, observation, info):
        turn, self.turn = self.turn, self.turn + 1
        self.seen.append(["act", self.seat, observation, plain(dict(info))])
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        if turn in self.fails:
            raise self.fails[turn]
        step = info.get("step", turn)
        self.segments.append(Segment((1, 2), (False, True), (0.0, -0.5), (-1, 0), (TurnSpan(1, 2, step),)))
        if turn in self.junk:
            return Message("assistant", "x" * 100_001)
        inner = self.env.unwrapped
        action = inner._scripted(self.seat or inner.seat, observation)
        return action if isinstance(action, Message) else Message("assistant", action)

    def record(self):
        return AgentRecord(Usage(calls=self.turn, model_s=0.25), tuple(self.segments))

    def of(self, seat: str) -> str:
        """Return everything that a seat was shown, as one text."""
        return json.dumps([entry for entry in self.seen if entry[1] == seat])


def make_toy(plan):
    """Make a toy in any process."""
    register()
    register_seated_toys()
    return make_planned_env(plan)
