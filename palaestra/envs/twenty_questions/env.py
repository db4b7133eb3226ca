"""`palaestra/TwentyQuestions-v1`: an asker, an answerer and, if wanted, a judge."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from palaestra.envs.core.seated import Action, Exchange, Refused, SeatedEnv
from palaestra.envs.core.tasks import Task
from palaestra.envs.twenty_questions import players as scripted
from palaestra.envs.twenty_questions.questions import (
    HOW_TO_ASK,
    Unreadable,
    read_answer,
    read_count,
    read_question,
    read_verdict,
)
from palaestra.envs.twenty_questions.tasks import question_tasks
from palaestra.envs.twenty_questions.things import Question, describe, ontology
from palaestra.envs.twenty_questions.world import NO, UNKNOWN, YES, Asked, QuestionWorld
from palaestra.errors import ConfigError, unknown_name
from palaestra.results.metrics import SHARE, Metric
from palaestra.types import Json

JUDGES = ("", "each", "last")
LABELS = ("names", "numbers")
ASKER, ANSWERER, JUDGE = "asker", "answerer", "judge"
_SAID = {YES: "Yes.", NO: "No.", UNKNOWN: "I do not know."}


class TwentyQuestionsEnv(SeatedEnv):
    """Find a thing by asking yes/no questions about its facts; another seat answers them.

    Description: some invented things are listed with their facts, and one of them is the one in question. The asker asks about
    one fact per message, or names a thing; a wrong name loses the game. The answerer, which knows the thing, says yes, no, or
    that it does not know. The things are generated once (416 of 13 kinds, 312 for the train split and 104 for the test split),
    so that knowing the world by heart does not help; asking well does.

    Seats: `asker` (the policy's), `answerer`, and with `judge=` also `judge`. Each is a Gymnasium environment of its own
    (`seat="answerer"`), with scripted players in the others:

    - asker: "entropy" (default: the question that splits best what is left), "random" (any question that splits it),
      "namer" (one thing after the other).
    - answerer: "honest" (default), "liar" (turns an answer round with probability 0.15), "forgetful" (does not know with
      probability 0.2). Chance follows from the seed of the episode.
    - judge: "strict" (default: the truth), "lenient" (lets everything pass).

    Action: the asker's is one question in plain English ("Is it an animal?", "Is it bigger than a cat?", "Is it found in the
    sea?", "Does it have wings?", "Can it fly?"), or a name ("Is it the dowick?"). Words before the question are allowed;
    two facts or a negation in one question, and everything that is not a question about a fact, are refused with a hint how
    to ask. The answerer's is "yes", "no" or "I do not know". The judge's is "uphold" or "overrule", or a number at the end.

    Observation: the asker is shown the list, then each answer as "Yes.", "No." or "I do not know.", whatever words the
    answerer used. The answerer is shown the thing, then each question. A name is settled by the world: the answerer is not
    asked.

    Judge: with `judge="each"` it rules on every answer before the asker hears it: an overruled "yes" is heard as "no", an
    overruled "I do not know" as the truth. With `judge="last"` it says at the end, also after the asker ran out of turns,
    how many answers were true; that count is what the answerer is paid for.

    Reward: the asker gets 1.0 for naming the thing. The answerer gets the share of its answers that were true (or that the
    last judge counted) when the game is over; the judge gets the share of its verdicts that were right, a last judge 1.0
    minus the error of its count as a share of the answers. Success: the thing was named; all answers were true; all verdicts
    were right. `score` is the sum of the rewards.

    Metrics: `questions` (messages of the asker that were played; lower is better), `bits` (log2 of the number of things at
    the start over the number that still fit the true answers; higher is better), `true_answers` (share). They follow from
    the thing in question, so that `info["metrics"]` has them at the end of the episode only.

    Termination: when the thing is named, and after `guesses` wrong names. Truncation: after `max_turns` messages of the
    environment's own seat.

    Arguments:
        things: Number of things in question, 2 to 96. Who names one at random is right in one of so many games.
        guesses: Wrong names that lose the game; 0 for no limit, so that an asker wins by naming everything wherever there are
            no more things than turns.
        judge: "" for none, "each", or "last".
        labels: How the asker calls the things: by their "names" ("Is it the dowick?"), or by "numbers" ("Is it number 3?"),
            which is easier for tiny models.
        seat: Whose environment this is.
        players: Scripted players by seat, e.g. `{"answerer": "liar"}`.
        split: Split that `reset` draws from: "train" (without end) or "test" (500 tasks). No thing is in both.
        max_turns: Messages of the environment's own seat after which the episode is truncated; None for no limit.
        render_mode: None or "ansi".

    Registered ids: `palaestra/TwentyQuestions-v1` (64 things, one guess, no judge, 20 turns). `palaestra/TwentyQuestions-v0`,
    the former rules (16 things, any number of guesses), can still be made and is not listed.

    Expert: the asker's asks the question with the highest entropy under what it heard and names a thing when one is left, or
    two if it may be wrong once: 64 things take about 7 messages. With a lying answerer it goes by what fits best, and may name
    the wrong thing. The answerer's and the judge's tell the truth.

    Data: generated by this package from its own word lists (`ontology.toml`); nothing to download. No published source.

    Version history:
        v1: A wrong name loses the game (`guesses`), and 64 things are listed. With 16 things and 20 messages an asker of v0
            wins every game without a question, by naming them all.
        v0: The first.
    """

    seats: tuple[str, ...] = (ASKER, ANSWERER, JUDGE)
    judges = (JUDGE,)
    personas = scripted.PERSONAS
    prompt_format = "text"
    metrics = (
        Metric("questions", "lower", about="messages of the asker that were played", lead=True),
        Metric("bits", "higher", "bits", about="what the questions could tell about the thing"),
        Metric("true_answers", "higher", SHARE, about="answers that were true"),
    )

    def __init__(
        self,
        *,
        things: int = 64,
        guesses: int = 1,
        judge: str = "",
        labels: str = "names",
        seat: str = "",
        players: Mapping[str, str] | None = None,
        split: str = "train",
        max_turns: int | None = None,
        render_mode: str | None = None,
    ) -> None:
        """Check the arguments; nothing is asked yet."""
        if judge not in JUDGES:
            raise unknown_name("judge", judge, JUDGES)
        if labels not in LABELS:
            raise unknown_name("kind of labels", labels, LABELS)
        if isinstance(guesses, bool) or not isinstance(guesses, int) or guesses < 0:
            raise ConfigError(f"guesses is {guesses!r}; expected a whole number: 1 or more, or 0 for no limit.")
        if not judge:
            self.seats = (ASKER, ANSWERER)
        self.judge = judge
        self.guesses = guesses
        self.labels = labels
        self.world = QuestionWorld([], "")
        super().__init__(
            question_tasks(things), seat=seat, players=players, split=split, max_turns=max_turns, render_mode=render_mode
        )

    # -- what the seats are told at the start ---------------------------------------------------------------------

    def instructions(self, seat: str = "") -> str:
        """Return the rules of a seat."""
        seat = seat or self.seat
        if seat == ASKER:
            turns = "as many messages as you like" if self.max_turns is None else f"{self.max_turns} messages"
            example = self._ask_for((self.world.things or ["dowick"])[0])
            return _text(ASKER).format(
                example=example, turns=turns, guesses=_BOUNDS.get(self.guesses, _BOUND).format(self.guesses)
            )
        if seat == ANSWERER:
            return _text(ANSWERER).format(manner=_MANNERS[self.players[ANSWERER]]).strip()
        return _text(JUDGE).format(task=_TASKS[self.judge])

    def private(self, seat: str) -> Json:
        """Return the list of things for the asker, the thing and the persona for the others."""
        if seat == ASKER:
            return {"things": [self._label(name) for name in self.world.things]}
        return {"secret": self.world.secret, "facts": describe(self.world.thing()), "persona": self.players[seat]}

    def expert(self, seat: str = "") -> Iterator[Action]:
        """Yield the most telling questions, or the truth."""
        seat = seat or self.seat
        while self.world.things and self.world.phase != "over":
            yield self._script(seat, self.personas[seat][0])

    # -- the game -------------------------------------------------------------------------------------------------

    def _open(self, task: Task) -> Exchange:
        """Show the list to the asker and the thing to the others."""
        self.world = world = QuestionWorld(list(task.data["things"]), task.data["secret"], guesses=self.guesses)
        listed = "\n".join(f"- {self._label(name)}: {describe(ontology().thing(name))}" for name in world.things)
        fact = f"The thing is the {world.secret}: {describe(world.thing())}."
        told = {ASKER: f"It is one of these {len(world.things)} things:\n{listed}", ANSWERER: fact}
        return Exchange({**told, **({JUDGE: fact} if self.judge else {})}, (ASKER,))

    def _read(self, seat: str, action: Action) -> Any:
        """Read a question, an answer, a verdict or a count."""
        text = action if isinstance(action, str) else action.content
        if not isinstance(action, str) and action.tool_calls and not text:
            raise Refused(f"There are no tools here; write plain text. {self._how(seat)}")
        try:
            if seat == ASKER:
                return self._unlabelled(read_question(text, [self._label(name) for name in self.world.things]))
            if seat == ANSWERER:
                return read_answer(text)
            if self.world.phase == "count":
                return read_count(text, len(self.world.answered))
            return read_verdict(text)
        except Unreadable as problem:
            raise Refused(str(problem)) from None

    def _how(self, seat: str) -> str:
        """Return how a seat is to put what it says."""
        if seat == ASKER:
            return HOW_TO_ASK.format(example=self._ask_for(self.world.things[0]))
        return 'Answer with "yes", "no" or "I do not know".' if seat == ANSWERER else _TASKS[self.judge]

    def _play(self, moves: Mapping[str, Any]) -> Exchange:
        """Play what one seat said."""
        ((seat, move),) = moves.items()
        if seat == ASKER:
            return self._asked(move)
        return self._answered(move) if seat == ANSWERER else self._judged(move)

    def _asked(self, question: Question) -> Exchange:
        """Pass a question about a fact on, and settle a name."""
        world = self.world
        if question.attribute != "name":
            world.asked.append(Asked(*question))
            world.phase = "answer"
            told = {ANSWERER: f"Question {len(world.asked)}: {question.text()}"}
            return Exchange(told, (ANSWERER,))
        world.named.append(question.value)
        if question.value == world.secret:
            return self._end({ASKER: f"Yes, it is {self._called(world.secret)}!"})
        said = f"No, it is not {self._called(question.value)}."
        if world.guesses_left <= 0:
            return self._end({ASKER: f"{said} The game is lost."})
        return Exchange({ASKER: said}, (ASKER,), metrics=self._measured())

    def _answered(self, answer: str) -> Exchange:
        """Let a judge rule on an answer, or let the asker hear it."""
        last = self.world.asked[-1]
        last.answer = answer
        if self.judge == "each":
            self.world.phase = "rule"
            return Exchange({JUDGE: f"{last.question.text()} The answer was: {_SAID[answer]} {_TASKS['each']}"}, (JUDGE,))
        return self._heard(answer)

    def _heard(self, answer: str) -> Exchange:
        """Let the asker hear an answer; it is its turn again."""
        self.world.asked[-1].heard = answer
        self.world.phase = "ask"
        return Exchange({ASKER: _SAID[answer]}, (ASKER,), metrics=self._measured())

    def _judged(self, verdict: bool | int) -> Exchange:
        """Let the asker hear the answer after a verdict, or pay by a count."""
        world = self.world
        if world.phase == "count":
            world.counted = int(verdict)
            return self._paid({})
        last = world.asked[-1]
        last.upheld = bool(verdict)
        if verdict:
            return self._heard(last.answer)
        return self._heard({YES: NO, NO: YES}.get(last.answer) or world.truth(last.question))

    def _out_of_turns(self) -> Exchange:
        """End a game that was stopped: the answers are counted and paid all the same."""
        return self._end({ASKER: "You have no messages left."} if self.seat == ASKER else {})

    def _end(self, told: Mapping[str, str]) -> Exchange:
        """Ask the last judge for a count, else pay."""
        world = self.world
        if self.judge == "last" and world.answered:
            world.phase = "count"
            lines = [f"{number}. {one.question.text()} {_SAID[one.answer]}" for number, one in enumerate(world.answered, 1)]
            report = "\n".join(["The questions and answers:", *lines, f"How many of the {len(lines)} answers were true?"])
            rewards = {ASKER: 1.0} if world.is_found else {}
            return Exchange({**told, JUDGE: report}, (JUDGE,), rewards, tuple(rewards), metrics=self._measured())
        return self._paid(told)

    def _paid(self, told: Mapping[str, str]) -> Exchange:
        """End the game and pay every seat that has not been paid."""
        world = self.world
        was_counted, world.phase = world.phase == "count", "over"
        num = len(world.answered)
        num_true = world.num_true if world.counted is None else world.counted
        rewards: dict[str, float] = {}
        if world.is_found and not was_counted:
            rewards[ASKER] = 1.0
        if num:
            rewards[ANSWERER] = num_true / num
        if self.judge and num:
            rewards[JUDGE] = self._judges_share(num)
        won = [seat for seat, reward in rewards.items() if seat != ASKER and reward == 1.0]
        return Exchange(told, (), rewards, (*((ASKER,) if world.is_found else ()), *won), metrics=self._measured())

    def _judges_share(self, num: int) -> float:
        """Return how well the judge judged, from 0 to 1."""
        world = self.world
        if world.counted is not None:
            return max(0.0, 1.0 - abs(world.counted - world.num_true) / num)
        ruled = [one for one in world.answered if one.upheld is not None]
        return sum(one.upheld == world.is_true(one) for one in ruled) / len(ruled) if ruled else 0.0

    def _measured(self) -> dict[str, float]:
        """Return the metrics as things stand."""
        world = self.world
        measured = {"questions": float(len(world.asked) + len(world.named)), "bits": world.bits()}
        if num := len(world.answered):
            measured["true_answers"] = world.num_true / num
        return measured

    # -- players and state ----------------------------------------------------------------------------------------

    def _scripted(self, seat: str, observation: str) -> Action:
        """Return what the scripted player of a seat says."""
        return self._script(seat, self.players[seat])

    def _script(self, seat: str, persona: str) -> str:
        """Return what a persona says in a seat."""
        if seat == JUDGE:
            return scripted.judge(self.world, persona)
        play = scripted.ask if seat == ASKER else scripted.answer
        said: str = play(self.world, persona, partial(self.chance, seat))
        return self._relabelled(said) if seat == ASKER and self.labels == "numbers" else said

    # -- what things are called -----------------------------------------------------------------------------------

    def _label(self, name: str) -> str:
        """Return what the asker calls a thing: its name or its number."""
        return name if self.labels == "names" else str(self.world.things.index(name) + 1)

    def _called(self, name: str) -> str:
        """Return a thing as it is called in a sentence."""
        return f"the {name}" if self.labels == "names" else f"number {self._label(name)}"

    def _ask_for(self, name: str) -> str:
        """Return the question that names a thing."""
        return f"Is it {self._called(name)}?"

    def _unlabelled(self, question: Question) -> Question:
        """Return a question that names a thing with its name."""
        if question.attribute != "name" or self.labels == "names":
            return question
        return question._replace(value=self.world.things[int(question.value) - 1])

    def _relabelled(self, said: str) -> str:
        """Return what a scripted asker says with the label of the thing that it names."""
        found = next((name for name in self.world.things if said == f"Is it the {name}?"), None)
        return said if found is None else self._ask_for(found)

    @staticmethod
    def _sample(seat: str, rng: np.random.Generator) -> Action:
        """Draw something that can be said in a seat."""
        known = ontology()
        if seat == ASKER:
            if rng.random() < 0.1:
                return Question("name", "=", known.things[int(rng.integers(len(known.things)))].name).text()
            lead = ("", "", "", "Hmm. ", "So, ")[int(rng.integers(5))]
            return lead + known.questions[int(rng.integers(len(known.questions)))].text()
        if seat == ANSWERER:
            return ("Yes.", "No.", "yes", "no", "I do not know.")[int(rng.integers(5))]
        verdicts: tuple[str, ...] = ("uphold", "overrule", *"01234567")
        return verdicts[int(rng.integers(len(verdicts)))]

    def _save_world(self) -> Json:
        """Return the state of the game."""
        return self.world.to_json()

    def _load_world(self, task: Task, state: Json) -> None:
        """Set the game to a state that `_save_world` returned."""
        del task
        self.world = QuestionWorld.from_json(state)


_BOUNDS = {0: "", 1: " You may name one thing only: a wrong name loses the game."}
_BOUND = " You may name {} things: if the last of them is wrong too, the game is lost."
_MANNERS = {
    "honest": "Tell the truth.",
    "liar": "You are a liar: give the wrong answer about once in seven questions, without a pattern.",
    "forgetful": "You are forgetful: say that you do not know about once in five questions, else tell the truth.",
}
_TASKS = {
    "each": 'Say "uphold" if the answer was true, else "overrule".',
    "last": "At the end you are shown all of them. Say how many answers were true: one number.",
}


@cache
def _text(name: str) -> str:
    """Return a text that lies next to this file."""
    return Path(__file__).with_name(f"{name}.txt").read_text(encoding="utf-8").strip()


__all__ = ["TwentyQuestionsEnv"]
