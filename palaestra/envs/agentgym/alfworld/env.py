"""The Gymnasium face of ALFWorld."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from palaestra.envs.agentgym.alfworld.engine.errors import GameFileError
from palaestra.envs.agentgym.alfworld.engine.game import Game
from palaestra.envs.agentgym.alfworld.engine.game_file import PUT_COMMANDS, Dialect, read_game, unplayable
from palaestra.envs.agentgym.alfworld.picture import draw
from palaestra.envs.agentgym.alfworld.planner import plan
from palaestra.envs.agentgym.alfworld.published import GameTasks, chosen_games, find_games
from palaestra.envs.agentgym.alfworld.searcher import Searcher, reason
from palaestra.envs.agentgym.alfworld.tasks import KEPT_GAMES, made_game, made_tasks, place_of_made
from palaestra.envs.agentgym.alfworld.tolerance import RULES, read_command
from palaestra.envs.agentgym.alfworld.tools import Commands
from palaestra.envs.agentgym.alfworld.upstream import first_reply, never_sent, reply
from palaestra.envs.agentgym.alfworld.world import AlfredWorld
from palaestra.envs.core.command_env import CommandEnv
from palaestra.envs.core.tasks import Task, TaskSet
from palaestra.envs.core.text_env import TextEnv, Turn
from palaestra.errors import ConfigError, EpisodeStateError, UsageError, unknown_name
from palaestra.types import Json, Message, ToolCall

THOUGHT_ANSWER = "OK."
"""Answer to a text that only thinks, where `tolerant=True` reads it."""


class ALFWorldEnv(CommandEnv):
    """Do a household task in one room, by text commands.

    ## Description
    The first observation lists the receptacles of a room (cabinets, tables, a fridge ...) and names a task: put an object
    somewhere, perhaps cleaned, heated or cooled first, put two of them somewhere, or look at one under a lamp. Where objects
    are has to be found out. The texts are those of ALFWorld (arXiv 2010.03768) word for word, from an engine of our own that
    reads its game files; a task of AgentGym (arXiv 2406.04151).

    ## Action
    One command: `go to R`, `open R`, `close R`, `take O from R`, `move O to R` or `put O in/on R` (either is understood in
    games of both dialects), `clean O with R`, `heat O with R`, `cool O with R`, `slice O with O`, `use O`, `examine R`,
    `examine O`, `look`, `inventory`. Names have numbers (`cabinet 4`). `action_format` takes "text", "react" (the text after
    the last `Action:`), "json" (AgentGym's function calling: one object with `thought`, `function_name` and `arguments`) and
    "code" (one call in a Python fence, parsed and never run). An assistant `Message` may call the same functions as tools.

    ## Observation
    What the game says. A command that cannot be done is answered with `Nothing happens.`. Replies of several tool calls come
    on lines of their own.

    ## Reward
    1 when the goal is reached, else 0. `score` is the same, `success` whether it is 1.

    ## Termination and truncation
    Terminated when the goal is reached, truncated after `max_turns` messages.

    ## Arguments
    * `games`: None for games that are made here; or the path of a `.tw-pddl` file, of a folder of them (searched with its
      subfolders), or a list of such paths.
    * `dialect`: "put" or "move": how objects are put down. None for what the game has ("move" for those made here).
    * `split`: "train" or "test" for games that are made here; the folder's name (`train`, `valid_seen` ...) for published
      ones, "test" without such a folder. By default "train", or the first there is.
    * `max_turns`: 30 by default, as AgentGym evaluates.
    * `action_format`: "text", "react", "json" or "code".
    * `tasks`: with `games`, only these: a list of keys; or the mapping files of AgentGym by the name of the mapping that their
      ids belong to, `{"upstream": "mappings_test.json"}`, which makes them `upstream#2420`.
    * `compat`: "upstream" puts the reply of AgentGym's server under `info["upstream"]` (`observation`, `reward`,
      `available_actions`, `done`; `task_type` of `reset`), and plays the dialect "put". By default None.
    * `tolerant`: whether a leading `>`, `Action:` and `think:`, quotation marks, capitals and polite prose before a command
      are read. How often each rule fired is in `info["tolerated"]`.
      By default False: every such line is answered with "Nothing happens.", as published.
    * `names`: "plain", or "shuffled": the numbers of each kind of thing are dealt out in a new order in every episode.
    * `expert_knows`: "everything" (short plans from any state), or "seen": the expert looks for things where they are usually
      kept, as published trajectories do. It takes 10 commands on average in 200 test tasks (12 in train), and more than 30 in
      3 of them (7 in train; 48 at most): `max_turns=None` leaves room.
    * `render_mode`: None or "ansi", which draws the room.

    ## Ids
    `palaestra/ALFWorld-v0`. Task keys: `train/17` for games that are made here; `TASK_TYPE/TRIAL` for published
    `.../TASK_TYPE/TRIAL/game.tw-pddl`, and the name of the file, without `.tw-pddl`, for others. The task type is one of
    pick_and_place_simple, look_at_obj_in_light, pick_clean_then_place_in_recep, pick_heat_then_place_in_recep,
    pick_cool_then_place_in_recep and pick_two_obj_and_place.

    ## Data and licence
    Games that are made here need no data: 48 layouts of four kinds of rooms; goals (type, object, receptacle) and rooms of
    train and test do not meet; each was solved by the planner when it was made. They are marked `synthetic` and are not the
    benchmark. The published games (MIT) are the download of the package `alfworld` (`alfworld-download`): pass the folder
    `json_2.1.1` or a part of it as `games`.

    ## Papers
    * ALFWorld (arXiv:2010.03768): commands and texts of its game files, read as they are. Left out: the visual environments.
    * AgentGym (arXiv:2406.04151): the horizon of 30 messages, action formats, replies of its server. Left out: its server.

    Goals with objects inside of movable receptacles are played, but have no expert.

    ## Version history
    * v0: texts and admissible commands word for word and in the order of textworld 1.7.0 with alfworld 0.4.2.

    Raises:
        MissingDataError: If there is no game at `games`.
        GameFileError: If a game file cannot be played; when the game is begun.
        ConfigError: If an argument cannot be understood.
    """

    commands = Commands
    snapshot_types: ClassVar[Mapping[str, Any]] = MappingProxyType(
        {**TextEnv.snapshot_types, "_tolerated": dict[str, int], "_last_upstream": str}
    )

    def __init__(
        self,
        games: str | Path | Iterable[str | Path] | None = None,
        *,
        dialect: Dialect | None = None,
        split: str | None = None,
        max_turns: int | None = 30,
        action_format: str = "text",
        tasks: Iterable[str] | Mapping[str, Any] | str | Path | None = None,
        compat: str | None = None,
        tolerant: bool = False,
        names: str = "plain",
        expert_knows: str = "everything",
        render_mode: str | None = None,
    ) -> None:
        """Find the games."""
        for name, value, known in (
            ("dialect", dialect, (None, "put", "move")),
            ("compat", compat, (None, "upstream")),
            ("names", names, ("plain", "shuffled")),
            ("expert_knows", expert_knows, ("everything", "seen")),
        ):
            if value not in known:
                raise unknown_name(name, value, [word for word in known if word])
        if compat and dialect == "move":
            raise ConfigError(
                "compat='upstream' plays the dialect 'put', as AgentGym's server does; leave dialect='move' out."
            )
        if not isinstance(tolerant, bool):
            raise ConfigError(f"tolerant is {tolerant!r}; expected True or False.")
        if games is None and tasks is not None:
            raise ConfigError("tasks=... chooses among published games; pass games=PATH, or choose by reset(options=...).")
        self._games: GameTasks | None = None
        task_set: TaskSet
        if games is None:
            task_set = made_tasks()
        else:
            self._games = find_games(games)
            task_set = chosen_games(self._games, tasks)
        super().__init__(
            task_set,
            action_format=action_format,
            split=task_set.splits[0] if split is None else split,
            max_turns=max_turns,
            render_mode=render_mode,
        )
        self.dialect: Dialect | None = "put" if compat else dialect
        self.compat, self.tolerant, self.names, self.expert_knows = compat, tolerant, names, expert_knows
        self._world: AlfredWorld | None = None
        self._tolerated: dict[str, int] = {}
        self._last_upstream = ""  # the observation that the published client shows again after a message that it cannot read
        fields = [*(["_tolerated"] if tolerant else []), *(["_last_upstream"] if compat else [])]
        self.snapshot_fields = (*TextEnv.snapshot_fields, *fields)  # type: ignore[misc]

    # -- the contract ---------------------------------------------------------------------------------------------

    @property
    def world(self) -> AlfredWorld:
        """The world of the current episode."""
        if self._world is None:
            raise EpisodeStateError("There is no world before reset(); call reset() first.")
        return self._world

    def instructions(self) -> str:
        """Return the rules and the form of an action."""
        dialect = self.dialect or ("move" if self._world is None else self._world.game.file.dialect)
        text = _text("prompt.txt").replace("%PUT%", PUT_COMMANDS[dialect].format(o="OBJECT", r="RECEPTACLE")).strip()
        more = _text("prompt_react.txt") if self.action_format == "react" else self.format.describe(self.tools())
        return f"{text}\n\n{more.strip()}".strip()

    def expert(self) -> Iterator[str | Message]:
        """Yield commands that reach the goal; nothing where the planner knows no way."""
        world = self.world
        if self.expert_knows == "seen":
            for move in Searcher(world).moves(world):
                if not self._playing:
                    return
                yield self._said(move.command, move.thought)
        else:
            while self._playing and (commands := plan(world)):
                yield self._said(commands[0], reason(commands[0]))

    def available_actions(self) -> Sequence[str | Message]:
        """Return the admissible commands, in the original's order; in forms of calls without `help`."""
        if not self._playing:
            return [] if self._world is not None else self.world.commands()
        commands = self.world.commands()
        if self.format.needs_tools:
            return [self._said(command) for command in commands if self._call_of(command) is not None]
        return [self.written(command) for command in commands]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        """Start an episode (see `TextEnv.reset`)."""
        observation, info = super().reset(seed=seed, options=options)
        self._tolerated = {}
        if self.compat is not None:
            about = first_reply(observation, self.world.commands(), info["task"]["type"])
            self._last_upstream = str(about["observation"])
            info["upstream"] = about
        return observation, info

    def render(self) -> str | None:
        """Return the turn and the room as a picture in characters if `render_mode` is "ansi"."""
        text = super().render()
        return text if text is None or self._world is None else f"{text}\n\n{draw(self._world)}"

    def _begin(self, task: Task) -> str:
        """Set the game up."""
        shuffled = int(self.np_random.integers(2**31)) if self.names == "shuffled" else None
        self._take(AlfredWorld(self._game_of(task, shuffled)))
        return self.world.intro()

    def _command(self, text: str) -> Turn:
        """Play a command."""
        world = self.world
        answer = world.act(self._translated(text))
        if answer.is_error and self.tolerant and not answer.is_solved:
            read = read_command(text, world.commands(), self._translated)
            if read is not None:
                for rule in read.rules:
                    self._tolerated[rule] = self._tolerated.get(rule, 0) + 1
                answer = world.act(read.command) if read.command else answer._replace(text=THOUGHT_ANSWER, is_error=False)
        if answer.is_solved:
            turn = Turn(answer.text, 1.0, True, True)
        else:
            turn = Turn(answer.text, action_error=answer.text if answer.is_error else "")
        if self.tolerant:
            turn.info = {"tolerated": {rule: self._tolerated.get(rule, 0) for rule in RULES}}
        if self.compat is not None:
            about = reply(answer.text, world.commands(), is_won=answer.is_solved)
            self._last_upstream = str(about["observation"])
            turn.info = {**(turn.info or {}), "upstream": about}
        return turn

    def _play_calls(self, calls: Sequence[ToolCall]) -> Turn:
        """Play tool calls; the published reply is that to the last command."""
        return self._never_sent(super()._play_calls(calls))

    def _refuse(self, problem: str) -> Turn:
        """Answer an action that cannot even be read."""
        return self._never_sent(super()._refuse(problem))

    def _never_sent(self, turn: Turn) -> Turn:
        """Say what the published client says where it sends nothing to its server."""
        if self.compat is not None and "upstream" not in (turn.info or {}):
            about = never_sent(self._last_upstream, self.world.commands())
            turn.info = {**(turn.info or {}), "upstream": about}
        return turn

    def _save(self) -> Json:
        """Return the state of the world."""
        return self.world.to_json()

    def _load(self, task: Task, state: Json) -> None:
        """Set the world to a saved state."""
        shuffled = state["names"]
        if (shuffled is None) != (self.names == "plain") or not isinstance(shuffled, int | None):
            raise ValueError("its names are not those of this environment")
        self._take(AlfredWorld.from_json(state, self._game_of(task, shuffled)))

    def _take(self, world: AlfredWorld) -> None:
        """Play in a world; drawn actions name what is in it."""
        self._world = world
        objects, receptacles = _names_in(world.game)
        knives = [name for name in objects if "knife" in name]
        self._draw_from(obj=objects, recep=receptacles, knife=knives or objects)

    def _settings(self) -> dict[str, Json]:
        """Return what an episode depends on; of games not where they lie, as the state says which one it is."""
        return {
            "action_format": self.action_format,
            "compat": self.compat,
            "dialect": self.dialect,
            "games": "of this package" if self._games is None else "published",
            "max_turns": self.max_turns,
            "names": self.names,
            "tolerant": self.tolerant,
        }

    def _game_of(self, task: Task, shuffled: int | None) -> Game:
        """Return the game of a task."""
        if self._games is None:
            return made_game(*place_of_made(task), self.dialect, shuffled)
        path = self._games.files.get(task.key)
        if path is None:
            raise UsageError(f"There is no game {task.key!r} at games=...; take tasks from env.unwrapped.tasks.")
        return _published_game(path, _stamp(path), self.dialect, shuffled)

    def _translated(self, command: str) -> str:
        """Return a command of the other dialect in that of the game."""
        match = _PUT.fullmatch(command)
        if match is None:
            return command
        thing, place = match[1] or match[3], match[2] or match[4]
        return PUT_COMMANDS[self.world.game.file.dialect].format(o=thing, r=place)

    def _call_of(self, command: str) -> ToolCall | None:
        """Return the function call that stands for a command."""
        assert isinstance(self._commands, Commands)
        return self._commands.call_of(command)

    def _said(self, command: str, thought: str = "") -> str:
        """Return a command in the form in use."""
        call = self._call_of(command) if self.format.needs_tools else None
        return self.written(command if call is None else call, thought)


