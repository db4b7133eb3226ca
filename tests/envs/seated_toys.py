"""Small games between seats: strict turns with a judge, and two seats that both call tools."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium
import numpy as np

from palaestra.envs import GeneratedTasks, Task
from palaestra.envs.core.seated import Action, Exchange, Refused, SeatedEnv
from palaestra.results.metrics import Metric
from palaestra.types import Json, Message, ToolResult

GUESS_ID = "tests/Guess-v0"
DRAWERS_ID = "tests/Drawers-v0"


def text_of(action: Action) -> str:
    return (action if isinstance(action, str) else action.content).strip().lower()


def guess_task(split: str, index: int) -> Task:
    return Task(f"{split}/{index}", split, "", {"secret": 2 * index + (split == "test")})


class GuessEnv(SeatedEnv):
    """Bob knows a number below 16 and hints at it first; Ann guesses, Bob says more, less or yes.

    Bob is paid for a true hint before Ann has acted. A judge, if there is one, rules on each answer (a foul one is not
    heard), or grades Ann at the end, in which case its grade is her reward.
    """

    seats = ("ann", "bob", "judge")
    judges = ("judge",)
    personas = {"ann": ("halving", "random"), "bob": ("honest", "liar"), "judge": ("just",)}  # noqa: RUF012
    metrics = (Metric("guesses", "lower"), Metric("hints"))

    def __init__(self, *, judge: str = "", max_turns: int | None = 8, **kwargs: Any) -> None:
        self.judge = judge
        if not judge:
            self.seats = ("ann", "bob")
        super().__init__(GeneratedTasks(guess_task, {"train": 8, "test": 8}), max_turns=max_turns, **kwargs)
        self.state: dict[str, Any] = {}

    def instructions(self, seat: str = "") -> str:
        return f"You are {seat or self.seat}."

    def private(self, seat: str) -> Json:
        return None if seat == "ann" else {"secret": self.state["secret"]}

    def expert(self, seat: str = "") -> Iterator[Action]:
        seat = seat or self.seat
        while True:
            yield self._honest(seat)

    def _honest(self, seat: str) -> str:
        state = self.state
        if seat == "ann":
            return str((state["low"] + state["high"]) // 2)
        if seat == "bob":
            return "even" if state["phase"] == "hint" and state["secret"] % 2 == 0 else self._truth()
        return self._verdict() if state["phase"] == "ruling" else str(9 * state["found"])

    def _truth(self) -> str:
        state = self.state
        if state["phase"] == "hint":
            return "odd" if state["secret"] % 2 else "even"
        return "yes" if state["guess"] == state["secret"] else "more" if state["secret"] > state["guess"] else "less"

    def _verdict(self) -> str:
        return "fair" if self.state["said"] == self.state["truth"] else "foul"

    def _open(self, task: Task) -> Exchange:
        self.state = {"secret": task.data["secret"], "low": 0, "high": 15, "guesses": 0, "phase": "hint", "found": False}
        self.state |= {
            "honest": True,
            "just": True,
            "guess": -1,
            "said": "",
            "truth": "",
            "coin": int(self.np_random.integers(2)),
        }
        return Exchange({"bob": f"The number is {task.data['secret']}. Is it even or odd?"}, ("bob",), metrics={"hints": 1})

    def _read(self, seat: str, action: Action) -> Any:
        word = text_of(action)
        if seat == "ann" and word.isdecimal() and len(word) < 3 and int(word) < 16:
            return int(word)
        phase = self.state["phase"]
        known = {"hint": ("even", "odd"), "answer": ("more", "less", "yes"), "ruling": ("fair", "foul")}
        if seat == "judge" and phase == "grade" and word in "0123456789" and word:
            return int(word)
        if seat != "ann" and word in known.get(phase, ()):
            return word
        raise Refused(f"{word[:20]!r} is not something {seat} can say now.")

    def _play(self, moves: Mapping[str, Any]) -> Exchange:
        ((seat, move),) = moves.items()
        return {"ann": self._guessed, "bob": self._answered, "judge": self._judged}[seat](move)

    def _guessed(self, number: int) -> Exchange:
        self.state |= {"guess": number, "guesses": self.state["guesses"] + 1, "phase": "answer"}
        told = {"bob": f"ann guesses {number}. More, less or yes?"}
        return Exchange(told, ("bob",), metrics={"guesses": self.state["guesses"]}, info={"guess": number})

    def _answered(self, word: str) -> Exchange:
        truth, was_hint = self._truth(), self.state["phase"] == "hint"
        self.state |= {"said": word, "truth": truth, "honest": self.state["honest"] and word == truth}
        if was_hint:
            self.state["phase"] = "guess"
            return Exchange({"ann": f"bob hints: {word}."}, ("ann",), {"bob": 0.5 * (word == truth)})
        if self.judge == "each":
            self.state["phase"] = "ruling"
            return Exchange(
                {"judge": f"It is {self.state['secret']}; ann said {self.state['guess']}, bob {word}."}, ("judge",)
            )
        return self._heard(word)

    def _heard(self, word: str, told: Mapping[str, str] | None = None) -> Exchange:
        state = self.state
        if word == "more":
            state["low"] = max(state["low"], min(15, state["guess"] + 1))
        elif word == "less":
            state["high"] = min(state["high"], max(0, state["guess"] - 1))
        told = {"ann": f"bob says {word}.", **(told or {})}
        state["phase"], state["found"] = "guess", state["guess"] == state["secret"]
        if not state["found"]:
            return Exchange(told, ("ann",))
        if self.judge == "last":
            state["phase"] = "grade"
            return Exchange(
                {**told, "judge": f"ann needed {state['guesses']} guesses."}, ("judge",), self._bobs_pay(), ("ann",)
            )
        return Exchange(told, (), {"ann": 1.0, **self._bobs_pay(), **self._judges_pay()}, self._winners())

    def _judged(self, verdict: Any) -> Exchange:
        state = self.state
        if state["phase"] == "ruling":
            state["just"] = state["just"] and verdict == self._verdict()
            return self._heard(state["said"] if verdict == "fair" else state["truth"], {"bob": f"The judge says {verdict}."})
        state["just"] = verdict == 9 * state["found"]
        rewards = {"ann": verdict / 9, **self._judges_pay()}
        return Exchange({"ann": f"Your grade is {verdict}."}, (), rewards, self._winners(), {"ann": float(verdict)})

    def _bobs_pay(self) -> dict[str, float]:
        return {"bob": 0.5} if self.state["honest"] else {}

    def _judges_pay(self) -> dict[str, float]:
        return {"judge": 1.0} if self.judge and self.state["just"] else {}

    def _winners(self) -> tuple[str, ...]:
        state = self.state
        has_won = {
            "ann": state["found"],
            "bob": state["found"] and state["honest"],
            "judge": bool(self.judge) and state["just"],
        }
        return tuple(seat for seat in self.seats if has_won[seat])

    def _out_of_turns(self) -> Exchange | None:
        if self.judge != "last":
            return None
        self.state["phase"] = "grade"
        return Exchange({"judge": "ann ran out of guesses."}, ("judge",))

    def _scripted(self, seat: str, observation: str) -> Action:
        honest, persona = self._honest(seat), self.players[seat]
        if persona == "random":
            return str(self.chance(seat).integers(16))
        if persona == "liar" and self.state["phase"] == "answer" and honest != "yes" and self.chance(seat).random() < 0.3:
            return "less" if honest == "more" else "more"
        return honest

    @staticmethod
    def _sample(seat: str, rng: np.random.Generator) -> Action:
        words = {
            "ann": [str(i) for i in range(16)],
            "bob": ["even", "odd", "more", "less", "yes"],
            "judge": ["fair", "9", "0"],
        }
        return words[seat][rng.integers(len(words[seat]))]

    def _save_world(self) -> Json:
        return dict(self.state)

    def _load_world(self, task: Task, state: Json) -> None:
        self.state = dict(state)


class DrawersEnv(SeatedEnv):
    """Left and right each look into a drawer of their own with a tool, and say in turn what they found."""

    seats = ("left", "right")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(GeneratedTasks(guess_task, {"train": 8, "test": 8}), **{"max_turns": 8, **kwargs})
        self.found: dict[str, Any] = {}

    def tools(self, seat: str = "") -> list[dict[str, Json]]:
        parameters = {"type": "object", "properties": {}}
        name = f"look_{seat or self.seat}"
        return [{"type": "function", "function": {"name": name, "description": "Look.", "parameters": parameters}}]

    def expert(self, seat: str = "") -> Iterator[Action]:
        seat = seat or self.seat
        while True:
            yield self._scripted(seat, "")

    def secret(self, seat: str) -> str:
        return f"{seat}-{self.found['secret']}"

    def _open(self, task: Task) -> Exchange:
        self.found = {"secret": task.data["secret"], "looked": [], "said": []}
        return Exchange({"left": "Begin."}, ("left",))

    def _read(self, seat: str, action: Action) -> Any:
        if isinstance(action, Message) and action.tool_calls:
            return action.tool_calls
        if not text_of(action):
            raise Refused("Say something, or look.")
        return text_of(action)

    def _play(self, moves: Mapping[str, Any]) -> Exchange:
        ((seat, move),) = moves.items()
        if isinstance(move, str):
            return self._said(seat, move)
        results = []
        for call in move:
            is_known = call.name == f"look_{seat}"
            if is_known and seat not in self.found["looked"]:
                self.found["looked"].append(seat)
            results.append(
                ToolResult(call.name, self.secret(seat) if is_known else "?", "ok" if is_known else "unknown_tool", call.id)
            )
        return Exchange({seat: "\n".join(result.content for result in results)}, (seat,), tool_results=results)

    def _said(self, seat: str, words: str) -> Exchange:
        other = "right" if seat == "left" else "left"
        if words == self.secret(seat) and seat not in self.found["said"]:
            self.found["said"].append(seat)
        if len(self.found["said"]) == 2:
            return Exchange({other: "Both are known."}, (), {"left": 1.0, "right": 1.0}, ("left", "right"))
        return Exchange({other: "Your turn."}, (other,))

    def _scripted(self, seat: str, observation: str) -> Action:
        if seat in self.found["looked"]:
            return self.secret(seat)
        return Message("assistant", tool_calls=(_look(seat, len(self.found["said"])),))

    @staticmethod
    def _sample(seat: str, rng: np.random.Generator) -> Action:
        return Message("assistant", tool_calls=(_look(seat, 0),)) if rng.random() < 0.5 else f"hello {rng.integers(9)}"

    def _save_world(self) -> Json:
        return self.found

    def _load_world(self, task: Task, state: Json) -> None:
        self.found = state


def _look(seat: str, number: int) -> Any:
    from palaestra.types import ToolCall

    return ToolCall(f"look_{seat}", {}, f"call_{number}")


def register_seated_toys() -> None:
    for env_id, name in ((GUESS_ID, "GuessEnv"), (DRAWERS_ID, "DrawersEnv")):
        if env_id not in gymnasium.registry:
            gymnasium.register(
                env_id,
                entry_point=f"tests.envs.seated_toys:{name}",
                vector_entry_point=f"palaestra.envs.core.vector:{env_id}",
                order_enforce=False,
            )
