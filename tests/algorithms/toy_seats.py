"""Relay: one seat translates a colour into a move, the other carries it out. Two seats that can both be learned in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

from palaestra.envs.core.seated import Action, Exchange, Refused, SeatedEnv
from palaestra.envs.core.tasks import GeneratedTasks, Task
from palaestra.types import Json

RELAY_ID = "test/Relay-v0"
MOVES = {"red": "push", "blue": "pull", "gold": "turn", "pink": "hold"}
DEEDS = {"push": "pushed", "pull": "pulled", "turn": "turned", "hold": "held"}
NUM_ROUNDS = 2


def make_task(split: str, index: int) -> Task:
    return Task(f"{split}/{index}", split)


class RelayEnv(SeatedEnv):
    """The caller is shown a colour and calls a move, the doer hears the call and says what is done; each is paid its share."""

    seats = ("doer", "caller")
    personas = {"caller": ("right", "wrong")}  # noqa: RUF012

    def __init__(self, *, max_turns: int | None = 4, **kwargs: Any) -> None:
        super().__init__(GeneratedTasks(make_task, {"train": None, "test": 200}), max_turns=max_turns, **kwargs)
        self.state: dict[str, Any] = {}

    def expert(self, seat: str = "") -> Iterator[Action]:
        while True:
            yield self._right(seat or self.seat)

    def _right(self, seat: str) -> str:
        state = self.state
        return DEEDS.get(state["called"], "nothing") if seat == "doer" else MOVES[state["colours"][state["round"]]]

    def _open(self, task: Task) -> Exchange:
        del task
        colours = [list(MOVES)[i] for i in self.np_random.integers(len(MOVES), size=NUM_ROUNDS)]
        self.state = {"colours": colours, "round": 0, "called": "", "right": {"doer": 0, "caller": 0}}
        return Exchange({"caller": f"call {colours[0]}"}, ("caller",))

    def _read(self, seat: str, action: Action) -> str:
        word = (action if isinstance(action, str) else action.content).strip()
        if not word:
            raise Refused("Say a word.")
        return word[:10]

    def _play(self, moves: Mapping[str, Any]) -> Exchange:
        ((seat, word),) = moves.items()
        state = self.state
        state["right"][seat] += word == self._right(seat)
        if seat == "caller":
            state["called"] = word
            return Exchange({"doer": f"do {word}"}, ("doer",))
        state["round"] += 1
        if state["round"] < NUM_ROUNDS:
            return Exchange({"caller": f"call {state['colours'][state['round']]}"}, ("caller",))
        shares = {seat: count / NUM_ROUNDS for seat, count in state["right"].items()}
        return Exchange({}, (), shares, tuple(seat for seat, share in shares.items() if share == 1.0))

    def _scripted(self, seat: str, observation: str) -> Action:
        return "hold" if self.players.get(seat) == "wrong" else self._right(seat)

    @staticmethod
    def _sample(seat: str, rng: np.random.Generator) -> Action:
        words = list(DEEDS) if seat == "caller" else list(DEEDS.values())
        return words[rng.integers(len(words))]

    def _save_world(self) -> Json:
        return self.state

    def _load_world(self, task: Task, state: Json) -> None:
        self.state = state


def register() -> None:
    """Make the toy known to Gymnasium; harmless when repeated."""
    if RELAY_ID not in gymnasium.registry:
        gymnasium.register(
            RELAY_ID,
            entry_point="tests.algorithms.toy_seats:RelayEnv",
            vector_entry_point=f"palaestra.envs.core.vector:{RELAY_ID}",
            order_enforce=False,
        )