@lru_cache(maxsize=KEPT_GAMES)
def _names_in(game: Game) -> tuple[list[str], list[str]]:
    """Return the names of a game's objects and receptacles."""
    of = ({thing for thing, *_ in game.start.of(name)} for name in ("objecttype", "receptacletype"))
    names = (sorted(game.names[thing].name.strip() for thing in things if thing in game.names) for things in of)
    objects, receptacles = ([name for name in found if name.isprintable() and 0 < len(name) <= 80] for found in names)
    return objects, receptacles


_PUT = re.compile(r"\s*(?:put (.+) in/on (.+)|move (.+) to (.+))\s*")


@lru_cache(maxsize=KEPT_GAMES)
def _published_game(path: Path, stamp: tuple[int, int], dialect: Dialect | None, shuffled: int | None) -> Game:
    """Return a game of a file, ready to play; read again when the file has changed."""
    del stamp
    file = read_game(path)
    try:
        return Game(file if dialect is None else file.turned(dialect), shuffled)
    except GameFileError as error:
        raise unplayable(path, error) from None


def _stamp(path: Path) -> tuple[int, int]:
    """Return what changes when a file does."""
    try:
        about = path.stat()
    except OSError:
        return 0, 0  # reading it says what is wrong
    return about.st_mtime_ns, about.st_size


@cache
def _text(name: str) -> str:
    """Return a text of this package."""
    return resources.files("palaestra.envs.agentgym.alfworld").joinpath(name).read_text(encoding="utf-8")


__all__ = ["THOUGHT_ANSWER", "ALFWorldEnv"]
