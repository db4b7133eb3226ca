"""The world of ALFWorld: a game and its current state. Knows nothing of Gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from palaestra.envs.agentgym.alfworld.engine.facts import Facts
from palaestra.envs.agentgym.alfworld.engine.game import Commands, Game
from palaestra.types import Json

NOTHING_HAPPENS = "Nothing happens."


class Reply(NamedTuple):
    """The answer to one command.

    Attributes:
        text: What is said.
        is_error: Whether the command cannot be done now; the world is then unchanged.
        is_solved: Whether the goal is reached.
    """

    text: str
    is_error: bool = False
    is_solved: bool = False


class AlfredWorld:
    """A game in a state.

    Args:
        game: The game.
        facts: What holds; a copy of the start by default.
    """

    __slots__ = ("_commands", "_is_won", "facts", "game")

    def __init__(self, game: Game, facts: Facts | None = None) -> None:
        """Take the state."""
        self.game = game
        self.facts = game.start.copy() if facts is None else facts
        self._commands: Commands | None = None
        self._is_won: bool | None = None

    @property
    def is_won(self) -> bool:
        """Whether the goal is reached."""
        if self._is_won is None:
            self._is_won = self.game.is_won(self.facts)
        return self._is_won

    def intro(self) -> str:
        """Return the text that the game begins with."""
        return self.game.intro(self.facts)

    def commands(self) -> list[str]:
        """Return the admissible commands in the original's order."""
        return sorted(self._possible())

    def act(self, command: str) -> Reply:
        """Play a command; blanks around it do not matter, everything else does."""
        found = self._possible().get(command.strip())
        if found is None:
            return Reply(NOTHING_HAPPENS, is_error=True, is_solved=self.is_won)
        text = self.game.play(self.facts, *found)
        self._commands = self._is_won = None
        return Reply(text, is_solved=self.is_won)

    def name_of(self, thing: str) -> str:
        """Return the name that texts use for an object."""
        return self.game.names[thing].name

    def copy(self) -> AlfredWorld:
        """Return an independent world in the same state."""
        return AlfredWorld(self.game, self.facts.copy())

    def __deepcopy__(self, memo: object) -> AlfredWorld:
        """Return an independent world."""
        return self.copy()

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        """Pickle the game and the state."""
        return AlfredWorld.from_json, (self.to_json(), self.game)

    def to_json(self) -> dict[str, Json]:
        """Return the state as plain data: what was added to the start, and what was deleted (see `Facts`)."""
        start = self.game.start
        added = {(name, found) for name in self.game.changing for found in self.facts.of(name) - start.of(name)}
        deleted = {(name, arguments) for name, found in self.facts.deleted.items() for arguments in found}
        return {
            "game": self.game.file.digest,
            "names": self.game.shuffled,
            "added": [[name, *arguments] for name, arguments in sorted(added)],
            "deleted": [[name, *arguments] for name, arguments in sorted(deleted)],
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any], game: Game) -> AlfredWorld:
        """Rebuild from `to_json()`.

        Raises:
            ValueError: If the state is not one of this game.
        """
        if (state["game"], state["names"]) != (game.file.digest, game.shuffled):
            raise ValueError("it is of another game")
        facts = game.start.copy()
        for key, change in (("deleted", facts.delete), ("added", facts.add)):
            for name, *arguments in state[key]:
                if name not in game.changing or len(arguments) != game.file.domain.predicates[name]:
                    raise ValueError(f"{name!r} is not a fact that changes")
                if not all(argument in game.file.problem.types for argument in arguments):
                    raise ValueError(f"{arguments!r} are not objects of the game")
                change(name, tuple(arguments))
        return cls(game, facts)

    def __eq__(self, other: object) -> bool:
        """Whether two worlds are in the same state."""
        return isinstance(other, AlfredWorld) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def _possible(self) -> Commands:
        """Return what can be done now."""
        if self._commands is None:
            self._commands = self.game.commands(self.facts)
        return self._commands


__all__ = ["NOTHING_HAPPENS", "AlfredWorld", "Reply"]
