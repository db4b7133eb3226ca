"""The Gymnasium face of Wordle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from palaestra.envs.agentgym.wordle.expert import best_guess
from palaestra.envs.agentgym.wordle.tasks import DrawnLists, PublishedGames, listed_games, read_words, words_of
from palaestra.envs.agentgym.wordle.tools import Commands
from palaestra.envs.agentgym.wordle.world import NUM_TRIES, OPENING, WordleWorld, WordList
from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.core.snapshots import digest
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import Turn
from palaestra.envs.formats.action_format import ActionFormat
from palaestra.envs.formats.plain import PlainFormat
from palaestra.envs.formats.react import ReActFormat
from palaestra.errors import ConfigError, EpisodeStateError, UsageError, unknown_name
from palaestra.types import Json, Message

UNKNOWN_WORD = "{guess!r} is not a word of the list, written in five small letters. It cost a try."


class WordleEnv(CommandEnv):
    """Find a hidden five-letter word of a list from coloured answers to guesses.

    ## Description
    The instructions list the words. Each guess is answered with what is known of its letters. The hidden word is not fixed:
    each guess draws one among the words that agree with all answers so far, so luck does not decide, and a game is won when
    one word alone agrees and has been guessed. Six tries. A task of AgentGym (arXiv 2406.04151), from LMRL-Gym (arXiv
    2311.18232).

    ## Action
    A word of the list, in small letters, with or without spaces between them: `c r a n e`. With `action_format="react"` it is
    the text after the first `Action:`. An assistant `Message` may instead call the tool `guess`; the same call written as
    Hermes tags in plain text is understood.

    ## Observation
    `Let's start Wordle!`, then for each guess `g` (the letter stands here), `y` (elsewhere) or `b` (nowhere) per letter, with
    spaces between them and a line break: all that is known, also from earlier guesses. Of repeated letters each is looked at
    alone. What is not a word of the list is answered with `invalid word`, costs a try, and is named in `info["action_error"]`.

    ## Reward
    1 when the game is won, else 0. `score` is the same, `success` whether it is 1.

    ## Termination and truncation
    Terminated when the game is won, and after six tries. Truncated after `max_turns` messages, those that could not be read
    included.

    ## Arguments
    * `words`: path of a published list, a word per line (`tweet_words.txt`); by default each task has a list of its own, drawn
      from some 690 words of this package.
    * `split`: "train" or "test" for drawn lists, whose words are different ones; published games are "test".
    * `max_turns`: 8 by default (as AgentEvol), more than there are tries.
    * `action_format`: "text" or "react".
    * `tasks`: with `words`, published files by the name of the mapping that their ids belong to: `{"agenteval": PATH}`,
      `{"agenttraj": {"path": PATH, "split": "train"}}`. A seed that is in the files of both splits is refused.
    * `compat`: "upstream" puts the reply of AgentGym's server under `info["upstream"]`: of `reset` `observation`, of `step`
      `observation`, `reward`, `done`. By default None.
    * For drawn lists: `num_words` (40), `num_test_tasks` (1,000).
    * `render_mode`: None or "ansi".

    ## Ids
    `palaestra/Wordle-v0`. Task keys: `train/17`; of a published list its file's name and the seed, `tweet_words/5`. Published
    ids: `upstream#N`, the seed of the game.

    ## Data and licence
    The words are part of this package (Apache-2.0). Published lists are LMRL-Gym's (MIT): pass the path of one as `words`.

    ## Papers
    * AgentGym (arXiv:2406.04151): replies, rewards, the reading of ReAct. Left out: its server.
    * LMRL-Gym (arXiv:2311.18232): the rules of the game and its draws, to the number. Left out: its other environments.

    ## Version history
    * v0: replies word for word as published.

    Raises:
        MissingDataError: If there is no file at `words`.
        ConfigError: If it, or an argument, cannot be understood.
    """

    commands = Commands
    formats: ClassVar[tuple[ActionFormat, ...]] = (PlainFormat(), ReActFormat(calls=False, marker="first"))
    snapshot_fields = (*CommandEnv.snapshot_fields, "_num_tries")
    snapshot_types = MappingProxyType({**CommandEnv.snapshot_types, "_num_tries": int})

    def __init__(
        self,
        words: str | Path | None = None,
        *,
        split: str | None = None,
        max_turns: int | None = 8,
        action_format: str = "text",
        tasks: Mapping[str, Any] | str | Path | None = None,
        compat: str | None = None,
        render_mode: str | None = None,
        **drawn: Any,
    ) -> None:
        """Make the tasks."""
        if compat not in (None, "upstream"):
            raise unknown_name("compat", compat, ["upstream"])
        if words is not None and not isinstance(words, str | Path):
            raise ConfigError(f"words is {words!r}; expected the path of a list of words, or None for lists of our own.")
        self._list: WordList | None = None  # drawn lists are the task's
        task_set: TaskSet
        if words is None:
            if tasks is not None:
                raise ConfigError("tasks=... goes with words=PATH; drawn lists are chosen by their keys.")
            if unknown := sorted(set(drawn) - set(DrawnLists.__dataclass_fields__)):
                raise unknown_name("argument of Wordle", unknown[0], _ARGUMENTS)
            task_set = DrawnLists(**drawn).tasks()
        else:
            if drawn:
                raise ConfigError(f"{sorted(drawn)[0]} goes with lists of our own, not with words=PATH.")
            name, self._list = read_words(words)
            task_set = PublishedGames(name) if tasks is None else listed_games(name, tasks)
        super().__init__(
            task_set,
            action_format=action_format,
            split=task_set.splits[0] if split is None else split,
            max_turns=max_turns,
            render_mode=render_mode,
        )
        self.compat = compat
        self._world: WordleWorld | None = None
        self._num_tries = 0  # not the world's: a guess that is not in the list costs a try, and changes nothing in the game

    @property
    def world(self) -> WordleWorld:
        """The world of the current episode."""
        if self._world is None:
            raise EpisodeStateError("There is no world before reset(); call reset() first.")
        return self._world

    # -- the contract ---------------------------------------------------------------------------------------------

    def instructions(self) -> str:
        """Return the rules, the words, and the form of an action."""
        words = () if self._world is None else self._world.words.words
        example = " ".join(words[0]) if words else "c r a n e"
        parts = [_prompt().format(num_tries=NUM_TRIES, example=example)]
        if words:
            parts.append("The words: " + ", ".join(words))
        return "\n\n".join([*parts, self.format.describe(self.tools())]).strip()

    def expert(self) -> Iterator[str | Message]:
        """Yield guesses that win whatever is drawn, wherever the tries allow it."""
        while self._playing:
            world = self.world
            guess = best_guess(world, max(1, NUM_TRIES - self._num_tries))
            yield self.written(" ".join(guess), _thought(world))

    def available_actions(self) -> Sequence[str | Message]:
        """Return the words of the list."""
        return [self.written(" ".join(word)) for word in self.world.words.words] if self._playing else []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode (see `TextEnv.reset`)."""
        observation, info = super().reset(seed=seed, options=options)
        if self.compat is not None:
            info["upstream"] = {"observation": observation}
        return observation, info

    def _begin(self, task: Task) -> str:
        """Begin a game."""
        self._world = world = WordleWorld(*self._words_of(task))
        self._num_tries = 0
        self._draw_from(word=world.words.words)
        return OPENING

    def _command(self, text: str) -> Turn:
        """Play a guess; the sixth ends the game, whatever it is."""
        self._num_tries += 1
        reply = self._world.act(text)  # type: ignore[union-attr]  # reset() has been called
        is_over = reply.is_solved or self._num_tries >= NUM_TRIES
        turn = Turn(reply.text, float(reply.is_solved), is_over, reply.is_solved)
        if not reply.is_known:
            turn.action_error = UNKNOWN_WORD.format(guess=text[:40])
        if self.compat is not None:
            turn.info = {"upstream": _reply(turn)}
        return turn

    def _play_calls(self, calls: Any) -> Turn:
        """Play tool calls; the published reply is that to the last guess."""
        return self._never_sent(super()._play_calls(calls))

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read."""
        return self._never_sent(super()._refuse(problem))

    def _never_sent(self, turn: Turn) -> Turn:
        """Give our own words where nothing is sent to the published server."""
        if self.compat is not None and not turn.info:
            turn.info = {"upstream": _reply(turn)}
        return turn

    def _save(self) -> Json:
        """Return the guesses; words and seed are the task's."""
        return list(self.world.guesses)

    def _load(self, task: Task, state: Json) -> None:
        """Play the guesses again."""
        self._world = world = WordleWorld.after(*self._words_of(task), state)
        self._draw_from(word=world.words.words)

    def _check_restored(self) -> None:
        """Refuse a game that goes on beyond its end, or has more guesses than tries."""
        used, most = self._num_tries, NUM_TRIES - self._playing
        if not len(self.world.guesses) <= used <= most or (self._playing and self.world.is_solved):
            raise ValueError(f"{used} tries are used, {len(self.world.guesses)} for guesses")

    def _settings(self) -> dict[str, Json]:
        """Return what an episode depends on; of a published list not where it lies, but which it is."""
        return {
            "action_format": self.action_format,
            "compat": self.compat,
            "max_turns": self.max_turns,
            "words": "of the task" if self._list is None else _digest(self._list),
        }

    def _words_of(self, task: Task) -> tuple[WordList, int]:
        """Return the words and the seed of a task."""
        try:
            return words_of(task, self._list)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"Task {task.key!r} is not one of this Wordle ({error}); take tasks from env.unwrapped.tasks."
            ) from None


_ARGUMENTS = (
    *("words", "split", "max_turns", "action_format", "tasks", "compat", "render_mode"),
    *DrawnLists.__dataclass_fields__,
)


@lru_cache(maxsize=8)
def _digest(words: WordList) -> str:
    """Return a digest of a list."""
    return digest(list(words.words))


def _reply(turn: Turn) -> dict[str, Json]:
    """Return what the published server says in a turn."""
    return {"observation": turn.observation, "reward": int(turn.reward), "done": turn.terminated}


def _thought(world: WordleWorld) -> str:
    """Return the expert's thought: what the answers leave."""
    if not world.guesses:
        return "I begin with a word that tells most of the list apart."
    if len(world.left) <= 8:
        return f"The answers leave {', '.join(world.left)}."
    return f"The answers leave {len(world.left)} words."


@lru_cache(maxsize=1)
def _prompt() -> str:
    """Return the text of the instructions."""
    return (resources.files("palaestra.envs.agentgym.wordle") / "prompt.txt").read_text(encoding="utf-8").strip()


__all__ = ["WordleEnv"]
